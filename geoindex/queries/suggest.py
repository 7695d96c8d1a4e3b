"""Suggest what to label next: rows near the border between likes and unlikes, unlike each other.

The border is the mean of two similarities to the query, the mean of the examples' and that of the
counter-examples' (uncertainty sampling, Lewis and Gale 1994); without counter-examples, that of the
last hit. Of the rows nearest to it, one after another is taken, the least similar to those taken.
"""

import numpy as np
from numpy.typing import NDArray

#: How far down the ranking rows are considered.
POOL = 2000
_FACTOR = 5


def suggested(
    similarity: NDArray[np.float64], units: NDArray[np.float64], border: float, number: int
) -> NDArray[np.int64]:
    """Return the places, in a ranking, of what to label next.

    Parameters
    ----------
    similarity
        Of the rows considered, to the query, shape ``(n,)``.
    units
        Of the same rows, so that the product of two is their similarity, shape ``(n, D)``.
    border
        The similarity at which it is least known whether a row is wanted.
    number
        At most so many.
    """
    near = np.argsort(np.abs(similarity - border), kind="stable")[: _FACTOR * number]
    if not near.size:
        return near
    chosen = [0]
    closest = units[near] @ units[near[0]]
    while len(chosen) < min(number, len(near)):
        closest[chosen] = np.inf
        chosen.append(int(np.argmin(np.round(closest, 12))))
        closest = np.maximum(closest, units[near] @ units[near[chosen[-1]]])
    return near[chosen]
