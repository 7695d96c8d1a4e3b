"""Read a picture: cut and tokenised as the chips of a build were.

A georeferenced picture is brought to the index's metres a pixel, or where it is coarser to twice or
four times as many (`geoindex.imagery.pyramid`); one without a place is taken as it is, a pixel for
a
pixel. What stands for it is the mean of its tokens, on the scale of the index's cells.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.encoders import load_image_tokeniser
from geoindex.errors import IndexDamagedError, SourceError
from geoindex.geo.distance import LonLat
from geoindex.imagery.base import Chip, ChipFrame, ImageryOptions, empty_chip, require
from geoindex.imagery.patch_store import Images, scaled
from geoindex.imagery.pyramid import level_for, level_settings
from geoindex.imagery.rasters import RasterImagery, bands_of, extent_of
from geoindex.imagery.request import manifest_options


class Picture(NamedTuple):
    """A picture to ask with.

    Attributes
    ----------
    chip
        Its pixels; those of a picture without a place begin in the north-west, the rest is unknown.
    place
        Its middle, if it has one.
    level
        At which it is compared.
    shown_px
        How wide and high what it shows is; None: all of the chip.
    """

    chip: Chip
    place: LonLat | None
    level: int = 1
    shown_px: tuple[int, int] | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen in a picture.

    Attributes
    ----------
    tokens
        Of the patches that are known, shape ``(p, D)``.
    places_m
        Where they lie: metres east and north of the picture's middle, shape ``(p, 2)``.
    vector
        Their mean on the scale of the index, shape ``(D + 1,)``.
    level
        Whose scale it is.
    side_m
        Width of a square as large as these patches.
    """

    tokens: NDArray[np.float32]
    places_m: NDArray[np.float32]
    vector: NDArray[np.float32]
    level: int
    side_m: float


def see(picture: Picture, images: Images) -> Seen:
    """Return what is seen in a picture, by the tokeniser of an index.

    Raises
    ------
    SourceError
        If less than half a patch of it is known.
    IndexDamagedError
        If this version has other image tokens than the index.
    """
    settings, level = images.settings, picture.level
    tokeniser = load_image_tokeniser(settings["tokens"], is_local=True).for_level(level)
    held = level_settings(settings, level)["fingerprint"]
    if tokeniser.fingerprint != held:
        msg = (
            f"the index has image tokens of {settings['tokens']} {held[:8]}, this geoindex makes "
            f"{tokeniser.fingerprint[:8]}: they cannot be compared. Build the index again"
        )
        raise IndexDamagedError(msg)
    chip, gsd_m = picture.chip, settings["gsd_m"] * level
    found = tokeniser.tokens(chip.rgb[None], chip.is_valid[None], gsd_m=gsd_m)
    is_known = found.is_valid[0]
    patch_m = tokeniser.patch_px * gsd_m
    if not is_known.any():
        patch_px = tokeniser.patch_px
        msg = (
            f"the picture shows less than half a patch of ground; want at least {patch_px} x "
            f"{patch_px} pixels of {gsd_m:g} m ({patch_m:.0f} m)"
        )
        raise SourceError(msg)
    tokens = found.tokens[0][is_known]
    vector: NDArray[np.float32] = scaled(tokens.mean(axis=0, keepdims=True), images.scale(level))[0]
    places_m = (found.centres_m[is_known] - _middle_m(picture, gsd_m)).astype(np.float32)
    return Seen(tokens, places_m, vector, level, patch_m * len(tokens) ** 0.5)


def _middle_m(picture: Picture, gsd_m: float) -> NDArray[np.float64]:
    """Return where the middle of what is shown lies in the chip: metres east and north."""
    size = len(picture.chip.is_valid)
    wide, high = picture.shown_px or (size, size)
    return np.array([wide - size, size - high]) * gsd_m / 2


def read_picture(image: Path, settings: dict[str, Any]) -> Picture:
    """Read a picture as the index's chips were read.

    Parameters
    ----------
    settings
        Of the index's imagery, as the manifest keeps them.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    require("rasterio", "PIL")
    patch_px, gsd_m = settings["patch_px"], settings["gsd_m"]
    if not image.is_file():
        msg = f"there is no picture {image}. Want a file such as chip.tif or chip.png"
        raise SourceError(msg)
    if (extent := extent_of(image)) is None:
        return _plain_picture(image, patch_px)
    lon, lat, wide_m, pixel_m = extent
    level = level_for(settings, pixel_m)
    gsd_m *= level
    patch_px = level_settings(settings, level)["patch_px"]
    patch_m = patch_px * gsd_m
    # a border of less than a patch's half is let go, not padded
    side_m = max(round(wide_m / patch_m), 1) * patch_m
    raster = RasterImagery(str(image), [str(image)], _options_for(image, settings))
    return Picture(raster.chip(ChipFrame(lon, lat, side_m, gsd_m)), LonLat(lon, lat), level)


def _options_for(image: Path, settings: dict[str, Any]) -> ImageryOptions:
    """Return bands and stretch: the build's, where the picture is of the same kind."""
    import rasterio

    built = manifest_options(settings)
    with rasterio.open(image) as raster:
        is_deep, count = not bands_of(raster).is_byte, raster.count
    fits = built.bands is not None and max(built.bands) <= count
    bands = built.bands if is_deep and fits else None
    was_deep = tuple(settings["stretched"]) != (0, 255)
    stretch = ",".join(map(repr, settings["stretched"])) if is_deep and was_deep else "auto"
    return ImageryOptions(bands, stretch)


def _plain_picture(image: Path, patch_px: int) -> Picture:
    """Return an image without a place, made whole patches wide by ground unknown."""
    from geoindex.imagery.xyz_tiles import decode_tile, read_tile

    try:
        seen = decode_tile(read_tile(image) or b"")
    except (OSError, ValueError) as error:
        msg = f"{image} cannot be read: {error}. Want a GeoTIFF, or PNG, JPEG, WebP of 8 bit"
        raise SourceError(msg) from error
    high, wide = seen.is_valid.shape
    size = -(-max(high, wide) // patch_px) * patch_px
    chip = empty_chip(ChipFrame(0.0, 0.0, float(size), 1.0))
    chip.rgb[:high, :wide] = seen.rgb.transpose(1, 2, 0) * seen.is_valid[..., None]
    chip.is_valid[:high, :wide] = seen.is_valid
    return Picture(chip, None, shown_px=(wide, high))
