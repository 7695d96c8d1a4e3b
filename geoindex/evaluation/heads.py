"""What can be read off frozen vectors? Heads that learn labels from them, fold by fold.

==========  ==========================  =====================================================
head        task                        chosen on validation rows
==========  ==========================  =====================================================
knn         both                        k; see `geoindex.evaluation.neighbours`
ridge       regression                  the penalty
logistic    classification              the penalty
mlp         both                        how many epochs
==========  ==========================  =====================================================

All but kNN see standardised inputs. A head learns from the training rows, chooses its setting by
the squared error (of classes the Brier score) on the validation rows, then learns again from both
with that setting. The same seed gives the same predictions.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.linear import Logistic, Ridge
from geoindex.evaluation.mlp import Mlp
from geoindex.evaluation.neighbours import (
    DEFAULT_KS,
    KnnPrediction,
    knn_folds,
    unit_rows,
    votes,
    winners,
)
from geoindex.evaluation.splits import Fold
from geoindex.evaluation.top_k import blocked_top_k

HEADS = ("knn", "ridge", "logistic", "mlp")
TASKS = ("regression", "classification")

Vectors = NDArray[np.floating[Any]]
Validation = tuple[Vectors, NDArray[Any]]


class Head(Protocol):
    """Learns labels from vectors.

    Attributes
    ----------
    classes
        What the columns of `predict_proba` stand for, sorted; empty in a regression.
    """

    classes: NDArray[Any]

    def fit(
        self, vectors: Vectors, y: NDArray[Any], validation: Validation | None = None
    ) -> "Head":
        """Learn from rows; with validation rows also choose the settings, then learn from both.

        Settings that were chosen stay for the next fit without validation rows.
        """
        ...

    def predict(self, vectors: Vectors) -> NDArray[Any]:
        """Return a number or class for each row, shape ``(n,)``."""
        ...

    def predict_proba(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of each class, shape ``(n, classes)``."""
        ...


def make_head(name: str, *, task: str, seed: int = 0, **settings: Any) -> Head:
    """Make a head that has learnt nothing yet.

    Parameters
    ----------
    name
        One of `HEADS`.
    task
        ``"regression"`` or ``"classification"``.
    seed
        Of the MLP's first weights and batches.
    settings
        Of the head's class: `ks` and `weighted` of `Knn`.

    Raises
    ------
    UsageError
        If there is no such head or task, or the head cannot do the task.
    """
    check_head(name, task)
    if name == "knn":
        return Knn(task, **settings)
    if name == "ridge":
        return Ridge(**settings)
    if name == "logistic":
        return Logistic(**settings)
    return Mlp(task, seed=seed, **settings)


def check_head(name: str, task: str) -> None:
    """Check that there is such a head and that it can do the task.

    Raises
    ------
    UsageError
        If not.
    """
    if name not in HEADS:
        msg = f"no head {name!r}; want one of {', '.join(HEADS)}. Example: --head knn"
        raise UsageError(msg)
    if task not in TASKS:
        msg = f"no task {task!r}; want one of {', '.join(TASKS)}. Example: --task regression"
        raise UsageError(msg)
    wrong = {("ridge", "classification"): "logistic", ("logistic", "regression"): "ridge"}
    if (name, task) in wrong:
        other = wrong[name, task]
        msg = f"the {name} head cannot do a {task}; want --head {other}, knn or mlp"
        raise UsageError(msg)


@overload
def fit_predict(
    head: str,
    vectors: Vectors,
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    task: str,
    seed: int = 0,
    with_probabilities: Literal[False] = False,
    **settings: Any,
) -> NDArray[Any]: ...


@overload
def fit_predict(
    head: str,
    vectors: Vectors,
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    task: str,
    seed: int = 0,
    with_probabilities: Literal[True],
    **settings: Any,
) -> tuple[NDArray[Any], NDArray[np.float64] | None]: ...


def fit_predict(
    head: str,
    vectors: Vectors,
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    task: str,
    seed: int = 0,
    with_probabilities: bool = False,
    **settings: Any,
) -> NDArray[Any] | tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Predict every test row by a head that saw only the rest of its fold.

    Parameters
    ----------
    head
        One of `HEADS`.
    vectors
        Shape ``(n, D)``, finite.
    y
        Numbers or classes, shape ``(n,)``.
    folds
        A row is tested once at most.
    task
        ``"regression"`` or ``"classification"``.
    seed
        The same seed gives the same predictions.
    with_probabilities
        Return them too.
    settings
        Of the head: `ks` and `weighted` of kNN.

    Returns
    -------
    predicted
        Shape ``(n,)``: floats, NaN where a row was never tested; or classes (objects), None there.
    probabilities
        If asked for: shape ``(n, classes)`` in the order of ``np.unique(y)``, NaN where a row was
        never tested; None in a regression. Classes that training lacks have 0.

    Raises
    ------
    UsageError
        If there is no such head or task, or the head cannot do the task.
    MissingExtraError
        If a head but kNN or ridge is asked for and scikit-learn is not installed.
    """
    check_head(head, task)
    y = np.asarray(y)
    if head == "knn":
        told = knn_folds(vectors, y, folds, task=task, **settings)
    else:
        told = _by_fold(head, np.asarray(vectors, np.float64), y, folds, task, seed, settings)
    return (told.predicted, told.probabilities) if with_probabilities else told.predicted


def _by_fold(
    head: str,
    vectors: Vectors,
    y: NDArray[Any],
    folds: Sequence[Fold],
    task: str,
    seed: int,
    settings: dict[str, Any],
) -> KnnPrediction:
    is_regression = task == "regression"
    classes = np.unique(y) if not is_regression else np.zeros(0)
    found = np.full((len(y), max(1, len(classes))), np.nan)
    for fold in folds:
        validation = vectors[fold.validation], y[fold.validation]
        fitted = make_head(head, task=task, seed=seed, **settings).fit(
            vectors[fold.train], y[fold.train], validation
        )
        if is_regression:
            found[fold.test, 0] = fitted.predict(vectors[fold.test])
        else:
            found[fold.test] = _spread(fitted, vectors[fold.test], classes)
    if is_regression:
        return KnnPrediction(found[:, 0], None, ())
    return KnnPrediction(winners(found, classes), found, ())


def _spread(fitted: Head, vectors: Vectors, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities over all classes; 0 of those that the head never saw."""
    told = np.zeros((len(vectors), len(classes)))
    told[:, np.searchsorted(classes, fitted.classes)] = fitted.predict_proba(vectors)
    return told


class Knn:
    """The k nearest by cosine; k chosen if there are validation rows, else the first of `ks`."""

    def __init__(self, task: str, *, ks: Sequence[int] = DEFAULT_KS, weighted: bool = True) -> None:
        self.ks, self.weighted, self.task = tuple(ks), weighted, task
        self.k = self.ks[0]
        self.classes: NDArray[Any] = np.zeros(0)

    def fit(self, vectors: Vectors, y: NDArray[Any], validation: Validation | None = None) -> "Knn":
        """Remember the rows; see `Head`."""
        n = len(y)
        if validation is not None:
            vectors = np.concatenate([vectors, validation[0]])
            y = np.concatenate([y, validation[1]])
            rows = np.arange(len(y))
            if len(self.ks) > 1:
                # validation rows stand in for test rows: only the choice of k is used
                fold = Fold(rows[:n], rows[n:], rows[n:])
                told = knn_folds(
                    vectors, y, [fold], ks=self.ks, weighted=self.weighted, task=self.task
                )
                self.k = told.ks[0]
        self._unit = unit_rows(vectors)
        self._codes = np.asarray(y)
        if self.task == "classification":
            self.classes, codes = np.unique(y, return_inverse=True)
            self._codes = codes.ravel()
        return self

    def predict_proba(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return each class's share of the votes."""
        near = blocked_top_k(unit_rows(vectors), self._unit, self.k)
        return votes(near, self._codes, len(self.classes), weighted=self.weighted)

    def predict(self, vectors: Vectors) -> NDArray[Any]:
        """Return the mean, or the class with the most votes."""
        told = self.predict_proba(vectors)
        return winners(told, self.classes) if len(self.classes) else told[:, 0]
