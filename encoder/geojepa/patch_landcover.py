"""What does a token say of the ground under its patch? Another thing of 5 m than of 19 m.

At 0.15 m a pixel a roof fills patches, at 0.6 m a patch holds roofs. So what lies under a patch is
told by a straight line through its token, and a second one, weighted by how wide the patch is: -1
for the narrowest that were trained on, 1 for the widest, by the logarithm. Wider or narrower ones
than any trained on are taken for those at the end: a slope says nothing of what it never met.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_M = 1e-3


def log_widths(width_m: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return widths of patches as the model keeps them, log2 of metres."""
    return np.log2(np.maximum(np.asarray(width_m, np.float64), _LEAST_M))


def with_widths(
    standard: NDArray[np.floating[Any]],
    width_m: NDArray[np.floating[Any]],
    trained: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Return tokens, tokens by width, and width, shape ``(p, 2 * image_dim + 1)``.

    Parameters
    ----------
    standard
        Standardised tokens, shape ``(p, image_dim)``.
    width_m
        Shape ``(p,)``.
    trained
        The least and the largest of `log_widths` trained on, shape ``(2,)``.
    """
    low, high = np.asarray(trained, np.float64)
    at = np.zeros(len(standard))
    if high > low:
        at = 2 * (log_widths(width_m).clip(low, high) - low) / (high - low) - 1
    return np.hstack([standard, standard * at[:, None], at[:, None]])
