"""Cells hold the rows that touch them; tiles add the rows of the ring around."""

import h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.geo.cell_members import members_at, tile_rows, tile_runs
from geoindex.geo.h3 import parents

CENTRE = h3.latlng_to_cell(60.17, 24.94, 9)
PENTAGON = h3.get_pentagons(9)[0]
GROUND = [h3.str_to_int(c) for middle in (CENTRE, PENTAGON) for c in h3.grid_disk(middle, 3)]


@st.composite
def pairs(draw, least=1):
    """Draw pairs of row and cell, some of them twice, in any order."""
    found = draw(st.lists(st.tuples(st.integers(0, 15), st.sampled_from(GROUND)), min_size=least))
    rows, cells = zip(*found, strict=True) if found else ((), ())
    return np.array(rows, np.int64), np.array(cells, np.uint64)


@given(pairs(least=0), st.integers(7, 9))
def test_a_cell_holds_the_rows_that_touch_it_once(touching, resolution):
    rows, cells = touching
    members = members_at(rows, cells, resolution=resolution)
    expected = {}
    for row, cell in zip(rows.tolist(), parents(cells, resolution).tolist(), strict=True):
        expected.setdefault(cell, set()).add(row)
    assert members.cells.tolist() == sorted(expected)
    for i, cell in enumerate(members.cells.tolist()):
        held = members.rows[members.offsets[i] : members.offsets[i + 1]].tolist()
        assert held == sorted(expected[cell])


@given(pairs(), st.integers(1, 60))
def test_runs_hold_every_cell_once(touching, most_members):
    members = members_at(*touching, resolution=9)
    runs = list(tile_runs(members, most_members=most_members))
    assert [i for run in runs for i in run] == list(range(len(members.cells)))
    for run in runs:
        assert len(run) == 1 or len_with_halo(members, run) <= most_members


def len_with_halo(members, run):
    """Count the members of each cell of the ring, as `tile_runs` does."""
    sizes = dict(zip(members.cells.tolist(), np.diff(members.offsets).tolist(), strict=True))
    disks = [h3.grid_disk(h3.int_to_str(int(members.cells[i])), 1) for i in run]
    return sum(sizes.get(h3.str_to_int(cell), 0) for disk in disks for cell in disk)


@given(pairs(), st.data())
def test_a_tile_is_its_cell_and_the_ring_around(touching, data):
    members = members_at(*touching, resolution=9)
    n = len(members.cells)
    start = data.draw(st.integers(0, n - 1))
    run = range(start, data.draw(st.integers(start + 1, n)))
    found = tile_rows(members, run)
    held = {
        cell: set(members.rows[members.offsets[i] : members.offsets[i + 1]].tolist())
        for i, cell in enumerate(members.cells.tolist())
    }
    assert len(found.offsets) == len(run) + 1
    for tile, i in enumerate(run):
        here = int(members.cells[i])
        disk = h3.grid_disk(h3.int_to_str(here), 1)
        around = set().union(*(held.get(h3.str_to_int(cell), set()) for cell in disk))
        part = slice(found.offsets[tile], found.offsets[tile + 1])
        assert found.members[part].tolist() == sorted(around)
        assert found.is_halo[part].tolist() == [row not in held[here] for row in sorted(around)]


@pytest.mark.parametrize("most_members", [1, 7, 10**9])
def test_runs_do_not_change_what_a_tile_holds(most_members):
    rng = np.random.default_rng(0)
    members = members_at(
        rng.integers(0, 300, 900), rng.choice(np.array(GROUND, np.uint64), 900), resolution=9
    )
    whole = tile_rows(members, range(len(members.cells)))
    parts = [tile_rows(members, run) for run in tile_runs(members, most_members=most_members)]
    assert np.concatenate([part.members for part in parts]).tolist() == whole.members.tolist()
    assert np.concatenate([part.is_halo for part in parts]).tolist() == whole.is_halo.tolist()
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    assert sizes.tolist() == np.diff(whole.offsets).tolist()


def test_nothing_has_no_cells_and_no_runs():
    members = members_at(np.zeros(0, np.int64), np.zeros(0, np.uint64), resolution=5)
    assert members.cells.size == 0
    assert list(tile_runs(members, most_members=10)) == []
