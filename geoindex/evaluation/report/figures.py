"""Data of a report beside the scores: maps of vectors, worst errors, retrieval examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Method
from geoindex.evaluation.cache import ScoreCache
from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.results import Results
from geoindex.evaluation.retrieval import nearest
from geoindex.progress import Reporter

NUM_POINTS = 2000
NUM_EXAMPLES = 6
NUM_HITS = 5
_MOST_SEARCHED = 50_000
_CODE = ("report/figures", "retrieval", "heads/features")


def add_figures(
    results: Results,
    methods: Sequence[Method],
    view: MapView,
    *,
    cache: ScoreCache,
    reporter: Reporter,
) -> None:
    """Add `maps` and `examples` of every method with entities but the constant."""
    shown = [method for method in methods if method.name != CONSTANT and method.focuses]
    with reporter.stage("pictures", len(shown)) as advance:
        for method, found in cache.of_methods("pictures", shown, view, figures_of, code=_CODE):
            results.maps[method.name] = found["map"]
            results.examples += found["examples"]
            advance(1)


def figures_of(method: Method, view: MapView, *, seed: int = 0) -> dict[str, Any]:
    """Return the map and the examples of one method."""
    rng = np.random.default_rng(seed)
    fitted = method.fit(view)
    focus = method.focuses[-1]
    picked = np.sort(rng.choice(len(view), min(NUM_POINTS, len(view)), replace=False))
    vectors = fitted.entity_vectors(view, picked, focus=focus)
    found: dict[str, Any] = {"map": _map(view, picked, vectors, focus), "examples": []}
    if len(view) > NUM_HITS:
        found["examples"] = _examples(method.name, fitted, view, focus, rng)
    return found


def errors_of(
    view: MapView, task: str, row: str, head: str, worst: Sequence[Any]
) -> dict[str, Any]:
    """Return one item of `errors`: where the units lie that were predicted worst.

    Parameters
    ----------
    worst
        ``[place in view.cell_ids, truth, predicted]``.
    """
    from geoindex.geo.h3 import centres, format_cell

    cells = view.cell_ids[[place for place, _, _ in worst]]
    lon, lat = centres(cells)
    units = [
        {
            "place": view.places[view.cell_place[place]],
            "cell": format_cell(cell),
            "lon": round(float(x), 6),
            "lat": round(float(y), 6),
            "truth": truth,
            "predicted": predicted,
        }
        for (place, truth, predicted), cell, x, y in zip(worst, cells, lon, lat, strict=True)
    ]
    return {"task": task, "row": row, "head": head, "seed": 0, "units": units}


def _map(
    view: MapView, rows: NDArray[np.int64], vectors: NDArray[np.float32], focus: str
) -> dict[str, Any]:
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred)
    top = axes[:, ::-1][:, :2]
    # a fixed sign: the largest part of each axis points up
    top = top * np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])
    at = centred @ top
    points = [
        [round(float(x), 4), round(float(y), 4), view.kinds[row]]
        for (x, y), row in zip(at, rows.tolist(), strict=True)
    ]
    shares = spread[::-1][:2] / max(float(spread.sum()), 1e-12)
    explained = [round(float(share), 4) for share in shares]
    return {"table": "entities", "focus": focus, "points": points, "explained": explained}


def _examples(
    name: str, fitted: Fitted, view: MapView, focus: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Query with a few named entities of different kinds, the same for every method."""
    searched = np.arange(len(view))
    if len(searched) > _MOST_SEARCHED:
        searched = np.sort(rng.choice(len(view), _MOST_SEARCHED, replace=False))
    order = np.random.default_rng(1).permutation(np.flatnonzero(view.has("name")[searched]))
    by_kind: dict[str, int] = {}
    for place in order.tolist():
        by_kind.setdefault(view.kinds[searched[place]].partition("=")[0], place)
    queries = np.array(list(by_kind.values())[:NUM_EXAMPLES], np.int64)
    if not len(queries) or len(searched) <= 10:
        return []
    vectors = unit_rows(fitted.entity_vectors(view, searched, focus=focus))
    near = nearest(vectors[queries], vectors, queries)[:, :NUM_HITS]
    return [
        {
            "row": name,
            "focus": focus,
            "asked": _hit(view, int(searched[place]), 1.0),
            "hits": [
                _hit(view, int(searched[hit]), float(vectors[place] @ vectors[hit])) for hit in hits
            ],
        }
        for place, hits in zip(queries.tolist(), near.tolist(), strict=True)
    ]


def _hit(view: MapView, row: int, similarity: float) -> dict[str, Any]:
    feature_id = str(view.feature_id[row])
    # of another map, made of an OpenStreetMap object, it has an id of its own
    is_osm = feature_id.startswith(f"{view.osm_type[row]}/")
    return {
        "feature_id": feature_id,
        "kind": view.kinds[row],
        "name": view.tags_of(row).get("name"),
        "place": view.places[view.place[row]],
        "lon": round(float(view.lon[row]), 6),
        "lat": round(float(view.lat[row]), 6),
        "osm_url": f"https://www.openstreetmap.org/{feature_id}" if is_osm else None,
        "similarity": round(similarity, 4),
    }
