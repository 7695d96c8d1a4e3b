"""Of what kinds is there anything around a tile? Unit tag vectors that stand for the rest.

Fitted once to the tag vectors of entities that are trained on, by k-means on the unit sphere, and
kept in the checkpoint: `encoder.surroundings` counts by the nearest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

_MOST_FITTED = 40_000
_ROUNDS = 25


def fit_prototypes(tags: NDArray[np.float32], count: int, *, seed: int) -> NDArray[np.float32]:
    """Return unit vectors that entities lie around, shape ``(count, tag_dim)``.

    Parameters
    ----------
    tags
        Pooled tag vectors, shape ``(n, tag_dim)``; zero rows are left out.
    count
        Where there are fewer different vectors, the first stands for the rest.
    seed
        Decides the sample and the start.
    """
    rows = tags[tags.any(axis=1)]
    if not len(rows):
        return np.zeros((count, tags.shape[1]), np.float32)
    rng = np.random.default_rng([seed, 4])
    sample = rows[rng.permutation(len(rows))[:_MOST_FITTED]].astype(np.float64)
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    different = np.unique(sample.round(6), axis=0)
    if len(different) <= count:
        centres = np.concatenate([different, np.repeat(different[:1], count - len(different), 0)])
    else:
        # from different vectors: a third of all entities is building=yes and nothing else
        start = different[rng.choice(len(different), count, replace=False)]
        centres, _ = kmeans2(sample, start, iter=_ROUNDS, minit="matrix", missing="warn")
    length = np.linalg.norm(centres, axis=1, keepdims=True)
    return (centres / np.where(length > 0, length, 1)).astype(np.float32)
