"""The cells that a geometry touches are those that brute force finds."""

import numpy as np
import shapely
import shapely.affinity
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geoindex.geo import cover
from geoindex.geo.antimeridian import cut
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.cover import touching
from geoindex.geo.h3 import cells_at, ring
from tests.geoindex.geo.cells import cell, points


@settings(deadline=None, max_examples=60)
@given(points, st.floats(-1.5, 1.5), st.integers(2, 9), st.integers(0, 2**16), st.booleans())
def test_touching_is_what_brute_force_finds(point, log_size, resolution, seed, is_line):
    rng = np.random.default_rng(seed)
    size = 10**log_size * 25 * 7 ** (-resolution / 2)  # in cells
    squeeze = max(np.cos(np.radians(point[1])), 0.01)
    xy = np.array(point) + rng.normal(0, size / 2, (5, 2)) / [squeeze, 1]
    xy = np.clip(xy, [-180, -90], [180, 90])
    shape = shapely.linestrings(xy) if is_line else shapely.convex_hull(shapely.multipoints(xy))
    assume(shape.length > 0 and shape.bounds[2] - shape.bounds[0] < 90)
    home = cell(shape.representative_point().coords[0], resolution)
    found = touching(np.array([shape]), home, resolution=resolution, max_cells=10_000)
    assert found.too_wide.size == 0

    dense = shapely.get_coordinates(shapely.segmentize(shape, size / 10))
    near = np.unique(cells_at(*dense.T, resolution=resolution))
    for _ in range(2):
        near = np.unique(np.concatenate([near, ring(near).members]))
    truth = near[shapely.intersects(shape, boundaries(near))]
    assert set(found.cell.tolist()) >= set(truth.tolist())
    extra = np.setdiff1d(np.setdiff1d(found.cell, truth), home)
    assert shapely.intersects(shape, boundaries(extra)).all()


def test_a_hole_and_a_wide_geometry():
    outer, inner = shapely.box(9, 47, 9.2, 47.2), shapely.box(9.03, 47.03, 9.17, 47.17)
    frame, wide = outer.difference(inner), shapely.box(0, 40, 20, 60)
    home = cells_at([9.01, 10.0], [47.01, 50.0], resolution=8)
    found = touching(np.array([frame, wide]), home, resolution=8)
    assert found.too_wide.tolist() == [1]
    assert found.cell[found.row_index == 1].tolist() == [int(home[1])]
    middle = cells_at([9.1], [47.1], resolution=8)[0]
    assert middle not in found.cell[found.row_index == 0]


def test_points_and_nothing_have_their_home_alone():
    home = cells_at([9.0, 9.1, 9.2], [47.0, 47.1, 47.2], resolution=9)
    shapes = np.array([shapely.Point(9, 47), None, shapely.from_wkt("POLYGON EMPTY")])
    found = touching(shapes, home, resolution=9)
    assert found.cell.tolist() == home.tolist()
    assert found.row_index.tolist() == [0, 1, 2]


def test_nothing_touches_nothing():
    assert touching(np.empty(0, object), np.empty(0, np.uint64), resolution=9).cell.size == 0


def test_what_crosses_the_antimeridian_touches_cells_on_both_sides_alone():
    drawn = shapely.Polygon([(179.9, 0), (-179.9, 0), (-179.9, 0.1), (179.9, 0.1)])
    parts = shapely.MultiPolygon(
        [shapely.box(179.9, 0, 180, 0.1), shapely.box(-180, 0, -179.9, 0.1)]
    )
    line = shapely.LineString([(179.9, 0), (-179.9, 0.1)])
    home = cells_at([180.0] * 3, [0.05] * 3, resolution=7)
    found = touching(np.array([drawn, parts, line]), home, resolution=7)
    assert not found.too_wide.size
    cells = [found.cell[found.row_index == row].tolist() for row in range(3)]
    assert cells[0] == cells[1]
    assert set(cells[2]) < set(cells[0])


@st.composite
def odd_shapes(draw):
    """Draw lines, polygons and collections from a metre to the whole Earth, also at its edges."""
    lon, lat = draw(points)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    sizes = 10.0 ** rng.uniform(-3, 2, 2)
    xy = np.clip([lon, lat] + rng.normal(0, 1, (6, 2)) * sizes, [-180, -90], [180, 90])
    hull = shapely.convex_hull(shapely.multipoints(xy))
    kinds = {
        "line": shapely.linestrings(xy),
        "hull": hull,
        "multi": shapely.multilinestrings(
            [shapely.linestrings(xy[:2]), shapely.linestrings(xy[4:])]
        ),
        "points": shapely.multipoints(xy),
        "frame": hull.difference(shapely.affinity.scale(hull, 0.9, 0.9)),
        "twisted": shapely.polygons(xy),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]


@settings(deadline=None, max_examples=150)
@given(odd_shapes(), st.integers(0, 7), st.sampled_from([1, 5, 40]))
def test_what_is_surely_wide_is_what_the_descent_finds_too_wide(shape, resolution, max_cells):
    (shape,) = cut(np.array([shape]))
    surely = cover._is_surely_wide(np.array([shape]), resolution, max_cells)
    if surely.any():
        found = cover._Descent(np.array([shape]), resolution, max_cells).run()
        assert found.too_wide.tolist() == [0]


def test_what_spans_fifteen_degrees_is_left_without_a_descent():
    lon = np.linspace(0, 15, 500)
    way = shapely.LineString(np.column_stack([lon, 50 + np.sin(lon)]))
    shapes = np.array([way, shapely.box(0, 45, 15, 55), shapely.box(3, 45, 4, 46)])
    assert cover._is_surely_wide(shapes, 9, 1000).all()
    home = cells_at([0.0] * 3, [50.0] * 3, resolution=9)
    found = touching(shapes, home, resolution=9)
    assert found.too_wide.tolist() == [0, 1, 2]
    assert found.cell.tolist() == home.tolist()
    far = shapely.MultiLineString([way.segmentize(1).coords[:2], [(40, 50), (40.001, 50)]])
    assert not cover._is_surely_wide(np.array([far]), 9, 1000).any()
