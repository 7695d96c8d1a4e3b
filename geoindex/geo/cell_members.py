"""The entities that each cell holds, and those that lie around it.

An entity belongs to every cell that its geometry touches; one that touches more than
`MAX_CELLS` cells (a country, a river) belongs to its home cell alone and is counted. Its
contextual vector is read in the tile of its home cell. The halo of a tile are the entities of the
ring of cells around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.h3 import parents, ring

MAX_CELLS = 1000


@dataclass(frozen=True)
class CellMembers:
    """The cells of one resolution and the rows of each.

    Attributes
    ----------
    cells
        Shape ``(c,)``, ascending.
    rows
        Shape ``(m,)``: cell i has ``rows[offsets[i]:offsets[i + 1]]``, ascending.
    offsets
        Shape ``(c + 1,)``.
    """

    cells: NDArray[np.uint64]
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @cached_property
    def around(self) -> "Around":
        """The cells around each cell: rings cost as much as sorting their members."""
        return _around(self.cells, self.cells)


@dataclass(frozen=True)
class Level:
    """The cells of one resolution, and the rows that touch each."""

    resolution: int
    members: CellMembers


@dataclass(frozen=True)
class Around:
    """Each cell with the cells of its ring that hold something.

    Attributes
    ----------
    members
        Places in `CellMembers.cells`: cell i has ``members[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(c + 1,)``.
    """

    members: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def of(self, run: range) -> "Around":
        """Return those of a run of cells."""
        offsets = self.offsets[run.start : run.stop + 1]
        return Around(self.members[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class TileRows:
    """The members of a run of tiles; see `encoder.protocol.Tiles`.

    Attributes
    ----------
    members
        Shape ``(m,)``, rows: tile i has ``members[offsets[i]:offsets[i + 1]]``, ascending.
    offsets
        Shape ``(t + 1,)``.
    is_halo
        Shape ``(m,)``: True where the row touches a neighbour of the tile's cell alone.
    """

    members: NDArray[np.int64]
    offsets: NDArray[np.int64]
    is_halo: NDArray[np.bool_]


def members_at(
    rows: NDArray[np.int64], cells: NDArray[np.uint64], *, resolution: int
) -> CellMembers:
    """Group pairs of row and cell by the cell's parent at a resolution.

    Parameters
    ----------
    rows, cells
        Shape ``(m,)``, in any order; a pair may stand more than once.
    resolution
        That of the cells, or coarser.
    """
    coarse = parents(cells, resolution)
    order = np.lexsort((rows, coarse))
    # of whole maps, these are what a build holds most of: one at a time
    rows, coarse = rows[order], coarse[order]
    del order
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = (rows[1:] != rows[:-1]) | (coarse[1:] != coarse[:-1])
    if not is_new.all():
        rows = rows[is_new]
        coarse = coarse[is_new]
    starts = np.flatnonzero(np.concatenate([[True], coarse[1:] != coarse[:-1]])[: len(coarse)])
    return CellMembers(coarse[starts], rows, np.append(starts, len(rows)).astype(np.int64))


def tile_runs(members: CellMembers, *, most_members: int) -> Iterator[range]:
    """Cut the cells into runs whose tiles, with halo, have about `most_members` members.

    The cut depends on the members alone, so that a resumed build makes the same runs.

    Parameters
    ----------
    most_members
        At least 1; a tile that alone has more is a run of its own. Memory grows with it.
    """
    sizes = np.diff(members.offsets)
    around = members.around
    with_halo = np.add.reduceat(sizes[around.members], around.offsets[:-1])
    start, total = 0, 0
    for i, size in enumerate(with_halo.tolist()):
        if i > start and total + size > most_members:
            yield range(start, i)
            start, total = i, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


def tile_rows(members: CellMembers, run: range) -> TileRows:
    """Return the members of the tiles of a run of cells: those that touch them, and their halo.

    Parameters
    ----------
    run
        Places in `CellMembers.cells`.
    """
    return _tile_rows(members, np.arange(run.start, run.stop), members.around.of(run))


def tile_rows_at(members: CellMembers, places: NDArray[np.int64]) -> TileRows:
    """Return the members of the tiles of some cells, as `tile_rows` does of a run.

    Parameters
    ----------
    places
        In `CellMembers.cells`.
    """
    return _tile_rows(members, places, _around(members.cells, members.cells[places]))


def cells_around(cells: NDArray[np.uint64], *, rings: int) -> NDArray[np.uint64]:
    """Return cells and those in so many rings around them, each once, ascending."""
    return np.union1d(cells, ring(cells, k=rings).members) if rings and len(cells) else cells


def _tile_rows(members: CellMembers, places: NDArray[np.int64], around: Around) -> TileRows:
    num_tiles = len(places)
    tile_of_cell = np.repeat(np.arange(num_tiles), np.diff(around.offsets))
    sizes = np.diff(members.offsets)[around.members]
    rows = members.rows[ranges(members.offsets[around.members], sizes)]
    tile = np.repeat(tile_of_cell, sizes)
    is_halo = np.repeat(around.members != places[tile_of_cell], sizes)
    # an entity that touches several of the cells is one member, and of the tile itself if it can be
    # all three in one number: it sorts ten times as fast as three columns
    num_rows = int(rows.max(initial=0)) + 1
    key = np.sort((tile * num_rows + rows) * 2 + is_halo)
    pair = key >> 1
    first = np.ones(len(key), np.bool_)
    first[1:] = pair[1:] != pair[:-1]
    pair, is_halo = pair[first], (key[first] & 1).astype(np.bool_)
    starts = np.arange(num_tiles + 1) * num_rows
    offsets = np.searchsorted(pair, starts)
    rows = pair - np.repeat(starts[:-1], np.diff(offsets))
    return TileRows(rows, offsets.astype(np.int64), is_halo)


def _around(cells: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> Around:
    """Return which of the cells lie around each wanted one, itself last."""
    rings = ring(wanted, k=1)
    around = np.insert(rings.members, rings.offsets[1:], wanted)
    offsets = rings.offsets + np.arange(len(rings.offsets))
    place = np.minimum(np.searchsorted(cells, around), len(cells) - 1)
    found = cells[place] == around
    return Around(place[found], np.append(0, np.cumsum(found))[offsets])


def ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``start, start + 1, ...`` of each size, end to end."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)
