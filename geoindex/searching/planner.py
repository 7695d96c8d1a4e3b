"""Who answers a query? The exact search, but where an approximate one was asked for and can.

===========================================  ======================================================
no approximate index, or ``exact`` asked     exact
fewer than a third of the rows pass          exact: codes of runs are read in less time than a list
                                             of so many rows takes to be handed over
more than 100 wanted                         exact: recall was measured for 10
the index found fewer rows than pass         exact
else                                         the approximate index, and the answer says so
===========================================  ======================================================
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoindex.searching.backends import Approximate, Exact
from geoindex.searching.neighbours import Neighbours

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
    notes
        What was decided on the way: of an index that is out of date.
    """

    def __init__(
        self,
        exact: Exact,
        opener: Callable[[], Approximate] | None = None,
        *,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.exact = exact
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
        """Return the k nearest of the rows that pass, as `geoindex.search.nearest`; says who."""
        if self._may_be_approximate(k, passing) and (approximate := self.approximate) is not None:
            found = approximate.search(query, k=k, passing=passing, exclude=exclude)
            if found is not None:
                return found
        return self.exact.search(query, k=k, passing=passing, exclude=exclude)

    def _may_be_approximate(self, k: int, passing: NDArray[np.int64] | None) -> bool:
        is_weak = passing is None or len(passing) >= _WEAK_SHARE * len(self.exact.vectors)
        return is_weak and k <= _MOST_WANTED
