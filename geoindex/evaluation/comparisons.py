"""Compare methods on one task: the same units, folds and seeds for every method and head."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Method, check_vectors
from geoindex.evaluation.cache import ScoreCache, code_of_method, code_version, digest
from geoindex.evaluation.heads.features import Matrix
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.results import Record
from geoindex.evaluation.score_heads import CHOSEN, HeadScores, score_heads
from geoindex.evaluation.settings import Settings
from geoindex.evaluation.splits import Folds
from geoindex.evaluation.tasks import Labels, Task

_LEAST_UNITS = 50


@dataclass(frozen=True)
class Run:
    """The tasks, methods, heads and settings of an evaluation.

    Attributes
    ----------
    shared
        The vectors of cells of maps that several tasks see, by method and map.
    """

    tasks: list[Task]
    methods: list[Method]
    heads: tuple[str, ...]
    settings: Settings
    num_seeds: int
    cache: ScoreCache
    shared: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def maskings(self) -> list[tuple[Task, bool]]:
        """The tasks, each with whether its labels are masked."""
        return [
            (task, is_masked)
            for task in self.tasks
            for is_masked in (
                (True,) if task.unit == "entity" or self.settings.hide == "all" else (False, True)
            )
        ]


@dataclass
class Comparison:
    """One task with labels visible or masked: its units, its folds, and vectors when needed."""

    run: Run
    whole: MapView
    view: MapView
    task: Task
    labels: Labels
    is_masked: bool
    _folds: dict[int, Folds] = field(default_factory=dict)
    _fitted: dict[str, Fitted] = field(default_factory=dict)

    def folds(self, seed: int) -> Folds:
        """Return the folds of a seed; they are of the whole map, so the same for every method."""
        if seed not in self._folds:
            units = self.labels.units
            self._folds[seed] = self.run.settings.folds(self.whole, self.task, units, seed)
        return self._folds[seed]

    def vectors(self, method: Method, focus: str | None) -> NDArray[np.float32]:
        """Return a row's vectors of the units."""
        units = self.labels.units
        found = (
            self._cell_vectors(method)[units]
            if focus is None
            else self._fit(method).entity_vectors(self.view, units, focus=focus)
        )
        return check_vectors(
            found, method.name, f"the {self.task.unit} vectors of {self.task.name}"
        )

    def _cell_vectors(self, method: Method) -> NDArray[np.float32]:
        key = (method.name, self.view.fingerprint)
        if key in self.run.shared:
            return self.run.shared[key]
        found = self._fit(method).cell_vectors(self.view)
        if not self.is_masked or self.run.settings.hide == "all":
            self.run.shared[key] = found
        return found

    def _fit(self, method: Method) -> Fitted:
        if method.name not in self._fitted:
            self._fitted[method.name] = method.fit(self.view)
        return self._fitted[method.name]


def make_comparison(
    run: Run, whole: MapView, task: Task, labels: Labels, *, is_masked: bool
) -> tuple[Comparison | None, str]:
    """Return the comparison, None if the task must be skipped, and a note ("" for none)."""
    view = _hidden(run, whole, task, labels.units) if is_masked else whole
    has_entities, note = np.ones(len(labels.units), np.bool_), ""
    if task.unit == "cell":
        # a cell that is the home of no entity is left out: in the whole map such cells are the far
        # corners of large polygons, and one emptied by masking would give its label away
        before, has_entities = (_is_home(each)[labels.units] for each in (whole, view))
        emptied = int((before & ~has_entities).sum())
        note = f"{emptied:,} cells that masking empties are left out" if emptied else ""
    sampled = run.settings.sample(labels, has_entities)
    lack = run.settings.too_few(sampled)
    if len(sampled.units) < _LEAST_UNITS:
        lack = f"{len(sampled.units)} units have a label, want {_LEAST_UNITS} or more"
    comparison = Comparison(run, whole, view, task, sampled, is_masked)
    if not lack:
        try:
            # every seed: blocks may be divided well by one and badly by another
            for seed in range(run.num_seeds):
                comparison.folds(seed)
        except UsageError as error:
            lack = str(error)
    return (None, f"left out: {lack}") if lack else (comparison, note)


def _hidden(run: Run, whole: MapView, task: Task, units: NDArray[np.int64]) -> MapView:
    """Return the map with the labels masked; see `Settings.hide`."""
    if run.settings.hide == "each":
        return whole.hide(task.mask, units if task.unit == "entity" else None)
    if any(each.unit == "entity" for each in run.tasks):
        names = ", ".join(each.name for each in run.tasks if each.unit == "cell")
        msg = f"tasks of entities cannot be masked all at once; want tasks: {names}"
        raise UsageError(msg)
    view = whole
    for each in run.tasks:
        view = view.hide(each.mask)
    return view


def _is_home(view: MapView) -> NDArray[np.bool_]:
    """Say which cells are the home of an entity, shape ``(c,)``."""
    found = np.zeros(len(view.cell_ids), np.bool_)
    found[view.cell_index(view.home)] = True
    return found


def scores_of(
    comparison: Comparison, method: Method, focus: str | None
) -> dict[str, list[HeadScores]]:
    """Return the scores of each head and of the chosen heads, one a seed; known ones are kept."""
    run, matrix = comparison.run, None
    # no head can do better than the training mean, so one will do
    heads = ("ridge",) if method.name == CONSTANT else run.heads
    found: dict[str, list[HeadScores]] = {head: [] for head in (*run.heads, CHOSEN)}
    for seed in range(run.num_seeds):
        key = _key(comparison, method, focus, heads, seed)
        kept = run.cache.get(**key)
        if kept is None:
            if matrix is None:
                matrix = Matrix(comparison.vectors(method, focus))
            scored = score_heads(
                matrix, comparison.labels.values, comparison.folds(seed), comparison.task, heads,
                seed=seed, num_draws=run.settings.num_draws,
            )  # fmt: skip
            kept = {head: one.as_dict() for head, one in scored.items()}
            run.cache.put(kept, **key)
        for head, of_seeds in found.items():
            of_seeds.append(HeadScores(**kept.get(head, kept[CHOSEN])))
    return found


def _key(
    comparison: Comparison, method: Method, focus: str | None, heads: Sequence[str], seed: int
) -> dict[str, Any]:
    folds = comparison.folds(seed)
    rows = [part for fold in folds for part in (fold.train, fold.test, fold.validation)]
    return {
        "code": code_version(),
        "map": comparison.view.content,
        "task": [comparison.task.kind, comparison.task.metric],
        "labels": digest(comparison.labels.units, comparison.labels.values.tolist()),
        "folds": digest(folds.blocks, *rows),
        "row": [method.fingerprint, code_of_method(method), focus],
        "heads": list(heads),
        "seed": seed,
        "draws": comparison.run.settings.num_draws,
    }


def records_of(
    comparison: Comparison,
    method: Method,
    focus: str | None,
    head: str,
    scores: Sequence[HeadScores],
) -> list[Record]:
    """Return one record a metric, over the seeds."""
    found = []
    for metric, first in scores[0].scores.items():
        values = [one.scores[metric]["value"] for one in scores]
        lows = [one.scores[metric]["low"] for one in scores]
        highs = [one.scores[metric]["high"] for one in scores]
        is_main = metric == comparison.task.metric
        picked = [name for one in scores for name in one.picked]
        found.append(
            Record(
                split=comparison.run.settings.split,
                task=comparison.task.name,
                title=comparison.task.title,
                unit=comparison.task.unit,
                masked=comparison.is_masked,
                row=method.name,
                focus=focus,
                head=head,
                metric=metric,
                higher_is_better=bool(first["higher_is_better"]),
                value=float(np.mean(values)),
                low=float(min(np.mean(lows), *values)),
                high=float(max(np.mean(highs), *values)),
                per_seed=values,
                per_fold=[one.scores[metric]["per_fold"] for one in scores],
                n=len(comparison.labels.units),
                is_main=is_main,
                validation=[one.validation for one in scores] if is_main else [],
                picked={
                    name: sum(one.picked.get(name, 0) for one in scores)
                    for name in dict.fromkeys(picked)
                },
            )
        )
    return found
