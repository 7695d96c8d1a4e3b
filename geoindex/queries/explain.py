"""Explain why two things are similar, exactly: from the vectors that ranked.

All vectors are scaled to length 1 in float64, so that a similarity is one product, and a product is
the sum of the products of its columns. The encoder says which columns come from what
(`encoder.protocol.Embedder.parts`, ``region_parts``):

=========  ===========================================================================
compared   parts of the similarity
=========  ===========================================================================
own        `tags` and `geometry`: the products of these columns
context    each contextual vector is ``a * own + r``: what of it lies along its own
           vector, and the remainder, which its surroundings brought. `tags` and
           `geometry` split own with own; `own_to_surroundings` (the first's own, the
           second's remainder), `surroundings_to_own` and `surroundings` are the rest
both       the parts of own and of context, weighed as the similarities are
one        where entities have one vector: the products of its parts' columns, of those that
vector     the focus compares
cells      those of the encoder: `mean` and `counts`, or `encoder.geojepa.region_vectors`
=========  ===========================================================================

Leave one out: without `tags` (`geometry`, `mean`, `counts`) is the cosine of all other columns of
the vectors that ranked, without `surroundings` that of the own vectors.

What is around an entity is what else lives in its home cell. There, and in cells, the shares of
kinds are by weight: a café weighs more than a building.

A hit is explained by the nearest of the examples; a cell or an area among entities counts as each
entity that lives in it, tags and vectors as one imagined entity. Where there are several examples,
`asked` says what each of them, counter-examples too, adds to the hit's similarity: the query is a
weighted sum of unit vectors, so these sum to it.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.encoders import tag_vectors
from geoindex.features.ids import CellId
from geoindex.filters.apply import select_rows
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import format_cell, resolution_of
from geoindex.index import IndexReader
from geoindex.lookup.reference import Reference, parse_place
from geoindex.queries.explain_tags import (
    MOST_NAMED,
    SizeComparison,
    WeighedTag,
    compare_tags,
    measure,
)
from geoindex.queries.explanation import (
    OWN_TO_SURROUNDINGS,
    SURROUNDINGS,
    SURROUNDINGS_TO_OWN,
    AskedShare,
    Explanation,
)
from geoindex.queries.multi_index import check_same_encoder
from geoindex.queries.resolve import CellExamples, EntityExamples, QueryExample, ResolvedQuery
from geoindex.queries.vector_field import open_field, unit
from geoindex.storage.layout import CELLS, ENTITIES
from geoindex.types import WHOLE

#: One vector a matrix of the space, of length 1 or zero, float64.
Vectors = tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class Thing:
    """One of the two: a row, or what was imagined.

    Attributes
    ----------
    name
        Id, cell, or what stands for tags.
    vectors
        That ranked.
    own
        Of the entity alone, of length 1 or zero; None where it is not known, and for cells.
    tags
        ``key=value`` texts; none for cells.
    geometry
        WKB; None for cells, and where it was imagined.
    around
        The share of each kind around it, of cells in it; none where it was imagined.
    """

    name: str
    vectors: Vectors
    own: NDArray[np.float64] | None
    tags: Sequence[str] = ()
    geometry: bytes | None = None
    around: Mapping[str, float] = field(default_factory=dict)


class Explainer:
    """Explains pairs of things, the second of this index, the first of any of the same encoder.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus, own_weight
        As `geoindex.queries.vector_field.open_field`.

    Raises
    ------
    UsageError
        If there is no such table or focus.
    IndexDamagedError
        If this version has another encoder than the index: what its columns mean is not known.
    """

    def __init__(
        self,
        index: IndexReader,
        *,
        table: str = ENTITIES,
        focus: str = WHOLE,
        own_weight: float | None = None,
    ) -> None:
        self._index = index
        self.field = open_field(index, table=table, focus=focus, own_weight=own_weight)
        self._is_cells = table == CELLS
        self._rows = index.rows_of(table)
        encoder = index.encoder
        parts = encoder.region_parts if self._is_cells else encoder.parts
        self._parts = parts
        #: of each matrix, the columns of the parts that it has
        self._parts_of = [_parts_within(parts, at) for at in self.field.columns]
        self._has_one_vector = bool(index.focus_columns)
        self._kinds: dict[int, Counter[str]] = {}
        self._weights: dict[str, float] = {}

    def thing(self, row: int) -> Thing:
        """Return a row of the table as one of two."""
        vectors = self.field.units(row)
        around = self._kind_shares(row)
        if self._is_cells:
            name = format_cell(int(self._rows.column("cell")[row]))
            return Thing(name, vectors, None, around=around)
        found = self._rows.take([row])
        lists = self._index.tag_index
        tags = lists.texts(lists.codes[lists.offsets[row] : lists.offsets[row + 1]])
        own = None
        if not self._has_one_vector:
            own = unit(self._index.vectors(ENTITIES, focus="own")[row])
        name, geometry = found["feature_id"][0].as_py(), found["geometry"][0].as_py()
        return Thing(name, vectors, own, tags, geometry, around)

    def imagined(self, part: QueryExample) -> Thing:
        """Return what was made for a question: tags without a place, a vector, an area's vector."""
        texts = [f"{key}={value}" for key, value in (part.tags or {}).items()]
        own = part.vectors[0] if part.tags and not self._is_cells else None
        return Thing(part.name, part.vectors, own, texts)

    def explain(self, first: Thing, second: Thing) -> Explanation:
        """Explain the similarity of two things."""
        is_entity = not self._is_cells
        return Explanation(
            first=first.name,
            second=second.name,
            similarity=float(np.clip(self.similarity(first.vectors, second), -1, 1)),
            parts=self._summed(first, second),
            without=self._without(first, second),
            tags=compare_tags(self._index.encoder, first.tags, second.tags) if is_entity else None,
            size=_sizes(first, second),
            around=_around(first, second),
        )

    def similarity(self, vectors: Vectors, second: Thing) -> float:
        """Return the similarity of some vectors and a thing."""
        pairs = zip(vectors, second.vectors, self.field.weights, strict=True)
        return float(sum(weight * dot(ours, theirs) for ours, theirs, weight in pairs))

    def _summed(self, first: Thing, second: Thing) -> dict[str, float]:
        """Return parts that sum to the similarity."""
        found: dict[str, float] = {}
        for i, (focus, weight) in enumerate(
            zip(self.field.focuses, self.field.weights, strict=True)
        ):
            is_split = focus == "context" and first.own is not None and second.own is not None
            split = _split if is_split else _by_column
            for name, part in split(first, second, i, self._parts_of[i]).items():
                found[name] = found.get(name, 0.0) + weight * part
        return found

    def _without(self, first: Thing, second: Thing) -> dict[str, float | None]:
        """Return the similarity without each part; None where one has nothing else."""
        compared = {name for parts in self._parts_of[: len(first.vectors)] for name in parts}
        found = {
            name: self._left_without(first, second, name)
            for name in self._parts
            if name in compared
        }
        if "context" in self.field.focuses and first.own is not None and second.own is not None:
            found[SURROUNDINGS] = _cosine(first.own, second.own)
        return found

    def _left_without(self, first: Thing, second: Thing, name: str) -> float | None:
        total = 0.0
        pairs = zip(first.vectors, second.vectors, self.field.weights, self._parts_of, strict=False)
        for ours, theirs, weight, parts in pairs:
            kept = np.ones(len(ours), np.float64)
            if name in parts:
                kept[parts[name]] = 0
            left = _cosine(ours * kept, theirs * kept)
            if left is None:
                return None
            total += weight * left
        return total

    def _kind_shares(self, row: int) -> dict[str, float]:
        counts = self._kinds_in(int(self._rows.column("cell")[row])).copy()
        if not self._is_cells:
            counts[self._rows.table["kind"][row].as_py()] -= 1
        new = sorted(counts.keys() - self._weights.keys())
        self._weights.update(
            zip(new, tag_vectors(self._index.encoder, new)[1].tolist(), strict=True)
        )
        weights = {kind: n * self._weights[kind] for kind, n in counts.items()}
        total = sum(weights.values())
        return {kind: weight / total for kind, weight in weights.items() if weight > 0}

    def _kinds_in(self, cell: int) -> Counter[str]:
        if cell not in self._kinds:
            living = select_rows(self._index, {"in_cell": cell}, table=ENTITIES)[0]
            kinds = self._index.entities.table["kind"]
            # entities are in cell order, so those of a cell are one run
            here = kinds.slice(0, 0)
            if living is not None and living.size:
                here = kinds.slice(int(living[0]), living.size)
            counted = pc.value_counts(here).to_pylist()
            self._kinds[cell] = Counter({item["values"]: item["counts"] for item in counted})
        return self._kinds[cell]


def _sizes(first: Thing, second: Thing) -> SizeComparison | None:
    if first.geometry is None or second.geometry is None:
        return None
    return SizeComparison(measure(first.geometry), measure(second.geometry))


def _around(first: Thing, second: Thing) -> list[WeighedTag]:
    """Return the kinds that both have around them (cells: in them), by the smaller share."""
    ours, theirs = first.around, second.around
    both = [WeighedTag(kind, min(ours[kind], theirs[kind])) for kind in ours if kind in theirs]
    return sorted(both, key=lambda item: (-item.weight, item.tag))[:MOST_NAMED]


def _parts_within(parts: Mapping[str, slice], at: slice | None) -> dict[str, slice]:
    """Return the parts that lie in some columns, as columns of these."""
    if at is None:
        return dict(parts)
    return {
        name: slice(part.start - at.start, part.stop - at.start)
        for name, part in parts.items()
        if at.start <= part.start and part.stop <= at.stop
    }


def _by_column(
    first: Thing, second: Thing, place: int, columns: Mapping[str, slice]
) -> dict[str, float]:
    ours, theirs = first.vectors[place], second.vectors[place]
    return {name: dot(ours[at], theirs[at]) for name, at in columns.items()}


def _split(
    first: Thing, second: Thing, place: int, columns: Mapping[str, slice]
) -> dict[str, float]:
    """Split contextual vectors into what lies along their own ones, and the remainders."""
    assert first.own is not None and second.own is not None  # noqa: S101, PT018 - asked before
    here, there = first.vectors[place], second.vectors[place]
    ours, theirs = dot(here, first.own), dot(there, second.own)
    around, around_other = here - ours * first.own, there - theirs * second.own
    parts = {
        name: ours * theirs * dot(first.own[at], second.own[at]) for name, at in columns.items()
    }
    return parts | {
        SURROUNDINGS: dot(around, around_other),
        OWN_TO_SURROUNDINGS: ours * dot(first.own, around_other),
        SURROUNDINGS_TO_OWN: theirs * dot(around, second.own),
    }


def _cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    length = (dot(first, first) * dot(second, second)) ** 0.5
    return float(np.clip(dot(first, second) / length, -1, 1)) if length > 0 else None


def dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the product of two vectors."""
    # an elementwise sum, as the search has it: the same bits on every machine
    return float((first * second).sum())


class HitExplainer:
    """Explains the hits of one query.

    Parameters
    ----------
    resolved
        The query; its index may be another than the one that answered.
    index
        That answered, made by the same encoder.
    shared
        What was read for other queries, grows: of queries of one table the same is read.
    """

    def __init__(
        self, resolved: ResolvedQuery, index: IndexReader, shared: dict[Hashable, Any]
    ) -> None:
        self._resolved = resolved
        self._shared = shared
        self._hits = self._explainer(index)
        self._likes = self._explainer(resolved.index)
        self._field = self._likes.field
        read = [example for example in resolved.likes if not example.is_made]
        self._rows = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(example.rows for example in read)])
        )
        self._joined = self._field.joined(self._rows)
        self._made = [self._hits.imagined(each) for each in resolved.likes if each.is_made]

    def of(self, row: int) -> Explanation:
        """Explain a hit by the nearest of the positives."""
        second = self._hits.thing(row)
        best, first = -np.inf, None
        if self._rows.size:
            weights = self._field.weights
            parts = zip(second.vectors, weights, strict=True)
            joined = np.concatenate([vector * weight**0.5 for vector, weight in parts])
            products = (self._joined * joined).sum(axis=1)
            nearest = int(np.argmax(products))
            best, first = float(products[nearest]), self._likes.thing(int(self._rows[nearest]))
        for made in self._made:
            here = self._hits.similarity(made.vectors, second)
            if first is None or here > best:
                best, first = here, made
        assert first is not None  # noqa: S101 - every question has a positive
        why = self._hits.explain(first, second)
        return replace(why, asked=self._shares(second)) if self._is_several else why

    def _explainer(self, index: IndexReader) -> Explainer:
        query = self._resolved.query
        key = (id(index), query.table, query.vector_field, query.own_weight)
        if key not in self._shared:
            self._shared[key] = Explainer(
                index, table=query.table, focus=query.vector_field, own_weight=query.own_weight
            )
        found: Explainer = self._shared[key]
        return found

    @property
    def _is_several(self) -> bool:
        return len(self._resolved.likes) + len(self._resolved.unlikes) > 1

    def _shares(self, second: Thing) -> tuple[AskedShare, ...]:
        """Return what each part adds to the hit's similarity; they sum to it."""
        found = []
        for part, weight in self._resolved.weighted():
            pairs = zip(
                part.vectors,
                second.vectors,
                self._field.weights,
                self._resolved.lengths,
                strict=True,
            )
            adds = sum(w * weight / length * dot(ours, hit) for ours, hit, w, length in pairs)
            alike = self._hits.similarity(part.vectors, second)
            found.append(AskedShare(part.name, alike, adds))
        return tuple(found)


def explain_rows(
    resolved: ResolvedQuery,
    index: IndexReader,
    rows: NDArray[np.int64],
    similarity: NDArray[np.float64],  # noqa: ARG001 - measured again, part by part
    shared: dict[Hashable, Any],
) -> tuple[Explanation, ...]:
    """Explain the answers to a query, each by the nearest of its examples.

    Parameters
    ----------
    index
        That answered.
    rows, similarity
        Of its table, as the search found them.
    shared
        See `HitExplainer`.
    """
    explainer = HitExplainer(resolved, index, shared)
    return tuple(explainer.of(row) for row in rows.tolist())


def explain_pair(
    index: IndexReader,
    first: str,
    second: str,
    *,
    focus: str = WHOLE,
    own_weight: float | None = None,
    target: IndexReader | None = None,
) -> Explanation:
    """Explain the similarity of two things.

    Parameters
    ----------
    first, second
        Ids, names, cells, points or areas, as `geoindex.lookup.reference.parse_place` reads them.
        Where one
        of the two is a cell or an area, the other is the cell, of its resolution, that holds it.
    focus, own_weight
        As `geoindex.queries.vector_field.open_field`.
    target
        The index that holds the second; None: the same.

    Raises
    ------
    InvalidIdError, NotInIndexError
        If one of them is no id, or the index does not hold it.
    UsageError
        If there is no such focus, or the two indexes were made by different encoders.
    """
    other = index if target is None else target
    check_same_encoder(index, other)
    references = [parse_place(first), parse_place(second)]
    table = ENTITIES if all(isinstance(each, (str, LonLat)) for each in references) else CELLS
    things = []
    for here, reference in zip((index, other), references, strict=True):
        space = open_field(here, table=table, focus=focus, own_weight=own_weight)
        explainer = Explainer(here, table=table, focus=focus, own_weight=own_weight)
        finder = EntityExamples(here, space, {})
        if table == CELLS:
            finder = CellExamples(here, space, {}, resolution=_common_resolution(references))
        part = finder.resolve(reference)
        made = part.is_made or not part.rows.size
        things.append(explainer.imagined(part) if made else explainer.thing(int(part.rows[0])))
    return explainer.explain(*things)


def _common_resolution(references: list[Reference]) -> int | None:
    # two cells may be of two resolutions: each is itself, and nothing else has to be found
    cells = [each.cell for each in references if isinstance(each, CellId)]
    return min(resolution_of(cells).tolist()) if cells else None
