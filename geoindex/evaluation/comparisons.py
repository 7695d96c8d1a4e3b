"""What is judged at a time? One task, its labels visible or masked, raced by every row and head."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.base import CONSTANT, Fitted, Row, check_vectors
from geoindex.evaluation.cache import ScoreCache, code_of_row, code_version, digest
from geoindex.evaluation.heads.features import Matrix
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.results import Record
from geoindex.evaluation.score_heads import CHOSEN, Judgement, judge
from geoindex.evaluation.settings import Settings
from geoindex.evaluation.splits import Folds
from geoindex.evaluation.tasks import Labels, Task

_LEAST_UNITS = 50


@dataclass(frozen=True)
class Run:
    """What is to be judged, and how.

    Attributes
    ----------
    shared
        The vectors of cells of maps that several tasks see, by row and map.
    """

    tasks: list[Task]
    rows: list[Row]
    heads: tuple[str, ...]
    settings: Settings
    num_seeds: int
    cache: ScoreCache
    shared: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def maskings(self) -> list[tuple[Task, bool]]:
        """The tasks, each with whether what tells the answer is hidden."""
        return [
            (task, is_masked)
            for task in self.tasks
            for is_masked in (
                (True,) if task.unit == "entity" or self.settings.hide == "all" else (False, True)
            )
        ]


@dataclass
class Race:
    """One task with labels visible or masked: its units, folds, and vectors when needed."""

    run: Run
    whole: MapView
    view: MapView
    task: Task
    labels: Labels
    is_masked: bool
    _folds: dict[int, Folds] = field(default_factory=dict)
    _fitted: dict[str, Fitted] = field(default_factory=dict)

    def folds(self, seed: int) -> Folds:
        """Return the folds of a seed; of the whole map, so the same for every row."""
        if seed not in self._folds:
            units = self.labels.units
            self._folds[seed] = self.run.settings.folds(self.whole, self.task, units, seed)
        return self._folds[seed]

    def vectors(self, row: Row, focus: str | None) -> NDArray[np.float32]:
        """Return a row's vectors of the units."""
        units = self.labels.units
        found = (
            self._cell_vectors(row)[units]
            if focus is None
            else self._fit(row).entity_vectors(self.view, units, focus=focus)
        )
        return check_vectors(found, row.name, f"the {self.task.unit} vectors of {self.task.name}")

    def _cell_vectors(self, row: Row) -> NDArray[np.float32]:
        key = (row.name, self.view.fingerprint)
        if key in self.run.shared:
            return self.run.shared[key]
        found = self._fit(row).cell_vectors(self.view)
        if not self.is_masked or self.run.settings.hide == "all":
            self.run.shared[key] = found
        return found

    def _fit(self, row: Row) -> Fitted:
        if row.name not in self._fitted:
            self._fitted[row.name] = row.fit(self.view)
        return self._fitted[row.name]


def make_race(
    run: Run, whole: MapView, task: Task, labels: Labels, *, is_masked: bool
) -> tuple[Race | None, str]:
    """Return the race, None if it cannot be held, and what is to be said of it."""
    view = _hidden(run, whole, task, labels.units) if is_masked else whole
    can_be_asked, note = np.ones(len(labels.units), np.bool_), ""
    if task.unit == "cell":
        # a cell in which nothing lives is asked about by nobody: in the whole map such cells are
        # the far corners of large polygons, and one that hiding emptied would tell by being empty
        lived = [_is_lived_in(each)[labels.units] for each in (whole, view)]
        can_be_asked = lived[-1]
        emptied = int((lived[0] & ~can_be_asked).sum())
        note = f"{emptied:,} cells that hiding empties are not asked about" if emptied else ""
    sampled = run.settings.sample(labels, can_be_asked)
    lack = run.settings.too_few(sampled)
    if len(sampled.units) < _LEAST_UNITS:
        lack = f"{len(sampled.units)} units have a label, want {_LEAST_UNITS} or more"
    race = Race(run, whole, view, task, sampled, is_masked)
    if not lack:
        try:
            race.folds(0)
        except UsageError as error:
            lack = str(error)
    return (None, f"left out: {lack}") if lack else (race, note)


def _hidden(run: Run, whole: MapView, task: Task, units: NDArray[np.int64]) -> MapView:
    """Return the map without what tells the answer; see `Settings.hide`."""
    if run.settings.hide == "each":
        return whole.hide(task.telling, units if task.unit == "entity" else None)
    if any(each.unit == "entity" for each in run.tasks):
        names = ", ".join(each.name for each in run.tasks if each.unit == "cell")
        msg = f"what tells of entities cannot be hidden for all tasks at once; want tasks: {names}"
        raise UsageError(msg)
    view = whole
    for each in run.tasks:
        view = view.hide(each.telling)
    return view


def _is_lived_in(view: MapView) -> NDArray[np.bool_]:
    """Say which cells are the home of an entity, shape ``(c,)``."""
    found = np.zeros(len(view.cell_ids), np.bool_)
    found[view.cell_index(view.home)] = True
    return found


def judgements_of(race: Race, row: Row, focus: str | None) -> dict[str, list[Judgement]]:
    """Return what each head, and the chosen ones, reached with each seed; known ones are kept."""
    run, matrix = race.run, None
    # nothing is known to any head: the mean of training is the answer of them all
    heads = ("ridge",) if row.name == CONSTANT else run.heads
    found: dict[str, list[Judgement]] = {head: [] for head in (*run.heads, CHOSEN)}
    for seed in range(run.num_seeds):
        key = _key(race, row, focus, heads, seed)
        kept = run.cache.get(**key)
        if kept is None:
            if matrix is None:
                matrix = Matrix(race.vectors(row, focus))
            judged = judge(
                matrix, race.labels.values, race.folds(seed), race.task, heads,
                seed=seed, num_draws=run.settings.num_draws,
            )  # fmt: skip
            kept = {head: one.as_dict() for head, one in judged.items()}
            run.cache.put(kept, **key)
        for head, judgements in found.items():
            judgements.append(Judgement(**kept.get(head, kept[CHOSEN])))
    return found


def _key(
    race: Race, row: Row, focus: str | None, heads: Sequence[str], seed: int
) -> dict[str, Any]:
    folds = race.folds(seed)
    rows = [part for fold in folds for part in (fold.train, fold.test, fold.validation)]
    return {
        "code": code_version(),
        "map": race.view.content,
        "task": [race.task.kind, race.task.metric],
        "labels": digest(race.labels.units, race.labels.values.tolist()),
        "folds": digest(folds.blocks, *rows),
        "row": [row.fingerprint, code_of_row(row), focus],
        "heads": list(heads),
        "seed": seed,
        "draws": race.run.settings.num_draws,
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
        is_main = metric == race.task.metric
        picked = [name for judged in judgements for name in judged.picked]
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
                is_main=is_main,
                validation=[judged.validation for judged in judgements] if is_main else [],
                picked={
                    name: sum(judged.picked.get(name, 0) for judged in judgements)
                    for name in dict.fromkeys(picked)
                },
            )
        )
    return found
