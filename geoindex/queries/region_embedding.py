"""Embed any area by the index's encoder, as if the area were one cell.

As a cell does, an area holds every entity whose geometry touches it, its border included, but of
those that are too wide for cells (`geoindex.geo.cell_members`: a country) only what has its point
there.
Degrees are taken as a plane. What lies around the area is not looked at.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.protocol import TagCodes, Tiles
from geoindex.geo.antimeridian import cut
from geoindex.geo.cell_members import MAX_CELLS
from geoindex.index import IndexReader


def embed_area(index: IndexReader, area: Any) -> tuple[NDArray[np.float32], int]:
    """Return the vector of an area, and of how many entities it was made.

    Parameters
    ----------
    area
        A valid shapely polygon or multipolygon, degrees, longitude first.

    Returns
    -------
    vector
        Shape ``(region_dim,)``; zero if nothing touches the area.
    num_entities
        How many touch it.

    Raises
    ------
    IndexDamagedError
        If this version has another encoder than the index.
    """
    rows, geometries = _touching(index, area)
    encoder = index.encoder
    if not rows.size:
        return np.zeros(encoder.region_dim, np.float32), 0
    tokens = encoder.tokens(_codes(index, rows), geometries)
    no = np.zeros(len(rows), np.bool_)
    centre = np.array([[area.centroid.x, area.centroid.y]])
    ends = np.array([0, len(rows)])
    tiles = Tiles(np.arange(len(rows)), ends, is_halo=no, is_read=no, centres=centre)
    return np.asarray(encoder.tiles(tokens, tiles)[1][0], np.float32), len(rows)


def _touching(index: IndexReader, area: Any) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return the entities whose geometries touch an area, ascending, and their geometries."""
    import shapely

    west, south, east, north = area.bounds
    column = index.entities.column
    xmin, xmax = column("xmin"), column("xmax")
    # a bbox over the antimeridian has xmin > xmax
    is_wide = xmin > xmax
    may = np.where(is_wide, (xmin <= east) | (xmax >= west), (xmin <= east) & (xmax >= west))
    may &= (column("ymin") <= north) & (column("ymax") >= south)
    rows = np.flatnonzero(may)
    wkb = index.entities.take(rows)["geometry"].to_numpy()
    geometries = shapely.from_wkb(np.asarray(wkb, object))
    shapely.prepare(area)
    does = shapely.intersects(area, cut(geometries))
    does &= ~_is_too_wide(index, rows, geometries, does) | shapely.intersects_xy(
        area, column("lon")[rows], column("lat")[rows]
    )
    return rows[does], geometries[does]


def _is_too_wide(
    index: IndexReader,
    rows: NDArray[np.int64],
    geometries: NDArray[np.object_],
    does: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Tell which geometries, of those that touch the area, touch too many cells to be in each."""
    from geoindex.geo.cover import touching

    near = np.flatnonzero(does)
    home = index.entities.column("cell")[rows[near]]
    finest = index.manifest.resolutions[-1]
    found = touching(geometries[near], home, resolution=finest, max_cells=MAX_CELLS)
    is_wide = np.zeros(len(rows), np.bool_)
    is_wide[near[found.too_wide]] = True
    return is_wide


def _codes(index: IndexReader, rows: NDArray[np.int64]) -> Any:
    """Return the tags of some rows as the encoder reads them."""
    lists = index.tag_index
    runs = [lists.codes[lists.offsets[row] : lists.offsets[row + 1]] for row in rows.tolist()]
    sizes = np.array([len(run) for run in runs], np.int64)
    unique, local = np.unique(np.concatenate([np.zeros(0, np.int32), *runs]), return_inverse=True)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return TagCodes(lists.texts(unique), local.astype(np.int32), offsets)
