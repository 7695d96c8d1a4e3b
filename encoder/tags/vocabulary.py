"""Which known words do the tags of an entity say? Each tag says the one that it is most like.

An entity's pooled tag vector blurs what single tags say: of ``highway=primary``, ``lanes=2`` and
``bridge=yes`` the bridge is a faint part. So a checkpoint also knows the vectors of the commonest
tags of its maps, its words, and counts them one by one. A tag that was never seen says the nearest
word; one that is like none of them says nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.geojepa.context_counts import log_counts, nearest_prototypes

#: an entity says at most so many words, those of its tags that count most
WORDS_OF_EACH = 12
#: the least cosine of a tag and the word that it says
LEAST_LIKENESS = 0.6


def words_of_tags(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], words: NDArray[np.float32]
) -> NDArray[np.int16]:
    """Return the word that each tag says.

    Parameters
    ----------
    vectors, weights
        Of u tags, shapes ``(u, tag_dim)`` and ``(u,)``.
    words
        Unit rows, shape ``(w, tag_dim)``.

    Returns
    -------
    said
        Shape ``(u,)``; -1 of a tag without weight, or like no word.
    """
    if not len(words):
        return np.full(len(vectors), -1, np.int16)
    said = nearest_prototypes(vectors, words)
    likeness = np.einsum("ij,ij->i", vectors, words[np.maximum(said, 0)])
    said[(weights <= 0) | (likeness < LEAST_LIKENESS)] = -1
    return said.astype(np.int16)


def entity_words(
    said: NDArray[np.int16],
    weights: NDArray[np.float32],
    codes: NDArray[np.integer[Any]],
    offsets: NDArray[np.int64],
) -> NDArray[np.int16]:
    """Return the words that entities say.

    Parameters
    ----------
    said, weights
        Of u unique tags, shape ``(u,)``; `said` from `words_of_tags`.
    codes, offsets
        Entity i has the tags ``codes[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    words
        Shape ``(n, WORDS_OF_EACH)``; each word once, that of the weightiest tag first; -1 behind
        the last.
    """
    n = len(offsets) - 1
    entity = np.repeat(np.arange(n), np.diff(offsets))
    word, weight = said[codes].astype(np.int64), weights[codes]
    speaks = word >= 0
    entity, word, weight = entity[speaks], word[speaks], weight[speaks]
    # each word of an entity once, with its weightiest tag; then the weightiest words first
    order = np.lexsort((-weight, word, entity))
    entity, word, weight = entity[order], word[order], weight[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (np.diff(entity) != 0) | (np.diff(word) != 0)
    entity, word, weight = entity[is_new], word[is_new], weight[is_new]
    order = np.lexsort((word, -weight, entity))
    entity, word = entity[order], word[order]
    starts = np.append(0, np.cumsum(np.bincount(entity, minlength=n)))
    place = np.arange(len(entity)) - starts[entity]
    words = np.full((n, WORDS_OF_EACH), -1, np.int16)
    fits = place < WORDS_OF_EACH
    words[entity[fits], place[fits]] = word[fits]
    return words


def word_counts(
    words: NDArray[np.int16], offsets: NDArray[np.int64], *, num_words: int
) -> NDArray[np.float32]:
    """Return the logarithm of one plus how many entities of each tile say each word.

    Parameters
    ----------
    words
        Of the members of tiles, shape ``(m, WORDS_OF_EACH)``.
    offsets
        Of the tiles, shape ``(t + 1,)``.

    Returns
    -------
    counts
        Shape ``(t, num_words)``.
    """
    flat = words.ravel().astype(np.int64)
    return log_counts(flat, offsets * words.shape[1], num_prototypes=num_words)
