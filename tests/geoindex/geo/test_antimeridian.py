"""What crosses 180° is one piece to read and two to write, and nothing of it is lost."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoindex.geo.antimeridian import close_to, crossing, cut


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
