"""Search many vectors exactly, at the speed of a matrix product.

Queries and rows are multiplied block by block. A product in float32 finds every row that may be
among a query's nearest, and these are measured again as `geoindex.search.similarity` does:
the answers are those of one query at a time, bit by bit.

What may be among the nearest is bounded by a floor for each query: the k-th similarity of a sample
of the rows, raised while rows are found. So no row of a block is ever sorted.

Which rows may be among the nearest to each query of a block? What was found above the floors.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoindex.search.similarity import Neighbours, in_reach, ranked_many, slack_of, unit_of, wide

# found rows of all queries of a block before the floors are raised again: 48 MB
_MOST_FOUND = 4_000_000
#: Below any product, above the -inf of what may not be found.
LEAST = np.finfo(np.float32).min


class Banned:
    """The rows that may not be answers, of every query of a block.

    Attributes
    ----------
    counts
        How many of a query's rows would have passed.
    """

    def __init__(
        self, unwanted: list[NDArray[np.int64]], passing: NDArray[np.int64] | None
    ) -> None:
        each = [np.unique(rows) for rows in unwanted]
        if passing is not None:
            each = [np.flatnonzero(np.isin(passing, rows, assume_unique=True)) for rows in each]
        self.counts = [len(places) for places in each]
        queries = np.repeat(np.arange(len(each)), self.counts)
        places = np.concatenate([np.zeros(0, np.int64), *each])
        order = np.argsort(places, kind="stable")
        self._places, self._queries = places[order], queries[order]

    def mark(self, products: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        """Set the products of banned rows to -inf; `places`, ascending, are those of columns."""
        if not len(self._places) or not len(places):
            return
        low, high = np.searchsorted(self._places, [places[0], places[-1] + 1])
        column = np.searchsorted(places, self._places[low:high])
        is_there = places[column] == self._places[low:high]
        products[self._queries[low:high][is_there], column[is_there]] = -np.inf


class Found:
    """The rows that may be among the nearest, of every query of a block.

    Parameters
    ----------
    num_queries, k
        How many queries, and how many rows each wants.
    slack
        How far a product may be from the similarity.
    """

    def __init__(self, num_queries: int, k: int, slack: float) -> None:
        self.floor = np.full(num_queries, LEAST)
        self._k, self._slack = k, slack
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._num_held = 0

    def add(self, products: NDArray[np.float32], start: int) -> None:
        """Take what reaches its floor; products of shape ``(queries, rows)``, rows from `start`."""
        places = np.flatnonzero(products >= self.floor[:, None])
        queries, rows = np.divmod(places, products.shape[1])
        self._parts.append((queries, rows + start, products.ravel()[places]))
        self._num_held += len(places)
        if self._num_held > _MOST_FOUND:
            self._raise_floors()

    def by_query(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Return for each query its rows, ascending, and their products."""
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        parts = zip(nothing, *self._parts, strict=True)
        queries, rows, rough = (np.concatenate(part) for part in parts)
        order = np.argsort(queries, kind="stable")
        bounds = np.searchsorted(queries[order], np.arange(len(self.floor) + 1))
        rows, rough = rows[order], rough[order]
        return [(rows[a:b], rough[a:b]) for a, b in pairwise(bounds)]

    def _raise_floors(self) -> None:
        kept = []
        for query, (rows, rough) in enumerate(self.by_query()):
            best = in_reach(rough, self._k, self._slack)
            kept.append((np.full(len(best), query), rows[best], rough[best]))
            if len(rough) >= self._k:
                self.floor[query] = rough[best].min()
        queries, rows, rough = (np.concatenate(part) for part in zip(*kept, strict=True))
        self._parts = [(queries, rows, rough)]
        # ties with the last are kept here: as many again may come before the next look
        self._num_held = 0


# 256 queries and 8,192 rows give 8 MB of products
_QUERIES, _ROWS = 256, 8192
# one row in so many is looked at first, and as many as k times so many: the product of the sample
# is then 2 % of all, and a query finds some k times so many rows above its floor
_SAMPLE_STRIDE, _SAMPLE_FACTOR, _MOST_SAMPLED = 64, 8, 16_384


def nearest_many(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    *,
    k: int,
    passing: NDArray[np.int64] | None = None,
    exclude: Sequence[NDArray[np.int64]] | None = None,
) -> list[Neighbours]:
    """Return, for each query, what `geoindex.search.exact.nearest` returns.

    Parameters
    ----------
    vectors
        Unit or zero rows, shape ``(n, D)``; memory-mapped is fine.
    queries
        Shape ``(Q, D)``, of any length but zero.
    k
        At least 1.
    passing
        The rows that may be answers to any query, ascending, each once; None for all.
    exclude
        For each query, rows that may not; None for none.

    Returns
    -------
    found
        Q answers, in the order of `queries`.

    Raises
    ------
    UsageError
        If a query is zero or not finite.
    """
    return nearest_weighed([vectors], [queries], [1.0], k=k, passing=passing, exclude=exclude)


def nearest_weighed(
    matrices: Sequence[NDArray[np.float32]],
    queries: Sequence[NDArray[np.float32]],
    weights: Sequence[float],
    *,
    k: int,
    passing: NDArray[np.int64] | None = None,
    exclude: Sequence[NDArray[np.int64]] | None = None,
) -> list[Neighbours]:
    """Return the k most similar rows by the weighed sum of several similarities, for each query.

    Parameters
    ----------
    matrices, queries, weights
        For each of the similarities: vectors, queries and weight. Otherwise as `nearest_many`.
    """
    sides = [
        _Side(matrix.view(np.ndarray), np.array([unit_of(query) for query in some]), weight)
        for matrix, some, weight in zip(matrices, queries, weights, strict=True)
    ]
    num_queries = len(queries[0])
    unwanted = [np.zeros(0, np.int64)] * num_queries if exclude is None else list(exclude)
    found: list[Neighbours] = []
    for start in range(0, num_queries, _QUERIES):
        some = slice(start, start + _QUERIES)
        found += _block([side.of(some) for side in sides], k, passing, unwanted[some])
    return found


class _Side:
    """One of the similarities that are weighed: its vectors, its unit queries, its weight."""

    def __init__(
        self, matrix: NDArray[np.float32], units: NDArray[np.float64], weight: float
    ) -> None:
        self.matrix, self.units, self.weight = matrix, units, weight
        self.narrow = (weight * units).astype(np.float32)

    def of(self, some: slice) -> "_Side":
        return _Side(self.matrix, self.units[some], self.weight)


def _products(
    sides: Sequence[_Side], rows: slice | NDArray[np.int64], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the product of every query and some rows, shape ``(queries, rows)``."""
    products = np.matmul(sides[0].narrow, wide(sides[0].matrix[rows]).T, out=out)
    for side in sides[1:]:
        products += side.narrow @ wide(side.matrix[rows]).T
    return products


def _block(
    sides: Sequence[_Side],
    k: int,
    passing: NDArray[np.int64] | None,
    unwanted: list[NDArray[np.int64]],
) -> list[Neighbours]:
    num_queries = len(unwanted)
    num_rows = len(sides[0].matrix) if passing is None else len(passing)
    banned = Banned(unwanted, passing)
    slack = max(slack_of(side.matrix) for side in sides)
    found = Found(num_queries, k, slack)
    found.floor[:] = _floors(sides, k, passing, banned, num_rows, slack)
    # one piece of memory for all blocks: new pages cost as much as a fifth of a product
    held = np.empty((num_queries, _ROWS), np.float32)
    for start in range(0, num_rows, _ROWS):
        stop = min(start + _ROWS, num_rows)
        rows = slice(start, stop) if passing is None else passing[start:stop]
        products = _products(sides, rows, held if stop - start == _ROWS else None)
        banned.mark(products, np.arange(start, stop))
        found.add(products, start)
    best = [places[in_reach(rough, k, slack)] for places, rough in found.by_query()]
    answers = ranked_many(
        [side.matrix for side in sides],
        best if passing is None else [passing[places] for places in best],
        [side.units for side in sides],
        k,
        weights=[side.weight for side in sides],
    )
    return [
        Neighbours(rows, similarity, num_rows - out)
        for (rows, similarity), out in zip(answers, banned.counts, strict=True)
    ]


def _floors(
    sides: Sequence[_Side],
    k: int,
    passing: NDArray[np.int64] | None,
    banned: Banned,
    num_rows: int,
    slack: float,
) -> NDArray[np.float32]:
    """Return for each query what its k-th row has at least; the least float where unknown."""
    wanted = min(max(num_rows // _SAMPLE_STRIDE, _SAMPLE_FACTOR * k), _MOST_SAMPLED)
    places = np.arange(0, num_rows, max(1, num_rows // wanted))
    num_queries = len(sides[0].units)
    if len(places) <= k:
        return np.full(num_queries, LEAST)
    products = _products(sides, places if passing is None else passing[places])
    banned.mark(products, places)
    kth = np.partition(products, len(places) - k, axis=1)[:, len(places) - k]
    return np.maximum(kth - np.float32(2 * slack), LEAST)
