"""Cells agree with h3, and whatever h3 lacks agrees with brute force."""

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geoindex.errors import InvalidIdError, InvalidResolutionError
from geoindex.geo.h3 import (
    base_cells,
    cell_ranges,
    cells_at,
    centres,
    children,
    is_decimal_cell,
    is_pentagon,
    parents,
    parse_cell,
    resolution_of,
    ring,
)
from tests.geoindex.geo.cells import cell, points

resolutions = st.integers(0, 15)


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


def test_nothing_in_nothing_out():
    none = np.empty(0, np.uint64)
    assert cells_at([], [], resolution=9).size == 0
    assert parents(none, 3).size == children(none).size == 0
    assert ring(none).offsets.tolist() == [0]
    assert [len(side) for side in centres(none)] == [0, 0]


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


@given(points, st.integers(0, 15))
def test_a_cell_may_be_written_in_decimal(point, resolution):
    own = int(cell(point, resolution)[0])
    for text in (str(own), f"{own:x}", f" {own} "):
        assert parse_cell(text) == own
    for text in (repr(float(own)), f"{float(own):.0f}.0"):
        # finer cells do not survive a float64, and are never taken for another
        if resolution <= 12:
            assert parse_cell(text) == own
        else:
            with pytest.raises(InvalidIdError):
                parse_cell(text)
    assert is_decimal_cell(str(own))
    assert not is_decimal_cell("1234567890123456789")
