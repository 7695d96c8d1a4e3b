"""Which rows are nearest to each of many vectors? Exact, at the speed of a matrix product.

Queries and rows are multiplied block by block. A product in float32 finds every row that may be
among a query's nearest, and these are measured again as `geoindex.searching.neighbours` does:
the answers are those of one query at a time, bit by bit.

What may be among the nearest is told by a floor for each query: the k-th similarity of a sample of
the rows, raised while rows are found. So no row of a block is ever sorted.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoindex.searching.neighbours import SLACK, Neighbours, in_reach, ranked, unit_of

# 256 queries and 8,192 rows give 8 MB of products
_QUERIES, _ROWS = 256, 8192
_SAMPLE_ROWS = 16_384
# found rows of all queries of a block before the floors are raised again: 48 MB
_MOST_FOUND = 4_000_000
# below any product, above the -inf of what may not be found
_LEAST = np.finfo(np.float32).min


def nearest_many(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    *,
    k: int,
    passing: NDArray[np.int64] | None = None,
    exclude: Sequence[NDArray[np.int64]] | None = None,
) -> list[Neighbours]:
    """Return, for each query, what `geoindex.search.nearest` returns.

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
    vectors = vectors.view(np.ndarray)
    units = [unit_of(query) for query in queries]
    unwanted = [np.zeros(0, np.int64) if exclude is None else exclude[i] for i in range(len(units))]
    found: list[Neighbours] = []
    for start in range(0, len(units), _QUERIES):
        some = slice(start, start + _QUERIES)
        found += _block(vectors, units[some], k, passing, unwanted[some])
    return found


def _block(
    vectors: NDArray[np.float32],
    units: list[NDArray[np.float64]],
    k: int,
    passing: NDArray[np.int64] | None,
    unwanted: list[NDArray[np.int64]],
) -> list[Neighbours]:
    narrow = np.array(units, np.float32)
    num_rows = len(vectors) if passing is None else len(passing)
    banned = _Banned(unwanted, passing)
    found = _Found(len(units), k)
    found.floor[:] = _floors(vectors, narrow, k, passing, banned)
    for start in range(0, num_rows, _ROWS):
        stop = min(start + _ROWS, num_rows)
        block = vectors[start:stop] if passing is None else vectors[passing[start:stop]]
        products = narrow @ block.T
        banned.mark(products, np.arange(start, stop))
        found.add(products, start)
    answers = []
    for (places, rough), unit, out in zip(found.by_query(), units, banned.counts, strict=True):
        best = places[in_reach(rough, k)]
        rows, similarity = ranked(vectors, best if passing is None else passing[best], unit, k)
        answers.append(Neighbours(rows, similarity, num_rows - out))
    return answers


def _floors(
    vectors: NDArray[np.float32],
    narrow: NDArray[np.float32],
    k: int,
    passing: NDArray[np.int64] | None,
    banned: "_Banned",
) -> NDArray[np.float32]:
    """Return for each query what its k-th row has at least; the least float where unknown."""
    num_rows = len(vectors) if passing is None else len(passing)
    places = np.arange(0, num_rows, max(1, num_rows // _SAMPLE_ROWS))
    if len(places) <= k:
        return np.full(len(narrow), _LEAST)
    products = narrow @ vectors[places if passing is None else passing[places]].T
    banned.mark(products, places)
    kth = np.partition(products, len(places) - k, axis=1)[:, len(places) - k]
    return np.maximum(kth - np.float32(2 * SLACK), _LEAST)


class _Banned:
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


class _Found:
    """The rows that may be among the nearest, of every query of a block.

    Parameters
    ----------
    num_queries, k
        How many queries, and how many rows each wants.
    """

    def __init__(self, num_queries: int, k: int) -> None:
        self.floor = np.full(num_queries, _LEAST)
        self._k = k
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
            best = in_reach(rough, self._k)
            kept.append((np.full(len(best), query), rows[best], rough[best]))
            if len(rough) >= self._k:
                self.floor[query] = rough[best].min()
        queries, rows, rough = (np.concatenate(part) for part in zip(*kept, strict=True))
        self._parts = [(queries, rows, rough)]
        # ties with the last cannot be told apart here: as many again may come before the next look
        self._num_held = 0
