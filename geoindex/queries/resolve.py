"""Resolve the examples of a query: what each stands for, and one vector to search with.

================  =======================================  ====================================
given             searching entities                       searching cells
================  =======================================  ====================================
id or name        the entity's vector                      the vector of the cell it lives in
a point           the smallest area there, else the        the cell there
                  nearest entity within 100 m
a cell            mean of the entities that live in it     the cell's vector
an area           mean of the entities whose points lie    embedded as if it were one cell
                  in it                                    (`geoindex.queries.region_embedding`)
tags              an entity with these tags, alone         a cell that holds one such entity
a vector          itself                                   itself
================  =======================================  ====================================

Cells are those of the resolution of the cells that were named, else the finest. The rows that an
example stands for are never returned; of an area among cells, those whose centres lie in it.

Several examples are averaged as unit vectors, and the mean of the counter-examples is subtracted
with a weight (Rocchio 1971). From `LEAST_LABELS` of each on, the direction is that of a linear
classifier (`geoindex.queries.classifier`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.encoders import embed_tags, embed_tags_as_cell
from geoindex.errors import NotInIndexError, UsageError
from geoindex.features.ids import CellId
from geoindex.filters.apply import select_rows
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import cells_at, centres, format_cell, parents, resolution_of
from geoindex.index import IndexReader
from geoindex.lookup.names import row_named
from geoindex.lookup.places import entity_at, swapped_text
from geoindex.lookup.reference import Reference, parse_place, shown
from geoindex.queries.classifier import LEAST_LABELS, classifier_shares
from geoindex.queries.query import Query
from geoindex.queries.vector_field import MatrixField, unit
from geoindex.storage.layout import CELLS, ENTITIES

_NONE = np.zeros(0, np.int64)
# what rounding leaves of unit vectors that cancel out
_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class QueryExample:
    """One example of a query, resolved against an index.

    Attributes
    ----------
    name
        For people: an id, a cell, "the tags asked for".
    vectors
        Unit vectors of float64, one a matrix of the vector field.
    rows
        What it stands for, ascending; never returned.
    place
        Where it lies; tags and vectors lie nowhere.
    tags
        Of what was imagined.
    is_made
        Whether its vectors were made for it, so that they are those of no row.
    is_entity
        Whether it is one entity.
    """

    name: str
    vectors: tuple[NDArray[np.float64], ...]
    rows: NDArray[np.int64]
    place: LonLat | None = None
    tags: Mapping[str, str] | None = None
    is_made: bool = False
    is_entity: bool = False


class EntityExamples:
    """Resolves examples where entities are searched.

    Parameters
    ----------
    field
        The vectors that are searched.
    known
        Rows of entities by id, looked up before.

    Attributes
    ----------
    notes
        What was decided on the way.
    """

    table = ENTITIES

    def __init__(self, index: IndexReader, field: MatrixField, known: Mapping[str, int]) -> None:
        self.index = index
        self.notes: list[str] = []
        self._field = field
        self._known = known
        self._rows = index.rows_of(self.table)

    def resolve(self, reference: Reference) -> QueryExample:
        """Return the example that `geoindex.lookup.reference.parse_place` read."""
        if isinstance(reference, str):
            return self.named(reference)
        if isinstance(reference, CellId):
            return self.cell(reference.cell)
        if isinstance(reference, LonLat):
            return self.at(reference)
        return self.area(reference, shown(reference))

    def named(self, text: str) -> QueryExample:
        """Return the entity of an id or a name."""
        return self._row(self._entity(text))

    def at(self, point: LonLat) -> QueryExample:
        """Return what stands at a point."""
        row = entity_at(self.index, point)
        found = self._rows.record(row)
        name = f" {found['name']!r}" if found["name"] else ""
        self.notes.append(f"at {point}: {found['feature_id']} ({found['kind']}){name}")
        return self._row(row, place=point)

    def cell(self, cell: int) -> QueryExample:
        """Return the entities that live in a cell."""
        rows = select_rows(self.index, {"in_cell": cell}, table=ENTITIES)[0]
        if rows is None or not rows.size:
            msg = (
                f"no entity of {self.index.path} lives in cell {format_cell(cell)}; "
                f"`geoindex info {self.index.path}` shows where the map lies"
            )
            raise NotInIndexError(msg)
        lon, lat = centres([cell])
        return self._mean(format_cell(cell), rows, LonLat(float(lon[0]), float(lat[0])))

    def area(self, area: Any, name: str) -> QueryExample:
        """Return the entities whose points lie in an area."""
        rows = select_rows(self.index, {"within": area}, table=ENTITIES)[0]
        if rows is None or not rows.size:
            raise NotInIndexError(self._empty_text(area))
        self.notes.append(f"{name}: {len(rows):,} entities lie in it")
        return self._mean(name, rows, _middle(area))

    def imagined(self, tags: Mapping[str, str]) -> QueryExample:
        """Return what has these tags and need not exist."""
        alone = embed_tags(self.index.encoder, tags)
        if not alone.any():
            shown = ", ".join(f"{key}={value}" for key, value in tags.items())
            msg = f"the tags {shown} say nothing to the encoder. Example: --tags amenity=cafe"
            raise UsageError(msg)
        vector = unit(self._with_tags(tags, alone))
        return self._made("the tags asked for", vector, tags=tags)

    def described(self, text: str) -> QueryExample:
        """Return what has the tags that a text is read as."""
        from geoindex.queries.text_tags import tags_of_text

        tags = tags_of_text(self.index, text)
        written = ",".join(f"{key}={value}" for key, value in tags.items())
        self.notes.append(f"{text!r} is read as --tags {written}; edit them to search otherwise")
        return self.imagined(tags)

    def given(self, vector: NDArray[np.float32], made_by: str | None) -> QueryExample:
        """Return a vector as it is.

        Parameters
        ----------
        made_by
            The fingerprint of its encoder; None where it is not known.

        Raises
        ------
        UsageError
            If it is by another encoder or of another width than the vectors searched, zero or not
            finite.
        """
        ours = self.index.manifest.encoder
        if made_by not in {None, ours["fingerprint"]}:
            msg = (
                f"the vector was made by another encoder ({str(made_by)[:8]}) than "
                f"{self.index.path} ({ours['name']} {ours['fingerprint'][:8]}): they cannot be "
                "compared. Export it again from an index of this one"
            )
            raise UsageError(msg)
        dim = self._field.vector_dim
        if vector.shape != (dim,):
            msg = (
                f"the vector has {vector.size:,} numbers; the {self.table} of {self.index.path} "
                f"have {dim:,}"
            )
            raise UsageError(msg)
        if not (np.isfinite(vector).all() and vector.any()):
            msg = "the vector is not finite, or all zero: it has no direction"
            raise UsageError(msg)
        return self._made("the vector given", unit(vector))

    def _with_tags(
        self,
        tags: Mapping[str, str],  # noqa: ARG002 - a cell's vector needs them
        alone: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        return alone

    def _entity(self, text: str) -> int:
        if text in self._known:
            return self._known[text]
        row, note = row_named(self.index, text)
        self.notes += [] if note is None else [note]
        return row

    def _row(self, row: int, *, place: LonLat | None = None) -> QueryExample:
        if self.table == CELLS:
            name = format_cell(int(self._rows.column("cell")[row]))
        else:
            name = self._rows.table["feature_id"][row].as_py()
        own = LonLat(*(float(self._rows.column(axis)[row]) for axis in ("lon", "lat")))
        return QueryExample(
            name, self._field.units(row), np.array([row], np.int64), place or own,
            is_entity=self.table == ENTITIES,
        )  # fmt: skip

    def _mean(self, name: str, rows: NDArray[np.int64], place: LonLat) -> QueryExample:
        means = (
            unit(matrix[rows].mean(axis=0, dtype=np.float64)) for matrix in self._field.matrices
        )
        return QueryExample(name, tuple(means), rows, place)

    def _made(
        self,
        name: str,
        vector: NDArray[np.float64],
        *,
        rows: NDArray[np.int64] = _NONE,
        place: LonLat | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> QueryExample:
        return QueryExample(name, self._field.split(vector), rows, place, tags, is_made=True)

    def _empty_text(self, area: Any) -> str:
        west, south, east, north = area.bounds
        return (
            f"nothing of {self.index.path} lies in the area asked for, {west:.5f},{south:.5f} to "
            f"{east:.5f},{north:.5f}; `geoindex info {self.index.path}` shows where the map lies"
        )


class CellExamples(EntityExamples):
    """Resolves examples where cells are searched.

    Parameters
    ----------
    resolution
        Of the cells that are meant; None: the index's finest.
    """

    table = CELLS

    def __init__(
        self,
        index: IndexReader,
        field: MatrixField,
        known: Mapping[str, int],
        *,
        resolution: int | None = None,
    ) -> None:
        super().__init__(index, field, known)
        self._resolution = index.manifest.resolutions[-1] if resolution is None else resolution

    def named(self, text: str) -> QueryExample:
        """Return the cell in which an entity lives."""
        row = self._entity(text)
        home = int(parents(self.index.entities.column("cell")[row : row + 1], self._resolution)[0])
        self.notes.append(f"{text} lives in cell {format_cell(home)}")
        column = self.index.entities.column
        place = LonLat(float(column("lon")[row]), float(column("lat")[row]))
        return self._row(self.index.cell_row(home), place=place)

    def at(self, point: LonLat) -> QueryExample:
        """Return the cell at a point."""
        here = int(cells_at([point.lon], [point.lat], resolution=self._resolution)[0])
        self.notes.append(f"at {point}: cell {format_cell(here)}")
        try:
            row = self.index.cell_row(here)
        except NotInIndexError as error:
            msg = f"{error}{swapped_text(self.index, point)}"
            raise NotInIndexError(msg) from None
        return self._row(row, place=point)

    def cell(self, cell: int) -> QueryExample:
        """Return a cell."""
        return self._row(self.index.cell_row(cell))

    def area(self, area: Any, name: str) -> QueryExample:
        """Return an area, embedded as if it were one cell."""
        from geoindex.queries.region_embedding import embed_area

        vector, num_entities = embed_area(self.index, area)
        if not num_entities:
            raise NotInIndexError(self._empty_text(area))
        self.notes.append(f"{name}: embedded from the {num_entities:,} entities that touch it")
        rows = select_rows(self.index, {"within": area}, table=CELLS)[0]
        inside = _NONE if rows is None else rows
        return self._made(name, unit(vector), rows=inside, place=_middle(area))

    def _with_tags(
        self,
        tags: Mapping[str, str],
        alone: NDArray[np.float32],  # noqa: ARG002 - an entity's vector is this
    ) -> NDArray[np.float32]:
        return embed_tags_as_cell(self.index.encoder, tags)


def _middle(area: Any) -> LonLat:
    return LonLat(float(area.centroid.x), float(area.centroid.y))


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
