"""Score every head on the vectors of one method in one task, and choose heads by validation.

In every fold the head with the best score on the validation rows predicts for the method; test
scores choose nothing. The predictions of the chosen heads together count as one more head,
`CHOSEN`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation import metrics
from geoindex.evaluation.heads.features import Matrix, Predictions
from geoindex.evaluation.heads.fit import cross_val_predict, target_columns
from geoindex.evaluation.metrics import LOWER_IS_BETTER, resampled_metric, score_predictions
from geoindex.evaluation.splits import Fold, Folds
from geoindex.evaluation.tasks.base import Task

#: The heads of a table: each can do both kinds of task.
HEADS = ("knn", "ridge", "mlp")
#: The name under which the chosen heads are scored together.
CHOSEN = "chosen"
#: The heads by which methods are compared with each other: search is a k-NN.
COMPARED_HEADS = (CHOSEN, "knn")
NUM_WORST = 12
# the same draws of blocks for every method and seed: differences of methods are then paired
_DRAW_SEED = 0
_DIGITS = 6


@dataclass(frozen=True)
class HeadScores:
    """The scores of one head with one seed, in plain values.

    Attributes
    ----------
    scores
        Metric to ``{value, low, high, per_fold, higher_is_better}``.
    worst
        ``[place among the task's units, truth, predicted]``, the worst first.
    validation
        The main metric on each fold's validation rows; None where it is not defined. Of `CHOSEN`
        that of the head chosen.
    picked
        Of `CHOSEN`: head to the number of folds that it was chosen in.
    draws
        Of `COMPARED_HEADS`: the main metric in each draw of the bootstrap, None where not defined.
        Draw i has the same spatial blocks whatever the method and the seed.
    """

    scores: dict[str, dict[str, Any]]
    worst: list[list[Any]]
    validation: list[float | None]
    picked: dict[str, int] = field(default_factory=dict)
    draws: list[float | None] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def score_heads(
    matrix: Matrix,
    y: NDArray[Any],
    folds: Folds,
    task: Task,
    heads: Sequence[str],
    *,
    seed: int,
    num_draws: int,
) -> dict[str, HeadScores]:
    """Fit heads fold by fold and score their predictions of the test rows; `CHOSEN` is the last."""
    y = np.asarray(y)
    predictions = {
        head: cross_val_predict(head, matrix, y, folds, task=task.kind, seed=seed) for head in heads
    }
    validation = {head: _on_validation(predictions[head], y, folds, task) for head in heads}
    picks = [_pick(predictions, validation, y, fold, i, task) for i, fold in enumerate(folds)]
    predictions[CHOSEN] = _joined(predictions, picks, folds)
    validation[CHOSEN] = [validation[head][number] for number, head in enumerate(picks)]
    picked = {head: picks.count(head) for head in heads if head in picks}
    return {
        head: HeadScores(
            _scores(found, y, folds, task, num_draws),
            _worst(y, found),
            validation[head],
            picked if head == CHOSEN else {},
            _draws(found, y, folds, task, num_draws) if head in COMPARED_HEADS else [],
        )
        for head, found in predictions.items()
    }


def check_heads(heads: Sequence[str]) -> tuple[str, ...]:
    """Return heads, if a table can have them.

    Raises
    ------
    UsageError
        If not.
    """
    wrong = [head for head in heads if head not in HEADS]
    if wrong or not heads:
        msg = f"no head {', '.join(map(repr, wrong)) or 'given'}; want some of {', '.join(HEADS)}"
        raise UsageError(msg)
    return tuple(dict.fromkeys(heads))


def _on_validation(
    predictions: Predictions, y: NDArray[Any], folds: Sequence[Fold], task: Task
) -> list[float | None]:
    """Return the main metric on the validation rows of each fold."""
    classes = np.unique(y)
    found = []
    for fold, predicted in zip(folds, predictions.validation, strict=True):
        true = y[fold.validation]
        if task.metric == "auroc":
            value = metrics.auroc(true, predicted, classes)
        elif task.kind == "regression":
            value = {"r2": metrics.r2, "mae": metrics.mean_absolute_error}[task.metric](
                true, predicted[:, 0]
            )
        else:
            value = {"macro_f1": metrics.macro_f1, "accuracy": metrics.accuracy}[task.metric](
                true, classes[np.argmax(predicted, axis=1)]
            )
        found.append(value)
    return _plain_all(np.array(found))


def _pick(
    predictions: dict[str, Predictions],
    validation: dict[str, list[float | None]],
    y: NDArray[Any],
    fold: Fold,
    number: int,
    task: Task,
) -> str:
    """Return the head with the best validation score in a fold.

    Where the metric is not defined, as is the AUROC of one class: the smallest squared error.
    """
    sign = -1 if task.metric in LOWER_IS_BETTER else 1
    known = {
        head: sign * value
        for head, found in validation.items()
        if (value := found[number]) is not None
    }
    if len(known) < len(predictions):
        targets = target_columns(y, task.kind)[0][fold.validation]
        known = {
            head: -float(((found.validation[number] - targets) ** 2).mean())
            for head, found in predictions.items()
        }
    return max(known, key=lambda head: known[head])


def _joined(
    predictions: dict[str, Predictions], picks: Sequence[str], folds: Sequence[Fold]
) -> Predictions:
    """Return the predictions of the chosen head of each fold."""
    some = next(iter(predictions.values()))
    predicted = some.predicted.copy()
    found = None if some.scores is None else some.scores.copy()
    for head, fold in zip(picks, folds, strict=True):
        predicted[fold.test] = predictions[head].predicted[fold.test]
        chosen = predictions[head].scores
        if found is not None and chosen is not None:
            found[fold.test] = chosen[fold.test]
    return Predictions(predicted, found, (), ())


def _scores(
    predictions: Predictions, y: NDArray[Any], folds: Folds, task: Task, num_draws: int
) -> dict[str, dict[str, Any]]:
    found = score_predictions(
        y,
        predictions.predicted,
        folds,
        task=task.kind,
        probabilities=predictions.scores,
        blocks=folds.blocks,
        num=num_draws,
        seed=_DRAW_SEED,
    )
    return {
        score.name: {
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "per_fold": list(score.per_fold),
            "higher_is_better": score.name not in LOWER_IS_BETTER,
        }
        for score in found
    }


def _draws(
    predictions: Predictions, y: NDArray[Any], folds: Folds, task: Task, num_draws: int
) -> list[float | None]:
    found = resampled_metric(
        task.metric, y, predictions.predicted, folds, probabilities=predictions.scores,
        blocks=folds.blocks, num=num_draws, seed=_DRAW_SEED,
    )  # fmt: skip
    return _plain_all(found)


def _worst(y: NDArray[Any], predictions: Predictions) -> list[list[Any]]:
    """Return the units predicted worst: far off, or whose class got the least of the scores."""
    if predictions.scores is None:
        off = np.abs(y - predictions.predicted)
    else:
        codes = np.unique(y, return_inverse=True)[1]
        off = 1 - predictions.scores[np.arange(len(y)), codes.ravel()]
    off = np.where(np.isnan(off), -np.inf, off)
    order = np.argsort(-off, kind="stable")[:NUM_WORST]
    return [
        [int(i), _plain(y[i]), _plain(predictions.predicted[i])]
        for i in order
        if np.isfinite(off[i])
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return str(value) if isinstance(value, str) else round(float(value), 2)


def _plain_all(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), _DIGITS) if np.isfinite(value) else None for value in values]
