"""Do vectors find what they should, when nobody has labelled anything?

======================  =========================================================================
half_to_half            the entities of the map are divided at random; of each cell one half asks
                        for the other among all cells
tags_to_geometry        a cell with tags and no shapes asks for the one with shapes and no tags;
                        of encoders only, and chance where the two share no dimension
leave_one_tag_out@10    an entity less one of its tags: share of its 10 nearest that have that tag
tag_agreement@10        share of an entity's 10 nearest that are of its kind
same_cell@10            share of them that live in its cell: high agreement from the same cell is
                        knowledge of the surroundings, not of the entity
======================  =========================================================================

Ties share the mean of their ranks, so vectors that are all the same score no better than chance.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Row
from geoindex.evaluation.baselines.encoders import EncoderRow
from geoindex.evaluation.cache import ScoreCache, code_of, code_of_row
from geoindex.evaluation.collapse import collapse_numbers
from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.results import Results
from geoindex.progress import Reporter

K = 10
MOST_CELLS = 2000
MOST_ENTITIES = 1000
#: A cell with fewer entities has halves that say nothing.
LEAST_IN_CELL = 6
#: More entities than these are searched in a sample.
_MOST_SEARCHED = 50_000
_LEAST_USES = K + 1
# one entity in so many loses a tag: where all did, their surroundings would know nothing either
_ASKED_AT_ONCE = 10
_UNTELLING = ("source*", "addr:*", "*name*", "created_by", "note*", "fixme*", "website", "phone")
# what decides these scores, besides the row
_CODE = ("retrieval", "collapse", "heads/features")


def add_retrieval(
    results: Results, rows: Sequence[Row], view: MapView, *, cache: ScoreCache, reporter: Reporter
) -> None:
    """Add `retrieval` and `collapse` of every row but the constant."""
    known = [row for row in rows if row.name != CONSTANT]
    with reporter.stage("retrieval", len(known)) as advance:
        for row in known:
            who = [row.name, row.fingerprint, code_of_row(row)]
            key = {"retrieval": code_of(_CODE), "map": view.content, "row": who}
            found = cache.kept_or_made(partial(retrieval_of, row, view), **key)
            results.retrieval += found["retrieval"]
            results.collapse += found["collapse"]
            advance(1)


def retrieval_of(row: Row, view: MapView, *, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return the items of `retrieval` and `collapse` of one row."""
    rng = np.random.default_rng(seed)
    fitted = row.fit(view)
    cells = fitted.cell_vectors(view)
    found: list[dict[str, Any]] = []
    collapse = [_number(row, "cells", None, cells)]
    asked = _asked_cells(view, rng)
    if len(asked) > 1:
        found += _half_to_half(row, fitted, view, asked, rng)
        if isinstance(row, EncoderRow):
            found += _tags_to_geometry(row, view, asked)
    searched = np.arange(len(view))
    if len(searched) > _MOST_SEARCHED:
        searched = np.sort(rng.choice(len(view), _MOST_SEARCHED, replace=False))
    for focus in row.focuses:
        vectors = fitted.entity_vectors(view, searched, focus=focus)
        collapse.append(_number(row, "entities", focus, vectors))
        if len(searched) > K:
            same = np.random.default_rng(seed)
            found += _entities(row, fitted, view, focus, searched, vectors, same)
    flat = [
        {**item, "number": name, "value": value}
        for item in collapse
        for name, value in item.pop("numbers").items()
    ]
    return {"retrieval": found, "collapse": flat}


def ranks_of_partner(asked: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rank, from 1, of row i of `found` when row i of `asked` asks, by cosine.

    Equal similarities share the mean of their ranks. Shape ``(n,)``.
    """
    similarity = unit_rows(asked) @ unit_rows(found).T
    own = np.diagonal(similarity)[:, None]
    # protect against floating point errors: the same cosine, summed in another order
    better = (similarity > own + 1e-6).sum(axis=1)
    equal = (np.abs(similarity - own) <= 1e-6).sum(axis=1)
    return np.asarray(better + (equal + 1) / 2, np.float64)


def nearest(
    asked: NDArray[np.float32], searched: NDArray[np.float32], own_place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the places of the `K` nearest by cosine, nearest first, without the asked row itself.

    Parameters
    ----------
    own_place
        The place of each asked row in `searched`, shape ``(n,)``.
    """
    similarity = unit_rows(asked) @ unit_rows(searched).T
    similarity[np.arange(len(asked)), own_place] = -np.inf
    near = np.argpartition(-similarity, K - 1, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(similarity, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)


def _asked_cells(view: MapView, rng: np.random.Generator) -> NDArray[np.int64]:
    full = np.flatnonzero(np.diff(view.cells().offsets) >= LEAST_IN_CELL)
    if len(full) > MOST_CELLS:
        full = np.sort(rng.choice(full, MOST_CELLS, replace=False))
    return full


def _half_to_half(
    row: Row, fitted: Fitted, view: MapView, asked: NDArray[np.int64], rng: np.random.Generator
) -> list[dict[str, Any]]:
    is_first = rng.random(len(view)) < 0.5
    halves = [view.only(is_first), view.only(~is_first)]
    # a cell all of whose entities fell to one side has no other half
    there = np.all([np.diff(half.cells().offsets)[asked] > 0 for half in halves], axis=0)
    asked = asked[there]
    first, second = (fitted.cell_vectors(half)[asked] for half in halves)
    ranks = ranks_of_partner(first, second)
    n = len(asked)
    return [
        _item(row, None, "half_to_half_mrr", float((1 / ranks).mean()), n, _mrr_chance(n)),
        _item(row, None, "half_to_half_recall@1", float((ranks <= 1).mean()), n, 1 / n),
        _item(row, None, "half_to_half_recall@10", float((ranks <= K).mean()), n, min(1, K / n)),
    ]


def _tags_to_geometry(
    row: EncoderRow, view: MapView, asked: NDArray[np.int64]
) -> list[dict[str, Any]]:
    tags = row.cell_vectors(view.without_geometry())[asked]
    shapes = row.cell_vectors(view.without_tags(np.ones(len(view.codes), np.bool_)))[asked]
    ranks, n = ranks_of_partner(tags, shapes), len(asked)
    return [_item(row, None, "tags_to_geometry_mrr", float((1 / ranks).mean()), n, _mrr_chance(n))]


def _entities(
    row: Row,
    fitted: Fitted,
    view: MapView,
    focus: str,
    searched: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    places = np.sort(rng.choice(len(searched), min(MOST_ENTITIES, len(searched)), replace=False))
    near = searched[nearest(vectors[places], vectors, places)]
    rows = searched[places]
    kinds = np.array(view.kinds, object)
    agreement = kinds[near] == kinds[rows][:, None]
    same_cell = view.home[near] == view.home[rows][:, None]
    of_kind, uses = _counted(kinds[searched].astype(str))
    of_cell, homes = _counted(view.home[searched])
    others, n = len(searched) - 1, len(rows)
    kind_chance, cell_chance = (
        float(((count[of][places] - 1) / others).mean())
        for count, of in ((uses, of_kind), (homes, of_cell))
    )
    nearby = _item(row, focus, "same_cell@10", float(same_cell.mean()), n, cell_chance)
    return [
        _item(row, focus, "tag_agreement@10", float(agreement.mean()), n, kind_chance),
        {**nearby, "higher_is_better": False},
        *_leave_one_out(row, fitted, view, focus, searched, vectors, rng),
    ]


def _counted(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each value, and how often each number occurs."""
    _, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    return numbers.ravel(), counts


def _leave_one_out(
    row: Row,
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
    is_good = (uses >= _LEAST_USES) & ~view.matching(_UNTELLING)
    candidates = rng.permutation(np.flatnonzero(is_searched & is_good[view.codes]))
    # one tag an entity
    _, first = np.unique(view.tag_row[candidates], return_index=True)
    most = min(MOST_ENTITIES, max(1, len(view) // _ASKED_AT_ONCE))
    picked = candidates[np.sort(first)[:most]]
    if not len(picked):
        return []
    gone = np.zeros(len(view.codes), np.bool_)
    gone[picked] = True
    rows, codes = view.tag_row[picked], view.codes[picked]
    asked = fitted.entity_vectors(view.without_tags(gone), rows, focus=focus)
    near = searched[nearest(asked, vectors, place_of[rows])]
    hits = [_have(view, near[codes == code], int(code)) for code in np.unique(codes)]
    chance = float(((uses[codes] - 1) / (len(searched) - 1)).mean())
    share = float(np.concatenate(hits).mean())
    return [_item(row, focus, "leave_one_tag_out@10", share, len(picked), chance)]


def _have(view: MapView, rows: NDArray[np.int64], code: int) -> NDArray[np.bool_]:
    """Say which of some entities have a tag, flat."""
    has = np.zeros(len(view), np.bool_)
    has[view.tag_row[view.codes == code]] = True
    return has[rows].ravel()


def _mrr_chance(n: int) -> float:
    """Return the mean reciprocal rank of guessing among n."""
    return float((1 / np.arange(1, n + 1)).sum() / n)


def _item(
    row: Row, focus: str | None, score: str, value: float, n: int, chance: float
) -> dict[str, Any]:
    return {
        "row": row.name,
        "focus": focus,
        "score": score,
        "value": value,
        "higher_is_better": True,
        "n": n,
        "chance": chance,
    }


def _number(
    row: Row, table: str, focus: str | None, vectors: NDArray[np.float32]
) -> dict[str, Any]:
    return {
        "row": row.name,
        "table": table,
        "focus": focus,
        "numbers": collapse_numbers(vectors),
        "dim": int(vectors.shape[1]),
        "n": len(vectors),
    }
