"""The promise that every search backend keeps, and two that keep it.

====================  ============================================================================
`Exact`               reads every row that passes, or its code; always there, always right
`Approximate`         has candidates proposed by an index (`geoindex.search.faiss_backend`,
                      `geoindex.search.lance_backend`), and measures them as the exact search does
====================  ============================================================================

A backend that is not exact says so with every answer, and what recall it had when measured. It
returns None rather than fewer rows than pass: `geoindex.search.planner` then asks the exact one.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.search.exact import nearest
from geoindex.search.pruning import Codes
from geoindex.search.similarity import Neighbours, in_reach, ranked, slack_of, unit_of, wide

#: The k that recall is measured at.
RECALL_K = 10


class Backend(Protocol):
    """Searches the vectors of one table."""

    @property
    def name(self) -> str:
        """Who this is, as answers say it."""

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        passing: NDArray[np.int64] | None = None,
        exclude: NDArray[np.int64] | None = None,
    ) -> Neighbours | None:
        """Return the k nearest of the rows that pass, as `geoindex.search.exact.nearest`.

        Returns
        -------
        found
            None if it cannot find as many as pass.
        """


class Proposer(Protocol):
    """An index that names rows likely to be near; what it says of similarity is not used."""

    @property
    def name(self) -> str:
        """Who this is, as answers say it."""

    @property
    def can_filter(self) -> bool:
        """Whether `propose` takes the rows that pass."""

    def propose(
        self, query: NDArray[np.float32], *, k: int, passing: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return rows, in any order, among which the k nearest may be."""


@dataclass(frozen=True)
class Exact:
    """Reads every row that passes, or its code.

    Attributes
    ----------
    vectors
        Unit or zero rows, shape ``(n, D)``.
    codes
        Of these vectors, or None.
    """

    vectors: NDArray[np.float32]
    codes: Codes | None = None
    name: str = "exact"

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        passing: NDArray[np.int64] | None = None,
        exclude: NDArray[np.int64] | None = None,
    ) -> Neighbours:
        """Return the k nearest, exactly."""
        return nearest(self.vectors, query, k=k, passing=passing, exclude=exclude, codes=self.codes)


@dataclass(frozen=True)
class Approximate:
    """Measures what an index proposes.

    Attributes
    ----------
    vectors
        Unit or zero rows, shape ``(n, D)``, those the index was made of.
    proposer
        The index.
    recall
        Measured on held queries; None before that.
    """

    vectors: NDArray[np.float32]
    proposer: Proposer
    recall: float | None = None

    @property
    def name(self) -> str:
        """Who this is, as answers say it."""
        return self.proposer.name

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        passing: NDArray[np.int64] | None = None,
        exclude: NDArray[np.int64] | None = None,
    ) -> Neighbours | None:
        """Return k near rows; None if fewer were proposed than pass."""
        unit = unit_of(query)
        narrow = unit.astype(np.float32)
        out = np.zeros(0, np.int64) if exclude is None else np.unique(exclude)
        if passing is not None:
            out = np.intersect1d(out, passing, assume_unique=True)
            if not self.proposer.can_filter:
                return None
        num_passing = (len(self.vectors) if passing is None else len(passing)) - len(out)
        rows = self.proposer.propose(narrow, k=k + len(out), passing=passing)
        rows = np.sort(rows[~np.isin(rows, out)]) if len(out) else np.sort(rows)
        if len(rows) < min(k, num_passing):
            return None
        near = rows[in_reach(wide(self.vectors[rows]) @ narrow, k, slack_of(self.vectors))]
        return Neighbours(
            *ranked(self.vectors, near, unit, k), num_passing, is_exact=False,
            recall=self.recall, backend=self.name,
        )  # fmt: skip
