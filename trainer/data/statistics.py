"""What is measured once on what is trained on? Scales, prototypes, words.

Of what kinds is there anything around a tile? Unit tag vectors that stand for the rest.

Fitted once to the tag vectors of entities that are trained on, by k-means on the unit sphere, and
kept in the checkpoint: `encoder.geojepa.context_counts` counts by the nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from encoder.tags.vocabulary import words_of_tags
from trainer.config import TrainConfig
from trainer.data.cache import TokenCache
from trainer.data.tiles import TileSet
from trainer.data.training_tiles import pooled_tags
from trainer.data.vocabulary import fit_words

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


# a column of geometry that hardly varies would be blown up to noise
_LEAST_DEVIATION = 0.05


@dataclass(frozen=True)
class Fitted:
    """What is measured once, on the entities that are trained on.

    Attributes
    ----------
    rows
        Those entities, shape ``(k,)``.
    tags
        Pooled tag vectors of *all* entities, shape ``(n, tag_dim)``.
    geometry_mean, geometry_deviation
        Shape ``(geometry_dim,)``.
    prototypes
        Shape ``(num_counts, tag_dim)``, of `trainer.data.statistics`.
    words
        Shape ``(num_words, tag_dim)``, of `trainer.data.vocabulary`.
    said
        The word that each tag of the cache says, shape ``(u,)``;
        `encoder.tags.vocabulary.words_of_tags`.
    """

    rows: NDArray[np.int64]
    tags: NDArray[np.float32]
    geometry_mean: NDArray[np.float32]
    geometry_deviation: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    words: NDArray[np.float32]
    said: NDArray[np.int16]


def fit(
    cache: TokenCache, sets: Sequence[TileSet], is_train: NDArray[np.bool_], config: TrainConfig
) -> Fitted:
    """Measure the entities that are trained on."""
    members = np.concatenate([tiles.members for tiles in sets])
    sizes = np.concatenate([tiles.sizes for tiles in sets])
    rows = np.unique(members[np.repeat(is_train, sizes)])
    tags, geometry = pooled_tags(cache), cache.geometry[rows]
    shown = geometry[geometry.any(axis=1)]
    mean = shown.mean(axis=0) if len(shown) else np.zeros(geometry.shape[1], np.float32)
    deviation = shown.std(axis=0) if len(shown) else np.ones(geometry.shape[1], np.float32)
    words = fit_words(cache, rows, config.model.num_words)
    return Fitted(
        rows,
        tags,
        geometry_mean=mean,
        geometry_deviation=np.maximum(deviation, _LEAST_DEVIATION),
        prototypes=fit_prototypes(tags[rows], config.model.num_counts, seed=config.seed),
        words=words,
        said=words_of_tags(cache.tag_vectors, cache.tag_weights, words),
    )
