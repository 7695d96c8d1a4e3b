"""Cells agree with h3, and whatever h3 lacks agrees with brute force."""

import h3.api.basic_int as h3
import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from geoindex.errors import InvalidIdError, InvalidResolutionError
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.cover import touching
from geoindex.geo.h3 import (
    base_cells,
    cell_ranges,
    cells_at,
    centres,
    children,
    is_pentagon,
    parents,
    parse_cell,
    resolution_of,
    ring,
)

PENTAGON = (10.53, 64.7)  # longitude, latitude close to a pentagon of each resolution
lons, lats = st.floats(-180, 180), st.floats(-90, 90)
points = st.one_of(
    st.tuples(lons, lats),
    st.tuples(st.sampled_from([-180.0, 180.0, 179.9999, -179.9999]), lats),
    st.tuples(lons, st.sampled_from([-90.0, 90.0, 89.9999, -89.99])),
    st.just(PENTAGON),
)
resolutions = st.integers(0, 15)


def cell(point, resolution):
    return cells_at([point[0]], [point[1]], resolution=resolution)


@given(st.lists(points), resolutions)
def test_cells_are_those_of_h3(places, resolution):
    found = cells_at([lon for lon, _ in places], [lat for _, lat in places], resolution=resolution)
    assert found.tolist() == [h3.latlng_to_cell(lat, lon, resolution) for lon, lat in places]
    assert (resolution_of(found) == resolution).all()


@given(points, resolutions, resolutions)
def test_parents_are_those_of_h3(point, fine, coarse):
    assume(coarse <= fine)
    own = cell(point, fine)
    assert parents(own, coarse).tolist() == [h3.cell_to_parent(int(own[0]), coarse)]


@given(points, st.integers(0, 14))
def test_children_are_those_of_h3(point, resolution):
    own = cell(point, resolution)
    assert children(own).tolist() == sorted(h3.cell_to_children(int(own[0])))


@pytest.mark.parametrize("resolution", range(15))
def test_children_of_pentagons_are_six(resolution):
    own = np.array(sorted(h3.get_pentagons(resolution)), np.uint64)
    assert is_pentagon(own).all()
    assert children(own).tolist() == sorted(
        child for pentagon in own.tolist() for child in h3.cell_to_children(pentagon)
    )


def test_base_cells_are_those_of_h3():
    assert base_cells().tolist() == sorted(h3.get_res0_cells())


@given(points, points, resolutions, resolutions)
def test_a_range_holds_descendants_and_no_others(point, other, fine, coarse):
    assume(coarse <= fine)
    rows = np.concatenate([cell(point, fine), cell(other, fine)])
    low, high = cell_ranges(cell(point, coarse), at_resolution=fine)
    in_range = (rows >= low) & (rows <= high)
    assert in_range.tolist() == (parents(rows, coarse) == cell(point, coarse)).tolist()


@given(points, st.integers(0, 11))
def test_a_range_begins_and_ends_with_a_descendant(point, resolution):
    own = cell(point, resolution)
    all_below = h3.cell_to_children(int(own[0]), resolution + 3)
    low, high = cell_ranges(own, at_resolution=resolution + 3)
    assert (int(low[0]), int(high[0])) == (min(all_below), max(all_below))


@given(points, resolutions, st.integers(0, 3))
def test_a_ring_is_the_disk_without_its_middle(point, resolution, k):
    own = cell(point, resolution)
    around = ring(own, k)
    assert set(around.members.tolist()) == set(h3.grid_disk(int(own[0]), k)) - set(own.tolist())
    assert around.offsets.tolist() == [0, around.members.size]


@given(points, resolutions)
def test_a_centre_lies_in_its_cell(point, resolution):
    own = cell(point, resolution)
    lon, lat = centres(own)
    assert cells_at(lon, lat, resolution=resolution).tolist() == own.tolist()


@settings(deadline=None)
@given(points, st.integers(0, 12))
@example((0.0, 90.0), 0)
@example((0.0, -90.0), 1)
@example((180.0, 0.0), 2)
def test_a_boundary_is_valid_and_holds_its_points(point, resolution):
    own = cell(point, resolution)
    (ground,) = boundaries(own)
    assert ground.is_valid
    assert ground.geom_type in {"Polygon", "MultiPolygon"}
    assert shapely.box(-180, -90, 180, 90).covers(ground)
    # a side is off by a thousandth of itself at most, and corners have rounding errors
    slack = max(0.01 * np.sqrt(ground.area), 1e-9)
    assert ground.buffer(slack).intersects(shapely.Point(point))


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [0, 1, 2])
def test_the_cells_tile_the_earth(resolution):
    cells = base_cells()
    for _ in range(resolution):
        cells = children(cells)
    whole = shapely.area(boundaries(cells)).sum()
    assert whole == pytest.approx(360 * 180, rel=1e-3)


def test_nothing_in_nothing_out():
    none = np.empty(0, np.uint64)
    assert cells_at([], [], resolution=9).size == 0
    assert parents(none, 3).size == children(none).size == boundaries(none).size == 0
    assert ring(none).offsets.tolist() == [0]
    assert [len(side) for side in centres(none)] == [0, 0]
    assert touching(np.empty(0, object), none, resolution=9).cell.size == 0


@pytest.mark.parametrize("resolution", [-1, 16, 9.5, True, None])
def test_h3_has_sixteen_resolutions(resolution):
    with pytest.raises(InvalidResolutionError, match=r"0 \(coarsest\) to 15 \(finest\)"):
        cells_at([0.0], [0.0], resolution=resolution)


def test_a_cell_has_no_finer_parent():
    with pytest.raises(InvalidResolutionError, match="coarser than 9"):
        parents(cell((0, 0), 8), 9)
    with pytest.raises(InvalidResolutionError, match="finer than 7"):
        cell_ranges(cell((0, 0), 8), at_resolution=7)


@pytest.mark.parametrize("text", ["", "891f1d48177fff", "891f1d48177fffg", "0x891f1d48177ffff"])
def test_what_is_no_cell_is_said(text):
    with pytest.raises(InvalidIdError):
        parse_cell(text)


@pytest.mark.parametrize("lon", [np.nan, np.inf])
def test_a_point_without_a_place_has_no_cell(lon):
    with pytest.raises(ValueError, match="finite"):
        cells_at([lon], [0.0], resolution=9)


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
