"""How well did each head do with one row's vectors in one task, and which would one have chosen?

In every fold the head with the best score on the validation rows answers for the row: its test
score is never looked at. What the chosen heads say together is judged as one more head, `CHOSEN`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation import metrics
from geoindex.evaluation.heads.features import Matrix, Told
from geoindex.evaluation.heads.fit import tell, wanted_columns
from geoindex.evaluation.metrics import LOWER_IS_BETTER, drawn_metric, score_predictions
from geoindex.evaluation.splits import Fold, Folds
from geoindex.evaluation.tasks.base import Task

#: The heads of a table: each can do both kinds of task.
HEADS = ("knn", "ridge", "mlp")
#: The name under which the chosen heads are judged together.
CHOSEN = "chosen"
#: The heads under which rows are compared with each other: search is a k-NN.
COMPARED = (CHOSEN, "knn")
NUM_WORST = 12
# the same draws of blocks for every row and seed: differences of rows are then paired
_DRAW_SEED = 0
_DIGITS = 6


@dataclass(frozen=True)
class Judgement:
    """What one seed gave, in plain values.

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
        Of `COMPARED`: the main metric in each draw of the bootstrap, None where not defined. Draw i
        has the same blocks of ground whatever the row and the seed.
    """

    scores: dict[str, dict[str, Any]]
    worst: list[list[Any]]
    validation: list[float | None]
    picked: dict[str, int] = field(default_factory=dict)
    draws: list[float | None] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def judge(
    matrix: Matrix,
    y: NDArray[Any],
    folds: Folds,
    task: Task,
    heads: Sequence[str],
    *,
    seed: int,
    num_draws: int,
) -> dict[str, Judgement]:
    """Fit heads fold by fold and score what they say of the test rows; `CHOSEN` is the last."""
    y = np.asarray(y)
    told = {head: tell(head, matrix, y, folds, task=task.kind, seed=seed) for head in heads}
    validation = {head: _on_validation(told[head], y, folds, task) for head in heads}
    picks = [_pick(told, validation, y, fold, i, task) for i, fold in enumerate(folds)]
    told[CHOSEN] = _joined(told, picks, folds)
    validation[CHOSEN] = [validation[head][number] for number, head in enumerate(picks)]
    picked = {head: picks.count(head) for head in heads if head in picks}
    return {
        head: Judgement(
            _scores(said, y, folds, task, num_draws),
            _worst(y, said),
            validation[head],
            picked if head == CHOSEN else {},
            _draws(said, y, folds, task, num_draws) if head in COMPARED else [],
        )
        for head, said in told.items()
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
    told: Told, y: NDArray[Any], folds: Sequence[Fold], task: Task
) -> list[float | None]:
    """Return the main metric on the validation rows of each fold."""
    classes = np.unique(y)
    found = []
    for fold, said in zip(folds, told.validation, strict=True):
        true = y[fold.validation]
        if task.metric == "auroc":
            value = metrics.auroc(true, said, classes)
        elif task.kind == "regression":
            value = {"r2": metrics.r2, "mae": metrics.mean_absolute_error}[task.metric](
                true, said[:, 0]
            )
        else:
            value = {"macro_f1": metrics.macro_f1, "accuracy": metrics.accuracy}[task.metric](
                true, classes[np.argmax(said, axis=1)]
            )
        found.append(value)
    return _plain_all(np.array(found))


def _pick(
    told: dict[str, Told],
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
    if len(known) < len(told):
        wanted = wanted_columns(y, task.kind)[0][fold.validation]
        known = {
            head: -float(((said.validation[number] - wanted) ** 2).mean())
            for head, said in told.items()
        }
    return max(known, key=lambda head: known[head])


def _joined(told: dict[str, Told], picks: Sequence[str], folds: Sequence[Fold]) -> Told:
    """Return what the chosen head of each fold says of its test rows."""
    some = next(iter(told.values()))
    predicted = some.predicted.copy()
    found = None if some.scores is None else some.scores.copy()
    for head, fold in zip(picks, folds, strict=True):
        predicted[fold.test] = told[head].predicted[fold.test]
        chosen = told[head].scores
        if found is not None and chosen is not None:
            found[fold.test] = chosen[fold.test]
    return Told(predicted, found, (), ())


def _scores(
    told: Told, y: NDArray[Any], folds: Folds, task: Task, num_draws: int
) -> dict[str, dict[str, Any]]:
    found = score_predictions(
        y,
        told.predicted,
        folds,
        task=task.kind,
        probabilities=told.scores,
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
    told: Told, y: NDArray[Any], folds: Folds, task: Task, num_draws: int
) -> list[float | None]:
    found = drawn_metric(
        task.metric, y, told.predicted, folds, probabilities=told.scores,
        blocks=folds.blocks, num=num_draws, seed=_DRAW_SEED,
    )  # fmt: skip
    return _plain_all(found)


def _worst(y: NDArray[Any], told: Told) -> list[list[Any]]:
    """Return the units told worst: far off, or whose class got the least of the scores."""
    if told.scores is None:
        off = np.abs(y - told.predicted)
    else:
        codes = np.unique(y, return_inverse=True)[1]
        off = 1 - told.scores[np.arange(len(y)), codes.ravel()]
    off = np.where(np.isnan(off), -np.inf, off)
    order = np.argsort(-off, kind="stable")[:NUM_WORST]
    return [[int(i), _plain(y[i]), _plain(told.predicted[i])] for i in order if np.isfinite(off[i])]


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return str(value) if isinstance(value, str) else round(float(value), 2)


def _plain_all(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), _DIGITS) if np.isfinite(value) else None for value in values]
