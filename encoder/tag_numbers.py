"""Say which direction a number points in, so that near numbers are near.

A number on `encoder.tag_rules.number_scale` turns five clocks (cosine and sine of five
frequencies). The cosine of two codes depends on their difference alone, falls smoothly with it,
and the code never leaves the unit sphere: random Fourier features (Rahimi & Recht, NeurIPS 2007)
with fixed frequencies.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.errors import TagInputError

# from a wave over 50 e-folds (from a hamlet to a country) to one over 3 (two storeys or three)
_FREQUENCIES = 2.0 ** np.arange(-3, 2)
_MIN_DIM = 4 * len(_FREQUENCIES)


def number_directions(dim: int) -> NDArray[np.float64]:
    """Return orthonormal directions for the code of a number, shape ``(10, dim)``.

    Rows of a cosine transform: the same on every machine, spread over all dimensions.
    """
    if dim < _MIN_DIM:
        msg = f"dim is {dim}; numbers need at least {_MIN_DIM}, for example 192"
        raise TagInputError(msg)
    waves = dim // 2 + np.arange(2 * len(_FREQUENCIES))
    places = (np.arange(dim) + 0.5) / dim
    return np.asarray(np.cos(np.pi * waves[:, None] * places) * np.sqrt(2 / dim), np.float64)


def number_codes(scaled: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Return a unit vector a number, near for near numbers, shape ``(n, dim)``.

    Parameters
    ----------
    scaled
        Numbers on `encoder.tag_rules.number_scale`, shape ``(n,)``.
    dim
        Length of a vector, at least 20.
    """
    angles = scaled[:, None] * _FREQUENCIES
    code = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(len(_FREQUENCIES))
    return np.asarray(code @ number_directions(dim), np.float64)
