"""Compute the frozen target of each region: what the whole tile holds.

Two parts, side by side, each along its own principal directions and of mean variance 1:

tags
    The logarithm of one plus the counts of the commonest tags with a weight (``amenity=cafe``) and
    bare keys (``amenity``) in the tile. What there is, *and how much*.
means
    The direction of the mean of its entities' own vectors, tags and standardised geometry. What it
    is like, rare tags and shapes too.

Neither can collapse. Letters of shapes: n entities, t tiles, R directions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from encoder.tags.ruled_vectors import unit_rows
from trainer.data.cache import TokenCache
from trainer.data.ragged import owners
from trainer.objectives.whitening import principal_directions

# of an entity's own vector: nine parts of tags to four and a half of geometry, in length
_TAG_LENGTH, _GEOMETRY_LENGTH = 0.9, 0.45


@dataclass(frozen=True)
class RegionTargetConfig:
    """The region's frozen target.

    Attributes
    ----------
    num_tags
        The commonest tags and keys that are counted; rarer ones are too rare to be learnt.
    tag_power
        A tag's logarithms are divided by their deviation to this power: 0 lets common tags
        decide, 1 makes rare ones as loud.
    tag_dims, mean_dims
        Directions that are kept of each part; 0 leaves it out.
    power
        0 keeps the directions' own spread, so that a few decide the error; 1 makes all alike, and
        noise as loud as the rest.
    """

    num_tags: int = 800
    tag_power: float = 0.5
    tag_dims: int = 256
    mean_dims: int = 96
    power: float = 0.5


@dataclass(frozen=True)
class TileEntities:
    """Which entities each tile holds, and which tiles are trained on, shape ``(t,)``."""

    members: NDArray[np.int64]
    offsets: NDArray[np.int64]
    is_train: NDArray[np.bool_]

    def matrix(self, num_entities: int) -> csr_array:
        """Return 1 where a tile holds an entity, shape ``(t, n)``."""
        ones = np.ones(len(self.members), np.float32)
        shape = (len(self.offsets) - 1, num_entities)
        return csr_array((ones, self.members, self.offsets), shape=shape)


def region_targets(
    cache: TokenCache,
    tiles: TileEntities,
    *,
    own: NDArray[np.float32],
    config: RegionTargetConfig,
) -> NDArray[np.float32]:
    """Return the target of each tile, shape ``(t, R)``.

    Tags and directions are chosen on the tiles that are trained on.

    Parameters
    ----------
    own
        Of `own_vectors`, shape ``(n, d)``.
    """
    parts = [np.zeros((len(tiles.offsets) - 1, 0))]
    if config.tag_dims:
        logs = _tag_logs(cache, tiles, config)
        parts.append(_turned(logs, tiles.is_train, config.tag_dims, config.power))
    if config.mean_dims:
        means = unit_rows(tiles.matrix(len(cache)) @ own).astype(np.float64)
        parts.append(_turned(means, tiles.is_train, config.mean_dims, config.power))
    return np.hstack(parts).astype(np.float32)


def own_vectors(
    tags: NDArray[np.float32],
    geometry: NDArray[np.float32],
    *,
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return each entity's own vector: unit tags beside unit standardised geometry."""
    shape = (geometry - mean) / deviation * geometry.any(axis=1, keepdims=True)
    parts = [unit_rows(tags) * _TAG_LENGTH, unit_rows(shape.astype(np.float32)) * _GEOMETRY_LENGTH]
    return np.hstack(parts).astype(np.float32)


def entity_tags(cache: TokenCache) -> csr_array:
    """Return which tags and keys each entity has, 0 or 1, shape ``(n, tags + keys)``."""
    row = owners(cache.code_offsets)
    says = cache.tag_weights[cache.codes] > 0
    row, codes = row[says], cache.codes[says]
    ones = np.ones(len(codes), np.float32)
    tags = csr_array((ones, (row, codes)), shape=(len(cache), len(cache.tag_keys)))
    keys = cache.tag_keys[codes]
    bare = csr_array((ones, (row, keys)), shape=(len(cache), len(cache.keys)))
    return csr_array(hstack([tags, bare], format="csr"))


def _tag_logs(
    cache: TokenCache, tiles: TileEntities, config: RegionTargetConfig
) -> NDArray[np.float64]:
    """Return the scaled logarithms of the commonest tags' counts, shape ``(t, num_tags)``."""
    counts = tiles.matrix(len(cache)) @ entity_tags(cache)
    num_tiles = np.asarray((counts[tiles.is_train] > 0).sum(axis=0)).ravel()
    # ties by the tag's place: the same tags every time
    chosen = np.sort(np.argsort(-num_tiles, kind="stable")[: config.num_tags])
    logs = np.log1p(counts[:, chosen].toarray()).astype(np.float64)
    deviation = logs[tiles.is_train].std(axis=0)
    scaled: NDArray[np.float64] = logs / np.where(deviation > 0, deviation, 1) ** config.tag_power
    return scaled


def _turned(
    rows: NDArray[np.float64], is_train: NDArray[np.bool_], dims: int, power: float
) -> NDArray[np.float64]:
    mean, matrix = principal_directions(rows[is_train], dims=dims, power=power)
    turned: NDArray[np.float64] = (rows - mean) @ matrix
    return turned
