"""Metrics of every bootstrap draw at once, from sums over spatial blocks.

Every metric but AUROC is a function of sums over rows (errors, squares, counts of a class), so a
thousand bootstrap draws are one matrix product: how often each block was drawn, times the sums of
the blocks. AUROC needs an order: rows are sorted once, and each draw only reweighs them.

Shapes: n rows, B blocks, W draws. `codes` is each row's block, 0 to B - 1.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: How often each block counts: matrices of shape (draws, B).
Draws: TypeAlias = Iterable[NDArray[np.float64]]
# sums, shape (B, m), dense or sparse; and the metric of (W, m) weighed totals, shape (W,)
_Summed: TypeAlias = tuple[Any, Callable[[NDArray[np.float64]], NDArray[np.float64]]]


def summed_metric(
    name: str, y: NDArray[Any], predicted: NDArray[Any], codes: NDArray[np.int64], draws: Draws
) -> NDArray[np.float64]:
    """Return a metric of each draw.

    Parameters
    ----------
    name
        ``"mae"``, ``"r2"``, ``"accuracy"`` or ``"macro_f1"``.
    y, predicted, codes
        Shape ``(n,)``.
    draws
        How often each block counts; together ``(W, B)``.

    Returns
    -------
    metric
        Shape ``(W,)``; NaN where it is not defined.
    """
    sums, finish = _SUMS[name](y, predicted, codes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([finish(np.asarray(weights @ sums)) for weights in draws])


def _error_sums(y: NDArray[Any], predicted: NDArray[Any], codes: NDArray[np.int64]) -> _Summed:
    parts = [np.ones(len(y)), np.abs(y - predicted)]
    return _per_block(parts, codes), lambda total: total[:, 1] / total[:, 0]


def _square_sums(y: NDArray[Any], predicted: NDArray[Any], codes: NDArray[np.int64]) -> _Summed:
    y, predicted = y.astype(np.float64), predicted.astype(np.float64)
    # about the mean: large labels would drown their variance in rounding
    centred = y - y.mean()
    parts = [np.ones(len(y)), centred, centred**2, (y - predicted) ** 2]

    def finish(total: NDArray[np.float64]) -> NDArray[np.float64]:
        n, first, second, residual = total.T
        variance = second - first**2 / n
        varies = variance > 1e-12 * np.maximum(second, np.finfo(float).tiny)
        return np.where(varies, 1 - residual / np.where(varies, variance, 1), np.nan)

    return _per_block(parts, codes), finish


def _hit_sums(y: NDArray[Any], predicted: NDArray[Any], codes: NDArray[np.int64]) -> _Summed:
    parts = [np.ones(len(y)), (y == predicted).astype(np.float64)]
    return _per_block(parts, codes), lambda total: total[:, 1] / total[:, 0]


def _class_sums(y: NDArray[Any], predicted: NDArray[Any], codes: NDArray[np.int64]) -> _Summed:
    """Count hits, rows and predictions of each class in each block, sparse: most are 0."""
    from scipy import sparse

    names, both = np.unique(np.concatenate([y, predicted]), return_inverse=True)
    true, guess = both[: len(y)], both[len(y) :]
    is_hit = true == guess
    columns = np.concatenate([true[is_hit], true + len(names), guess + 2 * len(names)])
    rows = np.concatenate([codes[is_hit], codes, codes])
    shape = (int(codes.max()) + 1, 3 * len(names))
    sums = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    def finish(total: NDArray[np.float64]) -> NDArray[np.float64]:
        hits, occurring, guessed = np.split(total, 3, axis=1)
        is_there = occurring + guessed > 0
        f1 = np.where(is_there, 2 * hits / np.where(is_there, occurring + guessed, 1), 0)
        return np.asarray(f1.sum(axis=1) / is_there.sum(axis=1), np.float64)

    return sums, finish


_SUMS: dict[str, Callable[[NDArray[Any], NDArray[Any], NDArray[np.int64]], _Summed]] = {
    "mae": _error_sums,
    "r2": _square_sums,
    "accuracy": _hit_sums,
    "macro_f1": _class_sums,
}


def _per_block(parts: list[NDArray[np.float64]], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([np.bincount(codes, weights=part) for part in parts], axis=1)


def ranked_metric(
    y: NDArray[Any],
    probabilities: NDArray[np.float64],
    classes: NDArray[Any],
    codes: NDArray[np.int64],
    draws: Draws,
) -> NDArray[np.float64]:
    """Return the AUROC of each draw, the mean over classes that have rows on both sides.

    Parameters
    ----------
    y
        Classes, shape ``(n,)``.
    probabilities
        Shape ``(n, classes)``.
    classes
        What the columns stand for.
    codes, draws
        As in `summed_metric`.
    """
    # of two classes one is enough
    columns = [1] if len(classes) == 2 else range(len(classes))
    of_class = [_Ranking(y == classes[at], probabilities[:, at], codes) for at in columns]
    with warnings.catch_warnings():
        # no class has rows on both sides: NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.concatenate(
            [
                np.nanmean([ranking.aurocs(weights) for ranking in of_class], axis=0)
                for weights in draws
            ]
        )


class _Ranking:
    """The rows of one class against the rest, in the order of their probability, sorted once."""

    def __init__(
        self, is_in: NDArray[np.bool_], probability: NDArray[np.float64], codes: NDArray[np.int64]
    ) -> None:
        order = np.argsort(probability, kind="stable")
        ranked = probability[order]
        # rows of the same probability are one step
        step = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])]).astype(np.int64)
        is_in, codes = is_in[order], codes[order]
        self._inside = codes[is_in], step[is_in]
        self._outside = codes[~is_in], step[~is_in]
        self._num_steps = int(step[-1]) + 1

    def aurocs(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one AUROC a draw; `weights` are ``(draws, B)``."""
        found = np.full(len(weights), np.nan)
        (inside_codes, inside_steps), (outside_codes, outside_steps) = self._inside, self._outside
        for at, weight in enumerate(weights):
            inside, of_outside = weight[inside_codes], weight[outside_codes]
            outside = np.bincount(outside_steps, of_outside, minlength=self._num_steps)
            pairs = inside.sum() * outside.sum()
            if pairs > 0:
                # a tie counts half
                below = np.cumsum(outside) - outside / 2
                found[at] = float(inside @ below[inside_steps]) / pairs
        return found
