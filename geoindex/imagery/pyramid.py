"""Build coarser levels of chips, so that coarser pictures are compared with chips as coarse.

A network finds no roof edges in a blurred picture, which then resembles another place than its
own. So the build makes each chip half and a quarter as fine too, in memory, and stores the tokens
of each and a vector a cell. Their patches are half and a quarter as many pixels wide, as wide in
metres as the sharp ones, where the tokeniser can, or a cell would have one or two.
"""

from math import ceil, log2
from typing import TYPE_CHECKING, Any

import numpy as np

from geoindex.errors import UsageError
from geoindex.imagery.base import Chip, ChipFrame
from geoindex.imagery.cell_mask import CellPatches, cell_patches
from geoindex.imagery.warp import warp

if TYPE_CHECKING:
    from encoder.images.base import ImageTokeniser

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


def level_settings(settings: dict[str, Any], level: int) -> dict[str, Any]:
    """Return the settings of the tokens of a level: see `level_tokens`.

    Raises
    ------
    UsageError
        If the index has none: it was built before coarser levels were made as now.
    """
    if level == 1:
        own = {name: settings[name] for name in ("patch_px", "dim")}
        return own | {"fingerprint": settings["tokens_fingerprint"]}
    found: dict[str, Any] | None = settings.get("level_tokens", {}).get(str(level))
    if found is not None:
        return found
    gsd_m = settings["gsd_m"]
    msg = (
        f"the index was built before geoindex saw ground of {level * gsd_m:g} m a pixel as it does "
        f"now. Build it again, or ask with a picture of {gsd_m:g} m a pixel"
    )
    raise UsageError(msg)


def level_tokens(tokeniser: "ImageTokeniser") -> dict[str, dict[str, Any]]:
    """Return how the tokens of each coarser level are made, by level as text."""
    by_level = {level: tokeniser.for_level(level) for level in LEVELS[1:]}
    return {
        str(level): {
            "patch_px": own.patch_px,
            "dim": own.dim,
            "fingerprint": own.fingerprint,
        }
        for level, own in by_level.items()
    }


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


def level_patches(
    chips: list[Chip],
    frames: list[ChipFrame],
    cells: list[int],
    level: int,
    tokeniser: "ImageTokeniser",
) -> list[CellPatches]:
    """Return the patches of each cell's chip at a level.

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
    return cell_patches(found, [frame for _, frame in pairs], cells)
