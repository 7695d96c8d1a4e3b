"""Search one vector exactly: no row that passes is left out but by proof.

Without codes, every row that passes is multiplied. With them (`geoindex.search.pruning`) every row
that passes has a bound, at a tenth of the reading, and rows are taken from the highest bound down
until the k-th found is above the bounds of all that are left: the threshold algorithm of Fagin,
Lotem and Naor (2003), in growing steps. What could be among the nearest is measured again as
`geoindex.search.similarity` does, so the answers are the same to the bit.

Rows are in cell order, so those of a place come in runs: runs are read as slices of the memory map,
with the few rows between two that lie close together, rather than row by row.
"""

import numpy as np
from numpy.typing import NDArray

from geoindex._threads import one_thread
from geoindex.search.pruning import ROUNDING, Codes
from geoindex.search.similarity import Neighbours, in_reach, ranked, slack_of, unit_of, wide

# rows of 256 float32 in a block: 64 MB
_BLOCK_ROWS = 65_536
# runs with fewer rows between them are read as one
_GAP_ROWS = 64
# a slice costs about as much as picking this many rows out; as measured with rows of 256 and of 24
_SLICE_COST_ROWS, _SCAN_SHARE = 20, 0.15
# rows whose bounds are highest, measured first; then _GROWTH times as many each time
_FIRST_ROWS, _GROWTH = 256, 4
# for bounds of more rows, the highest are looked for among the highest of groups of 64
_GROUPED_ROWS, _GROUP_ROWS = 50_000, 64
# with codes, the k nearest are looked for among at least this many times as many rows
_LEAST_FACTOR = 20
# where bounds leave more than this share of the rows, reading all in their order is faster: they
# leave most of them where a query is like nothing that is there
_LEFT_SHARE = 0.1


def nearest(
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    *,
    k: int,
    passing: NDArray[np.int64] | None = None,
    exclude: NDArray[np.int64] | None = None,
    codes: Codes | None = None,
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
    codes
        Of these vectors: the same answer, sooner.

    Raises
    ------
    UsageError
        If the query is zero or not finite: it has no direction.
    """
    unit = unit_of(query)
    narrow = unit.astype(np.float32)
    vectors = vectors.view(np.ndarray)
    num_rows = len(vectors) if passing is None else len(passing)
    rows: NDArray[np.int64] | None = None
    num_excluded = 0
    width = (vectors if codes is None else codes.rows).shape[1]
    with one_thread(num_rows * width):
        if codes is not None and num_rows >= max(_LEAST_FACTOR * k, _LEAST_FACTOR * _FIRST_ROWS):
            bounds = _products(codes.rows, codes.of_query(unit), passing)
            num_excluded = _banish(bounds, passing, exclude)
            rows = _by_bounds(vectors, narrow, bounds, passing, k)
        if rows is None:
            values = _products(vectors, narrow, passing)
            num_excluded = _banish(values, passing, exclude)
            places = in_reach(values, k, slack_of(vectors))
            places = places[values[places] > -np.inf]
            rows = places if passing is None else passing[places]
    return Neighbours(*ranked(vectors, rows, unit, k), num_rows - num_excluded)


def _products(
    matrix: NDArray[np.float32], vector: NDArray[np.float32], passing: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return the product of each row that passes with the vector, in the order of the rows."""
    if passing is None or len(passing) == len(matrix):
        return _slice_products(matrix, vector, 0, len(matrix))
    if not len(passing):
        return np.zeros(0, np.float32)
    breaks = np.flatnonzero(np.diff(passing) > _GAP_ROWS)
    starts = passing[np.concatenate([[0], breaks + 1])]
    stops = passing[np.concatenate([breaks, [len(passing) - 1]])] + 1
    num_read = int((stops - starts).sum()) + _SLICE_COST_ROWS * len(starts)
    # picking rows out costs some times what reading them in their order does
    if len(passing) < _SCAN_SHARE * min(num_read, len(matrix)):
        parts = [
            wide(matrix[passing[start : start + _BLOCK_ROWS]]) @ vector
            for start in range(0, len(passing), _BLOCK_ROWS)
        ]
        return np.concatenate(parts)
    if num_read >= len(matrix):
        return _slice_products(matrix, vector, 0, len(matrix))[passing]
    # where each run begins in `values`, less where it begins in the matrix
    runs = list(zip(starts.tolist(), stops.tolist(), strict=True))
    values = np.concatenate([_slice_products(matrix, vector, *run) for run in runs])
    if len(values) == len(passing):
        return values
    sizes = stops - starts
    shift = np.cumsum(sizes) - sizes - starts
    counts = np.diff(np.concatenate([[0], breaks + 1, [len(passing)]]))
    return values[passing + np.repeat(shift, counts)]


def _slice_products(
    matrix: NDArray[np.float32], vector: NDArray[np.float32], start: int, stop: int
) -> NDArray[np.float32]:
    values = np.empty(stop - start, np.float32)
    for low in range(start, stop, _BLOCK_ROWS):
        high = min(low + _BLOCK_ROWS, stop)
        np.matmul(wide(matrix[low:high]), vector, out=values[low - start : high - start])
    return values


def _banish(
    values: NDArray[np.float32],
    passing: NDArray[np.int64] | None,
    exclude: NDArray[np.int64] | None,
) -> int:
    """Set the values of excluded rows to -inf; return how many there were."""
    if exclude is None or not exclude.size or not len(values):
        return 0
    places = np.unique(exclude)
    if passing is not None:
        found = np.searchsorted(passing, places)
        found = np.minimum(found, len(passing) - 1)
        places = found[passing[found] == places]
    values[places] = -np.inf
    return len(places)


def _by_bounds(
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    bounds: NDArray[np.float32],
    passing: NDArray[np.int64] | None,
    k: int,
) -> NDArray[np.int64] | None:
    """Return the rows that may be among the k nearest; None if that is best found without bounds.

    Changes `bounds`.
    """
    taken, rough, slack = [], np.zeros(0, np.float32), slack_of(vectors)
    left: NDArray[np.int64] = _highest(bounds)
    size = max(_FIRST_ROWS, _GROWTH * k)
    while len(left):
        best = np.argpartition(bounds[left], -size)[-size:] if len(left) > size else slice(None)
        places = np.sort(left[best])
        taken.append(places if passing is None else passing[places])
        rough = np.concatenate([rough, wide(vectors[taken[-1]]) @ query])
        bounds[places] = -np.inf
        floor = np.finfo(np.float32).min
        if len(rough) >= k:
            # the k-th so far, less what it may be off by
            kth = np.partition(rough, len(rough) - k)[len(rough) - k]
            floor = kth - np.float32(2 * slack + ROUNDING)
        left = np.flatnonzero(bounds >= floor)
        if len(left) > _LEFT_SHARE * len(bounds):
            return None
        size *= _GROWTH
    rows = np.concatenate([np.zeros(0, np.int64), *taken])
    return rows[in_reach(rough, k, slack)]


def _highest(bounds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return places that hold many of the highest bounds, enough of them to begin with."""
    num_groups = len(bounds) // _GROUP_ROWS
    if len(bounds) < _GROUPED_ROWS:
        return np.flatnonzero(bounds > -np.inf)
    # members of a group lie a stride apart: the maximum of many columns is quick to find
    grouped = bounds[: num_groups * _GROUP_ROWS].reshape(_GROUP_ROWS, num_groups)
    groups = np.argpartition(grouped.max(axis=0), -_FIRST_ROWS)[-_FIRST_ROWS:]
    places = (groups[:, None] + num_groups * np.arange(_GROUP_ROWS)).ravel()
    return places[bounds[places] > -np.inf]
