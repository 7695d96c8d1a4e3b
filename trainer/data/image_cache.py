"""Keep image tiles in the token cache: cells of an index, with their patches.

Beside the files of `trainer.data.cache`, for image source number i::

    tiles-image<i>-NAME.npy   `trainer.data.tiles.TileSet` of the index's finest cells that have
    patches
    image<i>-tokens.npy       float16 (p, image_dim), tile by tile
    image<i>-place.npy        float32 (p, 3): metres east and north of the tile's centre, width
    image<i>-offsets.npy      int64 (t + 1,)
    image<i>-under.npy        int64 (q, 2): a patch, and an entity that covers a part of it
    image<i>-share.npy        float32 (q,): the part of the patch that it covers
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from encoder.earth import TILE_METRES_PER_DEGREE
from geoindex.errors import UsageError
from geoindex.geo.cell_members import MAX_CELLS
from geoindex.geo.cover import touching
from geoindex.geo.h3 import cells_at
from geoindex.imagery.patch_store import Images
from geoindex.index import IndexReader
from geoindex.storage.layout import CELLS
from trainer.data.ragged import lengths_to_offsets, take_lists
from trainer.data.tiles import TILE_ARRAYS, TileSet, make_tiles


def write_images(
    index: IndexReader,
    made: Path,
    number: int,
    *,
    rows: NDArray[np.int64],
    geometries: NDArray[np.object_],
    points: NDArray[np.float64],
) -> dict[str, Any]:
    """Write the image tiles of one index.

    Parameters
    ----------
    rows
        Of the cache: the entities that the index holds, shape ``(k,)``.
    geometries
        Theirs.
    points
        Longitude and latitude of each, shape ``(k, 2)``.

    Returns
    -------
    meta
        For meta.json.
    """
    images = Images(index)
    cells = index.rows_of(CELLS).column("cell")
    row_of_cell = np.flatnonzero(np.diff(images.offsets))
    resolution = max(index.manifest.settings["resolutions"])
    home = cells_at(points[:, 0], points[:, 1], resolution=resolution)
    found = touching(geometries, home, resolution=resolution, max_cells=MAX_CELLS)
    every = make_tiles(rows[found.row_index], found.cell, resolution=resolution)
    seen = np.asarray(cells, np.uint64)[row_of_cell]
    chosen = np.flatnonzero(np.isin(every.cells, seen))
    tiles = _some(every, chosen)
    for name in TILE_ARRAYS:
        np.save(made / f"tiles-image{number}-{name}.npy", getattr(tiles, name))
    at = row_of_cell[np.searchsorted(seen, tiles.cells)]
    tokens, offsets = take_lists(images.tokens, images.offsets, at)
    places, _ = take_lists(images.places_m, images.offsets, at)
    width = images.settings["patch_px"] * images.settings["gsd_m"]
    place = np.column_stack([places, np.full(len(places), width)]).astype(np.float32)
    geometry_of = dict(zip(rows.tolist(), geometries, strict=True))
    under, share = _under(tiles, place, offsets, geometry_of)
    parts: dict[str, NDArray[Any]] = {
        "tokens": tokens,
        "place": place,
        "offsets": offsets,
        "under": under,
        "share": share,
    }
    for name, part in parts.items():
        np.save(made / f"image{number}-{name}.npy", part)
    return {
        "resolution": int(resolution),
        "tokens": images.settings["tokens"],
        "fingerprint": images.settings["tokens_fingerprint"],
        "dim": int(images.settings["dim"]),
        "tiles": len(tiles),
        "patches": len(place),
        "patch_m": float(width),
    }


def check_same_tokens(metas: Sequence[dict[str, Any]]) -> None:
    """Check that all image sources were tokenised alike.

    Raises
    ------
    UsageError
        If not: one model reads one kind of token.
    """
    kinds = sorted({f"{meta['tokens']} {meta['fingerprint'][:8]}" for meta in metas})
    if len(kinds) > 1:
        msg = (
            f"the indexes hold image tokens of {len(kinds)} kinds ({', '.join(kinds)}); want one. "
            "Build them with the same --image-tokens"
        )
        raise UsageError(msg)


def _some(tiles: TileSet, chosen: NDArray[np.int64]) -> TileSet:
    members, offsets = take_lists(tiles.members, tiles.offsets, chosen)
    halo, halo_offsets = take_lists(tiles.halo, tiles.halo_offsets, chosen)
    return TileSet(
        resolution=tiles.resolution,
        cells=tiles.cells[chosen],
        centres=tiles.centres[chosen],
        members=members,
        offsets=offsets,
        halo=halo,
        halo_offsets=halo_offsets,
    )


def _under(
    tiles: TileSet,
    place: NDArray[np.float32],
    offsets: NDArray[np.int64],
    geometry_of: dict[int, Any],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which entities cover which patches, and how much of each."""
    pairs, shares = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for tile in range(len(tiles)):
        members = tiles.members[tiles.offsets[tile] : tiles.offsets[tile + 1]]
        local = _local(
            np.array([geometry_of[row] for row in members.tolist()], object), tiles, tile
        )
        is_area = shapely.get_dimensions(local) == 2
        members, local = members[is_area], shapely.make_valid(local[is_area])
        x, y, width = place[offsets[tile] : offsets[tile + 1]].astype(np.float64).T
        boxes = shapely.box(x - width / 2, y - width / 2, x + width / 2, y + width / 2)
        patch, entity = shapely.STRtree(local).query(boxes, predicate="intersects")
        share = shapely.area(shapely.intersection(boxes[patch], local[entity])) / width[patch] ** 2
        pairs.append(np.column_stack([offsets[tile] + patch, members[entity]]))
        shares.append(share.astype(np.float32))
    return np.concatenate(pairs), np.concatenate(shares)


def _local(geometries: NDArray[np.object_], tiles: TileSet, tile: int) -> NDArray[np.object_]:
    """Return geometries in metres east and north of a tile's centre."""
    lon, lat = tiles.centres[tile]
    east = TILE_METRES_PER_DEGREE * np.cos(np.radians(lat))

    def turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x = ((points[:, 0] - lon + 180) % 360 - 180) * east
        return np.column_stack([x, (points[:, 1] - lat) * TILE_METRES_PER_DEGREE])

    return np.asarray(shapely.transform(geometries, turned), object)


class PatchSet:
    """The patches of many tiles, end to end; of tiles without imagery there are none.

    Attributes
    ----------
    images
        Shape ``(p, image_dim)``, float16.
    place
        Shape ``(p, 3)``; see `encoder.geojepa.batch.Patches`.
    landcover
        What lies under each patch: tag vectors by the part of it that each entity covers, summed,
        shape ``(p, tag_dim)``, float32; zero where nothing does.
    offsets
        Shape ``(t + 1,)``.
    """

    def __init__(
        self,
        images: NDArray[np.float16],
        place: NDArray[np.float32],
        landcover: NDArray[np.float32],
        offsets: NDArray[np.int64],
    ) -> None:
        self.images, self.place, self.landcover, self.offsets = images, place, landcover, offsets

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many patches each tile has, shape ``(t,)``."""
        return np.diff(self.offsets)


def read_patches(
    folder: Path, num_images: int, *, tags: NDArray[np.float32], num_before: int
) -> PatchSet:
    """Read the patches of all image tiles, which stand behind tiles without any.

    Parameters
    ----------
    tags
        Pooled tag vectors of all entities, shape ``(n, tag_dim)``.
    num_before
        How many tiles without imagery stand before the first that has some.
    """
    parts: dict[str, list[Any]] = {name: [] for name in ("tokens", "place", "landcover")}
    sizes = [np.zeros(num_before, np.int64)]
    for i in range(num_images):
        read = {
            name: np.load(folder / f"image{i}-{name}.npy")
            for name in ("tokens", "place", "offsets", "under", "share")
        }
        landcover = np.zeros((len(read["place"]), tags.shape[1]), np.float32)
        patch, entity = read["under"].T
        np.add.at(landcover, patch, tags[entity] * read["share"][:, None])
        parts["tokens"].append(read["tokens"])
        parts["place"].append(read["place"])
        parts["landcover"].append(landcover)
        sizes.append(np.diff(read["offsets"]))
    if not num_images:
        nothing = np.zeros((0, 3), np.float32)
        return PatchSet(
            np.zeros((0, 0), np.float16),
            nothing,
            np.zeros((0, tags.shape[1]), np.float32),
            np.zeros(num_before + 1, np.int64),
        )
    tokens, place, grounds = (np.concatenate(part) for part in parts.values())
    return PatchSet(tokens, place, grounds, lengths_to_offsets(np.concatenate(sizes)))
