"""What a search returns, and its similarity: one measure, whoever found the rows.

Every candidate is measured again in float64, row by row, so that an answer depends neither on how
rows were cut into blocks, nor on the BLAS at hand, nor on who proposed them. Ties go to the smaller
row, so to the smaller cell, then id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError

# rows measured at a time: 16 MB of float64 at 256 dims
_MEASURED_ROWS = 8192
# from so many rows on, those that are alike are looked for first
_ALIKE_ROWS = 1024
# more than float32 can be off in a product of unit vectors of some thousand dims
SLACK = 1e-4
# how far the length of a stored vector may be from 1: half a step of float16 is 2**-12 to 2**-11 of
# a number, and of its smallest numbers 2**-25
_UNIT_SLACK = {"float32": SLACK / 2, "float16": SLACK / 2 + 2.0**-11}


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
        How many rows were compared, or would have been by an exact search.
    is_exact
        Whether no row that passes is more similar than these.
    recall
        Where not exact: the share of the exact nearest that the same search found of held queries.
    backend
        Who answered.
    instead
        Why the exact search answered where another was asked for by name; else empty.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float64]
    num_passing: int
    is_exact: bool = True
    recall: float | None = None
    backend: str = "exact"
    instead: str = ""


def unit_slack(dtype: np.dtype[Any]) -> float:
    """Return how far from 1 the length of a vector of this type may be."""
    return _UNIT_SLACK.get(dtype.name, SLACK / 2)


def slack_of(vectors: NDArray[np.floating]) -> float:
    """Return more than a product of float32 with stored vectors can differ from the cosine."""
    return unit_slack(vectors.dtype) + SLACK / 2


def wide(block: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return some stored vectors as float32; those of float32 as they are."""
    return block.astype(np.float32, copy=False)


def unit_of(query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a query as a unit vector of float64, shape ``(D,)``.

    Raises
    ------
    UsageError
        If it is zero or not finite: it has no direction.
    """
    long = np.asarray(query, np.float64)
    length = np.sqrt((long * long).sum())
    if not 0 < length < np.inf:
        msg = f"the query vector has length {length:g}; want a finite one that is not all zero"
        raise UsageError(msg)
    unit: NDArray[np.float64] = long / length
    return unit


def measured(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the cosine of each row in float64, each measured on its own; shape as `rows`."""
    found = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _MEASURED_ROWS):
        block = vectors[rows[start : start + _MEASURED_ROWS]]
        part = found[start : start + _MEASURED_ROWS]
        if len(block) < _ALIKE_ROWS:
            part[:] = _cosines(block, unit)
            continue
        # thousands of candidates are mostly one vector many times over, as of trees with no more
        # tags than that: it is measured once
        is_first = np.all(block == block[0], axis=1)
        part[is_first] = _cosines(block[:1], unit)
        part[~is_first] = _cosines(block[~is_first], unit)
    return np.clip(found, -1, 1)


def _cosines(block: NDArray[np.float32], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each row and a unit query, or its own of as many."""
    long = block.astype(np.float64, order="C")
    length = np.sqrt((long * long).sum(axis=1))
    # elementwise sums of one row: the same bits in whatever block the row comes
    product = (long * unit).sum(axis=1)
    found: NDArray[np.float64] = product / np.where(length > 0, length, 1)
    return found


def in_reach(rough: NDArray[np.float32], k: int, slack: float = SLACK) -> NDArray[np.int64]:
    """Return the places of all that may be among the k greatest, each off by at most `slack`."""
    if len(rough) <= k:
        return np.arange(len(rough))
    least = np.partition(rough, len(rough) - k)[len(rough) - k]
    return np.flatnonzero(rough >= least - np.float32(2 * slack))


def ranked(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], unit: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the k most similar of some rows, nearest first, and their similarity."""
    return ranked_weighed([vectors], rows, [unit], k, weights=[1.0])


def ranked_weighed(
    matrices: Sequence[NDArray[np.float32]],
    rows: NDArray[np.int64],
    units: Sequence[NDArray[np.float64]],
    k: int,
    *,
    weights: Sequence[float],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what `ranked` returns, by the weighed sum of several similarities.

    Parameters
    ----------
    matrices, units, weights
        One of each for each of the similarities.
    """
    similarity = np.zeros(len(rows))
    for matrix, unit, weight in zip(matrices, units, weights, strict=True):
        similarity += weight * measured(matrix, rows, unit)
    order = np.lexsort((rows, -similarity))[:k]
    return rows[order], similarity[order]


def ranked_many(
    matrices: Sequence[NDArray[np.float32]],
    rows: Sequence[NDArray[np.int64]],
    units: Sequence[NDArray[np.float64]],
    k: int,
    *,
    weights: Sequence[float],
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return what `ranked_weighed` returns for each of several queries, bit by bit.

    Parameters
    ----------
    rows
        Of each query.
    units
        Of each matrix, one a query, shape ``(Q, D)``.
    """
    sizes = [len(some) for some in rows]
    if max(sizes, default=0) >= _ALIKE_ROWS:
        of_each = zip(rows, zip(*units, strict=True), strict=True)
        return [ranked_weighed(matrices, some, own, k, weights=weights) for some, own in of_each]
    together = np.concatenate([np.zeros(0, np.int64), *rows])
    query = np.repeat(np.arange(len(rows)), sizes)
    similarity = np.zeros(len(together))
    for start in range(0, len(together), _MEASURED_ROWS):
        part = slice(start, start + _MEASURED_ROWS)
        for matrix, own, weight in zip(matrices, units, weights, strict=True):
            found = _cosines(matrix[together[part]], own[query[part]])
            similarity[part] += weight * np.clip(found, -1, 1)
    order = np.lexsort((together, -similarity, query))
    stops = np.cumsum(sizes)
    firsts = [order[stop - size : stop][:k] for size, stop in zip(sizes, stops, strict=True)]
    return [(together[first], similarity[first]) for first in firsts]
