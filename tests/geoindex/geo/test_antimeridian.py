"""What crosses 180° is one piece to read and two to write, and nothing of it is lost."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoindex.geo.antimeridian import bboxes, close_to, crossing, cut, valid_areas


def wrapped(lon):
    return (lon + 180) % 360 - 180


def ring(west, width, south=10.0, height=5.0):
    """Return a box as a map has it: western longitudes where it goes on past 180."""
    lon = [west, west + width, west + width, west]
    lat = [south, south, south + height, south + height]
    return shapely.Polygon([(wrapped(x), y) for x, y in zip(lon, lat, strict=True)])


crossers = st.tuples(st.floats(100, 179.9), st.floats(0.2, 170)).filter(
    lambda box: box[0] + box[1] > 180.01
)


@given(crossers)
def test_a_box_over_180_is_cut_in_two_of_the_same_area(box):
    west, width = box
    (found,) = cut(np.array([ring(west, width)]))
    assert found.is_valid
    assert found.area == pytest.approx(5 * width)
    east, far = sorted(found.geoms, key=lambda part: -part.bounds[0])
    assert east.bounds[::2] == pytest.approx((west, 180))
    assert far.bounds[::2] == pytest.approx((-180, west + width - 360))


@given(st.floats(-180, 179), st.floats(0.1, 180))
def test_what_does_not_cross_is_left_as_it_is(west, width):
    box = shapely.box(west, 0, min(west + width, 180), 5)
    assert crossing(np.array([box])).size == 0
    assert cut(np.array([box]))[0].equals_exact(box)


def test_lines_and_collections_are_cut_too():
    line = shapely.LineString([(179, 0), (-179, 0)])
    assert cut(np.array([line]))[0].equals(
        shapely.MultiLineString([[(179, 0), (180, 0)], [(-180, 0), (-179, 0)]])
    )
    # a border on 180 itself, written as -180, leaves no sliver on the other side
    assert cut(np.array([ring(170, 10)]))[0].geom_type == "Polygon"


@given(crossers, st.floats(0.01, 0.99), st.floats(11, 14))
def test_a_point_of_the_box_is_in_it_on_both_sides(box, share, lat):
    west, width = box
    lon = wrapped(west + share * width)
    (whole,) = close_to(np.array([ring(west, width)]), lon)
    assert whole.intersects(shapely.Point(lon, lat))
    assert whole.area == pytest.approx(5 * width)
    off = wrapped(west + width + share * (360 - width))
    (whole,) = close_to(np.array([ring(west, width)]), off)
    assert not whole.intersects(shapely.Point(off, lat)) or share in (0, 1)


def test_a_box_just_across_is_brought_near():
    boxes = np.array([shapely.box(-180, 0, -179, 1), shapely.box(-10, 0, 10, 1)])
    near, far = close_to(boxes, 179.9)
    assert near.bounds == (180, 0, 181, 1)
    assert far.bounds[2] - far.bounds[0] == 20
    world = np.array([shapely.box(-180, 0, 180, 1)])
    assert close_to(world, 179.9)[0].bounds == (-180, 0, 180, 1)


# --- at the poles and all around ----------------------------------------------------------------

CAP = shapely.box(-180, -90, 180, -60)
#: drawn round a pole: a side along the pole runs from -180 to 180
DRAWN_ROUND_A_POLE = [
    CAP,
    shapely.box(-180, 80, 180, 90),
    shapely.Polygon([(-180, -90), (-180, -80), (10, -70), (180, -80), (180, -90)]),
    shapely.Polygon([(-180, -90), (-180, -80), (10, -70), (20, -70), (180, -80), (180, -90)]),
    shapely.Polygon([(180, 90), (180, 70), (30, 60), (-180, 70), (-180, 90)]),
]
#: as wide as the Earth, or wider than half of it, whichever way they are read
DRAWN_ALL_AROUND = [
    shapely.box(-180, -10, 180, 10),
    shapely.LineString([(-180, 10), (180, 10)]),
    shapely.Polygon([(-170, 80), (-60, 80), (60, 80), (170, 80), (0, 85)]),
    shapely.MultiPolygon([CAP, shapely.box(100, 0, 101, 1)]),
    shapely.GeometryCollection([CAP, shapely.MultiPoint([(100, 0), (170, 0)])]),
    shapely.MultiPolygon([shapely.box(-180, 0, -179, 1), shapely.box(-1, 0, 1, 1)]),
]


@pytest.mark.parametrize("geometry", DRAWN_ROUND_A_POLE + DRAWN_ALL_AROUND, ids=str)
def test_what_goes_all_around_is_read_as_it_is_drawn(geometry):
    assert crossing(np.array([geometry])).size == 0
    assert cut(np.array([geometry]))[0].equals(geometry)
    assert tuple(bboxes(np.array([geometry]))[0]) == geometry.bounds


@pytest.mark.parametrize(
    ("wkt", "box"),
    [
        ("MULTIPOLYGON (((179 0,180 0,180 1,179 0)),((-180 0,-179 0,-180 1,-180 0)))", (179, -179)),
        ("POLYGON ((179 0,180 0,-180 0,-179 0,-179 1,-180 1,180 1,179 1,179 0))", (179, -179)),
        ("MULTIPOINT (179 0,-179 0)", (179, -179)),
        ("MULTILINESTRING ((180 0,180 5),(-180 5,-180 9))", (180, -180)),
        ("GEOMETRYCOLLECTION (POINT (178 0),LINESTRING (179 0,-170 0))", (178, -170)),
    ],
)
def test_what_crosses_may_have_parts_that_do_not(wkt, box):
    geometry = shapely.from_wkt(wkt)
    xmin, _, xmax, _ = bboxes(np.array([geometry]))[0]
    assert (xmin, xmax) == box


_RING = [(179.9, -80), (-179.9, -80), (-179.9, 80), (179.9, 80)]
_HOLE = [(179.95, -70), (-179.95, -70), (-179.95, -60), (179.95, -60)]


@pytest.mark.parametrize(
    "area",
    [
        shapely.Polygon(_RING, [_HOLE]),
        shapely.Polygon([_RING[i] for i in (0, 2, 1, 3)]),  # crosses itself
        shapely.Polygon([*_RING[:2], (179.95, 0), *_RING[2:]]),
        shapely.MultiPolygon([shapely.Polygon(_RING), shapely.box(179.5, -80, 179.8, 80)]),
    ],
    ids=["a hole", "a bow", "a bay", "two parts"],
)
def test_areas_over_the_antimeridian_are_judged_in_one_piece(area):
    (found,) = valid_areas(np.array([area], object))
    moved = shapely.transform(area, lambda p: p + np.where(p[:, :1] < 0, [[360, 0]], 0))
    assert found.is_valid
    assert found.area == pytest.approx(shapely.make_valid(moved).area)


@st.composite
def shapes_somewhere(draw):
    """Return a hull of at most half a turn, in one piece beyond 180, and as a map has it."""
    west, width = draw(st.floats(-180, 180)), draw(st.floats(0.5, 179))
    spots = draw(st.lists(st.tuples(st.floats(0, 1), st.floats(-90, 90)), min_size=3, max_size=8))
    whole = shapely.MultiPoint([(west + x * width, y) for x, y in spots]).convex_hull
    return whole, shapely.transform(whole, lambda points: [(wrapped(x), y) for x, y in points])


@given(shapes_somewhere(), st.floats(-180, 180), st.floats(-90, 90))
def test_cut_or_not_a_shape_holds_what_shapely_says_of_it_in_one_piece(shapes, lon, lat):
    whole, drawn = shapes
    if whole.area < 1e-3 or drawn.is_empty or (abs(lat) == 90):
        return
    point = shapely.Point(lon, lat)
    turns = [shapely.Point(lon + turn, lat) for turn in (-360, 0, 360)]
    if min(whole.boundary.distance(turned) for turned in turns) < 1e-6:
        return  # on the border rounding decides
    assert cut(np.array([drawn]))[0].intersects(point) == any(map(whole.intersects, turns))
    xmin, ymin, xmax, ymax = bboxes(np.array([drawn]))[0]
    assert (xmax - xmin) % 360 == pytest.approx((whole.bounds[2] - whole.bounds[0]) % 360, abs=1e-9)
    assert (ymin, ymax) == whole.bounds[1::2]
