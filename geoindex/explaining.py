"""Why are two things similar? Exact: computed from the vectors that ranked.

All vectors are scaled to length 1 in float64, so that a similarity is one product, and a product is
the sum of the products of its columns. The encoder says which columns come from what
(`encoder.embedder.Embedder.parts`, ``region_parts``):

=========  ===========================================================================
compared   parts of the similarity
=========  ===========================================================================
own        `tags` and `geometry`: the products of these columns
context    each contextual vector is ``a * own + r``: what of it lies along its own
           vector, and the remainder, which its surroundings brought. `tags` and
           `geometry` split own with own; `own_to_surroundings` (the first's own, the
           second's remainder), `surroundings_to_own` and `surroundings` are the rest
cells      `mean` and `counts`
=========  ===========================================================================

Leave one out: without `tags` (`geometry`, `mean`, `counts`) is the cosine of all other columns of
the vectors that ranked, without `surroundings` that of the own vectors.

A hit of a question with several positives is explained by the nearest of them, negatives aside; a
cell asked for among entities counts as each entity that lives in it; tags as one imagined entity.
What is around an entity is what else lives in its home cell. There, and in cells, the shares of
kinds are by weight: a café weighs more than a building.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.asking import Question, resolve
from geoindex.cells import format_cell
from geoindex.errors import UsageError
from geoindex.explanation import (
    OWN_TO_SURROUNDINGS,
    SURROUNDINGS,
    SURROUNDINGS_TO_OWN,
    Explanation,
)
from geoindex.filters import Filters, rows_passing
from geoindex.index import Index, check_focus, check_table
from geoindex.layout import CELLS, ENTITIES
from geoindex.models import embed_tags, embed_tags_as_cell, tag_vectors
from geoindex.sizes import SizeComparison, measure
from geoindex.tag_comparison import MOST_NAMED, WeighedTag, compare_tags

_IMAGINED = "the tags asked for"


@dataclass(frozen=True)
class Thing:
    """One of the two: a row, or what was imagined.

    Attributes
    ----------
    name
        Id, cell, or what stands for tags.
    vector
        That ranked, of length 1 or zero, float64.
    own
        Of the entity alone, likewise; None unless `vector` is contextual.
    tags
        ``key=value`` texts; none for cells.
    row
        In its table; None where it was imagined.
    """

    name: str
    vector: NDArray[np.float64]
    own: NDArray[np.float64] | None
    tags: Sequence[str] = ()
    row: int | None = None


class Explainer:
    """Explains pairs of one table under one focus.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    focus
        ``"context"`` or ``"own"``; cells have one vector.

    Raises
    ------
    UsageError
        If there is no such table or focus.
    IndexDamagedError
        If this version has another encoder than the index: what its columns mean is not known.
    """

    def __init__(self, index: Index, *, table: str = ENTITIES, focus: str = "context") -> None:
        self._index = index
        self._is_cells = check_table(table) == CELLS
        self._in_context = check_focus(focus) == "context" and not self._is_cells
        self._vectors = index.vectors(table, focus=focus)
        self._rows = index.rows_of(table)
        encoder = index.encoder
        self._parts = encoder.region_parts if self._is_cells else encoder.parts
        self._kinds: dict[int, Counter[str]] = {}
        self._weights: dict[str, float] = {}

    def thing(self, row: int) -> Thing:
        """Return a row of the table as one of two."""
        vector = _unit(self._vectors[row])
        if self._is_cells:
            return Thing(format_cell(int(self._rows.column("cell")[row])), vector, None, row=row)
        name = self._rows.table["feature_id"][row].as_py()
        lists = self._index.tag_lists
        tags = lists.texts(lists.codes[lists.offsets[row] : lists.offsets[row + 1]])
        own = _unit(self._index.vectors(ENTITIES, focus="own")[row])
        return Thing(name, vector, own if self._in_context else None, tags, row)

    def imagined(self, tags: Mapping[str, str]) -> Thing:
        """Return an entity that has these tags and no place, or a cell that holds one such."""
        encoder = self._index.encoder
        if self._is_cells:
            return Thing(_IMAGINED, _unit(embed_tags_as_cell(encoder, tags)), None)
        vector = _unit(embed_tags(encoder, tags))
        texts = [f"{key}={value}" for key, value in tags.items()]
        return Thing(_IMAGINED, vector, vector if self._in_context else None, texts)

    def explain(self, first: Thing, second: Thing) -> Explanation:
        """Explain the similarity of two things of this explainer."""
        is_entity = not self._is_cells
        return Explanation(
            first=first.name,
            second=second.name,
            similarity=float(np.clip(_dot(first.vector, second.vector), -1, 1)),
            parts=_parts(first, second, self._parts),
            without=_without(first, second, self._parts),
            tags=compare_tags(self._index.encoder, first.tags, second.tags) if is_entity else None,
            size=self._sizes(first, second) if is_entity else None,
            around=self._around(first, second),
        )

    def _sizes(self, first: Thing, second: Thing) -> SizeComparison | None:
        if first.row is None or second.row is None:
            return None
        shapes = self._rows.take([first.row, second.row])["geometry"].to_pylist()
        return SizeComparison(measure(shapes[0]), measure(shapes[1]))

    def _around(self, first: Thing, second: Thing) -> list[WeighedTag]:
        """Return the kinds that both have around them (cells: in them), by the smaller share."""
        if first.row is None or second.row is None:
            return []
        ours, theirs = self._kind_shares(first.row), self._kind_shares(second.row)
        both = [WeighedTag(kind, min(ours[kind], theirs[kind])) for kind in ours if kind in theirs]
        return sorted(both, key=lambda item: (-item.weight, item.tag))[:MOST_NAMED]

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
            living = rows_passing(self._index, Filters(in_cell=cell), table=ENTITIES)
            kinds = self._index.entities.table["kind"]
            # entities are in cell order, so those of a cell are one run
            here = kinds.slice(0, 0)
            if living is not None and living.size:
                here = kinds.slice(int(living[0]), living.size)
            counted = pc.value_counts(here).to_pylist()
            self._kinds[cell] = Counter({item["values"]: item["counts"] for item in counted})
        return self._kinds[cell]


def explain_pair(index: Index, first: str, second: str, *, focus: str = "context") -> Explanation:
    """Explain the similarity of two entities.

    Parameters
    ----------
    first, second
        Ids in any form.
    focus
        ``"context"``: in their surroundings; ``"own"``: alone.

    Raises
    ------
    InvalidIdError, NotInIndexError
        If one of them is no id, or the index does not hold it.
    UsageError
        If there is no such focus.
    """
    explainer = Explainer(index, focus=focus)
    things = [explainer.thing(index.row_of(text)) for text in (first, second)]
    return explainer.explain(*things)


def explain_rows(
    index: Index, question: Question, rows: NDArray[np.int64], *, table: str, focus: str
) -> tuple[Explanation, ...]:
    """Explain the answers to a question, each by the nearest of its positives.

    Parameters
    ----------
    rows
        Of `table`, as the search found them.

    Raises
    ------
    UsageError
        If the question has no positive that is a row or tags.
    """
    explainer = Explainer(index, table=table, focus=focus)
    positive = resolve(
        index, replace(question, unlike=(), not_at=()), table=table, focus=focus
    ).rows
    vectors = index.vectors(table, focus=focus)[positive]
    imagined = explainer.imagined(question.tags) if question.tags else None
    if not positive.size and imagined is None:
        msg = "nothing to explain with; want one of like, at, cell, tags in the question"
        raise UsageError(msg)
    found = []
    for row in rows.tolist():
        second = explainer.thing(row)
        if positive.size:
            first = explainer.thing(int(positive[np.argmax(vectors @ second.vector)]))
        if imagined is not None and (
            not positive.size
            or _dot(imagined.vector, second.vector) > _dot(first.vector, second.vector)
        ):
            first = imagined
        found.append(explainer.explain(first, second))
    return tuple(found)


def _parts(first: Thing, second: Thing, columns: Mapping[str, slice]) -> dict[str, float]:
    """Return parts that sum to the product of the two vectors."""
    if first.own is None or second.own is None:
        return {name: _dot(first.vector[at], second.vector[at]) for name, at in columns.items()}
    ours, theirs = _dot(first.vector, first.own), _dot(second.vector, second.own)
    around, around_other = first.vector - ours * first.own, second.vector - theirs * second.own
    parts = {
        name: ours * theirs * _dot(first.own[at], second.own[at]) for name, at in columns.items()
    }
    return parts | {
        SURROUNDINGS: _dot(around, around_other),
        OWN_TO_SURROUNDINGS: ours * _dot(first.own, around_other),
        SURROUNDINGS_TO_OWN: theirs * _dot(around, second.own),
    }


def _without(first: Thing, second: Thing, columns: Mapping[str, slice]) -> dict[str, float | None]:
    """Return the similarity without each part; None where one of the two has nothing else."""
    found: dict[str, float | None] = {}
    for name, at in columns.items():
        kept = np.ones(len(first.vector), np.float64)
        kept[at] = 0
        found[name] = _cosine(first.vector * kept, second.vector * kept)
    if first.own is not None and second.own is not None:
        found[SURROUNDINGS] = _cosine(first.own, second.own)
    return found


def _cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    length = (_dot(first, first) * _dot(second, second)) ** 0.5
    return float(np.clip(_dot(first, second) / length, -1, 1)) if length > 0 else None


def _dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    # an elementwise sum, as the search has it: the same bits on every machine
    return float((first * second).sum())


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vector.astype(np.float64)
    length = _dot(wide, wide) ** 0.5
    return wide / length if length > 0 else wide
