"""What is like each of many things? A table of queries, one blocked product for all of them.

All queries share filters and options. Ids are looked up together; the rows that pass are found
once (where a distance is kept from what was asked about: once a query), and
`geoindex.search.nearest_many` compares all queries of one set of rows block by block. One by one go
what it cannot do: `one_per`, `diversity`, the focus ``both``, and an approximate index.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.answering import described, excluded_rows, focus_of, passing_rows, search_notes
from geoindex.asking import Asked, Question, resolver
from geoindex.choices import check_backend
from geoindex.columns import text_column
from geoindex.errors import GeoindexError, SkippedItemsError, UsageError
from geoindex.hits import Hits, make_table, with_index
from geoindex.identity import find_entities
from geoindex.index import Index
from geoindex.layout import CELLS
from geoindex.places import distances_m
from geoindex.query_tables import AskedRow
from geoindex.search import nearest_many
from geoindex.searching.neighbours import Neighbours
from geoindex.shaping import groups_of, shaped
from geoindex.spaces import Space, open_space
from geoindex.twins import check_same_encoder

if TYPE_CHECKING:
    from geoindex.queries import Query

_SHOWN = 3
# whoever asks for another backend wants it asked
_BLOCKED = ("auto", "exact")


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
    among: Index | None = None,
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
        As of `geoindex.answering.ask`.
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
    target = index if among is None else among
    check_same_encoder(index, target)
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
        space = open_space(
            target, table=shared.table, focus=focus, own_weight=shared.own_weight, backend=backend
        )
        is_blocked = backend in _BLOCKED and len(space.matrices) == 1
        answers = _answers(target, space, some, shared, is_blocked=is_blocked)
        found |= {item.place: (near, item.asked) for item, near in zip(some, answers, strict=True)}
    last = found[items[-1].place][0]
    notes += [*search_notes(space, last)]
    in_order = [found[item.place] for item in items]
    table = _table(target, in_order, [item.name for item in items], shared.table)
    query = shared.as_dict()
    del query["cell"]
    return Hits(
        table if among is None else with_index(table, str(target.path)),
        query={**query, **({} if among is None else {"index": str(index.path)})},
        index=described(target, last, table=shared.table) | {"num_queries": len(items)},
        num_passing=max(near.num_passing for near, _ in found.values()),
        notes=tuple(notes),
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
    target: Index, space: Space, items: Sequence[_Item], shared: "Query", *, is_blocked: bool
) -> list[Neighbours]:
    """Answer queries of one space, in their order."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        # what decides which rows pass; places do where a distance is to be kept from them
        apart = tuple(item.asked.places) if shared.filters.apart_m is not None else ()
        level = item.question.resolution if shared.table == CELLS else None
        groups.setdefault((apart, level), []).append(place)
    answers: dict[int, Neighbours] = {}
    for (_, level), places in groups.items():  # type: ignore[misc]
        some = [items[place] for place in places]
        passing = passing_rows(target, shared.filters, some[0].asked, resolution=level)
        if is_blocked and shared.shape.one_per is None and not shared.shape.diversity:
            found = _blocked(target, space, some, shared, passing)
        else:
            found = _one_by_one(target, space, some, shared, passing)
        answers |= dict(zip(places, found, strict=True))
    return [answers[place] for place in range(len(items))]


def _blocked(
    target: Index,
    space: Space,
    items: Sequence[_Item],
    shared: "Query",
    passing: NDArray[np.int64] | None,
) -> Iterator[Neighbours]:
    """Search the same rows for several queries, all at once."""
    queries = np.stack([item.asked.vectors[0] for item in items])
    unwanted = [excluded_rows(item.asked, target) for item in items]
    least = shared.shape.min_similarity
    for near in nearest_many(
        space.matrices[0], queries, k=shared.k, passing=passing, exclude=unwanted
    ):
        enough = len(near.rows)
        if least is not None:
            enough = int(np.count_nonzero(near.similarity >= least))
        yield replace(near, rows=near.rows[:enough], similarity=near.similarity[:enough])


def _one_by_one(
    target: Index,
    space: Space,
    items: Sequence[_Item],
    shared: "Query",
    passing: NDArray[np.int64] | None,
) -> Iterator[Neighbours]:
    """Search the same rows for several queries, one after another."""
    shape = shared.shape
    groups = None if shape.one_per is None else groups_of(target, shape.one_per, table=shared.table)
    for item in items:
        unwanted = excluded_rows(item.asked, target)

        def search(
            n: int, item: _Item = item, unwanted: NDArray[np.int64] = unwanted
        ) -> Neighbours:
            return space.nearest(item.asked.vectors, k=n, passing=passing, exclude=unwanted)

        yield shaped(search, space.joined, shape, k=shared.k, groups=groups)


def _table(
    target: Index,
    found: Sequence[tuple[Neighbours, Asked]],
    names: Sequence[str],
    table: str,
) -> pa.Table:
    """Return the hits of all queries under each other, with the name of each first."""
    rows = target.rows_of(table)
    sizes = [len(near.rows) for near, _ in found]
    whole = Neighbours(
        np.concatenate([near.rows for near, _ in found]),
        np.concatenate([near.similarity for near, _ in found]),
        0,
    )
    # one look at the rows for all: a look for each query would take longer than its search
    made = make_table(rows, whole, table=table, place=None)
    ranks = [np.arange(1, size + 1, dtype=np.int32) for size in sizes]
    are_exact = np.repeat([near.is_exact for near, _ in found], sizes)
    lists = [np.full(len(near.rows), np.nan) for near, _ in found]
    for metres, (near, asked) in zip(lists, found, strict=True):
        if asked.places:
            lon, lat = (rows.column(axis)[near.rows] for axis in ("lon", "lat"))
            metres[:] = np.round(distances_m(lon, lat, asked.places[0]), 1)
    columns = {
        "rank": pa.array(np.concatenate(ranks)),
        "distance_m": pa.array(np.concatenate(lists), from_pandas=True),
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
