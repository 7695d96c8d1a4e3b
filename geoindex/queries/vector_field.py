"""The vectors that a query compares: one matrix of the index, two that are weighted, or images.

==========  ====================================================================
focus       similarity of two entities
==========  ====================================================================
own         cosine of the vectors of the two alone
context     cosine of their vectors in their surroundings
both        ``own_weight`` times the first plus ``1 - own_weight`` times the second
image       cosine of the mean image tokens (`geoindex.queries.by_image.appearance`)
==========  ====================================================================

Some encoders make one vector of an entity, whose columns are of the entity alone, then of its
surroundings: own and context compare these columns, both without a weight all of them. Cells have
one vector, whatever the focus. A zero vector is at cosine 0 of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.filters import coerce
from geoindex.index import IndexReader
from geoindex.search.exact_batch import nearest_weighed
from geoindex.search.planner import Searcher
from geoindex.search.similarity import (
    Neighbours,
    in_reach,
    ranked_weighed,
    slack_of,
    unit_of,
    wide,
)
from geoindex.storage.layout import CELLS
from geoindex.types import BOTH, QUERY_FOCUSES, WHOLE, check_backend, check_table

_BLOCK_ROWS = 65_536


class VectorField(Protocol):
    """What is compared, of one table of one index.

    The vectors of a query are what `geoindex.queries.resolve` made for this field.
    """

    @property
    def dim(self) -> int:
        """Columns of `joined`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of who searches."""

    def joined(self, rows: NDArray[np.int64], query: tuple[Any, ...]) -> NDArray[np.float64]:
        """Return rows so that the product of two is their similarity, shape ``(n, dim)``."""

    def nearest(
        self,
        query: tuple[Any, ...],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: NDArray[np.int64] | None,
    ) -> Neighbours:
        """Return the k rows most similar to a query, as `geoindex.search.exact.nearest` does."""

    def nearest_many(
        self,
        queries: Sequence[tuple[Any, ...]],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: Sequence[NDArray[np.int64]],
    ) -> list[Neighbours]:
        """Return, for each query, what `nearest` returns of an exact search, all at once."""

    def notes_on(self, found: Neighbours, passing: NDArray[np.int64] | None) -> list[str]:
        """Return what there is to say of one answer."""


@dataclass(frozen=True)
class MatrixField:
    """The vectors of one table that are compared: a `VectorField`.

    Attributes
    ----------
    focuses
        ``"own"``, ``"context"``, or both; of cells, and of whole vectors, ``("whole",)``.
    matrices
        One a focus: shape ``(n, D)``, memory-mapped; unit or zero rows, or columns of such.
    weights
        One a focus, 0 to 1; they sum to 1.
    searcher
        Who searches, where there is one matrix of unit rows; anything else is always searched
        exactly, here.
    chosen
        What was decided on the way.
    columns
        Of each matrix, its columns in the vectors of the index; None for all.
    """

    focuses: tuple[str, ...]
    matrices: tuple[NDArray[np.float32], ...]
    weights: tuple[float, ...]
    searcher: Searcher | None = None
    chosen: tuple[str, ...] = ()
    columns: tuple[slice | None, ...] = (None, None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of who searches: of an index that is out of date."""
        return self.chosen if self.searcher is None else (*self.chosen, *self.searcher.notes)

    @property
    def dim(self) -> int:
        """Columns of `joined`."""
        return sum(matrix.shape[1] for matrix in self.matrices)

    def notes_on(
        self,
        found: Neighbours,
        passing: NDArray[np.int64] | None,  # noqa: ARG002 - all rows have vectors
    ) -> list[str]:
        """Return what there is to say of one answer: who gave it, where it is not certain."""
        notes = [found.instead] if found.instead else []
        if not found.is_exact:
            recall = "" if found.recall is None else f", recall {found.recall:.3f} when measured"
            notes.append(f"approximate, by {found.backend}{recall}; --backend exact is certain")
        return notes

    @property
    def vector_dim(self) -> int:
        """Width of the vectors that `split` takes."""
        return max(
            matrix.shape[1] if at is None else at.stop
            for matrix, at in zip(self.matrices, self.columns, strict=False)
        )

    def split(self, vector: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return what each matrix compares of a vector of the index, unit or zero."""
        found = (vector if at is None else vector[at] for at in self.columns)
        return tuple(unit(part) for part, _ in zip(found, self.matrices, strict=False))

    def units(self, rows: NDArray[np.int64] | int) -> tuple[NDArray[np.float64], ...]:
        """Return rows as unit (or zero) vectors of float64, one array a matrix."""
        return tuple(unit(matrix[rows]) for matrix in self.matrices)

    def joined(
        self,
        rows: NDArray[np.int64],
        query: tuple[NDArray[np.float32], ...] = (),  # noqa: ARG002 - rows are as they are
    ) -> NDArray[np.float64]:
        """Return rows so that the product of two is their similarity, shape ``(n, sum of D)``."""
        parts = zip(self.units(rows), self.weights, strict=True)
        return np.concatenate([vectors * weight**0.5 for vectors, weight in parts], axis=-1)

    def joined_query(self, query: tuple[NDArray[np.float32], ...]) -> NDArray[np.float64]:
        """Return a query so that its product with what `joined` returns is the similarity."""
        parts = zip(query, self.weights, strict=True)
        return np.concatenate([unit(vector) * weight**0.5 for vector, weight in parts])

    def nearest(
        self,
        query: tuple[NDArray[np.float32], ...],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: NDArray[np.int64] | None,
    ) -> Neighbours:
        """Return the k rows most similar to a query, as `geoindex.search.exact.nearest` does.

        Parameters
        ----------
        query
            One vector a matrix, shape ``(D,)``.
        """
        if self.searcher is not None:
            return self.searcher.search(query[0], k=k, passing=passing, exclude=exclude)
        return self._weighted(query, k=k, passing=passing, exclude=exclude)

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
        if any(at is not None for at in self.columns):
            pairs = zip(queries, exclude, strict=True)
            return [self._weighted(one, k=k, passing=passing, exclude=out) for one, out in pairs]
        sides = [np.stack([query[i] for query in queries]) for i in range(len(self.matrices))]
        return nearest_weighed(
            self.matrices, sides, self.weights, k=k, passing=passing, exclude=exclude
        )

    def _weighted(
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
        for i, (matrix, query) in enumerate(zip(self.matrices, units, strict=True)):
            narrow = (self.weights[i] * query).astype(np.float32)
            for start in range(0, len(rows), _BLOCK_ROWS):
                block = rows[start : start + _BLOCK_ROWS]
                # all rows of a run are a slice of the memory map, without a copy
                is_run = block[-1] - block[0] + 1 == len(block)
                held = wide(matrix[block[0] : block[-1] + 1] if is_run else matrix[block])
                found = held @ narrow
                if self.columns[i] is not None:
                    # columns of unit rows are shorter than that
                    length = np.sqrt(np.einsum("ij,ij->i", held, held))
                    found /= np.where(length > 0, length, 1)
                rough[start : start + _BLOCK_ROWS] += found
        near = rows[in_reach(rough, k, max(map(slack_of, self.matrices)))]
        return Neighbours(
            *ranked_weighed(self.matrices, near, units, k, weights=self.weights), len(rows)
        )


def open_field(
    index: IndexReader,
    *,
    table: str,
    focus: str = WHOLE,
    own_weight: float | None = None,
    backend: str = "auto",
) -> MatrixField:
    """Return the vectors of a table that a focus compares.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus
        ``"own"``, ``"context"``, ``"both"``, or ``"whole"``: both where entities have one vector,
        else context.
    own_weight
        Of ``"both"``: the share of own, 0 to 1; None for that of the vector, or 0.5 of two.
    backend
        Who searches; see `Index.searcher`. What is weighed is always searched exactly.

    Raises
    ------
    UsageError
        If there is no such table, focus or backend, or the weight is out of its range.
    """
    check_backend(backend)
    if check_table(table) == CELLS:
        return _whole(index, table, backend)
    if focus != WHOLE and focus not in QUERY_FOCUSES:
        msg = f"no focus {focus!r}; want one of {', '.join(QUERY_FOCUSES)}"
        raise UsageError(msg)
    share = None if own_weight is None else coerce.fraction(own_weight, "own weight")
    columns = index.focus_columns
    if columns and (focus == WHOLE or (focus == BOTH and share is None)):
        return _whole(index, table, backend)
    if not columns and focus != BOTH:
        return _whole(index, table, backend, focus="context" if focus == WHOLE else focus)
    focuses = ("own", "context") if focus == BOTH else (focus,)
    own = 0.5 if share is None else share
    weights = (own, 1 - own) if focus == BOTH else (1.0,)
    if columns:
        vectors = index.vectors(table)
        matrices = tuple(vectors[:, columns[each]] for each in focuses)
    else:
        matrices = tuple(index.vectors(table, focus=each) for each in focuses)
    what = "weighs two similarities" if focus == BOTH else "compares a part of the vectors"
    instead = f"searched exactly, not by {backend}: the focus {focus} {what}"
    return MatrixField(
        focuses,
        matrices,
        weights,
        chosen=(instead,) if backend not in {"auto", "exact"} else (),
        columns=tuple(columns.get(each) for each in focuses),
    )


def _whole(index: IndexReader, table: str, backend: str, *, focus: str = "context") -> MatrixField:
    """Return all columns of one matrix."""
    searcher = index.searcher(table, focus=focus, backend=backend)
    name = WHOLE if table == CELLS or index.focus_columns else focus
    return MatrixField((name,), (index.vectors(table, focus=focus),), (1.0,), searcher)


def unit(vectors: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors, shape ``(..., D)``, scaled to length 1 in float64; zero ones stay zero."""
    long = np.asarray(vectors, np.float64)
    # an elementwise sum, as the search has it: the same bits on every machine
    length = np.sqrt((long * long).sum(axis=-1, keepdims=True))
    scaled: NDArray[np.float64] = long / np.where(length > 0, length, 1)
    return scaled
