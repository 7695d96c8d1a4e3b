"""Embed any area by the index's encoder, as if the area were one cell.

As a cell does, an area holds every entity whose geometry touches it, its border included, but of
those that are too wide for cells (`geoindex.geo.cell_members`: a country) only what has its point
there.
Degrees are taken as a plane. What lies around the area counts as far as entities are related to it
(`geoindex.features.relations`); an encoder that sees tiles does not look there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.protocol import RelationEmbedder, TagCodes, TileEmbedder, Tiles
from geoindex.features.entity_graph import entity_graph
from geoindex.features.relations import LIMITS
from geoindex.geo.antimeridian import cut
from geoindex.geo.cell_members import MAX_CELLS
from geoindex.index import IndexReader
from geoindex.storage.entity_rows import stored_map_rows

# two layers hear of two relations, one of them of what is as far as it reaches
_HEARD_M = 3 * LIMITS.reach_m
_METRES_A_DEGREE = 111_195.0


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
    no = np.zeros(len(rows), np.bool_)
    centre = np.array([[area.centroid.x, area.centroid.y]])
    ends = np.array([0, len(rows)])
    if isinstance(encoder, RelationEmbedder):
        around = _around(index, area, rows)
        tokens = encoder.tokens(_codes(index, around), _geometries(index, around))
        graph = entity_graph(stored_map_rows(index.entities, around))
        members = np.searchsorted(around, rows)
        tiles = Tiles(members, ends, is_halo=no, is_read=no, centres=centre)
        vectors = encoder.regions(tokens, encoder.latents(tokens, graph), tiles)
    else:
        assert isinstance(encoder, TileEmbedder)  # noqa: S101 - there is no third kind
        tokens = encoder.tokens(_codes(index, rows), geometries)
        tiles = Tiles(np.arange(len(rows)), ends, is_halo=no, is_read=no, centres=centre)
        vectors = encoder.tiles(tokens, tiles)[1]
    return np.asarray(vectors[0], np.float32), len(rows)


def _around(index: IndexReader, area: Any, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return some rows and all that the network hears of them from, ascending."""
    column = index.entities.column
    west, south, east, north = area.bounds
    # what touches the area may have its point outside
    south = min(south, float(column("lat")[rows].min()))
    north = max(north, float(column("lat")[rows].max()))
    up = _HEARD_M / _METRES_A_DEGREE
    aside = up / max(np.cos(np.radians(min(max(abs(south), abs(north)) + up, 89.0))), 1e-3)
    near = _overlapping(index, (west - aside, south - up, east + aside, north + up))
    return np.union1d(near, rows)


def _touching(index: IndexReader, area: Any) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return the entities whose geometries touch an area, ascending, and their geometries."""
    import shapely

    column = index.entities.column
    rows = _overlapping(index, area.bounds)
    geometries = _geometries(index, rows)
    shapely.prepare(area)
    does = shapely.intersects(area, cut(geometries))
    does &= ~_is_too_wide(index, rows, geometries, does) | shapely.intersects_xy(
        area, column("lon")[rows], column("lat")[rows]
    )
    return rows[does], geometries[does]


def _overlapping(
    index: IndexReader, bounds: tuple[float, float, float, float]
) -> NDArray[np.int64]:
    """Return the entities whose bboxes meet another, ascending."""
    west, south, east, north = bounds
    column = index.entities.column
    xmin, xmax = column("xmin"), column("xmax")
    # a bbox over the antimeridian has xmin > xmax
    is_wide = xmin > xmax
    may = np.where(is_wide, (xmin <= east) | (xmax >= west), (xmin <= east) & (xmax >= west))
    may &= (column("ymin") <= north) & (column("ymax") >= south)
    return np.flatnonzero(may)


def _geometries(index: IndexReader, rows: NDArray[np.int64]) -> NDArray[np.object_]:
    import shapely

    wkb = index.entities.take(rows, columns=["geometry"])["geometry"].to_numpy()
    found: NDArray[np.object_] = shapely.from_wkb(np.asarray(wkb, object))
    return found


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
