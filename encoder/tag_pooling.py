"""Make one vector of all the tags of an entity."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from encoder.errors import TagInputError

# bounds the float64 working copy at about 50 MB of 192-d rows, however many entities come
_ROWS_AT_ONCE = 32_768


def pool(
    codes: NDArray[np.integer[Any]],
    offsets: NDArray[np.integer[Any]],
    *,
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return ``sum(w v) / sqrt(sum(w^2))`` over the tags of each entity.

    One tag gives its own vector; n tags of equal weight give their sum over the square root of n:
    unrelated tags neither shrink the result, as a mean would, nor swell it, as a sum would.

    Parameters
    ----------
    codes
        Which unique tag, shape ``(m,)``; entity i has ``codes[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(n + 1,)``, from 0 to m, never falling.
    vectors, weights
        Of the unique tags, shapes ``(u, dim)`` and ``(u,)``; weights at least 0.

    Returns
    -------
    pooled
        Shape ``(n, dim)``; zero for an entity none of whose tags has a weight. Sums are made in
        float64, so neither the order of the tags nor the other entities of a call show.

    Raises
    ------
    TagInputError
        If codes, offsets, vectors and weights do not fit together.
    """
    codes, offsets = np.asarray(codes), np.asarray(offsets, np.int64)
    _check(codes, offsets, vectors, weights)
    # what has no weight adds nothing: a third of the tags of a real map
    telling = weights[codes] > 0
    codes, offsets = codes[telling], np.append(0, np.cumsum(telling))[offsets]
    n = len(offsets) - 1
    pooled = np.zeros((n, vectors.shape[1]), np.float32)
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, n)
        low, high = offsets[start], offsets[stop]
        used, local = np.unique(codes[low:high], return_inverse=True)
        w = weights[used].astype(np.float64)
        indptr = offsets[start : stop + 1] - low
        members = sparse.csr_matrix((w[local], local, indptr), shape=(stop - start, len(used)))
        # one order of addition for one set of tags
        members.sort_indices()
        sums = members @ vectors[used].astype(np.float64)
        squares = sparse.csr_matrix((members.data**2, members.indices, indptr), members.shape)
        norms = np.sqrt(squares @ np.ones(len(used)))
        pooled[start:stop] = sums / np.where(norms > 0, norms, 1)[:, None]
    return pooled


def _check(
    codes: NDArray[Any], offsets: NDArray[Any], vectors: NDArray[Any], weights: NDArray[Any]
) -> None:
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(codes):
        msg = (
            f"offsets are {offsets.tolist()[:5]} for {len(codes)} codes; want n + 1 values "
            f"from 0 to {len(codes)}, for example [0, {len(codes)}]"
        )
        raise TagInputError(msg)
    if (np.diff(offsets) < 0).any():
        msg = "offsets fall somewhere; want each at least as large as the one before: [0, 2, 2, 5]"
        raise TagInputError(msg)
    if len(vectors) != len(weights):
        msg = f"{len(vectors)} vectors and {len(weights)} weights; want one of each a unique tag"
        raise TagInputError(msg)
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(vectors)):
        msg = (
            f"codes run from {codes.min()} to {codes.max()}; want 0 to {len(vectors) - 1}, "
            "the rows of the vectors"
        )
        raise TagInputError(msg)
