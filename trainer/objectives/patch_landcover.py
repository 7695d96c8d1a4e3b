"""Predict the land cover under a patch from its image token, by ridge regression.

Patches are many where tiles are few: some hundred tiles with imagery are some ten thousand patches,
each with its own answer. A straight line through those, averaged over a tile, told new places
better than one through the tiles' own averages, and better than small networks, which learnt the
places by heart (docs/decisions/0007). Closed form: nothing is drawn, nothing depends on epochs.

No patch is covered less than not at all, nor more than wholly; a straight line does not know that.
So what it tells is held within what was seen under patches, column by column, before it is
averaged: a field that is predicted to be less than bare then hides no house beside it.

The penalty is the largest that ground left out hardly tells from the best one: within a half of
its standard error. That ground lies in the same places as what is learnt from, and a new place is
farther away: the smallest error there chose slopes that new places did not bear out.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# as shares of the number of patches, since that scales the sum of squares
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# of a standard error of the best penalty: as good as it. A whole one tells the ground less well by
# itself (docs/decisions/0010)
_AS_GOOD = 0.5
# things that overlap cover a patch more than wholly: a few in a thousand bound nothing
_OUTERMOST = (0.002, 0.998)


class LandcoverMap(NamedTuple):
    """The straight line.

    Attributes
    ----------
    slope
        Shape ``(inputs, tag_dim)``.
    mean
        Shape ``(tag_dim,)``.
    low, high
        Of each column of what lies there, shape ``(tag_dim,)``: all but the outermost patches.
    r2
        On patches of ground that was left out, 1 is all right; NaN where there was one group only.
    """

    slope: NDArray[np.float32]
    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    r2: float


def fit_landcover(
    images: NDArray[np.floating[Any]],
    landcover: NDArray[np.float32],
    group: NDArray[np.integer],
    *,
    weight: NDArray[np.floating[Any]] | None = None,
) -> LandcoverMap:
    """Fit what lies under patches to their tokens.

    Parameters
    ----------
    images
        Standardised tokens, shape ``(p, inputs)``; see `encoder.geojepa.region_vectors`.
    landcover
        Shape ``(p, tag_dim)``; see `trainer.data.image_cache.PatchSet`.
    group
        Shape ``(p,)``: patches of one piece of ground. The penalty is the largest that tells groups
        left out about as well as any does; of one group only, the largest of all.
    weight
        How much each patch counts, shape ``(p,)``; None: all alike.
    """
    counts = np.ones(len(images)) if weight is None else weight / np.mean(weight, dtype=np.float64)
    sums = [
        _Sums.of(images[at], landcover[at], counts[at])
        for at in (group == g for g in np.unique(group))
    ]
    whole = _Sums.added(sums)
    low, high = np.quantile(landcover, _OUTERMOST, axis=0).astype(np.float32)
    if len(sums) < 2:
        return LandcoverMap(*_line(whole, _PENALTIES[-1]), low, high, float("nan"))
    errors = np.array([
        [part.error(*_Sums.added([s for s in sums if s is not part]).solve(penalty))
         for part in sums]
        for penalty in _PENALTIES
    ])  # fmt: skip
    chosen = _chosen(errors, np.array([part.n for part in sums]))
    spread = whole.error(np.zeros_like(whole.cross), whole.y / whole.n)
    r2 = float(1 - errors[chosen].sum() / max(spread, 1e-30))
    return LandcoverMap(*_line(whole, _PENALTIES[chosen]), low, high, r2)


def _chosen(errors: NDArray[np.float64], size: NDArray[np.float64]) -> int:
    """Return the last row whose sum is within a part of a standard error of the least one.

    Parameters
    ----------
    errors
        Summed over each group, shape ``(penalties, groups)``.
    size
        Of each group.
    """
    total = errors.sum(axis=1)
    best = int(np.argmin(total))
    expected = total[best] * size / size.sum()
    deviation = float(np.sqrt(((errors[best] - expected) ** 2).sum()))
    return int(np.flatnonzero(total <= total[best] + _AS_GOOD * deviation)[-1])


def _line(sums: "_Sums", penalty: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    slope, intercept = sums.solve(penalty)
    return slope.astype(np.float32), intercept.astype(np.float32)


class _Sums(NamedTuple):
    """The sums over some patches that a least-squares fit needs."""

    n: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    square: NDArray[np.float64]
    cross: NDArray[np.float64]
    target_square: float

    @classmethod
    def of(
        cls,
        x: NDArray[np.floating[Any]],
        y: NDArray[np.float32],
        weight: NDArray[np.floating[Any]],
    ) -> "_Sums":
        wide, target = x.astype(np.float64), y.astype(np.float64)
        heavy = wide * weight[:, None]
        return cls(
            float(weight.sum()), heavy.sum(axis=0), weight @ target,
            heavy.T @ wide, heavy.T @ target, float((weight @ target**2).sum()),
        )  # fmt: skip

    @classmethod
    def added(cls, parts: "list[_Sums]") -> "_Sums":
        return cls(
            sum(part.n for part in parts),
            np.sum([part.x for part in parts], axis=0),
            np.sum([part.y for part in parts], axis=0),
            np.sum([part.square for part in parts], axis=0),
            np.sum([part.cross for part in parts], axis=0),
            sum(part.target_square for part in parts),
        )

    def solve(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slope and intercept; the intercept is free."""
        x, y = self.x / self.n, self.y / self.n
        square = self.square - self.n * np.outer(x, x) + penalty * self.n * np.eye(len(x))
        cross = self.cross - self.n * np.outer(x, y)
        slope = np.asarray(np.linalg.solve(square, cross), np.float64)
        return slope, y - x @ slope

    def error(self, slope: NDArray[np.float64], intercept: NDArray[np.float64]) -> float:
        """Return the sum of squared errors on these patches."""
        predicted = (
            np.einsum("ij,ik,kj->", slope, self.square, slope)
            + 2 * (self.x @ slope) @ intercept
            + self.n * intercept @ intercept
        )
        met = (slope * self.cross).sum() + intercept @ self.y
        return float(predicted - 2 * met + self.target_square)
