"""How is a whole evaluation run? Tasks × rows × heads × seeds, each judged once and remembered.

Order of work: one task at a time is hidden, embedded by every row, and judged by every head; the
whole map is tokenised first, so that a hidden view costs only what it hides.
"""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoindex._version import __version__
from geoindex.errors import UsageError
from geoindex.evaluation.baselines import DEFAULT_ROWS, find_rows
from geoindex.evaluation.baselines.base import Row
from geoindex.evaluation.cache import ScoreCache, code_version
from geoindex.evaluation.comparisons import Race, Run, judgements_of, make_race, records_of
from geoindex.evaluation.heads.features import one_thread
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.paired_comparison import compared
from geoindex.evaluation.report.figures import add_pictures, errors_of
from geoindex.evaluation.results import Record, Results, chosen_heads, goodness, ranks_of
from geoindex.evaluation.retrieval import add_retrieval
from geoindex.evaluation.score_heads import CHOSEN, HEADS, Judgement, check_heads
from geoindex.evaluation.settings import DEFAULT_SEEDS, Settings
from geoindex.evaluation.tasks import Labels, Task, find_tasks
from geoindex.index import Index
from geoindex.progress import Reporter, Silent


def evaluate(
    indexes: Index | Path | str | Sequence[Index | Path | str],
    *,
    tasks: Sequence[str | Task] | None = None,
    rows: Sequence[str | Row] = DEFAULT_ROWS,
    heads: Sequence[str] = HEADS,
    split: str | Settings = "spatial",
    seeds: int = DEFAULT_SEEDS,
    resolution: int = 9,
    retrieval: bool = True,
    cache: Path | None = None,
    reporter: Reporter | None = None,
) -> Results:
    """Judge vectors by downstream tasks and by retrieval, beside every baseline.

    Parameters
    ----------
    indexes
        One or several, each a place. Only their entities are read: every row makes its own vectors.
    tasks
        Names, or objects of your own; None is all. See `geoindex.evaluation.tasks`.
    rows
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
        A folder that remembers scores, so that a stopped run goes on; None remembers nothing.
    reporter
        Hears of progress.

    Raises
    ------
    UsageError, IndexDamagedError
        If tasks, rows, heads or split are unknown, or an index cannot be read.
    NoVarianceError
        If all vectors of a row but ``constant`` are the same.
    """
    started = time.perf_counter()
    reporter = reporter or Silent()
    settings = split if isinstance(split, Settings) else Settings(split=split)
    if seeds < 1:
        msg = f"seeds is {seeds}; want 1 or more, 3 for a claim. Example: 3"
        raise UsageError(msg)
    run = Run(
        find_tasks(tasks), find_rows(rows), check_heads(heads), settings, seeds, ScoreCache(cache)
    )
    opened = _opened(indexes)
    with reporter.stage("read", None):
        view = load_view(opened, resolution=resolution)
    results = Results(meta=_meta(run, opened, view))
    with one_thread():
        _judge_all(run, view, results, reporter)
    results.ranks = ranks_of(results.records)
    if retrieval:
        with one_thread():
            add_retrieval(results, run.rows, view, cache=run.cache, reporter=reporter)
            add_pictures(results, run.rows, view, cache=run.cache, reporter=reporter)
    results.meta["seconds"] = round(time.perf_counter() - started, 1)
    return results


def _judge_all(run: Run, view: MapView, results: Results, reporter: Reporter) -> None:
    found: dict[str, Labels] = {}
    results.notes += _without_entities(run)
    with reporter.stage(f"{run.settings.split} folds", len(run.maskings)) as advance:
        for task, is_masked in run.maskings:
            if task.name not in found:
                found[task.name] = task.labels(view)
                results.meta["tasks"].append(_task_meta(task, found[task.name]))
            race, note = make_race(run, view, task, found[task.name], is_masked=is_masked)
            if note:
                text = f"{task.name}{' masked' if is_masked else ''}: {note}"
                results.notes.append(text)
            if race is not None:
                results.meta["tasks"][-1]["n"]["masked" if is_masked else "visible"] = len(
                    race.labels.units
                )
                _judge_rows(race, results)
            advance(1)


def _judge_rows(race: Race, results: Results) -> None:
    judged: dict[tuple[str, str | None], dict[str, list[Judgement]]] = {}
    raced: list[Record] = []
    for row in race.run.rows:
        for focus in row.focuses if race.task.unit == "entity" else (None,):
            judged[row.name, focus] = judgements_of(race, row, focus)
            for head, judgements in judged[row.name, focus].items():
                raced += records_of(race, row, focus, head, judgements)
    results.records += raced
    results.comparisons += compared(race, judged)
    if race.task.unit == "cell" and race.is_masked:
        best = max(chosen_heads(raced), key=goodness)
        worst = [
            (int(race.labels.units[place]), truth, told)
            for place, truth, told in judged[best.row, None][CHOSEN][0].worst
        ]
        if worst:
            results.errors.append(errors_of(race.whole, race.task.name, best.row, CHOSEN, worst))


def _without_entities(run: Run) -> list[str]:
    """Say which rows take no part in tasks of entities."""
    rows = [row.name for row in run.rows if not row.focuses]
    if not rows or all(task.unit == "cell" for task in run.tasks):
        return []
    return [f"{', '.join(rows)}: embeds cells only, and takes no part in tasks of entities"]


def _opened(indexes: Index | Path | str | Sequence[Index | Path | str]) -> list[Index]:
    several = [indexes] if isinstance(indexes, (Index, Path, str)) else list(indexes)
    return [item if isinstance(item, Index) else Index(Path(item)) for item in several]


def _meta(run: Run, opened: Sequence[Index], view: MapView) -> dict[str, Any]:
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
            {"name": row.name, "fingerprint": row.fingerprint, "title": row.title}
            for row in run.rows
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
        "telling": {"tags": list(task.telling.tags), "but": list(task.telling.but)},
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
