"""What is like this, over there, within these filters? One question to one index."""

import operator
from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.asking import NEGATIVE_WEIGHT, Question, resolve
from geoindex.cells import format_cell, resolution_of
from geoindex.errors import UsageError
from geoindex.explaining import explain_rows
from geoindex.filters import Filters, rows_passing
from geoindex.hits import Hits, make_table
from geoindex.identity import missing_text
from geoindex.index import Index, check_focus
from geoindex.layout import CELLS, ENTITIES
from geoindex.shaping import Shape, groups_of, shaped
from geoindex.where_tree import EVERYTHING

DEFAULT_K = 10


def ask(
    index: Index,
    question: Question,
    filters: Filters | None = None,
    *,
    k: int = DEFAULT_K,
    table: str = ENTITIES,
    focus: str | None = None,
    shape: Shape | None = None,
) -> Hits:
    """Answer a question exactly.

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
        ``"context"``: entities in their surroundings; ``"own"``: entities alone. By default
        ``"own"`` if only tags were given, which have no surroundings, else ``"context"``. Cells
        have one vector.
    shape
        How the ranking is thinned out.

    Raises
    ------
    UsageError
        If an option is out of its range or cannot be used with `table`.
    NotInIndexError
        If the index does not hold what the question names.
    """
    filters, shape = filters or Filters(), shape or Shape()
    k = _check_k(k)
    rows = index.rows_of(table)
    if focus is None:
        focus = "own" if question.is_tags_only else "context"
    check_focus(focus)
    asked = resolve(index, question, table=table, focus=focus)
    if filters.apart_m is not None and not asked.places:
        msg = "--not-within is measured from a place; --tags names none. Add --like or --at"
        raise UsageError(msg)
    passing = rows_passing(index, filters, table=table, places=asked.places)
    if table == CELLS:
        passing = _of_one_resolution(index, question, passing)
    vectors = index.vectors(table, focus=focus)
    groups = None if shape.one_per is None else groups_of(index, shape.one_per, table=table)
    found = shaped(
        vectors, asked.vector, shape, k=k, passing=passing, exclude=asked.rows, groups=groups
    )
    place = asked.places[0] if asked.places else filters.near
    return Hits(
        make_table(rows, found, table=table, place=place),
        query=_as_plain(question, filters, shape, k=k, table=table, focus=focus),
        index={
            "path": str(index.path),
            "encoder": index.manifest.encoder["name"],
            "fingerprint": index.manifest.encoder["fingerprint"],
            "num_rows": len(rows),
            "created": index.manifest.created,
        },
        num_passing=found.num_passing,
        notes=(*asked.notes, *_missing(index, filters, table)),
        explainer=partial(explain_rows, index, question, found.rows, table=table, focus=focus),
    )


def _check_k(k: int) -> int:
    try:
        whole = operator.index(k)
    except TypeError:
        whole = 0
    if whole < 1 or isinstance(k, bool):
        msg = f"k is {k!r}; want a whole number of at least 1. Example: 10"
        raise UsageError(msg)
    return whole


def _missing(index: Index, filters: Filters, table: str) -> Iterator[str]:
    """Yield what to say of listed ids that the index does not hold."""
    for option, ids in (("--ids", filters.ids), ("--exclude", filters.exclude)):
        if ids and (text := missing_text(index, ids, option, table=table)):
            yield text


def _of_one_resolution(
    index: Index, question: Question, passing: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Keep the cells of the resolution of the cell asked about, or of the finest."""
    wanted = index.manifest.resolutions[-1]
    if question.cell is not None:
        wanted = int(resolution_of([question.cell])[0])
    rows = np.flatnonzero(index.cells.column("resolution") == wanted)
    return rows if passing is None else np.intersect1d(rows, passing, assume_unique=True)


def _as_plain(
    question: Question, filters: Filters, shape: Shape, *, k: int, table: str, focus: str
) -> dict[str, Any]:
    """Return what was asked as plain values, without what was not."""
    asked: dict[str, Any] = {
        "like": list(question.like),
        "unlike": list(question.unlike),
        "at": None if question.at is None else list(question.at),
        "cell": None if question.cell is None else format_cell(question.cell),
        "tags": None if question.tags is None else dict(question.tags),
        "more_at": [list(point) for point in question.more_at],
        "not_at": [list(point) for point in question.not_at],
        "negative_weight": (
            None if question.negative_weight == NEGATIVE_WEIGHT else question.negative_weight
        ),
        "where": None if filters.where == EVERYTHING else str(filters.where),
        "bbox": None if filters.bbox is None else list(astuple(filters.bbox)),
        "within": None if filters.within is None else filters.within.wkt,
        "near": None if filters.near is None else list(filters.near),
        "radius_m": filters.radius_m,
        "in_cell": None if filters.in_cell is None else format_cell(filters.in_cell),
        "not_within_m": filters.apart_m,
        "kind": filters.kind,
        "name": None if filters.name is None else filters.name.text,
        "ids": None if filters.ids is None else list(filters.ids),
        "exclude": list(filters.exclude),
        "min_area_m2": filters.area.least,
        "max_area_m2": filters.area.most,
        "min_length_m": filters.length.least,
        "max_length_m": filters.length.most,
        "min_similarity": shape.min_similarity,
        "one_per": shape.one_per,
        "diversity": shape.diversity or None,
        "k": k,
        "table": table,
        "focus": focus if table == ENTITIES else None,
    }
    return {name: value for name, value in asked.items() if value not in (None, [])}
