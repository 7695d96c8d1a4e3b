"""Judge methods by name: embed the map under each masking, score, compare."""

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex._version import __version__
from geoindex.errors import UsageError
from geoindex.evaluation.baselines import find_methods
from geoindex.evaluation.baselines.base import CONSTANT, Method, check_vectors
from geoindex.evaluation.cache import ScoreCache, code_of, code_of_method
from geoindex.evaluation.heads.features import one_thread
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge.judge import SearchJudge, mean_of_places
from geoindex.evaluation.search_judge.measures import PlaceScore
from geoindex.evaluation.search_judge.results import (
    SearchRecord,
    SearchResults,
    compare,
    place_interval,
)
from geoindex.evaluation.settings import DEFAULT_SEEDS
from geoindex.index import IndexReader
from geoindex.progress import Reporter, Silent

DEFAULT_METHODS = ("tagpool", "untrained", "relational")
# what decides these scores, besides the method
_CODE = tuple(
    f"search_judge/{name}" for name in ("rows", "maskings", "nearest", "measures", "judge")
)


def judge_search(
    indexes: Sequence[IndexReader | Path | str] | SearchJudge,
    *,
    methods: Sequence[str | Method] = DEFAULT_METHODS,
    measures: Iterable[str] | None = None,
    seeds: int = DEFAULT_SEEDS,
    cache: Path | None = None,
    reporter: Reporter | None = None,
) -> SearchResults:
    """Judge vectors by what they find when the answer is hidden, each row beside the others.

    Parameters
    ----------
    indexes
        Each a place; only their entities are read. Or a judge that is there: then `measures` and
        `seeds` are its own.
    methods
        As of `geoindex.evaluation.run.evaluate`; those without vectors of entities are left out.
    measures
        Names of `geoindex.evaluation.search_judge.measures.MEASURES`; None is all.
    seeds
        How many times entities to hide and to ask with are drawn; at least 3 for a claim.
    cache
        A folder that keeps scores; None keeps nothing.
    reporter
        Receives the progress.

    Raises
    ------
    UsageError, IndexDamagedError
        If methods or measures are unknown, or an index cannot be read.
    NoVarianceError
        If all vectors of a method are the same.
    """
    started = time.perf_counter()
    reporter = reporter or Silent()
    found_methods = find_methods(methods)
    with reporter.stage("read", None):
        judge = (
            indexes
            if isinstance(indexes, SearchJudge)
            else SearchJudge.open(indexes, measures=measures, seeds=seeds)
        )
    judged = [each for each in found_methods if each.focuses and each.name != CONSTANT]
    if not judged:
        names = ", ".join(each.name for each in found_methods)
        msg = f"{names}: no vectors of entities; want one that has. Example: tagpool"
        raise UsageError(msg)
    results = SearchResults(_meta(judge, judged), notes=_notes(judge, found_methods, judged))
    kept, by_row = ScoreCache(cache), []
    rows = [(method, focus) for method in judged for focus in method.focuses]
    with one_thread(), reporter.stage("search", len(rows)) as advance:
        for method, focus in rows:
            key = {
                "search": code_of(_CODE),
                "map": judge.view.content,
                "measures": [each.name for each in judge.measures],
                "seeds": judge.seeds,
                "row": [method.name, method.fingerprint, code_of_method(method), focus],
            }
            plain = kept.kept_or_made(partial(_plain_scores, judge, method, focus), **key)
            scores = [PlaceScore(**_known(item)) for item in plain]
            values = judge.by_place(scores)
            by_row.append((method.name, focus, values))
            results.records += _records(judge, method.name, focus, scores, values)
            advance(1)
    higher = {each.name: each.is_higher_better for each in judge.measures}
    results.comparisons = compare(by_row, higher)
    results.meta["seconds"] = round(time.perf_counter() - started, 1)
    return results


def _plain_scores(judge: SearchJudge, method: Method, focus: str) -> list[dict[str, Any]]:
    fitted = method.fit(judge.view)

    def embed(view: MapView) -> NDArray[np.float32]:
        found = fitted.entity_vectors(view, np.arange(len(view)), focus=focus)
        return check_vectors(found, method.name, "entities")

    found = []
    for score in judge.run(embed):
        item = asdict(score)
        # JSON has no NaN
        item["value"] = None if np.isnan(score.value) else score.value
        found.append(item)
    return found


def _known(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "value": float("nan") if item["value"] is None else item["value"]}


def _records(
    judge: SearchJudge,
    row: str,
    focus: str,
    scores: Sequence[PlaceScore],
    values: dict[str, NDArray[np.float64]],
) -> list[SearchRecord]:
    found = []
    for measure in judge.measures:
        of_places = values[measure.name]
        low, high = place_interval(of_places)
        found.append(
            SearchRecord(
                measure=measure.name,
                row=row,
                focus=focus,
                higher_is_better=measure.is_higher_better,
                value=mean_of_places(of_places),
                low=low,
                high=high,
                per_place={
                    name: line.tolist()
                    for name, line in zip(judge.view.places, of_places, strict=True)
                    if not np.isnan(line).all()
                },
                n=sum(
                    score.num_queries
                    for score in scores
                    if score.measure == measure.name and score.seed == 0
                ),
            )
        )
    return found


def _meta(judge: SearchJudge, methods: Sequence[Method]) -> dict[str, Any]:
    view = judge.view
    return {
        "geoindex_version": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "resolution": view.resolution,
        "seeds": list(range(judge.seeds)),
        "fingerprint": view.source,
        "places": [
            {
                "name": name,
                "entities": int((view.place == i).sum()),
                "attribution": judge.attributions[i],
            }
            for i, name in enumerate(view.places)
        ],
        "rows": [
            {"name": each.name, "fingerprint": each.fingerprint, "title": each.title}
            for each in methods
        ],
        "measures": [
            {
                "name": each.name,
                "title": each.title,
                "masking": each.masking,
                "higher_is_better": each.is_higher_better,
            }
            for each in judge.measures
        ],
    }


def _notes(judge: SearchJudge, methods: Sequence[Method], judged: Sequence[Method]) -> list[str]:
    notes = []
    if gone := [each.name for each in methods if each not in judged]:
        notes.append(f"{', '.join(gone)}: no vectors of entities that differ; left out")
    if judge.left_out:
        names = ", ".join(each.name for each in judge.left_out)
        notes.append(f"{names}: left out, they search other places, and there is one")
    return notes
