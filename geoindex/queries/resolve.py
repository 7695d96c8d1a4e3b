"""What is asked for? Entities, places, cells, areas, tags and vectors become one vector.

Several positives are averaged as unit vectors, and the mean of the negatives is taken away with
a weight, `NEGATIVE_WEIGHT` (Rocchio 1971). What each thing means is told by
`geoindex.queries.examples`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.features.ids import CellId
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import resolution_of
from geoindex.index import Index
from geoindex.lookup.reference import Meaning, meaning_of
from geoindex.queries.examples import CellFinder, EntityFinder, Part
from geoindex.queries.spaces import OWN_WEIGHT, Space, open_space
from geoindex.storage.layout import ENTITIES

NEGATIVE_WEIGHT = 0.5
# what rounding leaves of unit vectors that cancel out
_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class Question:
    """What was asked for, as the user said it; at least one positive.

    Attributes
    ----------
    like, unlike
        Texts that `geoindex.lookup.reference.meaning_of` reads: ids, names, cells, points, areas.
    vectors
        Each of shape ``(dim,)``, of cells ``(region_dim,)``.
    vectors_by
        The fingerprint of the encoder that made them, where it is known.
    """

    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    at: LonLat | None = None
    cell: int | None = None
    tags: Mapping[str, str] | None = None
    vectors: Sequence[NDArray[np.float32]] = ()
    vectors_by: str | None = None
    negative_weight: float = NEGATIVE_WEIGHT

    def __post_init__(self) -> None:
        is_number = isinstance(self.negative_weight, (int, float))
        if not (is_number and 0 <= self.negative_weight < np.inf):
            msg = f"negative weight is {self.negative_weight!r}; want 0 or more. Example: 0.5"
            raise UsageError(msg)
        is_placed = self.at is not None or self.cell is not None
        if not (self.like or is_placed or self.tags or len(self.vectors)):
            msg = (
                "nothing to search for; want one of like, at, cell, tags, vector. "
                "Example: geoindex query monaco.geoindex --like way/1234"
            )
            raise UsageError(msg)

    @property
    def is_tags_only(self) -> bool:
        """Whether nothing with a place was named, and no vector given."""
        is_placed = self.at is not None or self.cell is not None
        return not (self.like or self.unlike or is_placed or len(self.vectors))

    @cached_property
    def _meanings(self) -> tuple[list[Meaning], list[Meaning]]:
        return [meaning_of(text) for text in self.like], [meaning_of(text) for text in self.unlike]

    @property
    def positives(self) -> list[Meaning]:
        """What each of the positives with a place means: `at`, the likes, `cell`."""
        start = [] if self.at is None else [self.at]
        end = [] if self.cell is None else [CellId(self.cell)]
        return [*start, *self._meanings[0], *end]

    @property
    def negatives(self) -> list[Meaning]:
        """What each of the unlikes means."""
        return self._meanings[1]

    @property
    def resolution(self) -> int | None:
        """The resolution of the cells that were named; None if none was.

        Raises
        ------
        UsageError
            If they are of several.
        """
        meanings = (*self.positives, *self.negatives)
        cells = [each.cell for each in meanings if isinstance(each, CellId)]
        levels = sorted(set(resolution_of(cells).tolist())) if cells else []
        if len(levels) > 1:
            shown_levels = ", ".join(map(str, levels))
            msg = f"the cells asked about are of the resolutions {shown_levels}; want one of them"
            raise UsageError(msg)
        return levels[0] if levels else None


@dataclass(frozen=True)
class Asked:
    """A question resolved against an index.

    Attributes
    ----------
    index, table, space
        Where it was resolved: the parts are rows of this table.
    likes, unlikes
        What was named.
    vectors
        To search with, one a matrix of the space, shape ``(D,)``; never zero.
    lengths
        Of the sums of unit vectors that `vectors` were made of, one a matrix.
    negative_weight
        Of all unlikes together.
    notes
        What was decided on the way, for the user.
    """

    index: Index
    table: str
    space: Space
    likes: Sequence[Part]
    unlikes: Sequence[Part]
    vectors: tuple[NDArray[np.float32], ...]
    lengths: tuple[float, ...]
    negative_weight: float
    notes: Sequence[str] = ()

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that the question named, ascending; never among the answers."""
        named = [part.rows for part in (*self.likes, *self.unlikes)]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *named]))

    @property
    def places(self) -> list[LonLat]:
        """The points of the positives; `distance_m` starts at the first. Tags have none."""
        return [part.place for part in self.likes if part.place is not None]

    def weighed(self) -> Iterator[tuple[Part, float]]:
        """Yield each part, and the weight it has in the sum of unit vectors."""
        for part in self.likes:
            yield part, 1 / len(self.likes)
        for part in self.unlikes:
            yield part, -self.negative_weight / len(self.unlikes)


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


def resolve(
    index: Index,
    question: Question,
    *,
    table: str,
    focus: str = "context",
    own_weight: float = OWN_WEIGHT,
) -> Asked:
    """Turn a question into vectors of the table that is searched.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus, own_weight
        As `geoindex.queries.spaces.open_space`.

    Raises
    ------
    NotInIndexError
        If the index does not hold what was named.
    UsageError
        If positives and negatives cancel out, or tags say nothing.
    """
    space = open_space(index, table=table, focus=focus, own_weight=own_weight)
    return resolver(index, space, table)(question)


def resolver(
    index: Index, space: Space, table: str, *, known: Mapping[str, int] | None = None
) -> Callable[[Question], Asked]:
    """Return what `resolve` does to a question, for many of one table and space.

    Parameters
    ----------
    known
        Rows of entities by the text that asks for them, found before.
    """
    entities = EntityFinder(index, space, known or {}) if table == ENTITIES else None

    def resolved(question: Question) -> Asked:
        finder = entities
        if finder is None:
            finder = CellFinder(index, space, known or {}, resolution=question.resolution)
        finder.notes = []
        likes = [finder.part(meaning) for meaning in question.positives]
        likes += [finder.given(vector, question.vectors_by) for vector in question.vectors]
        likes += [finder.imagined(question.tags)] if question.tags else []
        unlikes = [finder.part(meaning) for meaning in question.negatives]
        weight = question.negative_weight
        sums = [_rocchio(likes, unlikes, weight, i) for i in range(len(space.matrices))]
        lengths = tuple(float(np.linalg.norm(vector)) for vector in sums)
        vectors = tuple(vector.astype(np.float32) for vector in sums)
        return Asked(index, table, space, likes, unlikes, vectors, lengths, weight, finder.notes)

    return resolved


def _rocchio(
    likes: Sequence[Part], unlikes: Sequence[Part], weight: float, place: int
) -> NDArray[np.float64]:
    """Return the mean of the likes less the weighed mean of the unlikes, in one matrix."""
    vector = np.mean([part.vectors[place] for part in likes], axis=0)
    if unlikes:
        vector = vector - weight * np.mean([part.vectors[place] for part in unlikes], axis=0)
    if np.linalg.norm(vector) < _NO_LENGTH:
        msg = (
            "what was asked for cancels out: likes and unlikes leave no direction to search in. "
            "Leave one of them out"
        )
        raise UsageError(msg)
    return np.asarray(vector, np.float64)
