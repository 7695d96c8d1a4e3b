"""Which rows may be among the nearest to each query of a block? What was found above the floors."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoindex.searching.neighbours import in_reach

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
    """

    def __init__(self, num_queries: int, k: int) -> None:
        self.floor = np.full(num_queries, LEAST)
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
