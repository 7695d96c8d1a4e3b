"""Choose who answers a query: the exact search, unless an approximate one can.

===========================================  ======================================================
no approximate index, or ``exact`` asked     exact
fewer than a third of the rows pass          exact: codes of runs are read in less time than a list
                                             of so many rows takes to be handed over
more than 100 wanted                         exact: recall was measured for 10
the index found fewer rows than pass         exact
else                                         the approximate index, and the answer says so
===========================================  ======================================================

Where a backend is named and the exact search answers instead, a note says why.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoindex.search.base import Approximate, Exact
from geoindex.search.similarity import Neighbours

_WEAK_SHARE = 1 / 3
_MOST_WANTED = 100


class Searcher:
    """Searches one vector column of one table, with whom the plan says.

    Parameters
    ----------
    exact
        Always there.
    opener
        Opens the approximate index, when first it is needed; None where there is none, or only
        the exact search is wanted.
    wanted
        The backend that was asked for by name.
    notes
        What was decided on the way: of an index that is out of date.
    """

    def __init__(
        self,
        exact: Exact,
        opener: Callable[[], Approximate] | None = None,
        *,
        wanted: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.exact = exact
        self.wanted = wanted
        self.notes = notes
        self._opener = opener

    @cached_property
    def approximate(self) -> Approximate | None:
        """The approximate index, opened; None where it is not there or not wanted."""
        return None if self._opener is None else self._opener()

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        passing: NDArray[np.int64] | None = None,
        exclude: NDArray[np.int64] | None = None,
    ) -> Neighbours:
        """Return the k nearest of the rows that pass, and who found them."""
        why = self._why_exact(k, passing)
        if not why and (approximate := self.approximate) is not None:
            found = approximate.search(query, k=k, passing=passing, exclude=exclude)
            if found is not None:
                return found
            why = f"{approximate.name} found fewer rows than pass the filters"
            if passing is not None and not approximate.proposer.can_filter:
                why = f"{approximate.name} loses answers under a filter"
        exact = self.exact.search(query, k=k, passing=passing, exclude=exclude)
        if self.wanted is None or not why:
            return exact
        return replace(exact, instead=f"searched exactly, not by {self.wanted}: {why}")

    def _why_exact(self, k: int, passing: NDArray[np.int64] | None) -> str:
        """Say why an approximate index is not to be asked; empty where it may be."""
        if k > _MOST_WANTED:
            return f"{k:,} rows are looked for, and its recall was measured for 10"
        num_rows = len(self.exact.vectors)
        if passing is not None and len(passing) < _WEAK_SHARE * num_rows:
            return f"{len(passing):,} of {num_rows:,} rows pass the filters, fewer than a third"
        return ""
