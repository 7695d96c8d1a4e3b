"""Numbers that fall when many vectors become alike; no label is needed.

=================  ==============================================================================
rankme             exp of the entropy of the singular values, 1 to the width (Garrido et al.,
                   "RankMe", ICML 2023, equation 3)
effective_rank     exp of the entropy of the variances along principal axes, 1 to the width (after
                   Roy & Vetterli, EUSIPCO 2007); unlike RankMe, blind to a common direction
uniformity         log of the mean of exp(-2 d²) over pairs of unit vectors, 0 (all the same) down
                   to about -4 (Wang & Isola, ICML 2020, equation 6); lower is more even
=================  ==============================================================================
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MOST_ROWS = 4000


def rankme(vectors: ArrayLike) -> float:
    """Return RankMe of vectors of shape ``(n, d)``; NaN where all are zero.

    Examples
    --------
    >>> round(rankme(np.eye(5)), 3)
    5.0
    """
    return _spread(np.linalg.svd(np.asarray(vectors, np.float64), compute_uv=False))


def effective_rank(vectors: ArrayLike) -> float:
    """Return the effective rank of the variances; NaN where nothing varies."""
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(axis=0)
    return _spread(np.linalg.svd(centred, compute_uv=False) ** 2)


def uniformity(vectors: ArrayLike) -> float:
    """Return the uniformity of vectors, scaled to length 1 first; NaN of fewer than two."""
    rows = np.asarray(vectors, np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(length > 0, length, 1)
    pairs = np.triu_indices(len(rows), 1)
    if not len(pairs[0]):
        return float("nan")
    cosine = (rows @ rows.T)[pairs]
    # of unit vectors d² is 2 - 2 cos
    return float(np.log(np.exp(-2 * (2 - 2 * cosine)).mean()))


def collapse_numbers(vectors: NDArray[np.float32]) -> dict[str, float]:
    """Return all three numbers, on an evenly spaced sample of at most 4,000 rows."""
    step = max(1, -(-len(vectors) // _MOST_ROWS))
    rows = vectors[::step]
    return {
        "rankme": rankme(rows),
        "effective_rank": effective_rank(rows),
        "uniformity": uniformity(rows),
    }


def _spread(weights: NDArray[np.float64]) -> float:
    total = weights.sum()
    # protect against floating point errors: what is left of a subtracted mean
    if not total > 1e-12:
        return float("nan")
    shares = weights / total
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
