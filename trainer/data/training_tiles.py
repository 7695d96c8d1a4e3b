"""Hold the tiles of a run in one list, and sample entities and patches of some for a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.tags.pooling import pool
from encoder.tags.vocabulary import log_counts
from trainer.data.cache import TokenCache
from trainer.data.image_cache import PatchSet
from trainer.data.ragged import (
    keep_members,
    lengths_to_offsets,
    list_places,
    owners,
    positions,
    take_lists,
)
from trainer.data.tiles import TileSet


@dataclass(eq=False)
class TrainingTiles:
    """Tiles of one or more resolutions, end to end; see `trainer.data.tiles.TileSet`.

    Attributes
    ----------
    resolution
        Shape ``(t,)``.
    region_content
        Shape ``(t, R)``, float32: the frozen target of each region, `trainer.data.region_targets`.
    nearest
        Of each *entity*, shape ``(n,)``: its prototype, -1 for none;
        `encoder.tags.vocabulary`.
    num_prototypes
        How many there are.
    patches
        Image patches of the tiles.
    tag_ids
        Of each *tag* of the cache, shape ``(u,)``: the word that it says;
        `encoder.tags.vocabulary`.
    """

    resolution: NDArray[np.int64]
    cells: NDArray[np.uint64]
    centres: NDArray[np.float64]
    members: NDArray[np.int64]
    offsets: NDArray[np.int64]
    halo: NDArray[np.int64]
    halo_offsets: NDArray[np.int64]
    region_content: NDArray[np.float32]
    nearest: NDArray[np.int64]
    num_prototypes: int
    tag_ids: NDArray[np.int16]
    patches: PatchSet

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many entities touch each tile, shape ``(t,)``."""
        return np.diff(self.offsets)


def joined_tiles(
    sets: Sequence[TileSet],
    *,
    nearest: NDArray[np.int64],
    num_prototypes: int,
    tag_ids: NDArray[np.int16],
    patches: PatchSet,
) -> TrainingTiles:
    """Put the tiles of several resolutions into one list; what they hold is not told yet."""
    return TrainingTiles(
        resolution=np.concatenate([np.full(len(tiles), tiles.resolution) for tiles in sets]),
        cells=np.concatenate([tiles.cells for tiles in sets]),
        centres=np.concatenate([tiles.centres for tiles in sets]),
        members=np.concatenate([tiles.members for tiles in sets]),
        offsets=lengths_to_offsets(np.concatenate([tiles.sizes for tiles in sets])),
        halo=np.concatenate([tiles.halo for tiles in sets]),
        halo_offsets=lengths_to_offsets(
            np.concatenate([np.diff(tiles.halo_offsets) for tiles in sets])
        ),
        region_content=np.zeros((sum(len(tiles) for tiles in sets), 0), np.float32),
        nearest=nearest,
        num_prototypes=num_prototypes,
        tag_ids=tag_ids,
        patches=patches,
    )


def pooled_tags(cache: TokenCache) -> NDArray[np.float32]:
    """Return the tag vectors of all entities, shape ``(n, tag_dim)``."""
    return pool(
        cache.codes, cache.code_offsets, vectors=cache.tag_vectors, weights=cache.tag_weights
    )


class SampledTiles(NamedTuple):
    """The entities of some tiles: rows of the cache, end to end, and what is known of each tile.

    `tag_ids` is of every tag of the cache: see `trainer.data.training_tiles.TrainingTiles`.
    """

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    centres: NDArray[np.float64]
    region_content: NDArray[np.float32]
    halo: "Halo"
    tag_ids: NDArray[np.int16]
    patches: "SampledPatches"


class Halo(NamedTuple):
    """The entities around some tiles: rows of the cache, end to end, and each one's prototype."""

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    nearest: NDArray[np.int64]
    num_prototypes: int

    def counts(self, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Return what is counted around each tile, of all entities or those to keep."""
        nearest = self.nearest if keep is None else np.where(keep, self.nearest, -1)
        return log_counts(nearest, self.offsets, num_prototypes=self.num_prototypes)


class SampledPatches(NamedTuple):
    """The patches of some tiles, end to end; see `trainer.data.image_cache.PatchSet`."""

    images: NDArray[np.float32]
    place: NDArray[np.float32]
    landcover: NDArray[np.float32]
    offsets: NDArray[np.int64]


def sample_tiles(
    tiles: TrainingTiles,
    chosen: NDArray[np.int64],
    *,
    most: int,
    most_patches: int,
    rng: np.random.Generator,
) -> SampledTiles:
    """Return what some tiles hold, of each at most so many entities and patches, at random."""
    places, offsets = _some(tiles.offsets, chosen, most, rng)
    around, halo_offsets = take_lists(tiles.halo, tiles.halo_offsets, chosen)
    halo = Halo(around, halo_offsets, tiles.nearest[around], tiles.num_prototypes)
    centres, region_content = tiles.centres[chosen], tiles.region_content[chosen]
    patches = _sample_patches(tiles.patches, chosen, most_patches, rng)
    return SampledTiles(
        tiles.members[places], offsets, centres, region_content, halo, tiles.tag_ids, patches
    )


def _some(
    offsets: NDArray[np.int64], chosen: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return places of members of some lists, at most so many of each, and the offsets."""
    places, taken = list_places(offsets, chosen)
    if (np.diff(taken) > most).any():
        order = np.lexsort((rng.random(len(places)), owners(taken)))
        rank = np.empty(len(places), np.int64)
        rank[order] = positions(taken)
        keep = rank < most
        places, taken = places[keep], keep_members(taken, keep)
    return places, taken


def _sample_patches(
    patches: PatchSet, chosen: NDArray[np.int64], most: int, rng: np.random.Generator
) -> SampledPatches:
    at, offsets = _some(patches.offsets, chosen, most, rng)
    images = np.asarray(patches.images[at], np.float32)
    return SampledPatches(images, patches.place[at], patches.landcover[at], offsets)
