"""Fit heads to frozen vectors and predict labels, fold by fold.

==========  ==============  ===================================  ================================
head        task            inputs                               chosen on validation rows
==========  ==============  ===================================  ================================
knn         both            directions, by cosine                k; `geoindex.evaluation.heads.knn`
ridge       both            standardised columns                 the penalty; classes are columns
                                                                 of 0 and 1, and scores rank
logistic    classification  standardised columns                 the penalty
mlp         both            the strongest directions             how many epochs
==========  ==============  ===================================  ================================

A head is fitted to the training rows and chooses its setting by the squared error (of classes the
Brier score) on the validation rows. Then kNN, ridge and logistic are fitted to both with that
setting; the network is stopped where the validation rows are predicted best. The same seed gives
the same predictions. ``geoindex knn`` and ``geoindex evaluate`` use the same heads.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.heads.features import FoldPrediction, Matrix, Predictions, one_thread
from geoindex.evaluation.heads.knn import DEFAULT_KS, knn_folds, winners
from geoindex.evaluation.heads.linear import predict_logistic, predict_ridge
from geoindex.evaluation.heads.mlp import predict_mlp
from geoindex.evaluation.splits import Fold

HEADS = ("knn", "ridge", "logistic", "mlp")
TASKS = ("regression", "classification")


def cross_val_predict(
    head: str,
    matrix: Matrix,
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    task: str,
    seed: int = 0,
    ks: Sequence[int] = DEFAULT_KS,
    weighted: bool = True,
) -> Predictions:
    """Predict every test row by a head that saw only the rest of its fold.

    Parameters
    ----------
    head
        One of `HEADS`.
    matrix
        Of n vectors.
    y
        Numbers or classes, shape ``(n,)``.
    folds
        A row is tested once at most.
    task
        ``"regression"`` or ``"classification"``.
    seed
        Of the MLP's first weights and batches.
    ks, weighted
        Of kNN: see `geoindex.evaluation.heads.knn.knn_folds`.

    Raises
    ------
    UsageError
        If there is no such head or task, or the head cannot do the task.
    MissingExtraError
        If ``logistic`` is chosen and scikit-learn is not installed.
    """
    check_head(head, task)
    y = np.asarray(y)
    if head == "knn":
        return knn_folds(matrix.vectors, y, folds, ks=ks, weighted=weighted, task=task)
    targets, classes = target_columns(y, task)
    found = np.full(targets.shape, np.nan)
    per_fold = []
    with one_thread():
        for number, fold in enumerate(folds):
            per_fold.append(_predict_fold(head, matrix, targets, fold, None, task, [seed, number]))
            found[fold.test] = per_fold[-1].test
    rest = tuple(each.validation for each in per_fold), tuple(each.setting for each in per_fold)
    if task == "regression":
        return Predictions(found[:, 0], None, *rest)
    return Predictions(winners(found, classes), found, *rest)


def fit_predict(
    head: str,
    seen: NDArray[np.floating[Any]],
    y: NDArray[Any],
    queries: NDArray[np.floating[Any]],
    fold: Fold,
    *,
    task: str,
    seed: int = 0,
) -> Predictions:
    """Predict rows without a label by a head fitted to all rows that have one.

    Parameters
    ----------
    head
        One of `HEADS` but ``knn``, whose neighbours are returned too: see
        `geoindex.evaluation.predict`.
    seen, y
        The labelled rows, shapes ``(n, D)`` and ``(n,)``.
    queries
        Shape ``(m, D)``.
    fold
        Of the labelled rows: its test rows choose the setting, the rest is for training.
    task, seed
        As in `cross_val_predict`.

    Returns
    -------
    predictions
        Of `queries` alone.
    """
    check_head(head, task)
    targets, classes = target_columns(np.asarray(y), task)
    matrix = Matrix(np.concatenate([seen, queries]))
    train = np.concatenate([fold.train, fold.validation])
    rest = Fold(train, np.arange(len(seen), len(seen) + len(queries)), fold.test)
    with one_thread():
        found = _predict_fold(head, matrix, targets, rest, np.arange(len(seen)), task, [seed, 0])
    rest_of = (found.validation,), (found.setting,)
    if task == "regression":
        return Predictions(found.test[:, 0], None, *rest_of)
    return Predictions(winners(found.test, classes), found.test, *rest_of)


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
    if (name, task) == ("logistic", "regression"):
        msg = "the logistic head cannot do a regression; want --head ridge, knn or mlp"
        raise UsageError(msg)


def _predict_fold(
    head: str,
    matrix: Matrix,
    targets: NDArray[np.float64],
    fold: Fold,
    pool: NDArray[np.int64] | None,
    task: str,
    seed: Sequence[int],
) -> FoldPrediction:
    if head == "ridge":
        return predict_ridge(matrix, targets, fold, pool)
    if head == "logistic":
        return predict_logistic(matrix, targets, fold, pool)
    is_regression = task == "regression"
    return predict_mlp(matrix, targets, fold, pool, is_regression=is_regression, seed=seed)


def target_columns(y: NDArray[Any], task: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return numbers as a column, or classes as columns of 0 and 1; and the classes."""
    if task == "regression":
        return np.asarray(y, np.float64)[:, None], np.zeros(0)
    classes, codes = np.unique(y, return_inverse=True)
    return np.eye(len(classes))[codes.ravel()], classes
