"""Run queries: resolve the examples, filter, search, rerank, return hits.

There is one way through, for one query or many, for vectors of the map and for pictures. Queries
that compare the same vectors and let the same rows through are searched together: many at once by
`geoindex.search.exact_batch`, block by block; one by itself, by whoever the planner chooses. One
by one go also what an approximate index is asked, and the few rankings that must be followed far.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import GeoindexError, SkippedItemsError, UsageError
from geoindex.geo.distance import LonLat, distances_m
from geoindex.index import IndexReader
from geoindex.lookup.places import point_of
from geoindex.queries.hits import Hits
from geoindex.queries.multi_index import MultiIndex, multi_index_of
from geoindex.queries.query import Query
from geoindex.queries.rerank import rerank
from geoindex.queries.resolve import ResolvedQuery, resolve
from geoindex.queries.suggest import POOL, suggested
from geoindex.queries.vector_field import VectorField, open_field, unit
from geoindex.search.similarity import Neighbours
from geoindex.storage.arrow_buffers import text_column
from geoindex.types import BOTH, check_backend

if TYPE_CHECKING:
    from geoindex.queries.batch_table import BatchRow
    from geoindex.queries.explanation import Explanation

_LOG = logging.getLogger(__name__)
_SHOWN = 3
# farther down a ranking than this, one query at a time holds less in memory
_FARTHEST = 5000


@dataclass(frozen=True)
class Answer:
    """The rows found for one query, and where.

    Attributes
    ----------
    resolved
        The query.
    found
        Rows of `indexes`, best first.
    indexes
        That were searched.
    notes
        On the filters and the search, for the user.
    suggested
        Rows of `indexes` to label next.
    """

    resolved: ResolvedQuery
    found: Neighbours
    indexes: MultiIndex
    notes: tuple[str, ...]
    suggested: Neighbours | None = None

    @property
    def place(self) -> LonLat | None:
        """Where distances are measured from."""
        if self.resolved.places:
            return self.resolved.places[0]
        near = self.resolved.query.near
        for index in () if near is None else self.indexes.indexes:
            # an index without what has this name has no answer either
            with suppress(GeoindexError):
                return point_of(index, near)[0]
        return None

    def explain(self, shared: dict[Hashable, Any]) -> "tuple[Explanation, ...]":
        """Return why each hit is similar; `shared` is what answers of one table read once."""
        if self.resolved.query.image is not None:
            from geoindex.queries.by_image.explain import explain_rows
        else:
            from geoindex.queries.explain import explain_rows
        found: dict[int, Explanation] = {}
        for i, places, rows in self.indexes.split(self.found.rows):
            similarity = self.found.similarity[places]
            why = explain_rows(self.resolved, self.indexes.indexes[i], rows, similarity, shared)
            found |= dict(zip(places.tolist(), why, strict=True))
        return tuple(found[place] for place in range(len(self.found.rows)))


def execute(
    index: IndexReader,
    queries: Sequence[Query],
    *,
    target: IndexReader | Sequence[IndexReader] | None = None,
    backend: str = "auto",
) -> list[Hits]:
    """Answer queries, each with its own examples, filters and options.

    Parameters
    ----------
    index
        That holds what the queries name.
    target
        The index to search, or several; None: the same. Filters apply to them.
    backend
        Who searches; see `Index.searcher`.

    Raises
    ------
    UsageError
        If an option cannot be used with the index, or two were made by different encoders.
    NotInIndexError
        If the index does not hold what a query names.
    """
    is_table = len(queries) > 1
    answers, _ = _answers(index, queries, target=target, backend=backend, is_table=is_table)
    return [_hits(answer, is_elsewhere=target is not None) for answer in answers]


def execute_table(
    index: IndexReader,
    rows: "Sequence[BatchRow]",
    shared: Query,
    *,
    target: IndexReader | Sequence[IndexReader] | None = None,
    backend: str = "auto",
    strict: bool = False,
) -> Hits:
    """Answer a table of queries that share filters and options.

    Parameters
    ----------
    rows
        The queries.
    shared
        Their options, without examples.
    target, backend
        As of `execute`.
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
    faults = {place: row.fault for place, row in enumerate(rows) if row.query is None}
    asked = {place: row.query for place, row in enumerate(rows) if row.query is not None}
    answers, more = _answers(
        index, list(asked.values()), target=target, backend=backend, is_table=True, keep_faults=True
    )
    places = list(asked)
    faults |= {places[number]: str(fault) for number, fault in more.items()}
    notes = _fault_notes([(rows[i].name, faults[i]) for i in sorted(faults)], len(rows))
    if strict and faults:
        raise SkippedItemsError("\n".join(notes))
    if not answers:
        msg = "none of the queries can be answered\n" + "\n".join(notes)
        raise UsageError(msg)
    names = [rows[place].name for place in places if place not in faults]
    notes += [note for answer in answers for note in answer.notes]
    query = shared.as_dict()
    last = answers[-1]
    return Hits(
        _table(answers, names),
        query={**query, **({} if target is None else {"index": str(index.path)})},
        index=last.indexes.described(last.found) | {"num_queries": len(answers)},
        num_passing=max(answer.found.num_passing for answer in answers),
        notes=tuple(dict.fromkeys(notes)),
        explainer=lambda: _explained(answers),
    )


def _explained(answers: Sequence[Answer]) -> "tuple[Explanation, ...]":
    shared: dict[Hashable, Any] = {}
    return tuple(why for answer in answers for why in answer.explain(shared))


def _answers(
    index: IndexReader,
    queries: Sequence[Query],
    *,
    target: IndexReader | Sequence[IndexReader] | None,
    backend: str,
    is_table: bool,
    keep_faults: bool = False,
) -> tuple[list[Answer], dict[int, GeoindexError]]:
    """Answer queries, in their order; return also the faults of those that cannot be answered."""
    check_backend(backend)
    if not (is_table and backend == "auto"):
        # tables are answered exactly
        queries = [_decided(query, index, target, backend) for query in queries]
    known = _ids_of(index, queries) if is_table else None
    # another backend answers by itself
    is_blocked = is_table and backend in {"auto", "exact"}
    faults: dict[int, GeoindexError] = {}
    answers: dict[int, Answer] = {}
    for numbers in _alike(queries, _comparison):
        first = queries[numbers[0]]
        resolved: dict[int, ResolvedQuery] = {}
        try:
            indexes = multi_index_of(
                index, target, table=first.table, are_images=first.image is not None
            )
            fields = indexes.fields(
                first.vector_field, own_weight=first.own_weight, backend=backend
            )
            resolver = _resolver(index, fields, first, known)
        except GeoindexError as fault:
            # a table may hold other queries that can be answered: pictures and places
            if not keep_faults or len(numbers) == len(queries):
                raise
            faults |= dict.fromkeys(numbers, fault)
            continue
        for number in numbers:
            try:
                resolved[number] = resolver(queries[number])
            except GeoindexError as fault:
                if not keep_faults:
                    raise
                faults[number] = fault
        places, found_examples = list(resolved), list(resolved.values())
        for some in _alike(found_examples, _passes):
            group = [found_examples[i] for i in some]
            found = _searched(indexes, fields, group, is_blocked=is_blocked)
            for i, answer in zip(some, found, strict=True):
                answers[places[i]] = answer
    return [answers[number] for number in sorted(answers)], faults


def _decided(
    query: Query,
    index: IndexReader,
    target: IndexReader | Sequence[IndexReader] | None,
    backend: str,
) -> Query:
    """Return a query that compares context alone where an approximate index is to answer it.

    Only where the query leaves it open, and would compare both vectors, which no such index has.
    """
    is_chosen = query.focus is not None or query.own_weight is not None
    is_open = not is_chosen and query.vector_field == BOTH and backend != "exact"
    if not is_open or index.manifest.has_one_vector:
        return query
    several = [index] if target is None else [target] if isinstance(target, IndexReader) else target
    records = [each.manifest.indexes.get("entities.embedding", {}) for each in several]
    is_made = any("approximate" in record for record in records)
    return query.with_focus("context") if is_made or backend != "auto" else query


def _alike(items: Sequence[Any], key: Any) -> Iterator[list[int]]:
    """Yield the places of items of one key, in the order in which the keys come."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    yield from groups.values()


def _comparison(query: Query) -> Hashable:
    """Return what decides which vectors are compared."""
    return (query.table, query.vector_field, query.own_weight)


def _passes(resolved: ResolvedQuery) -> Hashable:
    """Return what decides which rows pass and how they are ranked."""
    query = resolved.query
    filters = tuple((name, id(value)) for name, value in query.filters.items())
    # where a distance is kept from the examples, their places decide
    apart = tuple(resolved.places) if query.not_within is not None else ()
    ranking = (
        query.k,
        query.min_similarity,
        query.one_per,
        query.diversity,
        query.parts,
        query.suggest,
    )
    return (filters, apart, resolved.resolution, ranking)


def _ids_of(index: IndexReader, queries: Sequence[Query]) -> dict[str, int]:
    """Look up the ids that queries name, all at once."""
    from geoindex.lookup.ids import find_entities

    texts = {text for query in queries for text in (*(query.like or ()), *(query.unlike or ()))}
    return find_entities(index, texts)


def _resolver(
    index: IndexReader,
    fields: Sequence[Any],
    first: Query,
    known: dict[str, int] | None,
) -> Any:
    if first.image is not None:
        from geoindex.queries.by_image.appearance import resolve_image

        return partial(resolve_image, index=index, fields=fields)
    own = open_field(
        index, table=first.table, focus=first.vector_field, own_weight=first.own_weight
    )
    return partial(resolve, index=index, field=own, known=known)


def _searched(
    indexes: MultiIndex,
    fields: Sequence[VectorField],
    group: Sequence[ResolvedQuery],
    *,
    is_blocked: bool,
) -> list[Answer]:
    """Answer queries that let the same rows through, in their order."""
    passing, filter_notes = indexes.passing(group[0])
    _LOG.info(
        "%d queries over %s of %s, %s rows pass", len(group), group[0].query.vector_field,
        ", ".join(str(index.path) for index in indexes.indexes),
        ", ".join("all" if rows is None else f"{len(rows):,}" for rows in passing),
    )  # fmt: skip
    parts = indexes.parts(group)
    unwanted = [
        [np.union1d(rows, other) if other.size else rows for rows, other in zip(*pair, strict=True)]
        for pair in zip(indexes.excluded(group), parts, strict=True)
    ]
    query = group[0].query
    # a picture is read on the scale of each index
    of_fields = [
        one.vectors if query.image is not None else (one.vectors,) * len(fields) for one in group
    ]

    # what was found in each index, by number of the query
    of_each: dict[int, tuple[Neighbours, ...]] = {}

    def joined(number: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return indexes.joined(fields, rows, of_fields[number])

    def search(numbers: list[int], reach: int) -> list[Neighbours]:
        found = []
        for i, field in enumerate(fields):
            vectors = [of_fields[number][i] for number in numbers]
            exclude = [unwanted[number][i] for number in numbers]
            if is_blocked and reach <= _FARTHEST:
                some = field.nearest_many(vectors, k=reach, passing=passing[i], exclude=exclude)
            else:
                some = [
                    field.nearest(one, k=reach, passing=passing[i], exclude=out)
                    for one, out in zip(vectors, exclude, strict=True)
                ]
            found.append(some)
        of_each.update(zip(numbers, zip(*found, strict=True), strict=True))
        return [indexes.merged(of_each[number], reach) for number in numbers]

    if query.is_reranked:
        groups = indexes.groups(query.one_per)
        ranked = rerank(search, joined, query, num_queries=len(group), groups=groups)
    else:
        ranked = search(list(range(len(group))), query.k)
    return [
        Answer(
            resolved,
            found,
            indexes,
            (
                *filter_notes,
                *indexes.notes_on(fields, of_each[number], passing),
                *_parts_notes(
                    indexes, fields, of_fields[number], parts[number], passing, (query, found)
                ),
                *(() if found.num_passing else indexes.why_nothing_passes(resolved)),
            ),
            _to_label(
                resolved,
                fields,
                of_fields[number],
                found,
                partial(search, [number]),
                partial(joined, number),
            ),
        )
        for number, (resolved, found) in enumerate(zip(group, ranked, strict=True))
    ]


def _parts_notes(
    indexes: MultiIndex,
    fields: Sequence[VectorField],
    vectors: Sequence[tuple[Any, ...]],
    parts: Sequence[NDArray[np.int64]],
    passing: Sequence[Any],
    answer: tuple[Query, Neighbours],
) -> list[str]:
    """Say how many parts of the examples would have been among the hits."""
    query, found = answer
    if not any(rows.size for rows in parts):
        return []
    least = -np.inf if query.min_similarity is None else query.min_similarity
    if len(found.rows) >= query.k:
        least = max(least, float(found.similarity.min()))
    near = indexes.num_parts_near(fields, vectors, parts, passing, least)
    return [_parts_text(near)] if near else []


def _to_label(
    resolved: ResolvedQuery,
    fields: Sequence[VectorField],
    vectors: Sequence[tuple[Any, ...]],
    found: Neighbours,
    search: Callable[[int], list[Neighbours]],
    joined: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> Neighbours | None:
    """Return rows to label next; None where it was not asked for, or several indexes answer."""
    number = resolved.query.suggest
    if not number or not resolved.likes or len(fields) > 1:
        return None
    (pool,) = search(POOL)
    border = _border(resolved, fields[0], vectors[0], found)
    # what was just shown can be labelled anyway
    left = np.flatnonzero(~np.isin(pool.rows, found.rows))
    similarity, rows = pool.similarity[left], pool.rows[left]
    chosen = suggested(similarity, joined(rows), border, number)
    return replace(pool, rows=rows[chosen], similarity=similarity[chosen])


def _border(
    resolved: ResolvedQuery, field: Any, vectors: tuple[Any, ...], found: Neighbours
) -> float:
    """Return the similarity half way between examples and counter-examples."""
    if not resolved.unlikes:
        return float(found.similarity[-1]) if len(found.rows) else 0.0
    wanted = [unit(vector) for vector in vectors]
    means = [
        np.mean(
            [
                sum(
                    float(ours @ theirs) * weight
                    for ours, theirs, weight in zip(
                        wanted, each.vectors, field.weights, strict=True
                    )
                )
                for each in some
            ]
        )
        for some in (resolved.likes, resolved.unlikes)
    ]
    return float(np.mean(means))


def _suggested(answer: Answer) -> tuple[dict[str, Any], ...]:
    """Return what to label next, as plain values."""
    if answer.suggested is None:
        return ()
    table = answer.indexes.hits(answer.suggested, None)
    names = [
        name for name in ("kind", "name", "lon", "lat", "similarity") if name in table.schema.names
    ]
    ids = table["region_id" if "region_id" in table.column_names else "feature_id"].to_pylist()
    rows = table.select(names).to_pylist()
    return tuple({"id": each, **row} for each, row in zip(ids, rows, strict=True))


def _parts_text(number: int) -> str:
    what = "part of the example" if number == 1 else "parts of the example"
    return f"{number:,} {what} left out; --parts shows them"


def _hits(answer: Answer, *, is_elsewhere: bool) -> Hits:
    resolved = answer.resolved
    has_one_vector = resolved.index.manifest.has_one_vector
    query = resolved.query.resolved_dict(has_one_vector=has_one_vector)
    return Hits(
        answer.indexes.hits(answer.found, answer.place),
        query={**query, "index": str(resolved.index.path)} if is_elsewhere else query,
        index=answer.indexes.described(answer.found),
        num_passing=answer.found.num_passing,
        notes=(*resolved.query.notes, *resolved.notes, *answer.notes),
        suggested=_suggested(answer),
        explainer=lambda: _explained([answer]),
    )


def _table(answers: Sequence[Answer], names: Sequence[str]) -> pa.Table:
    """Return the hits of all queries under each other, with the name of each first."""
    indexes = answers[0].indexes
    sizes = [len(answer.found.rows) for answer in answers]
    whole = Neighbours(
        np.concatenate([answer.found.rows for answer in answers]),
        np.concatenate([answer.found.similarity for answer in answers]),
        0,
    )
    # one look at the rows for all: a look for each query would take longer than its search
    made = indexes.hits(whole, None)
    ranks = [np.arange(1, size + 1, dtype=np.int32) for size in sizes]
    are_exact = np.repeat([answer.found.is_exact for answer in answers], sizes)
    lon, lat = (indexes.column(axis, whole.rows) for axis in ("lon", "lat"))
    metres = np.full(len(whole.rows), np.nan)
    stops = np.cumsum(sizes)
    for answer, size, stop in zip(answers, sizes, stops.tolist(), strict=True):
        if answer.resolved.places and size:
            of_query = slice(stop - size, stop)
            away = distances_m(lon[of_query], lat[of_query], answer.resolved.places[0])
            metres[of_query] = np.round(away, 1)
    columns = {
        "rank": pa.array(np.concatenate(ranks)),
        "distance_m": pa.array(metres, from_pandas=True),
        "exact": pa.array(are_exact),
    }
    for name, column in columns.items():
        made = made.set_column(made.column_names.index(name), name, column)
    of_each = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    return made.add_column(0, "query", text_column(of_each))


def _fault_notes(faults: Sequence[tuple[str, str]], num_rows: int) -> list[str]:
    if not faults:
        return []
    notes = [f"left out {len(faults):,} of {num_rows:,} queries, which cannot be answered:"]
    notes += [f"  query {name}: {fault}" for name, fault in faults[:_SHOWN]]
    more = len(faults) - _SHOWN
    return [*notes, f"  and {more:,} more"] if more > 0 else notes
