"""Embed again what a change reaches, and take all other vectors from the version before.

What a change reaches is what the encoder says that its vectors are made of
(`encoder.protocol.ReceptiveField`). Rows are the sorted rows of the new version, and vectors are
made as a build makes them, run by run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from encoder.protocol import EntityTokens, ReceptiveField, TagCodes, TileEmbedder, Tiles
from geoindex.geo.cell_members import (
    MAX_CELLS,
    CellMembers,
    Level,
    cells_around,
    ranges,
    tile_rows_at,
)
from geoindex.geo.cover import Touching, touching
from geoindex.geo.h3 import centres, parents, resolution_of
from geoindex.storage.filesystem import map_matrix, new_matrix, release
from geoindex.storage.layout import CELLS, ENTITIES, SEARCH_BATCH_ROWS, SearchFiles
from geoindex.storage.row_store import Rows
from geoindex.storage.tag_index import TagIndex
from geoindex.updates.rows import Merged

if TYPE_CHECKING:
    from encoder.protocol import Embedder

# members of tiles whose tokens are held at a time
_MEMBERS_AT_ONCE = 32_768


def touching_of(
    rows: Rows, home: NDArray[np.uint64], some: NDArray[np.int64] | None = None
) -> Touching:
    """Return the cells that rows touch, by their places among those asked for.

    Parameters
    ----------
    some
        The rows; None for all.
    """
    wanted = np.arange(len(rows)) if some is None else some
    parts = []
    for start in range(0, len(wanted), SEARCH_BATCH_ROWS):
        batch = wanted[start : start + SEARCH_BATCH_ROWS]
        geometries = shapely.from_wkb(rows.take(batch)["geometry"].to_numpy())
        found = touching(geometries, home[batch], resolution=_resolution(home), max_cells=MAX_CELLS)
        parts.append((start + found.row_index, found.cell, start + found.too_wide))
    empty = (np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int64))
    return Touching(*(np.concatenate(column) for column in zip(empty, *parts, strict=True)))


def touching_after(
    before: Touching, merged: Merged, rows: Rows, home: NDArray[np.uint64]
) -> Touching:
    """Return the cells that the rows of a new version touch.

    Those of rows whose content is as it was are taken from the version before.
    """
    is_new = merged.content_before < 0
    came = np.flatnonzero(is_new)
    found = touching_of(rows, home, came)
    row_of = _row_of(merged, int(before.row_index.max(initial=-1)) + 1)
    kept = row_of[before.row_index]
    row_index = np.concatenate([kept[kept >= 0], came[found.row_index]])
    cell = np.concatenate([before.cell[kept >= 0], found.cell])
    order = np.lexsort((cell, row_index))
    wide = row_of[before.too_wide]
    too_wide = np.sort(np.concatenate([wide[wide >= 0], came[found.too_wide]]))
    return Touching(row_index[order], cell[order], too_wide)


def _resolution(home: NDArray[np.uint64]) -> int:
    return int(resolution_of(home[:1])[0])


def _row_of(merged: Merged, num_before: int) -> NDArray[np.int64]:
    """Return the row now of each row before, by content; -1 of those that are no more."""
    row_of = np.full(max(num_before, int(merged.content_before.max(initial=-1)) + 1), -1, np.int64)
    kept = np.flatnonzero(merged.content_before >= 0)
    row_of[merged.content_before[kept]] = kept
    return row_of


@dataclass(frozen=True)
class Reached:
    """What is to be embedded again.

    Attributes
    ----------
    rows
        Contextual vectors: True of those that may be others. Shape ``(n,)``.
    cells
        The same of the cells of each level, coarsest first.
    """

    rows: NDArray[np.bool_]
    cells: list[NDArray[np.bool_]]


def reached(
    field: ReceptiveField,
    before: Touching,
    after: Touching,
    merged: Merged,
    home: NDArray[np.uint64],
    levels: Sequence[Level],
) -> Reached:
    """Return which vectors may be others after a change.

    Parameters
    ----------
    before, after
        The cells that rows touch, before and after.
    """
    is_new = merged.content_before < 0
    row_of = _row_of(merged, int(before.row_index.max(initial=-1)) + 1)
    left = before.cell[row_of[before.row_index] < 0]
    touched = np.union1d(left, after.cell[is_new[after.row_index]])
    around = cells_around(touched, rings=field.rings)
    cells = []
    for level in levels:
        coarse = np.unique(parents(touched, level.resolution))
        coarse = cells_around(coarse, rings=field.region_rings)
        cells.append(np.isin(level.members.cells, coarse))
    return Reached(np.isin(home, around), cells)


def embed_reached(
    files: SearchFiles,
    held: SearchFiles,
    encoder: TileEmbedder,
    merged: Merged,
    found: Reached,
    home: NDArray[np.uint64],
    levels: Sequence[Level],
) -> None:
    """Write all vectors of a new version.

    Parameters
    ----------
    files
        Of the new version: rows, cells and tag lists are there, vectors come.
    held
        Of the version before.
    """
    rows, tag_index = Rows(files.rows(ENTITIES)), TagIndex(files)
    own, contextual = (
        _carried(held, files, ENTITIES, name, merged.content_before)
        for name in ("own", "embedding")
    )
    came = np.flatnonzero(merged.content_before < 0)
    for start in range(0, len(came), SEARCH_BATCH_ROWS):
        some = came[start : start + SEARCH_BATCH_ROWS]
        own[some] = encoder.own(_tokens(encoder, rows, tag_index, some))
    regions = _carried(held, files, CELLS, "embedding", _cells_before(held, files))
    first = 0
    for level, stale in zip(levels, found.cells, strict=True):
        is_finest = level is levels[-1]
        places = np.flatnonzero(
            stale | np.isin(level.members.cells, home[found.rows]) if is_finest else stale
        )
        for run in _runs(level.members, places):
            tiles, members = _tiles(level, run, home, is_finest=is_finest)
            tokens = _tokens(encoder, rows, tag_index, members)
            vectors, region_vectors = encoder.tiles(tokens, tiles)
            if is_finest:
                contextual[members[tiles.members[tiles.is_read]]] = vectors
            regions[first + run] = region_vectors
        first += len(level.members.cells)
    for matrix in (own, contextual, regions):
        release(matrix)


def _carried(
    held: SearchFiles,
    files: SearchFiles,
    table: str,
    name: str,
    before: NDArray[np.int64],
) -> NDArray[Any]:
    """Make a matrix of vectors and fill it with those of the version before, where there are."""
    old = map_matrix(held.vectors(table, name))
    new = new_matrix(files.vectors(table, name), old.dtype, (len(before), old.shape[1]))
    for start in range(0, len(before), SEARCH_BATCH_ROWS):
        some = before[start : start + SEARCH_BATCH_ROWS]
        is_there = np.flatnonzero(some >= 0)
        new[start + is_there] = old[some[is_there]]
    release(old)
    return new


def _cells_before(held: SearchFiles, files: SearchFiles) -> NDArray[np.int64]:
    """Return the row before of each cell, -1 of new ones."""
    old, new = (Rows(found.rows(CELLS)).column("cell") for found in (held, files))
    order = np.argsort(old)
    place = order[np.minimum(np.searchsorted(old, new, sorter=order), len(old) - 1)]
    return np.where(old[place] == new, place, -1)


def _runs(members: CellMembers, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut places of cells into runs of some `_MEMBERS_AT_ONCE` members, without halo."""
    sizes = np.cumsum(np.diff(members.offsets)[places])
    cuts = np.searchsorted(
        sizes, np.arange(_MEMBERS_AT_ONCE, sizes.max(initial=0), _MEMBERS_AT_ONCE)
    )
    yield from (run for run in np.split(places, cuts) if len(run))


def _tiles(
    level: Level, run: NDArray[np.int64], home: NDArray[np.uint64], *, is_finest: bool
) -> tuple[Tiles, NDArray[np.int64]]:
    """Return tiles whose members are places among some rows, and these rows."""
    found = tile_rows_at(level.members, run)
    cells = level.members.cells[run]
    tile_cell = np.repeat(cells, np.diff(found.offsets))
    is_read = (home[found.members] == tile_cell) & is_finest
    members, local = np.unique(found.members, return_inverse=True)
    tiles = Tiles(
        local.astype(np.int64),
        found.offsets,
        is_halo=found.is_halo,
        is_read=is_read,
        centres=np.stack(centres(cells), axis=1),
    )
    return tiles, members


def _tokens(
    encoder: "Embedder", rows: Rows, tag_index: TagIndex, some: NDArray[np.int64]
) -> EntityTokens:
    geometries = shapely.from_wkb(rows.take(some)["geometry"].to_numpy())
    return encoder.tokens(tag_codes(tag_index, some), geometries)


def tag_codes(tag_index: TagIndex, rows: NDArray[np.int64]) -> TagCodes:
    """Return the tags of some rows."""
    starts = tag_index.offsets[rows]
    sizes = tag_index.offsets[rows + 1] - starts
    unique, local = np.unique(tag_index.codes[ranges(starts, sizes)], return_inverse=True)
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int64)
    return TagCodes(tag_index.texts(unique), local.astype(np.int32), offsets)
