"""What is measured once on what is trained on? Scales, prototypes, words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.words import words_of_tags
from trainer.config import TrainConfig
from trainer.prototypes import fit_prototypes
from trainer.tiles import TileSet
from trainer.token_files import TokenCache
from trainer.training_tiles import pooled_tags
from trainer.vocabulary import fit_words

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
        Shape ``(num_counts, tag_dim)``, of `trainer.prototypes`.
    words
        Shape ``(num_words, tag_dim)``, of `trainer.vocabulary`.
    said
        The word that each tag of the cache says, shape ``(u,)``; `encoder.words.words_of_tags`.
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
