"""What is like each of many things? A table of queries, one blocked product for all of them.

All queries share filters and options. Ids are looked up together; the rows that pass are found
once (where a distance is kept from what was asked about: once a query), and
`geoindex.search.exact.nearest_many` compares all queries of one set of rows block by block, as far
down
their rankings as `one_per` and `diversity` need. One by one goes what an approximate index is
asked, and the few rankings that must be followed very far.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import GeoindexError, SkippedItemsError, UsageError
from geoindex.geo.distance import distances_m
from geoindex.index import Index
from geoindex.lookup.ids import find_entities
from geoindex.queries.answer import focus_of
from geoindex.queries.batch_table import AskedRow
from geoindex.queries.hits import Hits
from geoindex.queries.rerank import shaped_many
from geoindex.queries.resolve import Asked, Question, resolver
from geoindex.queries.spaces import Space, open_space
from geoindex.queries.targets import Targets, search_notes, targets_of
from geoindex.search.similarity import Neighbours
from geoindex.storage.arrow_buffers import text_column
from geoindex.storage.layout import CELLS
from geoindex.types import check_backend

if TYPE_CHECKING:
    from geoindex.queries.query import Query

_SHOWN = 3
# whoever asks for another backend wants it asked
_BLOCKED = ("auto", "exact")
# farther down a ranking than this, one query at a time holds less in memory
_FARTHEST = 5000


@dataclass(frozen=True)
class _Item:
    """One query, resolved."""

    place: int
    name: str
    question: Question
    asked: Asked


def ask_many(
    index: Index,
    rows: Sequence[AskedRow],
    shared: "Query",
    *,
    among: Index | Sequence[Index] | None = None,
    backend: str = "auto",
    strict: bool = False,
) -> Hits:
    """Answer many queries that share filters and options.

    Parameters
    ----------
    index
        That holds what the queries name.
    rows
        The queries.
    shared
        Its filters, shape, table, focus and k; its question is not looked at.
    among, backend
        As of `geoindex.queries.answer.ask`.
    strict
        Raise where a query cannot be answered.

    Returns
    -------
    hits
        In the order of the queries, each ranked from 1; their column `query` names it. A query
        that cannot be answered has none, and `Hits.notes` say why.

    Raises
    ------
    SkippedItemsError
        If `strict`, and some cannot be answered.
    UsageError
        If none can be answered, or an option cannot be used.
    """
    check_backend(backend)
    targets = targets_of(index, among, table=shared.table)
    items, faults = _resolved(index, rows, shared)
    notes = _fault_notes(faults, len(rows))
    if strict and faults:
        raise SkippedItemsError("\n".join(notes))
    if not items:
        msg = "none of the queries can be answered\n" + "\n".join(notes)
        raise UsageError(msg)
    found: dict[int, tuple[Neighbours, Asked]] = {}
    for some in _of_one_focus(items, shared):
        focus = focus_of(some[0].question, shared.focus)
        spaces = targets.spaces(focus=focus, own_weight=shared.own_weight, backend=backend)
        answers, said = _answers(targets, spaces, some, shared, is_blocked=backend in _BLOCKED)
        found |= {item.place: (near, item.asked) for item, near in zip(some, answers, strict=True)}
        notes += [*said, *search_notes(spaces, answers)]
    in_order = [found[item.place] for item in items]
    query = shared.as_dict()
    del query["cell"]
    return Hits(
        _table(targets, in_order, [item.name for item in items]),
        query={**query, **({} if among is None else {"index": str(index.path)})},
        index=targets.described(in_order[-1][0]) | {"num_queries": len(items)},
        num_passing=max(near.num_passing for near, _ in found.values()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _resolved(
    index: Index, rows: Sequence[AskedRow], shared: "Query"
) -> tuple[list[_Item], list[tuple[str, str]]]:
    """Resolve each question; return also the name and fault of what cannot be."""
    texts = {
        text
        for row in rows
        if row.question is not None
        for text in (*row.question.like, *row.question.unlike)
    }
    known = find_entities(index, texts)
    resolvers = {}
    items, faults = [], []
    for place, row in enumerate(rows):
        if row.question is None:
            faults.append((row.name, row.fault))
            continue
        focus = focus_of(row.question, shared.focus)
        if focus not in resolvers:
            space = open_space(index, table=shared.table, focus=focus, own_weight=shared.own_weight)
            resolvers[focus] = resolver(index, space, shared.table, known=known)
        try:
            asked = resolvers[focus](row.question)
        except GeoindexError as error:
            faults.append((row.name, str(error)))
            continue
        items.append(_Item(place, row.name, row.question, asked))
    return items, faults


def _of_one_focus(items: Sequence[_Item], shared: "Query") -> Iterator[list[_Item]]:
    focuses = sorted({focus_of(item.question, shared.focus) for item in items})
    for focus in focuses:
        yield [item for item in items if focus_of(item.question, shared.focus) == focus]


def _answers(
    targets: Targets,
    spaces: Sequence[Space],
    items: Sequence[_Item],
    shared: "Query",
    *,
    is_blocked: bool,
) -> tuple[list[Neighbours], list[str]]:
    """Answer queries of one focus, in their order; return also what to say of the filters."""
    sets: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        # what decides which rows pass; places do where a distance is to be kept from them
        apart = tuple(item.asked.places) if shared.filters.apart_m is not None else ()
        level = item.question.resolution if shared.table == CELLS else None
        sets.setdefault((apart, level), []).append(place)
    groups = targets.groups(shared.shape.one_per)
    unwanted = targets.excluded([item.asked for item in items])
    answers: dict[int, Neighbours] = {}
    notes: list[str] = []
    for (_, level), places in sets.items():  # type: ignore[misc]
        first = items[places[0]].asked
        passing, said = targets.passing(shared.filters, first, resolution=level)
        search = _Search(
            targets, spaces, [items[place].asked.vectors for place in places], passing,
            [unwanted[place] for place in places], is_blocked=is_blocked,
        )  # fmt: skip
        found = shaped_many(
            search, targets.joined(spaces), shared.shape,
            num_queries=len(places), k=shared.k, groups=groups,
        )  # fmt: skip
        answers |= dict(zip(places, found, strict=True))
        notes += said
    return [answers[place] for place in range(len(items))], notes


class _Search:
    """Searches the same rows for several queries: at once, as far as that is the better way."""

    def __init__(
        self,
        targets: Targets,
        spaces: Sequence[Space],
        vectors: Sequence[tuple[NDArray[np.float32], ...]],
        passing: Sequence[NDArray[np.int64] | None],
        unwanted: Sequence[Sequence[NDArray[np.int64]]],
        *,
        is_blocked: bool,
    ) -> None:
        self._targets, self._spaces, self._vectors = targets, spaces, vectors
        self._passing, self._unwanted = passing, unwanted
        self._is_blocked = is_blocked

    def __call__(self, numbers: list[int], reach: int) -> list[Neighbours]:
        """Return the nearest rows, as many as `reach`, to each of the queries of these numbers."""
        found = [self._of_one_index(i, numbers, reach) for i in range(len(self._spaces))]
        return [self._targets.merged(list(each), reach) for each in zip(*found, strict=True)]

    def _of_one_index(self, i: int, numbers: list[int], reach: int) -> list[Neighbours]:
        space, passing = self._spaces[i], self._passing[i]
        unwanted = [self._unwanted[number][i] for number in numbers]
        vectors = [self._vectors[number] for number in numbers]
        if self._is_blocked and reach <= _FARTHEST:
            return space.nearest_many(vectors, k=reach, passing=passing, exclude=unwanted)
        return [
            space.nearest(one, k=reach, passing=passing, exclude=out)
            for one, out in zip(vectors, unwanted, strict=True)
        ]


def _table(
    targets: Targets, found: Sequence[tuple[Neighbours, Asked]], names: Sequence[str]
) -> pa.Table:
    """Return the hits of all queries under each other, with the name of each first."""
    sizes = [len(near.rows) for near, _ in found]
    whole = Neighbours(
        np.concatenate([near.rows for near, _ in found]),
        np.concatenate([near.similarity for near, _ in found]),
        0,
    )
    # one look at the rows for all: a look for each query would take longer than its search
    made = targets.hits(whole, None)
    ranks = [np.arange(1, size + 1, dtype=np.int32) for size in sizes]
    are_exact = np.repeat([near.is_exact for near, _ in found], sizes)
    lon, lat = (targets.column(axis, whole.rows) for axis in ("lon", "lat"))
    metres = np.full(len(whole.rows), np.nan)
    stops = np.cumsum(sizes)
    for (_, asked), size, stop in zip(found, sizes, stops.tolist(), strict=True):
        if asked.places and size:
            of_query = slice(stop - size, stop)
            away = distances_m(lon[of_query], lat[of_query], asked.places[0])
            metres[of_query] = np.round(away, 1)
    columns = {
        "rank": pa.array(np.concatenate(ranks)),
        "distance_m": pa.array(metres, from_pandas=True),
        "exact": pa.array(are_exact),
    }
    for name, column in columns.items():
        made = made.set_column(made.column_names.index(name), name, column)
    asked_for = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    return made.add_column(0, "query", text_column(asked_for))


def _fault_notes(faults: Sequence[tuple[str, str]], num_rows: int) -> list[str]:
    if not faults:
        return []
    notes = [f"left out {len(faults):,} of {num_rows:,} queries, which cannot be answered:"]
    notes += [f"  query {name}: {fault}" for name, fault in faults[:_SHOWN]]
    more = len(faults) - _SHOWN
    return [*notes, f"  and {more:,} more"] if more > 0 else notes
