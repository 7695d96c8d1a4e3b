"""Retrieval scores that need no labels.

======================  =========================================================================
half_to_half            the entities of the map are divided at random; one half of each cell is
                        the query for the other half among all cells
tags_to_geometry        a cell with tags and no shapes is the query for the one with shapes and no
                        tags; of encoders only, and chance where the two share no dimension
leave_one_tag_out@10    an entity less one of its tags: share of its 10 nearest that have that tag
tag_agreement@10        share of an entity's 10 nearest that are of its kind
same_cell@10            share of them whose home is its cell: high agreement from the same cell
                        is knowledge of the surroundings, not of the entity
======================  =========================================================================

Ties share the mean of their ranks, so vectors that are all the same score no better than chance.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Method
from geoindex.evaluation.baselines.encoders import EncoderMethod
from geoindex.evaluation.cache import ScoreCache
from geoindex.evaluation.collapse import collapse_numbers
from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.results import Results
from geoindex.progress import Reporter

K = 10
MOST_CELLS = 2000
MOST_ENTITIES = 1000
#: A cell with fewer entities has halves of one or two.
MIN_ENTITIES = 6
#: More entities than these are searched in a sample.
_MOST_SEARCHED = 50_000
_MIN_USES = K + 1
# one entity in so many loses a tag: where all did, their surroundings would know nothing either
_ENTITIES_PER_QUERY = 10
_UNINFORMATIVE = (
    "source*",
    "addr:*",
    "*name*",
    "created_by",
    "note*",
    "fixme*",
    "website",
    "phone",
)
# what decides these scores, besides the method
_CODE = ("retrieval", "collapse", "heads/features")


def add_retrieval(
    results: Results,
    methods: Sequence[Method],
    view: MapView,
    *,
    cache: ScoreCache,
    reporter: Reporter,
) -> None:
    """Add `retrieval` and `collapse` of every method but the constant."""
    known = [method for method in methods if method.name != CONSTANT]
    with reporter.stage("retrieval", len(known)) as advance:
        for _, found in cache.of_methods("retrieval", known, view, retrieval_of, code=_CODE):
            results.retrieval += found["retrieval"]
            results.collapse += found["collapse"]
            advance(1)


def retrieval_of(
    method: Method, view: MapView, *, seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Return the items of `retrieval` and `collapse` of one method."""
    rng = np.random.default_rng(seed)
    fitted = method.fit(view)
    cells = fitted.cell_vectors(view)
    found: list[dict[str, Any]] = []
    collapse = [_number(method, "cells", None, cells)]
    full = _full_cells(view, rng)
    if len(full) > 1:
        found += _half_to_half(method, fitted, view, full, rng)
        if isinstance(method, EncoderMethod):
            found += _tags_to_geometry(method, view, full)
    searched = np.arange(len(view))
    if len(searched) > _MOST_SEARCHED:
        searched = np.sort(rng.choice(len(view), _MOST_SEARCHED, replace=False))
    for focus in method.focuses:
        vectors = fitted.entity_vectors(view, searched, focus=focus)
        collapse.append(_number(method, "entities", focus, vectors))
        if len(searched) > K:
            same = np.random.default_rng(seed)
            found += _entities(method, fitted, view, focus, searched, vectors, same)
    flat = [
        {**item, "number": name, "value": value}
        for item in collapse
        for name, value in item.pop("numbers").items()
    ]
    return {"retrieval": found, "collapse": flat}


def ranks_of_partner(
    queries: NDArray[np.float32], found: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the rank, from 1, of row i of `found` for the query row i, by cosine.

    Equal similarities share the mean of their ranks. Shape ``(n,)``.
    """
    similarity = unit_rows(queries) @ unit_rows(found).T
    own = np.diagonal(similarity)[:, None]
    # protect against floating point errors: the same cosine, summed in another order
    better = (similarity > own + 1e-6).sum(axis=1)
    equal = (np.abs(similarity - own) <= 1e-6).sum(axis=1)
    return np.asarray(better + (equal + 1) / 2, np.float64)


def nearest(
    queries: NDArray[np.float32], searched: NDArray[np.float32], own_place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the places of the `K` nearest by cosine, nearest first, without the query itself.

    Parameters
    ----------
    own_place
        The place of each query in `searched`, shape ``(n,)``.
    """
    similarity = unit_rows(queries) @ unit_rows(searched).T
    similarity[np.arange(len(queries)), own_place] = -np.inf
    nearby = np.argpartition(-similarity, K - 1, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(similarity, nearby, axis=1), axis=1, kind="stable")
    return np.take_along_axis(nearby, order, axis=1)


def _full_cells(view: MapView, rng: np.random.Generator) -> NDArray[np.int64]:
    full = np.flatnonzero(np.diff(view.cells().offsets) >= MIN_ENTITIES)
    if len(full) > MOST_CELLS:
        full = np.sort(rng.choice(full, MOST_CELLS, replace=False))
    return full


def _half_to_half(
    method: Method, fitted: Fitted, view: MapView, full: NDArray[np.int64], rng: np.random.Generator
) -> list[dict[str, Any]]:
    is_first = rng.random(len(view)) < 0.5
    halves = [view.only(is_first), view.only(~is_first)]
    # a cell all of whose entities fell to one side has no other half
    there = np.all([np.diff(half.cells().offsets)[full] > 0 for half in halves], axis=0)
    full = full[there]
    first, second = (fitted.cell_vectors(half)[full] for half in halves)
    ranks = ranks_of_partner(first, second)
    n = len(full)
    return [
        _item(method, None, "half_to_half_mrr", float((1 / ranks).mean()), n, _mrr_chance(n)),
        _item(method, None, "half_to_half_recall@1", float((ranks <= 1).mean()), n, 1 / n),
        _item(method, None, "half_to_half_recall@10", float((ranks <= K).mean()), n, min(1, K / n)),
    ]


def _tags_to_geometry(
    method: EncoderMethod, view: MapView, full: NDArray[np.int64]
) -> list[dict[str, Any]]:
    tags = method.cell_vectors(view.without_geometry())[full]
    shapes = method.cell_vectors(view.without_tags(np.ones(len(view.codes), np.bool_)))[full]
    ranks, n = ranks_of_partner(tags, shapes), len(full)
    return [
        _item(method, None, "tags_to_geometry_mrr", float((1 / ranks).mean()), n, _mrr_chance(n))
    ]


def _entities(
    method: Method,
    fitted: Fitted,
    view: MapView,
    focus: str,
    searched: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    places = np.sort(rng.choice(len(searched), min(MOST_ENTITIES, len(searched)), replace=False))
    nearby = searched[nearest(vectors[places], vectors, places)]
    rows = searched[places]
    kinds = np.array(view.kinds, object)
    agreement = kinds[nearby] == kinds[rows][:, None]
    same_cell = view.home[nearby] == view.home[rows][:, None]
    of_kind, uses = _counted(kinds[searched].astype(str))
    of_cell, homes = _counted(view.home[searched])
    others, n = len(searched) - 1, len(rows)
    kind_chance, cell_chance = (
        float(((count[of][places] - 1) / others).mean())
        for count, of in ((uses, of_kind), (homes, of_cell))
    )
    of_cell_item = _item(method, focus, "same_cell@10", float(same_cell.mean()), n, cell_chance)
    return [
        _item(method, focus, "tag_agreement@10", float(agreement.mean()), n, kind_chance),
        {**of_cell_item, "higher_is_better": False},
        *_leave_one_out(method, fitted, view, focus, searched, vectors, rng),
    ]


def _counted(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each value, and how often each number occurs."""
    _, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    return numbers.ravel(), counts


def _leave_one_out(
    method: Method,
    fitted: Fitted,
    view: MapView,
    focus: str,
    searched: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    place_of = np.full(len(view), -1)
    place_of[searched] = np.arange(len(searched))
    is_searched = place_of[view.tag_row] >= 0
    uses = np.bincount(view.codes[is_searched], minlength=len(view.unique))
    is_good = (uses >= _MIN_USES) & ~view.matching(_UNINFORMATIVE)
    candidates = rng.permutation(np.flatnonzero(is_searched & is_good[view.codes]))
    # one tag an entity
    _, first = np.unique(view.tag_row[candidates], return_index=True)
    most = min(MOST_ENTITIES, max(1, len(view) // _ENTITIES_PER_QUERY))
    picked = candidates[np.sort(first)[:most]]
    if not len(picked):
        return []
    gone = np.zeros(len(view.codes), np.bool_)
    gone[picked] = True
    rows, codes = view.tag_row[picked], view.codes[picked]
    queries = fitted.entity_vectors(view.without_tags(gone), rows, focus=focus)
    nearby = searched[nearest(queries, vectors, place_of[rows])]
    hits = [_have(view, nearby[codes == code], int(code)) for code in np.unique(codes)]
    chance = float(((uses[codes] - 1) / (len(searched) - 1)).mean())
    share = float(np.concatenate(hits).mean())
    return [_item(method, focus, "leave_one_tag_out@10", share, len(picked), chance)]


def _have(view: MapView, rows: NDArray[np.int64], code: int) -> NDArray[np.bool_]:
    """Say which of some entities have a tag, flat."""
    has = np.zeros(len(view), np.bool_)
    has[view.tag_row[view.codes == code]] = True
    return has[rows].ravel()


def _mrr_chance(n: int) -> float:
    """Return the mean reciprocal rank of guessing among n."""
    return float((1 / np.arange(1, n + 1)).sum() / n)


def _item(
    method: Method, focus: str | None, score: str, value: float, n: int, chance: float
) -> dict[str, Any]:
    return {
        "row": method.name,
        "focus": focus,
        "score": score,
        "value": value,
        "higher_is_better": True,
        "n": n,
        "chance": chance,
    }


def _number(
    method: Method, table: str, focus: str | None, vectors: NDArray[np.float32]
) -> dict[str, Any]:
    return {
        "row": method.name,
        "table": table,
        "focus": focus,
        "numbers": collapse_numbers(vectors),
        "dim": int(vectors.shape[1]),
        "n": len(vectors),
    }
