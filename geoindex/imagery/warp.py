"""Resample pixels of any reference system into a chip, weighted by their validity.

What is not valid has no colour: it must not bleed into its neighbours. So colours are weighted by
validity before the resampling and divided by the resampled validity after it. A pixel of the chip
is valid where at least half of what it was made of is.

Resampling is by cubic convolution; where the source is finer than the chip the kernel is widened,
so that nothing is skipped. Bilinear resampling would blur by how the chip's pixels happen to lie
between the source's: not at all on top of them, most half way. The same place would then have
another texture in each chip.

Where the source's rows and columns run along the chip's (tiles, and web mercator in general: north
up, and a chip is small), a box of the source is the chip, and Pillow resizes it: rows first, then
columns, in a quarter of GDAL's time. Everything else is warped by GDAL, whose kernel is the same.
"""

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoindex.imagery.base import Chip, ChipFrame

if TYPE_CHECKING:
    from affine import Affine

LEAST_VALID = 0.5
# GDAL's own tolerance, in pixels of the source
_TOLERANCE = 0.125
# points along a chip's side where a box is held against the true way from chip to source
_CHECKED = 5

Box = tuple[float, float, float, float]


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
    box = upright_box(frame, transform=transform, crs=crs)
    if box is not None:
        return _resized(rgb, is_valid, frame, box)
    weight = np.empty((4, *is_valid.shape), np.float32)
    np.multiply(rgb, is_valid, out=weight[:3], casting="unsafe")
    weight[3] = is_valid
    size = frame.size_px
    warped = np.zeros((4, size, size), np.float32)
    _reproject(weight, warped, frame, transform, crs)
    return _made(warped[:3], warped[3])


def _made(colours: NDArray[np.float32], share: NDArray[np.float32]) -> Chip:
    """Return the chip of weighted colours, ``(3, s, s)``, and how much is known, ``(s, s)``."""
    found = share >= LEAST_VALID
    whole = np.rint((colours / np.where(found, share, 1)).clip(0, 255)) * found
    return Chip(np.ascontiguousarray(whole.astype(np.uint8).transpose(1, 2, 0)), found)


def projected(source: Any, target: Any, x: Any, y: Any) -> NDArray[np.float64]:
    """Return places in another reference system, shape ``(2, n)``; inf if one has none there."""
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform

    try:
        return np.array(transform(source, target, x, y))
    except CPLE_BaseError:
        return np.full((2, len(x)), np.inf)


def upright_box(frame: ChipFrame, *, transform: "Affine", crs: Any) -> Box | None:
    """Return the box of the source that is the chip: left, top, right, bottom, in its pixels.

    None if no box is, to an eighth of a pixel, as far as GDAL's own warp may be off.
    """
    columns, rows = _places(frame, transform, crs)
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    left, right = columns[:, 0].mean(), columns[:, -1].mean()
    top, bottom = rows[0].mean(), rows[-1].mean()
    if left >= right or top >= bottom:
        return None
    off = np.abs(columns - np.linspace(left, right, _CHECKED)).max()
    off = max(off, np.abs(rows - np.linspace(top, bottom, _CHECKED)[:, None]).max())
    return (left, top, right, bottom) if off <= _TOLERANCE else None


def _places(
    frame: ChipFrame, transform: "Affine", crs: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the source's columns and rows under a grid of points of the chip, row by row."""
    along = np.linspace(-0.5, 0.5, _CHECKED) * frame.side_m
    east, north = np.meshgrid(along, -along)
    x, y = projected(frame.crs, crs, east.ravel(), north.ravel())
    turn = ~transform
    columns, rows = turn.a * x + turn.b * y + turn.c, turn.d * x + turn.e * y + turn.f
    return columns.reshape(east.shape), rows.reshape(east.shape)


def _resized(
    rgb: NDArray[np.uint8], is_valid: NDArray[np.bool_], frame: ChipFrame, box: Box
) -> Chip:
    """Return the chip of a box of the source."""
    from PIL import Image

    high, wide = is_valid.shape
    left, top, right, bottom = box
    # beyond the source nothing is known
    west, north = max(0, ceil(-left)), max(0, ceil(-top))
    east, south = max(0, ceil(right - wide)), max(0, ceil(bottom - high))
    size = (frame.size_px, frame.size_px)

    within = (left + west, top + north, right + west, bottom + north)

    def resized(image: Image.Image) -> NDArray[Any]:
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=within))

    def padded(band: NDArray[Any]) -> NDArray[np.float32]:
        return np.pad(band.astype(np.float32), ((north, south), (west, east)))

    if not (west or north or east or south) and is_valid.all():
        # nothing to weigh: bytes go in and out as they are, to a level of 255 the same; all bands
        # at once are the same bytes as one by one, and a quarter sooner
        whole = Image.merge("RGB", [Image.fromarray(band) for band in rgb])
        return Chip(resized(whole), np.ones(size, np.bool_))
    parts = [resized(Image.fromarray(padded(band))) for band in (*(rgb * is_valid), is_valid)]
    return _made(np.stack(parts[:3]), parts[3])


def _reproject(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    frame: ChipFrame,
    transform: "Affine",
    crs: Any,
) -> None:
    from rasterio.warp import Resampling, reproject

    # GDAL guesses the kernel's width from how much of the source it was given: beyond the source's
    # border a narrower one, and another texture
    steps = [np.gradient(part, 1 / (_CHECKED - 1)) for part in _places(frame, transform, crs)]
    across, down = (float(np.median(np.hypot(*step))) / frame.size_px for step in steps)
    is_known = np.isfinite([across, down]).all() and across > 0 and down > 0
    scale = {"XSCALE": 1 / across, "YSCALE": 1 / down} if is_known else {}
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
        **scale,
    )


def composite(under: Chip, over: Chip) -> Chip:
    """Return a chip that shows `over` where it is valid, else `under`."""
    rgb = np.where(over.is_valid[..., None], over.rgb, under.rgb)
    return Chip(rgb, under.is_valid | over.is_valid)
