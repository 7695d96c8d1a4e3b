"""What is like this, over there, within these filters? One question to an index, or its twin."""

import operator
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.filters.apply import Filters
from geoindex.index import Index
from geoindex.queries.explain import explain_rows
from geoindex.queries.hits import Hits
from geoindex.queries.rerank import Shape, shaped
from geoindex.queries.resolve import Asked, Question, resolve
from geoindex.queries.serialize import as_plain
from geoindex.queries.spaces import OWN_WEIGHT
from geoindex.queries.targets import Targets, described, search_notes, targets_of
from geoindex.search.similarity import Neighbours
from geoindex.storage.layout import ENTITIES
from geoindex.types import check_backend

if TYPE_CHECKING:
    from geoindex.queries.explanation import Explanation

__all__ = ["DEFAULT_K", "ask", "check_k", "described", "focus_of"]

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
    among: Index | Sequence[Index] | None = None,
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
        `geoindex.queries.spaces`. By default ``"own"`` if only tags were given, which have no
        surroundings, else ``"context"``. Cells have one vector.
    own_weight
        Of ``"both"``: the share of own, 0 to 1.
    shape
        How the ranking is thinned out.
    among
        The index to look in, or several; None: the one that holds what the question names. The
        filters speak of them.
    backend
        Who searches; see `Index.searcher`.

    Raises
    ------
    UsageError
        If an option is out of its range, cannot be used with `table`, or two of the indexes were
        made by different encoders.
    NotInIndexError
        If the index does not hold what the question names.
    """
    filters, shape = filters or Filters(), shape or Shape()
    k = check_k(k)
    check_backend(backend)
    focus = focus_of(question, focus)
    targets = targets_of(index, among, table=table)
    asked = resolve(index, question, table=table, focus=focus, own_weight=own_weight)
    spaces = targets.spaces(focus=focus, own_weight=own_weight, backend=backend)
    passing, filter_notes = targets.passing(filters, asked, resolution=question.resolution)
    unwanted = targets.excluded([asked])[0]

    def search(n: int) -> Neighbours:
        parts = zip(spaces, passing, unwanted, strict=True)
        found = [
            space.nearest(asked.vectors, k=n, passing=rows, exclude=out)
            for space, rows, out in parts
        ]
        return targets.merged(found, n)

    groups = targets.groups(shape.one_per)
    found = shaped(search, targets.joined(spaces), shape, k=k, groups=groups)
    place = asked.places[0] if asked.places else filters.near
    query = as_plain(question, filters, shape, k=k, table=table, focus=focus, own_weight=own_weight)
    return Hits(
        targets.hits(found, place),
        query=query if among is None else {**query, "index": str(index.path)},
        index=targets.described(found),
        num_passing=found.num_passing,
        notes=(*asked.notes, *filter_notes, *search_notes(spaces, [found])),
        explainer=partial(
            _explained, asked, targets, found.rows, focus=focus, own_weight=own_weight
        ),
    )


def _explained(
    asked: Asked, targets: Targets, rows: NDArray[np.int64], *, focus: str, own_weight: float
) -> "tuple[Explanation, ...]":
    found: dict[int, Explanation] = {}
    for i, places, own in targets.split(rows):
        why = explain_rows(asked, targets.indexes[i], own, focus=focus, own_weight=own_weight)
        found |= dict(zip(places.tolist(), why, strict=True))
    return tuple(found[place] for place in range(len(rows)))


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
