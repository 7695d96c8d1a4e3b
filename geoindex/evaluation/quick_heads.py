"""How are hundreds of heads fitted in minutes? The heads of the table, arranged for speed.

`geoindex.evaluation.heads` fits one table with care; the suite fits some thousand. These are the
same three ideas, with what does not depend on labels or folds done once for a matrix of vectors:

- ``knn``: mean or shares of the k nearest by cosine, k of `KS`. Vectors as they are.
- ``ridge``: least squares with a penalty of `PENALTIES`; classes as one column of 0 and 1 each
  (the scores rank, they are no probabilities). Standardised inputs, label-free over all rows.
- ``mlp``: one hidden layer on the `MLP_INPUTS` strongest directions of the vectors; Adam.

k and the penalty are chosen on the validation rows, then training and validation rows together
answer; the MLP stops where the validation rows are told best. One seed, same predictions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.quick_mlp import MLP_INPUTS, mlp_scores
from geoindex.evaluation.splits import Fold

HEADS = ("knn", "ridge", "mlp")
KS = (5, 15, 45)
PENALTIES = (10.0, 100.0, 1000.0, 10000.0)
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Predictions:
    """What a head said of the test rows; NaN and None where a row was never tested.

    Attributes
    ----------
    predicted
        Shape ``(n,)``.
    scores
        Shape ``(n, classes)``, in the order of ``np.unique(y)``; None in a regression.
    """

    predicted: NDArray[Any]
    scores: NDArray[np.float64] | None


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep BLAS from splitting products over threads, where threadpoolctl is installed.

    The products of the suite are small: beside any other work, threads that wait for each other
    made them five times slower.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(limits=1, user_api="blas"):
        yield


class Matrix:
    """Vectors, and what every head needs of them, made when first asked for.

    Parameters
    ----------
    vectors
        Shape ``(n, d)``, finite.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self._parts: dict[str, NDArray[np.float32]] = {}

    @property
    def unit(self) -> NDArray[np.float32]:
        """Rows of length 1; zero rows stay zero."""
        if "unit" not in self._parts:
            length = np.linalg.norm(self.vectors, axis=1, keepdims=True)
            unit = self.vectors / np.where(length > 0, length, 1)
            self._parts["unit"] = unit.astype(np.float32)
        return self._parts["unit"]

    @property
    def standard(self) -> NDArray[np.float32]:
        """Columns of mean 0 and deviation 1; constant ones are dropped."""
        if "standard" not in self._parts:
            wide = self.vectors.astype(np.float64)
            deviation = wide.std(axis=0)
            varies = deviation > 1e-6 * np.maximum(np.abs(wide).max(axis=0, initial=0), 1e-12)
            centred = wide[:, varies] - wide[:, varies].mean(axis=0)
            self._parts["standard"] = (centred / deviation[varies]).astype(np.float32)
        return self._parts["standard"]

    @property
    def directions(self) -> NDArray[np.float32]:
        """The strongest directions of the vectors as they are, ``(n, MLP_INPUTS)`` or narrower.

        One factor scales them all to a mean variance of 1. Standardised columns, or directions
        each of deviation 1, would make a tag seen twice as loud as one seen everywhere.
        """
        if "directions" not in self._parts:
            centred = self.vectors.astype(np.float64)
            centred -= centred.mean(axis=0)
            spread, axes = np.linalg.eigh(centred.T @ centred / max(1, len(centred)))
            keep = np.flatnonzero(spread > 1e-9 * max(spread[-1], 1e-12))[::-1][:MLP_INPUTS]
            found = centred @ axes[:, keep] / np.sqrt(max(spread[keep].mean(), 1e-12))
            self._parts["directions"] = found.astype(np.float32)
        return self._parts["directions"]


def predict(
    head: str, matrix: Matrix, y: NDArray[Any], folds: Sequence[Fold], *, kind: str, seed: int
) -> Predictions:
    """Predict every test row by a head that saw only the rest of its fold.

    Parameters
    ----------
    head
        One of `HEADS`.
    y
        Numbers, or classes, shape ``(n,)``.
    kind
        ``"regression"`` or ``"classification"``.
    seed
        Of the MLP's first weights and batches.

    Raises
    ------
    UsageError
        If there is no such head.
    """
    check_heads([head])
    is_regression = kind == "regression"
    classes, codes = np.unique(y, return_inverse=True)
    wanted = (
        np.asarray(y, np.float64)[:, None] if is_regression else np.eye(len(classes))[codes.ravel()]
    )
    found = np.full(wanted.shape, np.nan)
    for i, fold in enumerate(folds):
        if head == "mlp":
            told = mlp_scores(
                matrix.directions, wanted, fold, is_regression=is_regression, seed=[seed, i]
            )
        else:
            told = (_knn if head == "knn" else _ridge)(matrix, wanted, fold)
        found[fold.test] = told
    if is_regression:
        return Predictions(found[:, 0], None)
    is_told = ~np.isnan(found[:, 0])
    predicted = np.full(len(y), None, object)
    predicted[is_told] = classes[np.argmax(found[is_told], axis=1)]
    return Predictions(predicted, found)


def check_heads(heads: Sequence[str]) -> tuple[str, ...]:
    """Return heads, if there are such ones.

    Raises
    ------
    UsageError
        If there are not.
    """
    wrong = [head for head in heads if head not in HEADS]
    if wrong or not heads:
        msg = f"no head {', '.join(map(repr, wrong)) or 'given'}; want some of {', '.join(HEADS)}"
        raise UsageError(msg)
    return tuple(heads)


def _knn(matrix: Matrix, wanted: NDArray[np.float64], fold: Fold) -> NDArray[np.float64]:
    told = _neighbour_means(matrix, wanted, fold.train, fold.validation)
    losses = [((means - wanted[fold.validation]) ** 2).mean() for means in told]
    pool = np.concatenate([fold.train, fold.validation])
    return _neighbour_means(matrix, wanted, pool, fold.test, only=int(np.argmin(losses)))[0]


def _neighbour_means(
    matrix: Matrix,
    wanted: NDArray[np.float64],
    pool: NDArray[np.int64],
    asked: NDArray[np.int64],
    *,
    only: int | None = None,
) -> list[NDArray[np.float64]]:
    """Return the mean of the k nearest in the pool for each k of `KS`, or one of them."""
    ks = [min(k, len(pool)) for k in (KS if only is None else [KS[only]])]
    found = [np.empty((len(asked), wanted.shape[1])) for _ in ks]
    candidates, most = matrix.unit[pool], max(ks)
    for start in range(0, len(asked), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        similarity = matrix.unit[asked[part]] @ candidates.T
        near = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(similarity, near, axis=1), axis=1, kind="stable")
        near = pool[np.take_along_axis(near, order, axis=1)]
        for k, means in zip(ks, found, strict=True):
            means[part] = wanted[near[:, :k]].mean(axis=1)
    return found


def _ridge(matrix: Matrix, wanted: NDArray[np.float64], fold: Fold) -> NDArray[np.float64]:
    train, chosen = _Normal(matrix, wanted, fold.train), _Normal(matrix, wanted, fold.validation)
    asked = matrix.standard[fold.validation]
    losses = [
        ((train.solve(asked, penalty) - wanted[fold.validation]) ** 2).mean()
        for penalty in PENALTIES
    ]
    best = PENALTIES[int(np.argmin(losses))]
    return train.joined(chosen).solve(matrix.standard[fold.test], best)


class _Normal:
    """The sums over rows that a least-squares fit needs; those of two sets of rows add up."""

    def __init__(
        self, matrix: Matrix, wanted: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> None:
        inputs, outputs = matrix.standard[rows], wanted[rows]
        self.n = len(rows)
        self.inputs = inputs.sum(axis=0, dtype=np.float64)
        self.outputs = outputs.sum(axis=0)
        self.square = (inputs.T @ inputs).astype(np.float64)
        self.cross = inputs.T.astype(np.float64) @ outputs

    def joined(self, other: "_Normal") -> "_Normal":
        """Return the sums over the rows of both."""
        both = object.__new__(_Normal)
        both.n = self.n + other.n
        for name in ("inputs", "outputs", "square", "cross"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def solve(self, asked: NDArray[np.float32], penalty: float) -> NDArray[np.float64]:
        """Return what the fit with a penalty says of some rows; the intercept is free."""
        from scipy.linalg.lapack import sposv

        inputs, outputs = self.inputs / self.n, self.outputs / self.n
        if not len(inputs):
            return np.repeat(outputs[None], len(asked), axis=0)
        square = self.square - self.n * np.outer(inputs, inputs)
        square[np.diag_indices_from(square)] += penalty
        cross = self.cross - self.n * np.outer(inputs, outputs)
        # LAPACK itself: scipy.linalg.solve also estimates the condition, at several times the cost.
        # float32 will do: the least penalty bounds the condition by about the number of rows
        _, slope, _ = sposv(square.astype(np.float32), cross.astype(np.float32))
        return np.asarray((asked - inputs) @ slope + outputs, np.float64)
