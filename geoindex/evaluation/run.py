"""Run an evaluation: tasks × methods × heads × seeds, each scored once and kept.

One task at a time is masked, embedded by every method, and scored by every head. The whole map is
tokenised first, so that a masked view costs only the entities that it changes.
"""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoindex._version import __version__
from geoindex.errors import UsageError
from geoindex.evaluation.baselines import DEFAULT_METHODS, find_methods
from geoindex.evaluation.baselines.base import Method
from geoindex.evaluation.cache import ScoreCache, code_version
from geoindex.evaluation.comparisons import (
    Comparison,
    Run,
    make_comparison,
    records_of,
    scores_of,
)
from geoindex.evaluation.heads.features import one_thread
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.paired_comparison import compare_methods
from geoindex.evaluation.report.figures import add_figures, errors_of
from geoindex.evaluation.results import Record, Results, chosen_heads, goodness, ranks_of
from geoindex.evaluation.retrieval import add_retrieval
from geoindex.evaluation.score_heads import CHOSEN, HEADS, HeadScores, check_heads
from geoindex.evaluation.settings import DEFAULT_SEEDS, Settings
from geoindex.evaluation.tasks import Labels, Task, find_tasks
from geoindex.index import IndexReader
from geoindex.pipeline.sidecar import open_index
from geoindex.progress import Reporter, Silent


def evaluate(
    indexes: IndexReader | Path | str | Sequence[IndexReader | Path | str],
    *,
    tasks: Sequence[str | Task] | None = None,
    methods: Sequence[str | Method] = DEFAULT_METHODS,
    heads: Sequence[str] = HEADS,
    split: str | Settings = "spatial",
    seeds: int = DEFAULT_SEEDS,
    resolution: int = 9,
    retrieval: bool = True,
    cache: Path | None = None,
    reporter: Reporter | None = None,
) -> Results:
    """Score vectors by downstream tasks and by retrieval, beside every baseline.

    Parameters
    ----------
    indexes
        One or several, each a place. Only their entities are read: every method makes its own
        vectors.
    tasks
        Names, or objects of your own; None is all. See `geoindex.evaluation.tasks`.
    methods
        Baselines, encoders, or objects of your own. See `geoindex.evaluation.baselines`.
    heads
        Some of ``knn``, ``ridge``, ``mlp``.
    split
        ``"spatial"``, ``"places"`` (at least three indexes), ``"random"``, or `Settings`.
    seeds
        How many times everything is split and fitted anew; at least 3 for a claim.
    resolution
        Of the cells.
    retrieval
        Also the label-free scores, collapse numbers, maps and examples.
    cache
        A folder that keeps scores, so that a stopped run goes on; None keeps nothing.
    reporter
        Receives the progress.

    Raises
    ------
    UsageError, IndexDamagedError
        If tasks, methods, heads or split are unknown, or an index cannot be read.
    NoVarianceError
        If all vectors of a method but ``constant`` are the same.
    """
    started = time.perf_counter()
    reporter = reporter or Silent()
    settings = split if isinstance(split, Settings) else Settings(split=split)
    if seeds < 1:
        msg = f"seeds is {seeds}; want 1 or more, 3 for a claim. Example: 3"
        raise UsageError(msg)
    run = Run(
        find_tasks(tasks),
        find_methods(methods),
        check_heads(heads),
        settings,
        seeds,
        ScoreCache(cache),
    )
    opened = _opened(indexes)
    with reporter.stage("read", None):
        view = load_view(opened, resolution=resolution)
    results = Results(meta=_meta(run, opened, view))
    with one_thread():
        _score_tasks(run, view, results, reporter)
    results.ranks = ranks_of(results.records)
    if retrieval:
        with one_thread():
            add_retrieval(results, run.methods, view, cache=run.cache, reporter=reporter)
            add_figures(results, run.methods, view, cache=run.cache, reporter=reporter)
    results.meta["seconds"] = round(time.perf_counter() - started, 1)
    return results


def _score_tasks(run: Run, view: MapView, results: Results, reporter: Reporter) -> None:
    found: dict[str, Labels] = {}
    results.notes += _without_entities(run)
    with reporter.stage(f"{run.settings.split} folds", len(run.maskings)) as advance:
        for task, is_masked in run.maskings:
            if task.name not in found:
                found[task.name] = task.labels(view)
                results.meta["tasks"].append(_task_meta(task, found[task.name]))
            comparison, note = make_comparison(
                run, view, task, found[task.name], is_masked=is_masked
            )
            if note:
                text = f"{task.name}{' masked' if is_masked else ''}: {note}"
                results.notes.append(text)
            if comparison is not None:
                results.meta["tasks"][-1]["n"]["masked" if is_masked else "visible"] = len(
                    comparison.labels.units
                )
                _score_methods(comparison, results)
            advance(1)


def _score_methods(comparison: Comparison, results: Results) -> None:
    scores: dict[tuple[str, str | None], dict[str, list[HeadScores]]] = {}
    records: list[Record] = []
    for method in comparison.run.methods:
        for focus in method.focuses if comparison.task.unit == "entity" else (None,):
            scores[method.name, focus] = scores_of(comparison, method, focus)
            for head, of_seeds in scores[method.name, focus].items():
                records += records_of(comparison, method, focus, head, of_seeds)
    results.records += records
    results.comparisons += compare_methods(comparison, scores)
    if comparison.task.unit == "cell" and comparison.is_masked:
        best = max(chosen_heads(records), key=goodness)
        worst = [
            (int(comparison.labels.units[place]), truth, predicted)
            for place, truth, predicted in scores[best.row, None][CHOSEN][0].worst
        ]
        if worst:
            results.errors.append(
                errors_of(comparison.whole, comparison.task.name, best.row, CHOSEN, worst)
            )


def _without_entities(run: Run) -> list[str]:
    """Say which methods have no vectors of entities."""
    names = [method.name for method in run.methods if not method.focuses]
    if not names or all(task.unit == "cell" for task in run.tasks):
        return []
    return [f"{', '.join(names)}: embeds cells only; left out of the tasks of entities"]


def _opened(
    indexes: IndexReader | Path | str | Sequence[IndexReader | Path | str],
) -> list[IndexReader]:
    several = [indexes] if isinstance(indexes, (IndexReader, Path, str)) else list(indexes)
    return [
        item if isinstance(item, IndexReader) else open_index(Path(item), IndexReader)
        for item in several
    ]


def _meta(run: Run, opened: Sequence[IndexReader], view: MapView) -> dict[str, Any]:
    return {
        "geoindex_version": __version__,
        "code_version": code_version(),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "resolution": view.resolution,
        "split": run.settings.as_dict(),
        "seeds": list(range(run.num_seeds)),
        "places": [
            {
                "name": name,
                "path": str(index.path),
                "entities": int((view.place == i).sum()),
                "cells": int((view.cell_place == i).sum()),
                "attribution": index.manifest.attribution,
            }
            for i, (name, index) in enumerate(zip(view.places, opened, strict=True))
        ],
        "fingerprint": view.source,
        "rows": [
            {"name": method.name, "fingerprint": method.fingerprint, "title": method.title}
            for method in run.methods
        ],
        "heads": list(run.heads),
        "tasks": [],
    }


def _task_meta(task: Task, labels: Labels) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": task.name,
        "title": task.title,
        "unit": task.unit,
        "kind": task.kind,
        "metric": task.metric,
        "telling": {"tags": list(task.mask.tags), "but": list(task.mask.keep)},
        "n": {"visible": 0, "masked": 0},
        "classes": None,
        "base": None,
    }
    if not len(labels.values):
        return content
    if task.kind == "classification":
        classes, sizes = np.unique(labels.values, return_counts=True)
        content["classes"] = {str(name): int(n) for name, n in zip(classes, sizes, strict=True)}
        content["base"] = float(sizes.max() / sizes.sum())
    else:
        content["base"] = float(np.asarray(labels.values, np.float64).mean())
    return content
