"""How does a picture find its place that is coarser than the index? Beside cells seen as coarsely.

A network sees no roof edges in a blurred picture: against sharp ground it looks like another place.
So the build makes each chip half and a quarter as fine too, in memory, and keeps a vector a cell of
each. Their patches are half as many pixels wide, or a cell would have one or two of them.
"""

from math import ceil, log2
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoindex.images.places import in_cell
from geoindex.sources.imagery import Chip, ChipFrame
from geoindex.sources.imagery_warp import warp

if TYPE_CHECKING:
    from encoder.image_tokens import ImageTokeniser

# how many times as wide as the index's pixels are those of each level
LEVELS = (1, 2, 4)


def level_for(settings: dict[str, Any], gsd_m: float) -> int:
    """Return the level of an index that a picture is compared at: the nearest by ratio.

    Parameters
    ----------
    settings
        Of the index's imagery; `levels` is missing in indexes that were built before there were.
    gsd_m
        Width of the picture's pixels, metres.
    """
    levels: list[int] = settings.get("levels", [1])
    wanted = log2(gsd_m / settings["gsd_m"])
    return min(levels, key=lambda level: abs(log2(level) - wanted))


def coarser(chip: Chip, frame: ChipFrame, level: int, patch_px: int) -> tuple[Chip, ChipFrame]:
    """Return a chip with pixels `level` times as wide, filled up to whole patches.

    Parameters
    ----------
    frame
        Of the chip.
    patch_px
        Of the level.
    """
    patch_m = patch_px * level * frame.gsd_m
    side_m = ceil(frame.side_m / patch_m - 1e-6) * patch_m
    wide = ChipFrame(frame.lon, frame.lat, side_m, level * frame.gsd_m)
    bands = np.ascontiguousarray(chip.rgb.transpose(2, 0, 1))
    return warp(bands, chip.is_valid, wide, transform=frame.transform, crs=frame.crs), wide


def level_means(
    chips: list[Chip],
    frames: list[ChipFrame],
    cells: list[int],
    level: int,
    tokeniser: "ImageTokeniser",
) -> NDArray[np.float32]:
    """Return the mean token of each cell at a level, shape ``(n, D)``; NaN where nothing is known.

    Of the patches with their centre in the cell; of all, where no patch has.

    Parameters
    ----------
    chips, frames, cells
        As they were read, of one size.
    tokeniser
        Of the level's patches.
    """
    pairs = [
        coarser(chip, frame, level, tokeniser.patch_px)
        for chip, frame in zip(chips, frames, strict=True)
    ]
    rgb, is_valid = (np.stack(part) for part in zip(*(chip for chip, _ in pairs), strict=True))
    found = tokeniser.tokens(rgb, is_valid, gsd_m=pairs[0][1].gsd_m)
    means = np.full((len(chips), tokeniser.dim), np.nan, np.float32)
    for i, ((_, frame), cell) in enumerate(zip(pairs, cells, strict=True)):
        known = found.is_valid[i]
        keep = known & in_cell(found.centres_m, frame, cell)
        keep = keep if keep.any() else known
        if keep.any():
            means[i] = found.tokens[i][keep].mean(axis=0)
    return means
