"""In which vectors is similarity measured? One matrix of vectors, or two that are weighed.

==========  ====================================================================
focus       similarity of two entities
==========  ====================================================================
own         cosine of the vectors of the two alone
context     cosine of their vectors in their surroundings
both        ``own_weight`` times the first plus ``1 - own_weight`` times the second
==========  ====================================================================

Cells have one vector, whatever the focus. A zero vector is at cosine 0 of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.index import Index
from geoindex.search.exact_batch import nearest_weighed
from geoindex.search.planner import Searcher
from geoindex.search.similarity import Neighbours, in_reach, ranked_weighed, slack_of, unit_of
from geoindex.storage.layout import CELLS
from geoindex.types import FOCUSES, check_backend, check_table

BOTH = "both"
OWN_WEIGHT = 0.5
_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Space:
    """The vectors of one table that are compared.

    Attributes
    ----------
    focuses
        ``"own"``, ``"context"``, or both; of cells ``("context",)``.
    matrices
        One a focus: unit or zero rows, shape ``(n, D)``, memory-mapped.
    weights
        One a focus, 0 to 1; they sum to 1.
    searcher
        Who searches, where there is one matrix; two are always searched exactly, here.
    said
        What was decided on the way.
    """

    focuses: tuple[str, ...]
    matrices: tuple[NDArray[np.float32], ...]
    weights: tuple[float, ...]
    searcher: Searcher | None = None
    said: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of who searches: of an index that is out of date."""
        return self.said if self.searcher is None else (*self.said, *self.searcher.notes)

    def units(self, rows: NDArray[np.int64] | int) -> tuple[NDArray[np.float64], ...]:
        """Return rows as unit (or zero) vectors of float64, one array a matrix."""
        return tuple(unit(matrix[rows]) for matrix in self.matrices)

    def joined(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return rows so that the product of two is their similarity, shape ``(n, sum of D)``."""
        parts = zip(self.units(rows), self.weights, strict=True)
        return np.concatenate([vectors * weight**0.5 for vectors, weight in parts], axis=-1)

    def nearest(
        self,
        queries: Sequence[NDArray[np.float32]],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: NDArray[np.int64] | None,
    ) -> Neighbours:
        """Return the k rows most similar to a query, as `geoindex.search.exact.nearest` does.

        Parameters
        ----------
        queries
            One a matrix, shape ``(D,)``.
        """
        if self.searcher is not None:
            return self.searcher.search(queries[0], k=k, passing=passing, exclude=exclude)
        return self._weighed(queries, k=k, passing=passing, exclude=exclude)

    def nearest_many(
        self,
        queries: Sequence[tuple[NDArray[np.float32], ...]],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: Sequence[NDArray[np.int64]],
    ) -> list[Neighbours]:
        """Return, for each query, what `nearest` returns of an exact search, all at once.

        Parameters
        ----------
        queries
            Of each, one a matrix, shape ``(D,)``.
        exclude
            Of each, the rows that may not be its answers.
        """
        sides = [np.stack([query[i] for query in queries]) for i in range(len(self.matrices))]
        return nearest_weighed(
            self.matrices, sides, self.weights, k=k, passing=passing, exclude=exclude
        )

    def _weighed(
        self,
        queries: Sequence[NDArray[np.float32]],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: NDArray[np.int64] | None,
    ) -> Neighbours:
        """Search two matrices: a rough product in float32, then what it leaves in float64."""
        rows = np.arange(len(self.matrices[0])) if passing is None else passing
        if exclude is not None and exclude.size:
            rows = rows[~np.isin(rows, exclude)]
        units = [unit_of(query) for query in queries]
        rough = np.zeros(len(rows), np.float32)
        for matrix, query, weight in zip(self.matrices, units, self.weights, strict=True):
            narrow = (weight * query).astype(np.float32)
            for start in range(0, len(rows), _BLOCK_ROWS):
                block = rows[start : start + _BLOCK_ROWS]
                # all rows of a run are a slice of the memory map, without a copy
                is_run = block[-1] - block[0] + 1 == len(block)
                held = matrix[block[0] : block[-1] + 1] if is_run else matrix[block]
                rough[start : start + _BLOCK_ROWS] += held @ narrow
        near = rows[in_reach(rough, k, max(map(slack_of, self.matrices)))]
        return Neighbours(
            *ranked_weighed(self.matrices, near, units, k, weights=self.weights), len(rows)
        )


def open_space(
    index: Index,
    *,
    table: str,
    focus: str = "context",
    own_weight: float = OWN_WEIGHT,
    backend: str = "auto",
) -> Space:
    """Return the vectors of a table that a focus compares.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus
        ``"own"``, ``"context"`` or ``"both"``.
    own_weight
        Of ``"both"``: the share of own, 0 to 1.
    backend
        Who searches; see `Index.searcher`. ``"both"`` is searched exactly, whoever is asked.

    Raises
    ------
    UsageError
        If there is no such table, focus or backend, or the weight is out of its range.
    """
    check_focus(focus)
    check_own_weight(own_weight)
    check_backend(backend)
    if focus == BOTH and check_table(table) != CELLS:
        focuses = ("own", "context")
        matrices = tuple(index.vectors(table, focus=each) for each in focuses)
        said = f"searched exactly, not by {backend}: the focus both weighs two similarities"
        is_wanted = backend not in {"auto", "exact"}
        return Space(
            focuses, matrices, (own_weight, 1 - own_weight), said=(said,) if is_wanted else ()
        )
    name = "context" if check_table(table) == CELLS else focus
    searcher = index.searcher(table, focus=name, backend=backend)
    return Space((name,), (index.vectors(table, focus=name),), (1.0,), searcher)


def check_focus(focus: str) -> str:
    """Return a focus, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    if focus not in (*FOCUSES, BOTH):
        msg = f"no focus {focus!r}; want one of {', '.join((*FOCUSES, BOTH))}"
        raise UsageError(msg)
    return focus


def check_own_weight(own_weight: float) -> float:
    """Return the weight, if it is a number from 0 to 1.

    Raises
    ------
    UsageError
        If it is not.
    """
    is_number = isinstance(own_weight, (int, float)) and not isinstance(own_weight, bool)
    if not (is_number and 0 <= own_weight <= 1):
        msg = f"own weight is {own_weight!r}; want a number from 0 to 1. Example: 0.5"
        raise UsageError(msg)
    return float(own_weight)


def unit(vectors: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors, shape ``(..., D)``, scaled to length 1 in float64; zero ones stay zero."""
    wide = np.asarray(vectors, np.float64)
    # an elementwise sum, as the search has it: the same bits on every machine
    length = np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
    scaled: NDArray[np.float64] = wide / np.where(length > 0, length, 1)
    return scaled
