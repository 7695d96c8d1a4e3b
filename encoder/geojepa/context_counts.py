"""What lies around a tile? How many entities there are most like each of some prototypes.

The same summary for every model that wants one: cheap, so that a ring of six neighbours costs less
than the tile itself.
"""

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
