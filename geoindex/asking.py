"""What is asked for? Entities, places, cells and tags become one vector to search with.

Several positives are averaged as unit vectors, and negatives taken away with
a weight, `NEGATIVE_WEIGHT` (Rocchio 1971). What a thing means depends on what is searched:

=============  =======================================  ========================================
given          searching entities                       searching cells
=============  =======================================  ========================================
like, unlike   the entity's vector                      the vector of the cell that holds it
at             the smallest area there, else the        the cell there
               nearest entity within 100 m
cell           mean of the entities that live in it     the cell's vector
tags           an entity with these tags, alone         a cell that holds one such entity
=============  =======================================  ========================================
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.cells import cells_at, centres, format_cell
from geoindex.errors import NotInIndexError, UsageError
from geoindex.filters import Filters, rows_passing
from geoindex.index import Index
from geoindex.layout import CELLS, ENTITIES
from geoindex.models import embed_tags, embed_tags_as_cell
from geoindex.naming import row_named
from geoindex.places import LonLat
from geoindex.rows import Rows
from geoindex.standing import entity_at

NEGATIVE_WEIGHT = 0.5
# what rounding leaves of unit vectors that cancel out
_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class Question:
    """What was asked for, as the user said it; at least one of the positives.

    `more_at` and `not_at` are the points that a session labelled as like and as unlike.
    """

    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    at: LonLat | None = None
    cell: int | None = None
    tags: Mapping[str, str] | None = None
    more_at: Sequence[LonLat] = ()
    not_at: Sequence[LonLat] = ()
    negative_weight: float = NEGATIVE_WEIGHT

    @property
    def is_tags_only(self) -> bool:
        """Whether nothing with a place was named."""
        points = self.at or self.more_at or self.not_at
        return not (self.like or self.unlike or points or self.cell is not None)

    def __post_init__(self) -> None:
        is_number = isinstance(self.negative_weight, (int, float))
        if not (is_number and 0 <= self.negative_weight < np.inf):
            msg = f"negative weight is {self.negative_weight!r}; want 0 or more. Example: 0.5"
            raise UsageError(msg)
        is_placed = self.at is not None or self.cell is not None or self.more_at
        if not (self.like or is_placed or self.tags):
            msg = (
                "nothing to search for; want one of like, at, cell, tags. "
                "Example: geoindex query monaco.geoindex --like way/1234"
            )
            raise UsageError(msg)


@dataclass(frozen=True)
class Asked:
    """A question resolved against an index.

    Attributes
    ----------
    vector
        To search with, shape ``(dim,)``, of cells ``(region_dim,)``; never zero.
    rows
        The rows that the question named, ascending; never among the answers.
    places
        The points of the positives; the first one is where `distance_m` starts. Tags have none.
    notes
        What was decided on the way, for the user.
    """

    vector: NDArray[np.float32]
    rows: NDArray[np.int64]
    places: list[LonLat] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse_tags(tags: str | Mapping[str, str]) -> dict[str, str]:
    r"""Parse ``key=value,key=value``; a comma within a value is written ``\,``.

    A mapping may also have numbers as values: ``{"building:levels": 3}``.

    Raises
    ------
    UsageError
        If a part is no ``key=value``, or two name the same key.
    """
    if not isinstance(tags, str):
        return dict(_plain_tag(key, value) for key, value in tags.items())
    found: dict[str, str] = {}
    for part in re.split(r"(?<!\\),", tags):
        key, equals, value = part.replace("\\,", ",").strip().partition("=")
        if not (equals and key.strip() and value.strip()):
            msg = f"want KEY=VALUE, got {part!r} in {tags!r}. Example: amenity=cafe,cuisine=pizza"
            raise UsageError(msg)
        if found.setdefault(key.strip(), value.strip()) != value.strip():
            msg = f"{key.strip()!r} stands twice in {tags!r}; an entity has a key once"
            raise UsageError(msg)
    return found


def _plain_tag(key: object, value: object) -> tuple[str, str]:
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not (isinstance(key, str) and key and is_plain and str(value)):
        msg = f'want tags as texts, got {key!r}: {value!r}. Example: {{"amenity": "cafe"}}'
        raise UsageError(msg)
    return key, str(value)


def resolve(index: Index, question: Question, *, table: str, focus: str) -> Asked:
    """Turn a question into a vector of the table that is searched.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus
        ``"context"`` or ``"own"``; cells have one vector.

    Raises
    ------
    NotInIndexError
        If the index does not hold what was named.
    UsageError
        If positives and negatives cancel out, or tags say nothing.
    """
    asker: _Asker = _CellAsker(index) if table == CELLS else _EntityAsker(index, focus)
    named = [asker.row_like(text) for text in question.like]
    unlike = [asker.row_like(text) for text in question.unlike]
    places = [_point_of(asker.rows, row) for row in named]
    if question.at is not None:
        named.append(asker.row_at(question.at))
        places.insert(0, question.at)
    named += [asker.row_at(point) for point in question.more_at]
    places += question.more_at
    unlike += [asker.row_at(point) for point in question.not_at]
    vectors = [asker.vectors[row] for row in named]
    if question.cell is not None:
        rows, vector = asker.of_cell(question.cell)
        named += rows
        vectors.append(vector)
        lon, lat = centres([question.cell])
        places.append(LonLat(float(lon[0]), float(lat[0])))
    if question.tags:
        vectors.append(_of_tags(index, question.tags, table))
    away = [asker.vectors[row] for row in unlike]
    vector = _rocchio(vectors, away, weight=question.negative_weight)
    return Asked(vector, np.unique(np.array(named + unlike, np.int64)), places, asker.notes)


def _rocchio(
    positive: Sequence[NDArray[np.float32]],
    negative: Sequence[NDArray[np.float32]],
    *,
    weight: float,
) -> NDArray[np.float32]:
    vector = _mean_unit(positive)
    if negative:
        vector = vector - weight * _mean_unit(negative)
    if np.linalg.norm(vector) < _NO_LENGTH:
        msg = (
            "what was asked for cancels out: likes and unlikes leave no direction to search in. "
            "Leave one of them out"
        )
        raise UsageError(msg)
    return vector.astype(np.float32)


def _mean_unit(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    wide = np.stack(vectors).astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    mean: NDArray[np.float64] = np.mean(wide / np.where(length > 0, length, 1), axis=0)
    return mean


def _of_tags(index: Index, tags: Mapping[str, str], table: str) -> NDArray[np.float32]:
    alone = embed_tags(index.encoder, tags)
    if not alone.any():
        shown = ", ".join(f"{key}={value}" for key, value in tags.items())
        msg = f"the tags {shown} say nothing to the encoder. Example: --tags amenity=cafe"
        raise UsageError(msg)
    return embed_tags_as_cell(index.encoder, tags) if table == CELLS else alone


def _point_of(rows: Rows, row: int) -> LonLat:
    return LonLat(float(rows.column("lon")[row]), float(rows.column("lat")[row]))


def _row_named(index: Index, text: str, notes: list[str]) -> int:
    row, note = row_named(index, text)
    if note is not None:
        notes.append(note)
    return row


class _Asker(Protocol):
    """Finds rows of the table that is searched by what the user said."""

    rows: Rows
    vectors: NDArray[np.float32]
    notes: list[str]

    def row_like(self, text: str) -> int: ...

    def row_at(self, point: LonLat) -> int: ...

    def of_cell(self, cell: int) -> tuple[list[int], NDArray[np.float32]]: ...


class _EntityAsker:
    """Finds entities."""

    def __init__(self, index: Index, focus: str) -> None:
        self.index = index
        self.rows = index.entities
        self.vectors = index.vectors(ENTITIES, focus=focus)
        self.notes: list[str] = []

    def row_like(self, text: str) -> int:
        return _row_named(self.index, text, self.notes)

    def row_at(self, point: LonLat) -> int:
        row = entity_at(self.index, point)
        found = self.rows.record(row)
        name = f" {found['name']!r}" if found["name"] else ""
        self.notes.append(f"at {point}: {found['feature_id']} ({found['kind']}){name}")
        return row

    def of_cell(self, cell: int) -> tuple[list[int], NDArray[np.float32]]:
        passing = rows_passing(self.index, Filters(in_cell=cell), table=ENTITIES)
        if passing is None or not passing.size:
            msg = (
                f"no entity of {self.index.path} lives in cell {format_cell(cell)}; "
                f"`geoindex info {self.index.path}` shows where the map lies"
            )
            raise NotInIndexError(msg)
        mean = np.asarray(self.vectors[passing].mean(axis=0, dtype=np.float64), np.float32)
        return passing.tolist(), mean


class _CellAsker:
    """Finds cells."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.rows = index.cells
        self.vectors = index.vectors(CELLS)
        self.notes: list[str] = []

    def row_like(self, text: str) -> int:
        row = _row_named(self.index, text, self.notes)
        home = int(self.index.entities.column("cell")[row])
        self.notes.append(f"{text} lives in cell {format_cell(home)}")
        return self.index.cell_row(home)

    def row_at(self, point: LonLat) -> int:
        resolution = self.index.manifest.resolutions[-1]
        here = int(cells_at([point.lon], [point.lat], resolution=resolution)[0])
        self.notes.append(f"at {point}: cell {format_cell(here)}")
        return self.index.cell_row(here)

    def of_cell(self, cell: int) -> tuple[list[int], NDArray[np.float32]]:
        row = self.index.cell_row(cell)
        return [row], self.vectors[row]
