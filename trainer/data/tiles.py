"""Cut maps into tiles, and hold out whole blocks of them.

A tile is one H3 cell with the entities that touch it, and a halo: the entities that touch only the
cells around it. Tiles are held out by parent cell, whole blocks of ground: hardly a held-out tile
has a neighbour that was trained on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.geo.cell_members import members_at, tile_rows
from geoindex.geo.h3 import centres, parents
from trainer.data.ragged import keep_members


@dataclass(frozen=True, eq=False)
class TileSet:
    """The tiles of one resolution.

    Attributes
    ----------
    resolution
        H3's, of all `cells`.
    cells
        Shape ``(t,)``, ascending.
    centres
        Longitude and latitude of the cells' centres, degrees, shape ``(t, 2)``.
    members, offsets
        Entities that touch each tile: tile i has ``members[offsets[i]:offsets[i + 1]]``.
    halo, halo_offsets
        Entities around each tile, and not in it.
    """

    resolution: int
    cells: NDArray[np.uint64]
    centres: NDArray[np.float64]
    members: NDArray[np.int64]
    offsets: NDArray[np.int64]
    halo: NDArray[np.int64]
    halo_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many entities touch each tile, shape ``(t,)``."""
        return np.diff(self.offsets)

    def blocks(self, resolution: int) -> NDArray[np.uint64]:
        """Return the parent cell of each tile at a coarser resolution, shape ``(t,)``."""
        return parents(self.cells, resolution)


#: the arrays of a `TileSet` that are kept on disk
TILE_ARRAYS = ("cells", "centres", "members", "offsets", "halo", "halo_offsets")


def make_tiles(rows: NDArray[np.int64], cells: NDArray[np.uint64], *, resolution: int) -> TileSet:
    """Return the tiles of a resolution from pairs of entity and cell, shape ``(m,)``.

    Parameters
    ----------
    rows, cells
        Which entity touches which cell, of `resolution` or finer.
    """
    level = members_at(rows, cells, resolution=resolution)
    found = tile_rows(level, range(len(level.cells)))
    inside = ~found.is_halo
    lon, lat = centres(level.cells)
    return TileSet(
        resolution=resolution,
        cells=level.cells,
        centres=np.column_stack([lon, lat]),
        members=found.members[inside],
        offsets=keep_members(found.offsets, inside),
        halo=found.members[~inside],
        halo_offsets=keep_members(found.offsets, ~inside),
    )


def held_out(
    tiles: TileSet, *, share: float, block_resolution: int, seed: int
) -> NDArray[np.bool_]:
    """Say which tiles are held out, shape ``(t,)``: whole blocks, drawn by a seed.

    Parameters
    ----------
    share
        About this part of the tiles, 0 to less than 1; at least one block where above 0.
    block_resolution
        Of the blocks: coarser than the tiles. 7: blocks of about 5 km²; coarser blocks part the two
        sides more cleanly, but a small map has few.

    Raises
    ------
    UsageError
        If there are fewer than two blocks: nothing would be left to train on.
    """
    block = tiles.blocks(block_resolution)
    names, index = np.unique(block, return_inverse=True)
    if share <= 0:
        return np.zeros(len(tiles), np.bool_)
    if len(names) < 2:
        msg = (
            f"the map has {len(names)} blocks of resolution {block_resolution}; want two or more, "
            "some to train on and some to hold out. Give more ground, or set "
            f"block_resolution = {min(block_resolution + 1, tiles.resolution)}"
        )
        raise UsageError(msg)
    order = np.random.default_rng([seed, block_resolution]).permutation(len(names))
    filled = np.cumsum(np.bincount(index)[order])
    # the block that crosses the wanted share is still taken, but never the last one
    count = min(int(np.searchsorted(filled, share * len(tiles))) + 1, len(names) - 1)
    return np.isin(index, order[:count])
