"""Which entities look like a picture? The mean token of each one's ground, made when asked for.

A mean of a fixed piece of ground fits pictures of its own size alone: of pictures 30, 58 and 100 m
wide, means of 25 m about buildings found .21, .92 and .49 of them first, means of as much ground as
each picture shows .95, .98 and .91 (docs/decisions/0008). So nothing is kept but tokens, and each
question makes the means it needs: of the entities that pass the filters, a few thousand at a time.

Sums are of float64, entity by entity in the order of patches: the same bits whatever filters left.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.imagery.patch_store import Images, scaled
from geoindex.index import Index
from geoindex.queries.by_image.footprint import Ground, Pairs
from geoindex.search.similarity import Neighbours, measured

_CHUNK_ROWS = 2048
_BLOCK_TOKENS = 16_384


class Looks(NamedTuple):
    """What the ground about some entities looks like.

    Attributes
    ----------
    vectors
        On the scale of the index, unit or zero, shape ``(n, D + 1)``.
    num_patches
        Of how many patches each is the mean, shape ``(n,)``.
    """

    vectors: NDArray[np.float32]
    num_patches: NDArray[np.int64]


class EntityLooks:
    """Makes the looks of entities at one level.

    Parameters
    ----------
    side_m
        As much ground about each: see `geoindex.queries.by_image.footprint`.
    rows
        Of the entities that will be asked for; None: any.
    """

    def __init__(
        self,
        index: Index,
        images: Images,
        *,
        level: int,
        side_m: float,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.ground = Ground(index, images, level, near=None if rows is None else (rows, side_m))
        self._tokens = images.patches(level).tokens
        self._scale = images.scale(level)
        self._side_m = side_m

    def about(self, rows: NDArray[np.int64]) -> Pairs:
        """Return the patches of each of some entities."""
        return self.ground.about(rows, self._side_m)

    def of(self, rows: NDArray[np.int64]) -> Looks:
        """Return the looks of some entities."""
        return self.made_of(self.about(rows), len(rows))

    def made_of(self, pairs: Pairs, n: int) -> Looks:
        """Return the looks of n entities whose patches are known."""
        counts = np.bincount(pairs.entity, minlength=n)
        vectors = np.zeros((n, self._tokens.shape[1] + 1), np.float32)
        has = counts > 0
        if has.any():
            weights = np.bincount(pairs.entity, pairs.share, minlength=n)
            means = _sums(pairs, self._tokens, n)[has] / weights[has, None]
            vectors[has] = scaled(means, self._scale)
        return Looks(vectors, counts)


def _sums(pairs: Pairs, tokens: NDArray[np.float16], n: int) -> NDArray[np.float64]:
    """Return the sum of the tokens of each entity by their shares, shape ``(n, D)``."""
    from scipy.sparse import csr_array

    sums = np.zeros((n, tokens.shape[1]))
    block_of = pairs.patch // _BLOCK_TOKENS
    for block in np.flatnonzero(np.bincount(block_of)).tolist():
        here, start = np.flatnonzero(block_of == block), block * _BLOCK_TOKENS
        patch = pairs.patch[here] - start
        is_used = np.bincount(patch) > 0
        # few of a block are: no others are made wider
        part = tokens[start + np.flatnonzero(is_used)].astype(np.float64)
        starts = np.searchsorted(pairs.entity[here], np.arange(n + 1))
        values = (pairs.share[here], (np.cumsum(is_used) - 1)[patch], starts)
        sums += csr_array(values, shape=(n, len(part))) @ part
    return sums


def rank_entities(
    looks: EntityLooks,
    rows: NDArray[np.int64],
    unit: NDArray[np.float64],
    k: int,
) -> Neighbours:
    """Return the entities that look most like a unit vector; exact.

    Parameters
    ----------
    rows
        That pass the filters, ascending; those without imagery are no answers.
    """
    similarity, has = np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        found = looks.of(rows[chunk])
        similarity[chunk] = measured(found.vectors, np.arange(len(found.vectors)), unit)
        has[chunk] = found.num_patches > 0
    rows, similarity = rows[has], similarity[has]
    order = np.lexsort((rows, -similarity))[:k]
    return Neighbours(rows[order], similarity[order], len(rows))
