"""k-nearest-neighbour predictions of all folds in one blocked product.

In each fold a test row has its neighbours among training and validation rows, a validation row (by
which k is chosen) among training rows alone. This mask is part of the matrix product: every vector
gets one more number a fold and role. A query has a 1 in its own, a row that is no candidate a -4 in
the same, and their product takes 4 off a cosine that is -1 to 1. So the folds cost a few columns
more, and no pass over the similarities.

Votes are weighted by 1 / distance, the distance being 1 - cosine, at least `MIN_DISTANCE` of
`geoindex.evaluation.heads.top_k`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.heads.features import Predictions, unit_rows
from geoindex.evaluation.heads.top_k import FORBIDDEN, Nearest, blocked_top_k
from geoindex.evaluation.splits import Fold

DEFAULT_KS = (1, 3, 5, 10, 20, 50)
_VOTE_NUMBERS = 1 << 24


def knn_folds(
    vectors: NDArray[np.floating[Any]],
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    ks: Sequence[int] = DEFAULT_KS,
    weighted: bool = True,
    task: str,
) -> Predictions:
    """Predict every test row from its nearest neighbours, k chosen on each fold's validation rows.

    Parameters
    ----------
    vectors
        Any length but the direction counts (cosine), shape ``(n, D)``.
    y
        Numbers or classes, shape ``(n,)``.
    folds
        A row is tested once at most.
    ks
        To choose from: the one with the smallest squared error, of classes the smallest Brier
        score, on validation rows. A single one is taken as it is, and validation rows are
        not predicted.
    weighted
        Weight votes by 1 / distance rather than equally.
    task
        ``"regression"`` or ``"classification"``.
    """
    ks = sorted({check_k(k) for k in ks})
    unit = unit_rows(vectors)
    classes, codes = _encoded(y, task)
    nearest = _Folded(unit, folds, with_validation=len(ks) > 1).nearest(ks[-1])
    chosen, validation = [], []
    found = np.full((len(y), max(1, len(classes))), np.nan)
    for number, fold in enumerate(folds):
        k = ks[0]
        if len(ks) > 1:
            seen = nearest[number, "validation"]
            losses = [
                _loss(seen.first(k), codes, fold.validation, len(classes), weighted) for k in ks
            ]
            k = ks[int(np.argmin(losses))]
            validation.append(votes(seen.first(k), codes, len(classes), weighted=weighted))
        chosen.append(float(k))
        found[fold.test] = votes(
            nearest[number, "test"].first(k), codes, len(classes), weighted=weighted
        )
    if task == "regression":
        return Predictions(found[:, 0], None, tuple(validation), tuple(chosen))
    return Predictions(winners(found, classes), found, tuple(validation), tuple(chosen))


def votes(
    nearest: Nearest, codes: NDArray[Any], num_classes: int, *, weighted: bool
) -> NDArray[np.float64]:
    """Return the weighted mean of the neighbours, or each class's share of the votes.

    Parameters
    ----------
    nearest
        Of n queries.
    codes
        The candidates' labels: numbers, or class numbers from 0.
    num_classes
        0 for a regression.
    weighted
        Weight by 1 / distance.

    Returns
    -------
    votes
        Shape ``(n, max(1, num_classes))``; NaN where a query has no neighbour.
    """
    weight = nearest.weights(weighted=weighted)
    total = weight.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weight / total
    of = codes[np.maximum(nearest.rows, 0)]
    if not num_classes:
        mean: NDArray[np.float64] = (share * of).sum(axis=1, keepdims=True)
        return mean
    n = len(nearest.rows)
    slots = (np.arange(n)[:, None] * num_classes + of).ravel()
    counted = np.bincount(slots, weights=share.ravel(), minlength=n * num_classes)
    return np.asarray(counted, np.float64).reshape(n, num_classes)


def winners(shares: NDArray[np.float64], classes: NDArray[Any]) -> NDArray[Any]:
    """Return the class with the largest share of each row, None where shares are NaN."""
    is_known = ~np.isnan(shares).any(axis=1)
    found = np.full(len(shares), None, object)
    found[is_known] = classes[np.argmax(shares[is_known], axis=1)]
    return found


def check_k(k: int) -> int:
    """Return k.

    Raises
    ------
    UsageError
        If it is below 1.
    """
    if k < 1:
        msg = f"k is {k}; want at least 1 neighbour. Example: -k 10"
        raise UsageError(msg)
    return int(k)


class _Folded:
    """All queries of all folds, against all rows, with the folds' masks in the vectors."""

    def __init__(
        self, unit: NDArray[np.float32], folds: Sequence[Fold], *, with_validation: bool
    ) -> None:
        self._parts: dict[tuple[int, str], NDArray[np.int64]] = {}
        seen = []
        for number, fold in enumerate(folds):
            self._parts[number, "test"] = fold.test
            seen.append(np.concatenate([fold.train, fold.validation]))
            if with_validation:
                self._parts[number, "validation"] = fold.validation
                seen.append(fold.train)
        self._unit, self._seen = unit, seen

    def nearest(self, k: int) -> dict[tuple[int, str], Nearest]:
        """Return the nearest of each fold's test and validation rows."""
        n, roles = len(self._unit), len(self._seen)
        penalty = np.full((n, roles), FORBIDDEN, np.float32)
        for role, rows in enumerate(self._seen):
            penalty[rows, role] = 0
        queries = np.concatenate(list(self._parts.values()))
        own = np.repeat(np.arange(roles), [len(rows) for rows in self._parts.values()])
        role_of = np.zeros((len(queries), roles), np.float32)
        role_of[np.arange(len(queries)), own] = 1
        found = blocked_top_k(
            np.hstack([self._unit[queries], role_of]), np.hstack([self._unit, penalty]), k
        )
        cuts = np.cumsum([0, *(len(rows) for rows in self._parts.values())])
        return {
            name: found.take(slice(start, stop))
            for name, start, stop in zip(self._parts, cuts[:-1], cuts[1:], strict=True)
        }


def _encoded(y: NDArray[Any], task: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the classes and each row's number among them; of a regression none, and y itself."""
    if task == "regression":
        return np.zeros(0), np.asarray(y, np.float64)
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    return classes, codes.ravel()


def _loss(
    nearest: Nearest,
    codes: NDArray[Any],
    rows: NDArray[np.int64],
    num_classes: int,
    weighted: bool,  # noqa: FBT001 - passed on
) -> float:
    """Return the mean squared error of a fold's validation rows, of classes the Brier score."""
    total = 0.0
    step = max(1, _VOTE_NUMBERS // max(1, num_classes))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found = votes(nearest.take(part), codes, num_classes, weighted=weighted)
        true = codes[rows[part]]
        if num_classes:
            found[np.arange(len(true)), true] -= 1
            total += float((found**2).sum())
        else:
            total += float(((found[:, 0] - true) ** 2).sum())
    return total / len(rows)
