"""How well did one head do with one row's vectors in one task? Scores, and the worst errors."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.quick_heads import Matrix, Predictions, predict
from geoindex.evaluation.scores import LOWER_IS_BETTER, score_predictions
from geoindex.evaluation.splits import Folds
from geoindex.evaluation.tasks.base import Task

NUM_WORST = 12


@dataclass(frozen=True)
class Judgement:
    """What one seed gave, in plain values.

    Attributes
    ----------
    scores
        Metric to ``{value, low, high, per_fold, higher_is_better}``.
    worst
        ``[place among the task's units, truth, predicted]``, the worst first.
    """

    scores: dict[str, dict[str, Any]]
    worst: list[list[Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def judge(
    matrix: Matrix,
    y: NDArray[Any],
    folds: Folds,
    task: Task,
    head: str,
    *,
    seed: int,
    num_draws: int,
) -> Judgement:
    """Fit a head fold by fold and score what it says of the test rows."""
    told = predict(head, matrix, y, folds, kind=task.kind, seed=seed)
    found = score_predictions(
        y,
        told.predicted,
        folds,
        task=task.kind,
        probabilities=told.scores,
        blocks=folds.blocks,
        num=num_draws,
        seed=seed,
    )
    scores = {
        score.name: {
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "per_fold": list(score.per_fold),
            "higher_is_better": score.name not in LOWER_IS_BETTER,
        }
        for score in found
    }
    return Judgement(scores, _worst(y, told))


def _worst(y: NDArray[Any], told: Predictions) -> list[list[Any]]:
    """Return the units told worst: far off, or whose class got the least of the scores."""
    if told.scores is None:
        off = np.abs(y - told.predicted)
    else:
        classes, codes = np.unique(y, return_inverse=True)
        del classes
        rows = np.arange(len(y))
        off = 1 - told.scores[rows, codes.ravel()]
    off = np.where(np.isnan(off), -np.inf, off)
    order = np.argsort(-off, kind="stable")[:NUM_WORST]
    return [[int(i), _plain(y[i]), _plain(told.predicted[i])] for i in order if np.isfinite(off[i])]


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return str(value) if isinstance(value, str) else round(float(value), 2)
