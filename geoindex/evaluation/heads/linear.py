"""Ridge and logistic regression.

Inputs are standardised. The penalty is the one of a few with the smallest squared error on the
validation rows, of classes the smallest Brier score.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError
from geoindex.evaluation.heads.features import FoldPrediction, Matrix
from geoindex.evaluation.splits import Fold

# as shares of the number of rows, since that scales the sum of squares
PENALTIES = (0.003, 0.03, 0.3, 3.0)
# scikit-learn's C; more costs time and changed no choice on our tasks
STRENGTHS = (0.01, 0.1, 1.0)


def predict_ridge(
    matrix: Matrix, targets: NDArray[np.float64], fold: Fold, pool: NDArray[np.int64] | None = None
) -> FoldPrediction:
    """Predict a fold by least squares with a squared penalty.

    Parameters
    ----------
    targets
        Shape ``(rows, outputs)``: numbers, or a column of 0 and 1 a class.
    pool
        Rows to fit to once the penalty is chosen. None: training and validation rows.
    """
    inputs = matrix.standard
    train = _Normal(inputs, targets, fold.train)
    tried = [train.solve(inputs[fold.validation], penalty) for penalty in PENALTIES]
    best = smallest_error(tried, targets[fold.validation])
    if pool is None:
        fitted = train.joined(_Normal(inputs, targets, fold.validation))
    else:
        fitted = _Normal(inputs, targets, pool)
    test = fitted.solve(inputs[fold.test], PENALTIES[best])
    return FoldPrediction(test, tried[best], PENALTIES[best])


def predict_logistic(
    matrix: Matrix, targets: NDArray[np.float64], fold: Fold, pool: NDArray[np.int64] | None = None
) -> FoldPrediction:
    """Predict a fold by multinomial logistic regression (scikit-learn, lbfgs).

    Parameters
    ----------
    targets
        Shape ``(rows, classes)``, of 0 and 1.
    pool
        As of `predict_ridge`.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    inputs, codes = matrix.standard, targets.argmax(axis=1)
    num_classes = targets.shape[1]

    def predict(
        rows: NDArray[np.int64], strength: float, queries: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return _logistic(inputs[rows], codes[rows], strength, inputs[queries], num_classes)

    tried = [predict(fold.train, strength, fold.validation) for strength in STRENGTHS]
    best = smallest_error(tried, targets[fold.validation])
    pool = np.concatenate([fold.train, fold.validation]) if pool is None else pool
    return FoldPrediction(predict(pool, STRENGTHS[best], fold.test), tried[best], STRENGTHS[best])


def smallest_error(tried: list[NDArray[np.float64]], targets: NDArray[np.float64]) -> int:
    """Return which of several predictions has the smallest squared error."""
    return int(np.argmin([((one - targets) ** 2).mean() for one in tried]))


class _Normal:
    """The sums over rows that a least-squares fit needs; those of two sets of rows add up."""

    def __init__(
        self, inputs: NDArray[np.float32], targets: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> None:
        held, outputs = inputs[rows], targets[rows]
        self.n = len(rows)
        self.inputs = held.sum(axis=0, dtype=np.float64)
        self.outputs = outputs.sum(axis=0)
        self.square = (held.T @ held).astype(np.float64)
        self.cross = held.T.astype(np.float64) @ outputs

    def joined(self, other: "_Normal") -> "_Normal":
        """Return the sums over the rows of both."""
        both = object.__new__(_Normal)
        both.n = self.n + other.n
        for name in ("inputs", "outputs", "square", "cross"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def solve(self, queries: NDArray[np.float32], penalty: float) -> NDArray[np.float64]:
        """Return the predictions of the fit with a penalty; the intercept is free."""
        from scipy.linalg.lapack import sposv

        inputs, outputs = self.inputs / self.n, self.outputs / self.n
        if not len(inputs):
            return np.repeat(outputs[None], len(queries), axis=0)
        square = self.square - self.n * np.outer(inputs, inputs)
        square[np.diag_indices_from(square)] += penalty * self.n
        cross = self.cross - self.n * np.outer(inputs, outputs)
        # LAPACK itself: scipy.linalg.solve also estimates the condition, at several times the cost.
        # float32 will do: the least penalty bounds the condition by some hundred a column
        _, slope, _ = sposv(square.astype(np.float32), cross.astype(np.float32))
        return np.asarray((queries - inputs) @ slope + outputs, np.float64)


def _logistic(
    inputs: NDArray[np.float32],
    codes: NDArray[np.int64],
    strength: float,
    queries: NDArray[np.float32],
    num_classes: int,
) -> NDArray[np.float64]:
    """Return the probability of each class; 0 of those that were never seen."""
    found = np.zeros((len(queries), num_classes))
    seen = np.unique(codes)
    if len(seen) == 1:
        found[:, seen] = 1
        return found
    model = _sklearn("linear_model").LogisticRegression(C=strength, max_iter=200)
    with _unconverged():
        found[:, seen] = model.fit(inputs, codes).predict_proba(queries)
    return found


def _sklearn(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        package, extra = "scikit-learn", "evaluate"
        raise MissingExtraError(package, extra) from error


@contextmanager
def _unconverged() -> Iterator[None]:
    """Let a model stop before it has converged: the validation rows score the fit as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        yield
