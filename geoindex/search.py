"""Which rows are nearest to a vector? Exact: every row that passes the filter is compared.

Two passes, so that an answer does not depend on how the rows were cut into blocks or on the BLAS
at hand: a fast product in float32 finds every row that could be among the nearest, and these are
measured again one by one in float64. Ties go to the smaller row, so to the smaller cell, then id.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError

# rows of 256 float32 in a block: 64 MB
_BLOCK_ROWS = 65_536
# above this share of the rows a scan of all is faster than picking them out: equal at 0.15 to 0.2
# with 300,000 rows of 256 in memory
_SCAN_SHARE = 0.15
# more than float32 can be off in a product of unit vectors of some thousand dims
_SLACK = 1e-4


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows, nearest first.

    Attributes
    ----------
    rows
        Shape ``(k,)`` or fewer, where fewer passed.
    similarity
        Cosine, -1 to 1, float64, shape as `rows`; 0 of a zero row.
    num_passing
        How many rows were compared.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float64]
    num_passing: int


def nearest(
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    *,
    k: int,
    passing: NDArray[np.int64] | None = None,
    exclude: NDArray[np.int64] | None = None,
) -> Neighbours:
    """Return the k rows whose vectors are most similar to the query, exactly.

    Parameters
    ----------
    vectors
        Unit or zero rows, shape ``(n, D)``; memory-mapped is fine.
    query
        Shape ``(D,)``, of any length but zero.
    k
        At least 1.
    passing
        The rows that may be answers, ascending, each once; None for all.
    exclude
        Rows that may not, whatever `passing` says.

    Raises
    ------
    UsageError
        If the query is zero or not finite: it has no direction.
    """
    unit = _unit(query)
    vectors = vectors.view(np.ndarray)
    rows, rough = _rough(vectors, unit.astype(np.float32), passing)
    if exclude is not None and exclude.size:
        rows, rough = _without(rows, rough, exclude)
    num_passing = len(rows)
    if num_passing > k:
        # the k-th of the rough ones may be off, and so may those below it: keep all in reach
        least = np.partition(rough, num_passing - k)[num_passing - k]
        rows = rows[rough >= least - 2 * _SLACK]
    similarity = _exact(vectors, rows, unit)
    order = np.lexsort((rows, -similarity))[:k]
    return Neighbours(rows[order], similarity[order], num_passing)


def _unit(query: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = np.asarray(query, np.float64)
    length = np.sqrt((wide * wide).sum())
    if not 0 < length < np.inf:
        msg = f"the query vector has length {length:g}; want a finite one that is not all zero"
        raise UsageError(msg)
    unit: NDArray[np.float64] = wide / length
    return unit


def _rough(
    vectors: NDArray[np.float32], query: NDArray[np.float32], passing: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the candidate rows and their similarity in float32."""
    n = len(vectors)
    if passing is not None and len(passing) <= _SCAN_SHARE * n:
        parts = [
            vectors[passing[start : start + _BLOCK_ROWS]] @ query
            for start in range(0, len(passing), _BLOCK_ROWS)
        ]
        return passing, _joined(parts)
    parts = [vectors[start : start + _BLOCK_ROWS] @ query for start in range(0, n, _BLOCK_ROWS)]
    rough = _joined(parts)
    if passing is None:
        return np.arange(n, dtype=np.int64), rough
    return passing, rough[passing]


def _without(
    rows: NDArray[np.int64], rough: NDArray[np.float32], exclude: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    place = np.searchsorted(rows, exclude)
    place = place[place < len(rows)]
    unwanted = place[np.isin(rows[place], exclude)]
    return np.delete(rows, unwanted), np.delete(rough, unwanted)


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _exact(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Measure the cosine of each row in float64, each on its own."""
    found = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = vectors[rows[start : start + _BLOCK_ROWS]].astype(np.float64, order="C")
        length = np.sqrt((block * block).sum(axis=1))
        # elementwise sums of one row: the same bits in whatever block the row comes
        product = (block * unit).sum(axis=1)
        found[start : start + _BLOCK_ROWS] = product / np.where(length > 0, length, 1)
    return np.clip(found, -1, 1)
