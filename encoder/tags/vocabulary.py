"""Match tags and entities to the vectors that a checkpoint counts by, and count them per tile.

An entity's pooled tag vector blurs what single tags add: of ``highway=primary``, ``lanes=2`` and
``bridge=yes`` the bridge is a faint part. So a checkpoint also keeps a vocabulary, the vectors of
the commonest tags of its maps, and counts them one by one. A tag that was never seen gets the id of
the nearest one; a tag that is like none of them gets none. Entities, by their pooled vectors, are
counted by the nearest of some prototypes: cheap enough for the ring of six neighbours of a tile.
"""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

# more than float32 can be off in a product of unit vectors
_ROUNDING = 1e-5
_ROWS_AT_ONCE = 32_768


def nearest_prototypes(
    vectors: NDArray[np.float32], prototypes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the prototype that each row points to most, whatever the other rows are.

    Parameters
    ----------
    vectors
        Shape ``(n, d)``, of any length.
    prototypes
        Shape ``(p, d)``, unit rows; of equal ones, the first is meant.

    Returns
    -------
    nearest
        Shape ``(n,)``; -1 of a zero row, which is like nothing.
    """
    nearest = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        nearest[rows] = _nearest(vectors[rows], prototypes)
    return nearest


def _nearest(vectors: NDArray[np.float32], prototypes: NDArray[np.float32]) -> NDArray[np.int64]:
    rough = vectors @ prototypes.T
    nearest = np.argmax(rough, axis=1).astype(np.int64)
    # BLAS sums in an order that depends on the number of rows: near ties are summed one by one
    best = np.take_along_axis(rough, nearest[:, None], axis=1)
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    close = np.flatnonzero((rough >= best - _ROUNDING * length).sum(axis=1) > 1)
    wide = prototypes.astype(np.float64)
    for row in close.tolist():
        nearest[row] = np.argmax(wide @ vectors[row].astype(np.float64))
    nearest[length[:, 0] == 0] = -1
    return nearest


def log_counts(
    nearest: NDArray[np.int64], offsets: NDArray[np.int64], *, num_prototypes: int
) -> NDArray[np.float32]:
    """Return the logarithm of one plus how many rows of each run have each prototype.

    Parameters
    ----------
    nearest
        Of each member, shape ``(m,)``; -1 is not counted.
    offsets
        Of the runs, shape ``(t + 1,)``.

    Returns
    -------
    counts
        Shape ``(t, num_prototypes)``.
    """
    counted = nearest >= 0
    ends = np.append(0, np.cumsum(counted))[offsets]
    ones = np.ones(int(counted.sum()), np.float32)
    shape = (len(offsets) - 1, num_prototypes)
    found = scipy.sparse.csr_array((ones, nearest[counted], ends), shape=shape)
    return np.log1p(found.toarray())


#: an entity has at most so many ids, those of its tags that count most
MAX_TAG_IDS = 12
#: the least cosine of a tag and the id that it gets
MIN_SIMILARITY = 0.6


def match_vocabulary(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], vocabulary: NDArray[np.float32]
) -> NDArray[np.int16]:
    """Return the id of the vocabulary that each tag is most like.

    Parameters
    ----------
    vectors, weights
        Of u tags, shapes ``(u, tag_dim)`` and ``(u,)``.
    vocabulary
        Unit rows, shape ``(w, tag_dim)``.

    Returns
    -------
    tag_ids
        Shape ``(u,)``; -1 of a tag without weight, or like none.
    """
    if not len(vocabulary):
        return np.full(len(vectors), -1, np.int16)
    tag_ids = nearest_prototypes(vectors, vocabulary)
    similarity = np.einsum("ij,ij->i", vectors, vocabulary[np.maximum(tag_ids, 0)])
    tag_ids[(weights <= 0) | (similarity < MIN_SIMILARITY)] = -1
    return tag_ids.astype(np.int16)


def entity_tag_ids(
    ids_of_tags: NDArray[np.int16],
    weights: NDArray[np.float32],
    codes: NDArray[np.integer[Any]],
    offsets: NDArray[np.int64],
) -> NDArray[np.int16]:
    """Return the ids of the vocabulary that entities have.

    Parameters
    ----------
    ids_of_tags, weights
        Of u unique tags, shape ``(u,)``; `ids_of_tags` from `match_vocabulary`.
    codes, offsets
        Entity i has the tags ``codes[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    tag_ids
        Shape ``(n, MAX_TAG_IDS)``; each id once, that of the weightiest tag first; -1 behind
        the last.
    """
    n = len(offsets) - 1
    entity = np.repeat(np.arange(n), np.diff(offsets))
    tag_id, weight = ids_of_tags[codes].astype(np.int64), weights[codes]
    is_known = tag_id >= 0
    entity, tag_id, weight = entity[is_known], tag_id[is_known], weight[is_known]
    # each id of an entity once, with its weightiest tag; then the weightiest ids first
    order = np.lexsort((-weight, tag_id, entity))
    entity, tag_id, weight = entity[order], tag_id[order], weight[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (np.diff(entity) != 0) | (np.diff(tag_id) != 0)
    entity, tag_id, weight = entity[is_new], tag_id[is_new], weight[is_new]
    order = np.lexsort((tag_id, -weight, entity))
    entity, tag_id = entity[order], tag_id[order]
    starts = np.append(0, np.cumsum(np.bincount(entity, minlength=n)))
    place = np.arange(len(entity)) - starts[entity]
    tag_ids = np.full((n, MAX_TAG_IDS), -1, np.int16)
    fits = place < MAX_TAG_IDS
    tag_ids[entity[fits], place[fits]] = tag_id[fits]
    return tag_ids


def count_tag_ids(
    tag_ids: NDArray[np.int16], offsets: NDArray[np.int64], *, vocabulary_size: int
) -> NDArray[np.float32]:
    """Return the logarithm of one plus how many entities of each tile have each id.

    Parameters
    ----------
    tag_ids
        Of the members of tiles, shape ``(m, MAX_TAG_IDS)``.
    offsets
        Of the tiles, shape ``(t + 1,)``.

    Returns
    -------
    counts
        Shape ``(t, vocabulary_size)``.
    """
    flat = tag_ids.ravel().astype(np.int64)
    return log_counts(flat, offsets * tag_ids.shape[1], num_prototypes=vocabulary_size)
