"""What is like this, over there, within these filters? One question to an index, or its twin."""

import operator
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.asking import Asked, Question, resolve
from geoindex.choices import check_backend
from geoindex.errors import UsageError
from geoindex.filters import Filters, rows_passing
from geoindex.hits import Hits, make_table, with_index
from geoindex.identity import missing_text
from geoindex.index import Index
from geoindex.layout import CELLS, ENTITIES
from geoindex.plain_queries import as_plain
from geoindex.reasons import explain_rows
from geoindex.searching.neighbours import Neighbours
from geoindex.shaping import Shape, groups_of, shaped
from geoindex.spaces import OWN_WEIGHT, Space, open_space
from geoindex.towns import place_named
from geoindex.twins import check_same_encoder, same_rows

DEFAULT_K = 10


def ask(
    index: Index,
    question: Question,
    filters: Filters | None = None,
    *,
    k: int = DEFAULT_K,
    table: str = ENTITIES,
    focus: str | None = None,
    own_weight: float = OWN_WEIGHT,
    shape: Shape | None = None,
    among: Index | None = None,
    backend: str = "auto",
) -> Hits:
    """Answer a question.

    Parameters
    ----------
    question
        What the answers should be like.
    filters
        What they must satisfy.
    k
        How many, at least 1; fewer come back where fewer pass the filters.
    table
        ``"entities"`` or ``"cells"``.
    focus
        ``"context"``: entities in their surroundings; ``"own"``: entities alone; ``"both"``, see
        `geoindex.spaces`. By default ``"own"`` if only tags were given, which have no
        surroundings, else ``"context"``. Cells have one vector.
    own_weight
        Of ``"both"``: the share of own, 0 to 1.
    shape
        How the ranking is thinned out.
    among
        The index to look in; None: the one that holds what the question names. The filters speak
        of it.
    backend
        Who searches; see `Index.searcher`.

    Raises
    ------
    UsageError
        If an option is out of its range, cannot be used with `table`, or the two indexes were
        made by different encoders.
    NotInIndexError
        If the index does not hold what the question names.
    """
    filters, shape = filters or Filters(), shape or Shape()
    k = check_k(k)
    check_backend(backend)
    focus = focus_of(question, focus)
    target = index if among is None else among
    check_same_encoder(index, target)
    asked = resolve(index, question, table=table, focus=focus, own_weight=own_weight)
    space = open_space(target, table=table, focus=focus, own_weight=own_weight, backend=backend)
    passing = passing_rows(target, filters, asked, resolution=question.resolution)
    unwanted = excluded_rows(asked, target)
    groups = None if shape.one_per is None else groups_of(target, shape.one_per, table=table)

    def search(n: int) -> Neighbours:
        return space.nearest(asked.vectors, k=n, passing=passing, exclude=unwanted)

    found = shaped(search, space.joined, shape, k=k, groups=groups)
    place = asked.places[0] if asked.places else filters.near
    hits = make_table(target.rows_of(table), found, table=table, place=place)
    query = as_plain(question, filters, shape, k=k, table=table, focus=focus, own_weight=own_weight)
    return Hits(
        hits if among is None else with_index(hits, str(target.path)),
        query=query if among is None else {**query, "index": str(index.path)},
        index=described(target, found, table=table),
        num_passing=found.num_passing,
        notes=(
            *asked.notes,
            *filter_notes(target, filters, table),
            *search_notes(space, found),
        ),
        explainer=partial(
            explain_rows, asked, target, found.rows, focus=focus, own_weight=own_weight
        ),
    )


def check_k(k: int) -> int:
    """Return how many are wanted, if it is a whole number of at least 1.

    Raises
    ------
    UsageError
        If it is not.
    """
    try:
        whole = operator.index(k)
    except TypeError:
        whole = 0
    if whole < 1 or isinstance(k, bool):
        msg = f"k is {k!r}; want a whole number of at least 1. Example: 10"
        raise UsageError(msg)
    return whole


def focus_of(question: Question, focus: str | None) -> str:
    """Return the focus asked for, or the one that suits the question."""
    if focus is not None:
        return focus
    return "own" if question.is_tags_only else "context"


def passing_rows(
    index: Index, filters: Filters, asked: Asked, *, resolution: int | None
) -> NDArray[np.int64] | None:
    """Return the rows that may answer a question, ascending; None for all.

    Parameters
    ----------
    index
        That is searched.
    resolution
        Of the cells that answer; None: the finest.

    Raises
    ------
    UsageError
        If a distance is to be kept from what has no place.
    """
    if filters.apart_m is not None and not asked.places:
        msg = (
            "--not-within is measured from a place; tags and vectors have none. Add --like or --at"
        )
        raise UsageError(msg)
    passing = rows_passing(index, filters, table=asked.table, places=asked.places)
    if asked.table != CELLS:
        return passing
    wanted = index.manifest.resolutions[-1] if resolution is None else resolution
    rows = np.flatnonzero(index.cells.column("resolution") == wanted)
    return rows if passing is None else np.intersect1d(rows, passing, assume_unique=True)


def excluded_rows(asked: Asked, target: Index) -> NDArray[np.int64]:
    """Return the rows of the index searched that the question named."""
    if target is asked.index:
        return asked.rows
    return same_rows(asked.index, target, asked.rows, table=asked.table)


def described(index: Index, found: Neighbours, *, table: str) -> dict[str, Any]:
    """Return what an answer says of the index that gave it, and of the search."""
    return {
        "path": str(index.path),
        "encoder": index.manifest.encoder["name"],
        "fingerprint": index.manifest.encoder["fingerprint"],
        "num_rows": len(index.rows_of(table)),
        "created": index.manifest.created,
        "search": {
            "backend": found.backend,
            "exact": found.is_exact,
            "recall": 1.0 if found.is_exact else found.recall,
        },
    }


def search_notes(space: Space, found: Neighbours) -> Iterator[str]:
    """Yield what to say of the search: of an index out of date, and of an answer not certain."""
    yield from space.notes
    if found.instead:
        yield found.instead
    if not found.is_exact:
        recall = "" if found.recall is None else f", recall {found.recall:.3f} when measured"
        yield f"approximate, by {found.backend}{recall}; --backend exact is certain"


def filter_notes(index: Index, filters: Filters, table: str) -> Iterator[str]:
    """Yield what was decided about the filters, and what to say of ids that are not there."""
    if filters.in_place is not None:
        yield place_named(index, filters.in_place)[1]
    for option, ids in (("--ids", filters.ids), ("--exclude", filters.exclude)):
        if ids and (text := missing_text(index, ids, option, table=table)):
            yield text
