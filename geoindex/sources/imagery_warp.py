"""How do pixels of any reference system come into a chip? Warped with their validity as weight.

What is not valid has no colour: it must not bleed into its neighbours. So colours are weighted by
validity before the resampling and divided by the resampled validity after it. A pixel of the chip
is valid where at least half of what it was made of is.

GDAL resamples by cubic convolution; where the source is finer than the chip it widens the kernel,
so that nothing is skipped. Bilinear resampling would blur by how the chip's pixels happen to lie
between the source's: not at all on top of them, most half way. The same ground would then have
another texture in each chip.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoindex.sources.imagery import Chip, ChipFrame

if TYPE_CHECKING:
    from affine import Affine

LEAST_VALID = 0.5
# GDAL's own tolerance, in pixels of the source
_TOLERANCE = 0.125


def warp(
    rgb: NDArray[np.uint8],
    is_valid: NDArray[np.bool_],
    frame: ChipFrame,
    *,
    transform: "Affine",
    crs: Any,
) -> Chip:
    """Resample an image into a chip.

    Parameters
    ----------
    rgb
        Shape ``(3, h, w)``.
    is_valid
        Shape ``(h, w)``.
    frame
        Of the chip.
    transform, crs
        Where the image lies, as rasterio has it; rotation and any reference system are fine.
    """
    weight = np.empty((4, *is_valid.shape), np.float32)
    np.multiply(rgb, is_valid, out=weight[:3], casting="unsafe")
    weight[3] = is_valid
    size = frame.size_px
    warped = np.zeros((4, size, size), np.float32)
    _reproject(weight, warped, frame, transform, crs)
    found = warped[3] >= LEAST_VALID
    share = np.where(found, warped[3], 1)
    colours = np.rint(warped[:3] / share).clip(0, 255) * found
    return Chip(np.ascontiguousarray(colours.astype(np.uint8).transpose(1, 2, 0)), found)


def _reproject(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    frame: ChipFrame,
    transform: "Affine",
    crs: Any,
) -> None:
    from rasterio.warp import Resampling, reproject

    reproject(
        source,
        target,
        src_transform=transform,
        src_crs=crs,
        dst_transform=frame.transform,
        dst_crs=frame.crs,
        resampling=Resampling.cubic,
        tolerance=_TOLERANCE,
        init_dest_nodata=False,
    )


def laid_over(under: Chip, over: Chip) -> Chip:
    """Return a chip that shows `over` where it is valid, else `under`."""
    rgb = np.where(over.is_valid[..., None], over.rgb, under.rgb)
    return Chip(rgb, under.is_valid | over.is_valid)
