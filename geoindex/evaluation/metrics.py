"""Scores of predictions, with their spread over folds and bootstrap intervals.

Intervals are percentiles of a bootstrap that draws whole spatial blocks: rows of one neighbourhood
are not independent, and drawing them one by one would make the interval too narrow. They show how
far the score would move in another area, not with another training run.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.bootstrap import Draws, ranked_metric, summed_metric
from geoindex.evaluation.splits import Fold

REGRESSION_METRICS = ("r2", "mae")
CLASSIFICATION_METRICS = ("macro_f1", "accuracy", "auroc")
#: A greater value of these is worse.
LOWER_IS_BETTER = frozenset({"mae"})
DEFAULT_DRAWS = 1000
#: With more classes there is no AUROC: its draws cost a sort's length a class.
MAX_RANKED_CLASSES = 10
_CONFIDENCE = 0.95
# draws at a time: 64 of 50,000 blocks are 26 MB
_DRAWS_AT_ONCE = 64


@dataclass(frozen=True)
class Score:
    """One metric of one set of predictions.

    Attributes
    ----------
    name
        One of `REGRESSION_METRICS` or `CLASSIFICATION_METRICS`.
    value
        Over all rows that were tested, pooled. NaN where it is not defined, as is the AUROC of
        one class.
    low, high
        The 95 % interval of a bootstrap over blocks.
    per_fold
        The same over each fold's test rows; NaN where it is not defined.
    """

    name: str
    value: float
    low: float
    high: float
    per_fold: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Standard deviation over folds; NaN where fewer than two are defined."""
        known = [value for value in self.per_fold if np.isfinite(value)]
        return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def mean_absolute_error(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean distance of prediction and label, in the label's unit."""
    return _value("mae", y, predicted)


def r2(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of the labels' variance that is predicted: 1 all, 0 none, below 0 harm.

    NaN where the labels do not vary.
    """
    return _value("r2", y, predicted)


def accuracy(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of rows whose class was predicted."""
    return _value("accuracy", y, predicted)


def macro_f1(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean F1 over the classes that occur or are predicted, each counting the same."""
    return _value("macro_f1", y, predicted)


def auroc(y: ArrayLike, probabilities: ArrayLike, classes: ArrayLike | None = None) -> float:
    """Return the chance that a row of a class is ranked above one that is not of it.

    Parameters
    ----------
    y
        Labels, shape ``(n,)``.
    probabilities
        Of the second class, shape ``(n,)``; or of each, shape ``(n, classes)``: then the mean over
        classes that occur, each against the rest.
    classes
        What the columns stand for. None: the sorted labels.

    Returns
    -------
    auroc
        0 to 1, chance is .5; NaN where no class has rows on both sides.
    """
    y = np.asarray(y)
    names = np.unique(y) if classes is None else np.asarray(classes)
    blocks = np.zeros(len(y), np.int64)
    ones = np.ones((1, 1))
    return float(ranked_metric(y, _columns(probabilities), names, blocks, [ones])[0])


def score_predictions(
    y: ArrayLike,
    predicted: ArrayLike,
    folds: Sequence[Fold],
    *,
    task: str,
    probabilities: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    blocks: ArrayLike | None = None,
    num: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> tuple[Score, ...]:
    """Return the scores of predictions out of fold.

    Parameters
    ----------
    y, predicted
        Shape ``(n,)``, as `geoindex.evaluation.heads.fit.cross_val_predict` gives them.
    folds
        Their test rows are scored; others are not.
    task
        ``"regression"``: R² and MAE; ``"classification"``: macro-F1, accuracy, and AUROC if there
        are probabilities and at most `MAX_RANKED_CLASSES` classes.
    probabilities, classes
        Shape ``(n, classes)``, and what its columns stand for (None: the sorted labels).
    blocks
        What the bootstrap draws, shape ``(n,)``. None: single rows.
    num, seed
        Of the bootstrap.

    Raises
    ------
    UsageError
        If there is no such task.
    """
    names = metrics_of(task)
    scored = _Scored(y, predicted, probabilities, classes, folds, blocks)
    if scored.probabilities is None or len(scored.classes) > MAX_RANKED_CLASSES:
        names = tuple(name for name in names if name != "auroc")
    found = []
    for name in names:
        low, high = _interval(scored.drawn(name, num, seed))
        per_fold = tuple(scored.value(name, fold.test) for fold in folds)
        found.append(Score(name, scored.value(name), low, high, per_fold))
    return tuple(found)


def resampled_metric(
    name: str,
    y: ArrayLike,
    predicted: ArrayLike,
    folds: Sequence[Fold],
    *,
    probabilities: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    blocks: ArrayLike | None = None,
    num: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return a metric in each draw of the bootstrap of `score_predictions`, shape ``(num,)``.

    Draw i depends on the number of blocks, on `num` and on `seed` alone: two methods that were
    scored on the same folds can be compared draw by draw. NaN where the metric is not defined.
    """
    return _Scored(y, predicted, probabilities, classes, folds, blocks).drawn(name, num, seed)


class _Scored:
    """Predictions out of fold, ready to be scored."""

    def __init__(
        self,
        y: ArrayLike,
        predicted: ArrayLike,
        probabilities: ArrayLike | None,
        classes: ArrayLike | None,
        folds: Sequence[Fold],
        blocks: ArrayLike | None,
    ) -> None:
        self._y, self._predicted = np.asarray(y), np.asarray(predicted)
        self.classes = np.unique(self._y) if classes is None else np.asarray(classes)
        self.probabilities = None if probabilities is None else _columns(probabilities)
        self._tested = np.unique(np.concatenate([fold.test for fold in folds]))
        of_tested = None if blocks is None else np.asarray(blocks)[self._tested]
        self._codes = _codes(of_tested, len(self._tested))

    def value(self, name: str, rows: NDArray[np.int64] | None = None) -> float:
        """Return a metric over some rows, or over all that were tested."""
        rows = self._tested if rows is None else rows
        return float(self._metric(name, rows, np.zeros(rows.size, np.int64), [np.ones((1, 1))])[0])

    def drawn(self, name: str, num: int, seed: int) -> NDArray[np.float64]:
        """Return a metric in each draw."""
        num_blocks = int(self._codes.max()) + 1
        return self._metric(name, self._tested, self._codes, _draws(num_blocks, num, seed))

    def _metric(
        self, name: str, rows: NDArray[np.int64], codes: NDArray[np.int64], draws: Draws
    ) -> NDArray[np.float64]:
        if name == "auroc" and self.probabilities is not None:
            return ranked_metric(
                self._y[rows], self.probabilities[rows], self.classes, codes, draws
            )
        return summed_metric(name, self._y[rows], self._predicted[rows], codes, draws)


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the names of a task's metrics, the main one first.

    Raises
    ------
    UsageError
        If there is no such task.
    """
    known = {"regression": REGRESSION_METRICS, "classification": CLASSIFICATION_METRICS}
    if task not in known:
        msg = f"no task {task!r}; want one of {', '.join(known)}. Example: --task regression"
        raise UsageError(msg)
    return known[task]


def _draws(num_blocks: int, num: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each block is drawn, shape ``(draws, blocks)``, `num` draws in all."""
    rng = np.random.default_rng(seed)
    for start in range(0, num, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, num - start)
        picks = rng.integers(0, num_blocks, (size, num_blocks))
        picks += np.arange(size)[:, None] * num_blocks
        counts = np.bincount(picks.ravel(), minlength=size * num_blocks)
        yield counts.reshape(size, num_blocks).astype(np.float64)


def _interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    tail = 50 * (1 - _CONFIDENCE)
    with warnings.catch_warnings():
        # a metric that is not defined in any draw has no interval: NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def _codes(blocks: ArrayLike | None, num_rows: int) -> NDArray[np.int64]:
    if blocks is None:
        return np.arange(num_rows, dtype=np.int64)
    return np.unique(np.asarray(blocks), return_inverse=True)[1].ravel().astype(np.int64)


def _value(name: str, y: ArrayLike, predicted: ArrayLike) -> float:
    y = np.asarray(y)
    codes = np.zeros(len(y), np.int64)
    return float(summed_metric(name, y, np.asarray(predicted), codes, [np.ones((1, 1))])[0])


def _columns(probabilities: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(probabilities, np.float64)
    return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found
