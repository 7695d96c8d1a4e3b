"""Resolve the examples of a query to one vector to search with.

Several examples are averaged as unit vectors, and the mean of the counter-examples is subtracted
with a weight (Rocchio 1971). From `LEAST_LABELS` of each on, the direction is that of a linear
classifier (`geoindex.queries.classifier`). What each example stands for:
`geoindex.queries.examples`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.features.ids import CellId
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import resolution_of
from geoindex.index import IndexReader
from geoindex.lookup.reference import Reference, parse_place
from geoindex.queries.classifier import LEAST_LABELS, classifier_shares
from geoindex.queries.examples import CellExamples, EntityExamples, QueryExample
from geoindex.queries.query import Query
from geoindex.queries.vector_field import MatrixField
from geoindex.storage.layout import ENTITIES

# what rounding leaves of unit vectors that cancel out
_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class ResolvedQuery:
    """A query whose examples were found.

    Attributes
    ----------
    query
        As it was asked.
    index
        Where the examples were looked up: their rows are of its `Query.table`.
    likes, unlikes
        The examples.
    vectors
        To search with: one a matrix of the vector field, shape ``(D,)``, never zero; of a picture
        what it shows.
    lengths
        Of the sums of unit vectors that `vectors` were made of, one a matrix.
    resolution
        Of the cells that were named; None if none was.
    notes
        What was decided on the way, for the user.
    shares
        Of each example and counter-example in the sum, where a classifier was fitted.
    """

    query: Query
    index: IndexReader
    likes: Sequence[QueryExample]
    unlikes: Sequence[QueryExample]
    vectors: tuple[Any, ...]
    lengths: tuple[float, ...] = ()
    resolution: int | None = None
    notes: Sequence[str] = ()
    shares: tuple[float, ...] = ()

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that the examples stand for, ascending; never returned."""
        named = [example.rows for example in (*self.likes, *self.unlikes)]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *named]))

    @property
    def places(self) -> list[LonLat]:
        """The points of the examples; `distance_m` starts at the first. Tags have none."""
        return [example.place for example in self.likes if example.place is not None]

    def weighted(self) -> Iterator[tuple[QueryExample, float]]:
        """Yield each example, and the weight it has in the sum of unit vectors."""
        if self.shares:
            yield from zip((*self.likes, *self.unlikes), self.shares, strict=True)
            return
        for example in self.likes:
            yield example, 1 / len(self.likes)
        for example in self.unlikes:
            yield example, -self.query.negative_weight / len(self.unlikes)


def resolve(
    query: Query, index: IndexReader, field: MatrixField, *, known: Mapping[str, int] | None = None
) -> ResolvedQuery:
    """Resolve a query against the index that holds its examples.

    Parameters
    ----------
    field
        The vectors of this index that are compared.
    known
        Rows of entities by id, looked up before.

    Raises
    ------
    NotInIndexError
        If the index does not hold an example.
    UsageError
        If examples and counter-examples cancel out, or tags mean nothing to the encoder.
    """
    positives = [parse_place(text) for text in query.like or ()]
    if query.at is not None:
        positives.insert(0, query.at)
    if query.cell is not None:
        positives.append(CellId(query.cell))
    negatives = [parse_place(text) for text in query.unlike or ()]
    resolution = resolution_named([*positives, *negatives])
    finder = (
        EntityExamples(index, field, known or {})
        if query.table == ENTITIES
        else CellExamples(index, field, known or {}, resolution=resolution)
    )
    likes = [finder.resolve(reference) for reference in positives]
    likes += [finder.given(vector, query.vectors_by) for vector in query.vectors]
    likes += [finder.imagined(query.tags)] if query.tags else []
    likes += [finder.described(query.text)] if query.text else []
    unlikes = [finder.resolve(reference) for reference in negatives]
    shares = _classifier_shares(likes, unlikes, field)
    if shares is not None:
        sums = [_weighted(likes, unlikes, shares, i) for i in range(len(field.matrices))]
        finder.notes.append(
            f"ranked by a linear classifier fitted to {len(likes):,} examples and "
            f"{len(unlikes):,} counter-examples"
        )
    else:
        sums = [
            _rocchio(likes, unlikes, query.negative_weight, i) for i in range(len(field.matrices))
        ]
    return ResolvedQuery(
        query,
        index,
        likes,
        unlikes,
        vectors=tuple(vector.astype(np.float32) for vector in sums),
        lengths=tuple(float(np.linalg.norm(vector)) for vector in sums),
        resolution=resolution,
        notes=finder.notes,
        shares=() if shares is None else tuple(shares.tolist()),
    )


def resolution_named(references: Sequence[Reference]) -> int | None:
    """Return the resolution of the cells among some references; None if there is none.

    Raises
    ------
    UsageError
        If they are of several.
    """
    cells = [each.cell for each in references if isinstance(each, CellId)]
    levels = sorted(set(resolution_of(cells).tolist())) if cells else []
    if len(levels) > 1:
        shown_levels = ", ".join(map(str, levels))
        msg = f"the cells named are of the resolutions {shown_levels}; want one of them"
        raise UsageError(msg)
    return levels[0] if levels else None


def _classifier_shares(
    likes: Sequence[QueryExample], unlikes: Sequence[QueryExample], field: MatrixField
) -> NDArray[np.float64] | None:
    """Return the share of each example in a classifier's direction; None where Rocchio ranks."""
    if min(len(likes), len(unlikes)) < LEAST_LABELS:
        return None
    sides = [
        np.stack(
            [
                np.concatenate(
                    [
                        vector * weight**0.5
                        for vector, weight in zip(each.vectors, field.weights, strict=True)
                    ]
                )
                for each in some
            ]
        )
        for some in (likes, unlikes)
    ]
    shares = classifier_shares(*sides)
    if shares is None:
        return None
    parts = [_weighted(likes, unlikes, shares, i) for i in range(len(field.matrices))]
    # no direction: the same places are liked and not liked
    return shares if all(np.linalg.norm(part) >= _NO_LENGTH for part in parts) else None


def _weighted(
    likes: Sequence[QueryExample],
    unlikes: Sequence[QueryExample],
    shares: NDArray[np.float64],
    place: int,
) -> NDArray[np.float64]:
    vectors = np.stack([example.vectors[place] for example in (*likes, *unlikes)])
    return np.asarray(shares @ vectors, np.float64)


def _rocchio(
    likes: Sequence[QueryExample], unlikes: Sequence[QueryExample], weight: float, place: int
) -> NDArray[np.float64]:
    """Return the mean of the examples less the weighted mean of the counter-examples."""
    vector = np.mean([example.vectors[place] for example in likes], axis=0)
    if unlikes:
        vector = vector - weight * np.mean([each.vectors[place] for each in unlikes], axis=0)
    if np.linalg.norm(vector) < _NO_LENGTH:
        msg = (
            "what was asked for cancels out: likes and unlikes leave no direction to search in. "
            "Leave one of them out"
        )
        raise UsageError(msg)
    return np.asarray(vector, np.float64)
