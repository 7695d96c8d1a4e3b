"""Fit the statistics of the training entities: scales, prototypes, tag vocabulary.

Prototypes are unit tag vectors, fitted by k-means on the unit sphere; what lies in and around a
tile is counted by the nearest. The vocabulary is the tags that are common in as many maps as
possible: a tag that one country uses everywhere names the country, and would tell a new place
nothing. Both are kept in the checkpoint as vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_array

from encoder.tags.vocabulary import match_vocabulary
from trainer.config import TrainConfig
from trainer.data.cache import TokenCache
from trainer.data.ragged import owners
from trainer.data.tiles import TileSet
from trainer.data.training_tiles import pooled_tags

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
class FittedStatistics:
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
    vocabulary
        Shape ``(vocabulary_size, tag_dim)``, of `trainer.data.statistics`.
    tag_ids
        The word that each tag of the cache says, shape ``(u,)``;
        `encoder.tags.vocabulary.match_vocabulary`.
    """

    rows: NDArray[np.int64]
    tags: NDArray[np.float32]
    geometry_mean: NDArray[np.float32]
    geometry_deviation: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    vocabulary: NDArray[np.float32]
    tag_ids: NDArray[np.int16]


def fit(
    cache: TokenCache, sets: Sequence[TileSet], is_train: NDArray[np.bool_], config: TrainConfig
) -> FittedStatistics:
    """Measure the entities that are trained on."""
    members = np.concatenate([tiles.members for tiles in sets])
    sizes = np.concatenate([tiles.sizes for tiles in sets])
    rows = np.unique(members[np.repeat(is_train, sizes)])
    tags, geometry = pooled_tags(cache), cache.geometry[rows]
    shown = geometry[geometry.any(axis=1)]
    mean = shown.mean(axis=0) if len(shown) else np.zeros(geometry.shape[1], np.float32)
    deviation = shown.std(axis=0) if len(shown) else np.ones(geometry.shape[1], np.float32)
    vocabulary = fit_vocabulary(cache, rows, config.model.vocabulary_size)
    return FittedStatistics(
        rows,
        tags,
        geometry_mean=mean,
        geometry_deviation=np.maximum(deviation, _LEAST_DEVIATION),
        prototypes=fit_prototypes(tags[rows], config.model.num_counts, seed=config.seed),
        vocabulary=vocabulary,
        tag_ids=match_vocabulary(cache.tag_vectors, cache.tag_weights, vocabulary),
    )


#: a tag so like one that is chosen adds nothing: house numbers are one word
_SAME = 0.93
#: names and addresses, which say where and not what, weigh less (`encoder.tags.pooling`)
_LEAST_WEIGHT = 0.025
_CANDIDATES_OF_EACH = 8


def fit_vocabulary(cache: TokenCache, rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return the vectors of the commonest tags, commonest first, shape ``(count, tag_dim)``.

    Parameters
    ----------
    rows
        The entities that are trained on, shape ``(k,)``.
    count
        Where there are fewer different tags, the last rows are zero, which are like no tag.
    """
    vocabulary = np.zeros((count, cache.tag_vectors.shape[1]), np.float32)
    common = _commonness(cache, rows)
    order = np.argsort(-common, kind="stable")[: _CANDIDATES_OF_EACH * count]
    order = order[common[order] > 0]
    chosen = 0
    for code in order.tolist():
        if chosen == count:
            break
        vector = cache.tag_vectors[code]
        if (vocabulary[:chosen] @ vector < _SAME).all():
            vocabulary[chosen] = vector
            chosen += 1
    return vocabulary


def _commonness(cache: TokenCache, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how common each tag is, shape ``(u,)``: the mean over maps of the root of its share.

    The root lets a tag that is rare in every map be as common as one that fills a few.
    """
    says = cache.tag_weights[cache.codes] >= _LEAST_WEIGHT
    codes, entity = cache.codes[says], owners(cache.code_offsets)[says]
    num_tags, num_places = len(cache.tag_weights), len(cache.places)
    is_trained = np.zeros(len(cache), np.bool_)
    is_trained[rows] = True
    kept = is_trained[entity]
    pairs = (cache.place[entity[kept]], codes[kept])
    shape = (num_places, num_tags)
    uses = csr_array((np.ones(len(pairs[0])), pairs), shape=shape)
    size = np.bincount(cache.place[rows], minlength=num_places)[:num_places]
    share = csr_array(uses.multiply(1 / np.maximum(size, 1)[:, None])).sqrt()
    return np.asarray(share.mean(axis=0), np.float64).ravel()
