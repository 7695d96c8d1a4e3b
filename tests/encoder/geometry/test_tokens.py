"""Geometry vectors: judged by geodesics, by shapely, by numeric integration, and by symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely import affinity

from encoder.geometry.edges import COORDINATES_A_CHUNK, chunks, edges_of, local_frames
from encoder.geometry.fourier import DIRECTIONS_RAD, FREQUENCIES, magnitudes
from encoder.geometry.oriented_boxes import minimal_rectangles
from encoder.geometry.tokens import (
    GEOMETRY_DIM,
    GEOMETRY_LAYOUT,
    canonical_boxes,
    geometry_tokens,
)

GEOD = Geod(ellps="WGS84")
AT = GEOMETRY_LAYOUT
L_HOUSE = shapely.Polygon([(0, 0), (20, 0), (20, 8), (7, 8), (7, 14), (0, 14)])
COURTYARD = shapely.Polygon(
    [(0, 0), (40, 0), (40, 25), (0, 25)], [[(5, 5), (22, 6), (20, 19), (6, 17)]]
)
BEND = shapely.LineString([(0, 0), (60, 10), (90, 70), (95, 71)])
COLLECTION = shapely.GeometryCollection(
    [L_HOUSE, shapely.MultiLineString([BEND, [(0, 40), (9, 50)]]), shapely.Point(60, 60)]
)
# float32 sums of waves, lifted by a logarithm
CLOSE = 2e-3


def array(*geometries):
    out = np.empty(len(geometries), dtype=object)
    out[:] = geometries
    return out


def token(geometry):
    return geometry_tokens(array(geometry))[0]


def place(shape_m, lon=9.5, lat=47.1):
    """Set a shape drawn in metres on the ground, its bbox centred at a place."""
    m_east, m_north = local_frames(array(shapely.Point(lon, lat))).m_per_deg[0]
    xmin, ymin, xmax, ymax = shape_m.bounds
    shift = ((xmin + xmax) / 2, (ymin + ymax) / 2)
    return shapely.transform(
        shape_m, lambda xy: (xy - shift) / (m_east, m_north) + (lon, lat), include_z=False
    )


def metres(value):
    return np.expm1((value + 1) * 3)


def spectrum(geometry):
    """Return |F| and the local frame of one geometry."""
    one = array(geometry)
    frames = local_frames(one)
    edges, box = edges_of(one, frames), minimal_rectangles(one, frames)
    xy = frames.to_metres(
        shapely.get_coordinates(one), np.zeros(shapely.get_num_coordinates(geometry), np.intp)
    )
    in_metres = shapely.set_coordinates(one, xy)[0]
    area, length = np.array([in_metres.area]), np.array([in_metres.length])
    return magnitudes(edges, box, area, length)[0], in_metres, box


def sampled(points, weights, box):
    """Return |F| of weighted points, straight from its definition."""
    turn = DIRECTIONS_RAD + np.arctan2(box.axis[0, 1], box.axis[0, 0])
    towards = np.column_stack((np.cos(turn), np.sin(turn)))
    diagonal_m = np.hypot(box.width_m[0], box.height_m[0])
    waves = np.exp(-2j * np.pi * (points @ towards.T)[:, :, None] * FREQUENCIES / diagonal_m)
    return np.abs(np.einsum("p,pdf->df", weights / weights.sum(), waves))


@st.composite
def star_polygons(draw):
    """Draw a valid polygon of 3 to 12 corners, in metres, with or without a hole."""
    radii = draw(st.lists(st.floats(5, 200), min_size=3, max_size=12))
    turn = draw(st.floats(0, 1))
    angle = np.arange(len(radii)) * 2 * np.pi / len(radii) + turn
    around = np.column_stack((np.cos(angle), np.sin(angle)))
    shell = around * np.array(radii)[:, None]
    holes = [around * min(radii) * 0.4] if draw(st.booleans()) else []
    return shapely.Polygon(shell, holes)


@st.composite
def lines(draw):
    steps = draw(st.lists(st.tuples(st.integers(-90, 90), st.integers(-90, 90)), min_size=2))
    return shapely.LineString(np.cumsum(steps, axis=0))


def some_shapes(n=60):
    """Return n shapes in metres without any symmetry, the same every time."""
    rng = np.random.default_rng(7)
    shapes = []
    for i in range(n):
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 15)))
        ring = np.column_stack((np.cos(angle), 0.6 * np.sin(angle)))
        ring *= rng.uniform(10, 50, len(ring))[:, None]
        shapes.append(shapely.Polygon(ring) if i % 2 else shapely.LineString(ring))
    return shapes


# layout


def test_slices_tile_the_vector():
    stops = [piece.stop for piece in GEOMETRY_LAYOUT]
    assert [piece.start for piece in GEOMETRY_LAYOUT] == [0, *stops[:-1]]
    assert stops[-1] == GEOMETRY_DIM == 64


# sizes


@pytest.mark.parametrize("lat", [-77.8, -33.9, 0.0, 47.1, 69.6])
@pytest.mark.parametrize("shape", [L_HOUSE, COURTYARD])
def test_area_and_perimeter_are_the_geodesic_ones(shape, lat):
    house = place(affinity.rotate(shape, 31), lat=lat)
    area_m2, length_m = GEOD.geometry_area_perimeter(shapely.orient_polygons(house))
    vector = token(house)
    assert np.expm1((vector[AT.log_area] + 1) * 6) == pytest.approx(area_m2, rel=1e-4)
    if not house.interiors:  # Geod gives the shell's perimeter only
        assert metres(vector[AT.log_length]) == pytest.approx(length_m, rel=1e-4)


@given(star_polygons())
def test_box_is_as_tight_as_shapelys(shape):
    box = canonical_boxes(array(place(shape)))[0]
    least = shapely.oriented_envelope(shape).area
    assert least * (1 - 1e-6) <= box[2] * box[3] <= least * (1 + 2e-3)


@given(lines())
def test_a_box_holds_its_line(shape):
    lon, lat, width_m, height_m, *_ = canonical_boxes(array(place(shape)))[0]
    assert width_m >= height_m >= 0
    centre = local_frames(array(shapely.Point(lon, lat)))
    xy = centre.to_metres(shapely.get_coordinates(place(shape)), np.zeros(len(shape.coords), int))
    assert np.hypot(*xy.T).max(initial=0) <= np.hypot(width_m, height_m) / 2 + 0.02


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133, 179])
def test_a_rectangle_is_its_own_box(degrees):
    shape = affinity.rotate(shapely.box(0, 0, 30, 12), degrees)
    lon, lat, width_m, height_m, cos2, sin2 = canonical_boxes(array(place(shape)))[0]
    assert (lon, lat) == pytest.approx((9.5, 47.1), abs=1e-9)
    assert (width_m, height_m) == pytest.approx((30, 12), abs=1e-6)
    twice = 2 * np.radians(degrees)
    assert np.allclose((cos2, sin2), np.array([np.cos(twice), np.sin(twice)]) * 0.6, atol=1e-6)


def test_orientation_fades_as_a_rectangle_becomes_a_square():
    for side in (29.999, 30.001):
        vector = token(place(shapely.box(0, 0, 30, side)))
        assert np.abs(vector[AT.orientation]).max() < 1e-4


# shape


def test_named_ratios():
    square = token(place(shapely.box(0, 0, 10, 10)))
    assert square[AT.compactness] == pytest.approx(np.pi / 4, abs=1e-5)
    assert square[AT.convexity] == pytest.approx(1, abs=1e-5)
    assert token(place(L_HOUSE))[AT.convexity] == pytest.approx(202 / 241, abs=1e-4)
    u_turn = shapely.LineString([(0, 0), (30, 0), (30, 5), (0, 5)])
    assert token(place(u_turn))[AT.straightness] == pytest.approx(5 / 65, abs=1e-4)


def test_counts():
    flock = shapely.MultiPolygon([COURTYARD, affinity.translate(COURTYARD, 60), L_HOUSE])
    parts, holes, vertices = token(place(flock))[AT.log_counts] * 3
    assert np.allclose(np.exp([parts, holes, vertices]), [3, 1 + 2, 1 + 8 + 8 + 6], rtol=1e-5)


@pytest.mark.slow
def test_a_collection_has_all_its_dimensions_and_the_waves_of_its_polygons():
    vector = token(place(COLLECTION))
    assert vector[AT.dimension].tolist() == [1, 1, 1]
    found, in_metres, box = spectrum(place(COLLECTION))
    points, weights = grid(in_metres.geoms[0])
    assert np.allclose(found, sampled(points, weights, box), atol=5e-3)


def grid(polygon, n=400):
    xmin, ymin, xmax, ymax = polygon.bounds
    x, y = np.meshgrid(*(a + (b - a) * (np.arange(n) + 0.5) / n
                         for a, b in ((xmin, xmax), (ymin, ymax))))  # fmt: skip
    is_in = shapely.contains_xy(polygon, x, y)
    points = np.column_stack((x[is_in], y[is_in]))
    return points, np.ones(len(points))


@pytest.mark.parametrize("shape", [L_HOUSE, COURTYARD, affinity.rotate(COURTYARD, 24)])
def test_waves_of_a_polygon_are_its_integral(shape):
    found, in_metres, box = spectrum(place(shape))
    points, weights = grid(in_metres)
    assert np.allclose(found, sampled(points, weights, box), atol=5e-3)


def test_waves_of_a_line_are_its_integral():
    found, in_metres, box = spectrum(place(BEND))
    along = (np.arange(20_000) + 0.5) / 20_000
    points = shapely.get_coordinates(
        shapely.line_interpolate_point(in_metres, along, normalized=True)
    )
    assert np.allclose(found, sampled(points, np.ones(len(points)), box), atol=1e-4)


def test_waves_of_points_are_their_sum():
    found, in_metres, box = spectrum(place(shapely.MultiPoint([(0, 0), (5, 1), (9, 7), (30, 4)])))
    points = shapely.get_coordinates(in_metres)
    assert np.allclose(found, sampled(points, np.ones(len(points)), box), atol=1e-5)


# what must not matter


@pytest.mark.parametrize("shape", [L_HOUSE, COURTYARD, BEND, COLLECTION])
@given(lon=st.floats(-180, 180), lat=st.floats(-85, 85))
@settings(max_examples=25)
def test_place_does_not_matter(shape, lon, lat):
    assert np.allclose(token(place(shape, lon, lat)), token(place(shape)), atol=CLOSE)


@pytest.mark.slow
@given(star_polygons(), st.data())
def test_vertex_order_does_not_matter(shape, data):
    rings = [np.array(ring.coords)[:-1] for ring in (shape.exterior, *shape.interiors)]
    for i, ring in enumerate(rings):
        rings[i] = np.roll(ring, data.draw(st.integers(0, len(ring) - 1)), axis=0)
        if data.draw(st.booleans()):
            rings[i] = rings[i][::-1]
    other = shapely.Polygon(rings[0], rings[1:])
    assert np.allclose(token(place(other)), token(place(shape)), atol=CLOSE)


@pytest.mark.slow
@given(lines(), st.data())
def test_direction_and_repeated_vertices_do_not_matter(shape, data):
    times = data.draw(
        st.lists(st.integers(1, 3), min_size=len(shape.coords), max_size=len(shape.coords))
    )
    other = shapely.LineString(np.repeat(shape.coords, times, axis=0)[::-1])
    assert np.allclose(token(place(other)), token(place(shape)), atol=CLOSE)


@pytest.mark.slow
@given(st.lists(star_polygons(), min_size=2, max_size=5), st.randoms())
def test_part_order_does_not_matter(shapes, random):
    parts = [affinity.translate(shape, 500 * i) for i, shape in enumerate(shapes)]
    shuffled = random.sample(parts, len(parts))
    one, other = (token(place(shapely.MultiPolygon(p))) for p in (parts, shuffled))
    assert np.allclose(one, other, atol=CLOSE)


@pytest.mark.parametrize("wrap", [shapely.MultiPolygon, shapely.GeometryCollection])
def test_a_multi_of_one_is_its_part(wrap):
    nested = shapely.GeometryCollection([wrap([COURTYARD]), shapely.Polygon()])
    for other in (wrap([COURTYARD]), nested):
        assert np.allclose(token(place(other)), token(place(COURTYARD)), atol=1e-6)


@pytest.mark.parametrize("degrees", [12, 90, 201])
def test_turning_changes_orientation_alone(degrees):
    shapes = some_shapes()
    before = geometry_tokens(array(*map(place, shapes)))
    after = geometry_tokens(array(*(place(affinity.rotate(shape, degrees)) for shape in shapes)))
    turn = np.exp(2j * np.radians(degrees))
    cos2, sin2 = before[:, AT.orientation].T
    turned = (cos2 + 1j * sin2) * turn
    before[:, AT.orientation] = np.column_stack((turned.real, turned.imag))
    assert np.allclose(after, before, atol=CLOSE)


def test_scale_changes_sizes_alone():
    small, large = token(place(L_HOUSE)), token(place(affinity.scale(L_HOUSE, 50, 50)))
    is_size = np.zeros(GEOMETRY_DIM, np.bool_)
    for sizes in (AT.log_size, AT.log_area, AT.log_length):
        is_size[sizes] = True
    assert np.allclose(small[~is_size], large[~is_size], atol=CLOSE)
    assert (large[is_size] > small[is_size] + 0.5).all()


def test_neighbours_in_the_array_do_not_matter():
    long = shapely.LineString(np.random.default_rng(1).uniform(0, 1, (COORDINATES_A_CHUNK, 2)))
    geometries = array(*map(place, some_shapes(30)), long, None, *map(place, some_shapes(9)))
    together = geometry_tokens(geometries)
    assert len(list(chunks(geometries))) > 1
    assert np.allclose(together, [token(geometry) for geometry in geometries], atol=1e-5)


# the edges of the world, and nothing at all


def test_antimeridian_and_poles():
    fiji = shapely.MultiPolygon(
        [shapely.box(179.99, -17.01, 180, -17), shapely.box(-180, -17.01, -179.99, -17)]
    )
    lon, lat, width_m, *_ = canonical_boxes(array(fiji))[0]
    assert (abs(lon), lat) == pytest.approx((180, -17.005), abs=1e-9)
    assert width_m == pytest.approx(GEOD.inv(-0.01, -17.005, 0.01, -17.005)[2], rel=1e-5)
    for lat in (90.0, -90.0):
        pole = shapely.LineString([(0, lat), (90, lat * 0.9999), (120, lat)])
        for lonely in (pole, shapely.Point(5, lat), shapely.LineString([(0, lat), (50, lat)])):
            assert np.isfinite(token(lonely)).all()
            assert np.isfinite(canonical_boxes(array(lonely))).all()


with np.errstate(invalid="ignore"):  # shapely's own warning
    NOT_A_NUMBER = shapely.from_wkt("LINESTRING (0 0, nan 1, 2 2)")
    INFINITE = shapely.from_wkt("LINESTRING (0 0, inf 1)")
NOTHING = [
    None,
    shapely.Point(),
    shapely.Polygon(),
    shapely.GeometryCollection(),
    shapely.GeometryCollection([shapely.Point(), shapely.LineString()]),
    shapely.Point(np.nan, 5),
    NOT_A_NUMBER,
    INFINITE,
]


def test_nothing_is_zero():
    assert not geometry_tokens(array(*NOTHING)).any()
    assert not canonical_boxes(array(*NOTHING)).any()
    assert geometry_tokens(array()).shape == (0, GEOMETRY_DIM)
    # and leaves its neighbours alone
    mixed = geometry_tokens(array(NOTHING[6], place(BEND), NOTHING[1]))
    assert np.array_equal(mixed[1], token(place(BEND)))


def test_points_have_no_extent_and_one_vector():
    here, there = token(shapely.Point(9, 47)), token(shapely.MultiPoint([(-70, -30)]))
    assert np.allclose(here, there)
    assert (here[AT.log_size] == -1).all()
    assert not here[AT.orientation].any()
    assert np.allclose(here[AT.fourier], 0.25)


FLAT = [
    shapely.LineString([(9, 47), (9, 47)]),
    shapely.LineString([(9, 47), (9 + 1e-300, 47)]),
    shapely.Polygon([(9, 47), (9.01, 47.01), (9, 47)]),
    shapely.Polygon([(9, 47)] * 4),
    shapely.Polygon([(0, 0), (1e-3, 1e-3), (1e-3, 0), (0, 1e-3)]),  # a bow tie
    shapely.LinearRing([(9, 47), (9.01, 47), (9, 47.01)]),
    shapely.box(-180, -90, 180, 90),
    shapely.box(-80, -90, 80, 90),
]


@pytest.mark.parametrize("shape", FLAT)
def test_degenerate_shapes_are_finite_and_in_range(shape):
    vector = token(shape)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() < 6
    assert np.isfinite(canonical_boxes(array(shape))).all()
    assert vector[AT.dimension].sum() == 1


def test_a_polygon_without_area_waves_like_a_line():
    flat = token(place(shapely.Polygon([(0, 0), (40, 30), (0, 0), (0, 0)])))
    line = token(place(shapely.LineString([(0, 0), (40, 30)])))
    thin = token(place(shapely.box(0, 0, 50, 0.1)))
    assert np.allclose(flat[AT.fourier], line[AT.fourier], atol=CLOSE)
    assert np.allclose(thin[AT.fourier], line[AT.fourier], atol=2e-2)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=4, max_size=9),
    st.sampled_from([shapely.MultiPoint, shapely.LineString, shapely.Polygon]),
)
def test_anything_on_earth_is_finite(coordinates, kind):
    geometry = kind(coordinates)
    vector = token(geometry)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() < 6
    assert np.isfinite(canonical_boxes(array(geometry))).all()


def test_metres_are_refused():
    with pytest.raises(ValueError, match="EPSG:4326"):
        geometry_tokens(array(shapely.Point(1_057_000, 5_960_000)))
