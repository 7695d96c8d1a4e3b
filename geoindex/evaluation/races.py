"""What is judged at a time? One task, its labels visible or masked, raced by every row and head."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Row, check_vectors
from geoindex.evaluation.cache import ScoreCache
from geoindex.evaluation.judging import Judgement, judge
from geoindex.evaluation.quick_heads import Matrix
from geoindex.evaluation.results import Record
from geoindex.evaluation.settings import Settings
from geoindex.evaluation.splits import Folds
from geoindex.evaluation.tasks import Labels, Task
from geoindex.evaluation.view import MapView, content_fingerprint

_LEAST_UNITS = 50


@dataclass(frozen=True)
class Run:
    """What is to be judged, and how."""

    tasks: list[Task]
    rows: list[Row]
    heads: tuple[str, ...]
    settings: Settings
    num_seeds: int
    cache: ScoreCache


@dataclass
class Race:
    """One task with labels visible or masked: its units, folds, and vectors when needed."""

    run: Run
    whole: MapView
    task: Task
    labels: Labels
    is_masked: bool
    all_units: NDArray[np.int64]
    _view: MapView | None = None
    _folds: dict[int, Folds] = field(default_factory=dict)
    _fitted: dict[str, Fitted] = field(default_factory=dict)

    @property
    def view(self) -> MapView:
        """The map that rows see."""
        if self._view is None:
            self._view = hidden(self.whole, self.task, self.all_units, is_masked=self.is_masked)
        return self._view

    def folds(self, seed: int) -> Folds:
        """Return the folds of a seed; of the whole map, so the same for every row."""
        if seed not in self._folds:
            units = self.labels.units
            self._folds[seed] = self.run.settings.folds(self.whole, self.task, units, seed)
        return self._folds[seed]

    def vectors(self, row: Row, focus: str | None) -> NDArray[np.float32]:
        """Return a row's vectors of the units."""
        if row.name not in self._fitted:
            self._fitted[row.name] = row.fit(self.view)
        fitted, units = self._fitted[row.name], self.labels.units
        if focus is None:
            found = fitted.cell_vectors(self.view)[units]
        else:
            found = fitted.entity_vectors(self.view, units, focus=focus)
        return check_vectors(found, row.name, f"the {self.task.unit} vectors of {self.task.name}")


def hidden(whole: MapView, task: Task, units: NDArray[np.int64], *, is_masked: bool) -> MapView:
    """Return the map that rows see in a task: whole, or without what tells the answer."""
    if not is_masked:
        return whole
    return whole.hide(task.telling, units if task.unit == "entity" else None)


def make_race(
    run: Run, whole: MapView, task: Task, labels: Labels, *, is_masked: bool
) -> tuple[Race | None, str]:
    """Return the race, None if it cannot be held, and what is to be said of it."""
    can_be_asked, note = np.ones(len(labels.units), np.bool_), ""
    if task.unit == "cell":
        # a cell in which nothing lives is asked about by nobody: in the whole map such cells are
        # the far corners of large polygons, and one that hiding emptied would tell by being empty
        lived = [
            _is_lived_in(view)[labels.units]
            for view in (whole, hidden(whole, task, labels.units, is_masked=is_masked))
        ]
        can_be_asked = lived[-1]
        emptied = int((lived[0] & ~can_be_asked).sum())
        note = f"{emptied:,} cells that hiding empties are not asked about" if emptied else ""
    sampled = run.settings.sample(labels, can_be_asked)
    lack = run.settings.too_few(sampled)
    if len(sampled.units) < _LEAST_UNITS:
        lack = f"{len(sampled.units)} units have a label, want {_LEAST_UNITS} or more"
    race = Race(run, whole, task, sampled, is_masked, labels.units)
    if not lack:
        try:
            race.folds(0)
        except UsageError as error:
            lack = str(error)
    return (None, f"left out: {lack}") if lack else (race, note)


def _is_lived_in(view: MapView) -> NDArray[np.bool_]:
    """Say which cells are the home of an entity, shape ``(c,)``."""
    found = np.zeros(len(view.cell_ids), np.bool_)
    found[view.cell_index(view.home)] = True
    return found


def judgements_of(race: Race, row: Row, focus: str | None) -> dict[str, list[Judgement]]:
    """Return what each head reached with each seed, from the cache where it is known."""
    run, matrix = race.run, None
    found: dict[str, list[Judgement]] = {head: [] for head in run.heads}
    for head in run.heads:
        # nothing is known to any head: the mean of training is the answer of them all
        used = "ridge" if row.name == CONSTANT else head
        for seed in range(run.num_seeds):
            key = _key(race, row, focus, used, seed)
            kept = run.cache.get(**key)
            if kept is None:
                if matrix is None:
                    matrix = Matrix(race.vectors(row, focus))
                judged = judge(
                    matrix, race.labels.values, race.folds(seed), race.task, used,
                    seed=seed, num_draws=run.settings.num_draws,
                )  # fmt: skip
                kept = judged.as_dict()
                run.cache.put(kept, **key)
            found[head].append(Judgement(**kept))
    return found


def _key(race: Race, row: Row, focus: str | None, head: str, seed: int) -> dict[str, Any]:
    labels = content_fingerprint([*map(str, race.labels.units), *map(str, race.labels.values)])
    return {
        "map": race.whole.source,
        "task": [race.task.name, race.task.kind, race.task.telling, labels],
        "masked": race.is_masked,
        "row": [row.name, row.fingerprint, focus],
        "head": head,
        "settings": race.run.settings,
        "seed": seed,
    }


def records_of(
    race: Race, row: Row, focus: str | None, head: str, judgements: Sequence[Judgement]
) -> list[Record]:
    """Return one record a metric, over the seeds."""
    found = []
    for metric, first in judgements[0].scores.items():
        values = [judged.scores[metric]["value"] for judged in judgements]
        lows = [judged.scores[metric]["low"] for judged in judgements]
        highs = [judged.scores[metric]["high"] for judged in judgements]
        found.append(
            Record(
                split=race.run.settings.split,
                task=race.task.name,
                title=race.task.title,
                unit=race.task.unit,
                masked=race.is_masked,
                row=row.name,
                focus=focus,
                head=head,
                metric=metric,
                higher_is_better=bool(first["higher_is_better"]),
                value=float(np.mean(values)),
                low=float(min(np.mean(lows), *values)),
                high=float(max(np.mean(highs), *values)),
                per_seed=values,
                per_fold=[judged.scores[metric]["per_fold"] for judged in judgements],
                n=len(race.labels.units),
                is_main=metric == race.task.metric,
            )
        )
    return found
