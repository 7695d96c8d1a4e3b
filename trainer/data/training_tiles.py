"""Which tiles does a run train on? Those of all its resolutions, in one list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.tags.table import pool
from trainer.data.cache import TokenCache
from trainer.data.image_cache import PatchSet
from trainer.data.ragged import lengths_to_offsets
from trainer.data.tiles import TileSet


@dataclass(eq=False)
class TrainingTiles:
    """Tiles of one or more resolutions, end to end; see `trainer.data.tiles.TileSet`.

    Attributes
    ----------
    resolution
        Shape ``(t,)``.
    holds
        Shape ``(t, R)``, float32: the frozen target of each region, `trainer.data.region_targets`.
    nearest
        Of each *entity*, shape ``(n,)``: its prototype, -1 for none;
        `encoder.geojepa.context_counts`.
    num_prototypes
        How many there are.
    patches
        What is seen of the ground.
    said
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
    holds: NDArray[np.float32]
    nearest: NDArray[np.int64]
    num_prototypes: int
    said: NDArray[np.int16]
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
    said: NDArray[np.int16],
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
        holds=np.zeros((sum(len(tiles) for tiles in sets), 0), np.float32),
        nearest=nearest,
        num_prototypes=num_prototypes,
        said=said,
        patches=patches,
    )


def pooled_tags(cache: TokenCache) -> NDArray[np.float32]:
    """Return the tag vectors of all entities, shape ``(n, tag_dim)``."""
    return pool(
        cache.codes, cache.code_offsets, vectors=cache.tag_vectors, weights=cache.tag_weights
    )
