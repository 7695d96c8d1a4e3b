"""Scale pixel values to 8 bit, by one linear stretch for the whole source.

===========  ====================================================================================
``auto``     8-bit sources stay as they are. Others: 0 is the 2nd and 255 the 98th percentile of
             all chosen bands together (so that hues stay), over at most a million valid pixels
             spread evenly over the source
``none``     8-bit sources stay; of 16 bits the high byte is taken (65535 is 255)
``LOW,HIGH`` LOW is 0, HIGH is 255, for any type: ``0,3000`` for Sentinel-2 reflectances
===========  ====================================================================================

One stretch for a source, never one a chip: the same roof must have the same colour in every chip.
In a folder of rasters of several types each type has its own, and LOW,HIGH is not applied to 8 bits
beside deeper ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError

AUTO, NONE = "auto", "none"
_LOW_PERCENT, _HIGH_PERCENT = 2.0, 98.0


@dataclass(frozen=True)
class Stretch:
    """A linear map to 0 to 255: `low` becomes 0, `high` 255."""

    low: float
    high: float

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return values as 8 bit; what lies outside is cut off, NaN is 0."""
        if values.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return values.astype(np.uint8, copy=False)
        scaled = (values.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.rint(np.nan_to_num(scaled, nan=0.0).clip(0, 255)).astype(np.uint8)


def parse_stretch(text: str) -> Stretch | None:
    """Parse ``LOW,HIGH``; None for ``auto`` and ``none``, which depend on the source.

    Raises
    ------
    UsageError
        If it is none of these, or LOW is not below HIGH.
    """
    if text in {AUTO, NONE}:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        msg = f"want auto, none or LOW,HIGH, got {text!r}. Example: 0,3000"
        raise UsageError(msg)
    return Stretch(low, high)


def full_range(dtype: np.dtype[Any], bits: int | None = None) -> Stretch:
    """Return the stretch of the whole range of a type of whole numbers; 0 to 1 of others.

    Parameters
    ----------
    bits
        How many of an unsigned number's bits are used; None: all.
    """
    if dtype.kind == "u" and bits is not None:
        return Stretch(0.0, 2.0 ** min(max(bits, 1), 8 * dtype.itemsize) - 1)
    if np.issubdtype(dtype, np.integer):
        return Stretch(0.0, float(np.iinfo(dtype).max))
    return Stretch(0.0, 1.0)


def auto_stretch(sample: NDArray[np.generic], is_valid: NDArray[np.bool_]) -> Stretch:
    """Return the stretch between two percentiles of what is valid.

    Parameters
    ----------
    sample
        Shape ``(bands, n)``.
    is_valid
        Shape ``(n,)``.
    """
    values = sample[:, is_valid].astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return full_range(sample.dtype)
    low, high = np.percentile(values, [_LOW_PERCENT, _HIGH_PERCENT])
    # an image of one colour has no range: it is left in the middle
    return Stretch(float(low), float(high)) if low < high else Stretch(low - 1.0, low + 1.0)
