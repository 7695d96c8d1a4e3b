"""Which cells look like this picture? An exact scan over the image vectors of an index.

The picture is cut and tokenised as the build's chips were, and its mean token is set against the
mean tokens of the cells (`geoindex.images.stored`). A georeferenced one is brought to the index's
metres a pixel, or where it is coarser to twice or four times as many, and compared with cells seen
as coarsely; one without a place is taken as it is, a pixel for a pixel, and the answer says so.
What an image vector holds is colour and texture of the ground: no tag and no geometry has a part
in this search, and no image in the others.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.answering import check_k, described
from geoindex.errors import IndexDamagedError, SourceError, UsageError
from geoindex.filters import Filters, rows_passing
from geoindex.hits import Hits, make_table
from geoindex.images.coarse import level_for
from geoindex.images.request import kept_options
from geoindex.images.stored import Images, scaled
from geoindex.index import Index
from geoindex.layout import CELLS
from geoindex.models import load_image_tokeniser
from geoindex.places import LonLat
from geoindex.searching.neighbours import Neighbours, ranked, unit_of
from geoindex.sources.imagery import Chip, ChipFrame, ImageryOptions, empty_chip, need
from geoindex.sources.imagery_extent import extent_of
from geoindex.sources.imagery_rasters import RasterImagery


class Picture(NamedTuple):
    """A picture to ask with: its chip, its middle if it has a place, and the level it is at."""

    chip: Chip
    place: LonLat | None
    level: int = 1


def ask_image(index: Index, image: Path, filters: Filters | None = None, *, k: int) -> Hits:
    """Find the cells that look like a picture; exact.

    Parameters
    ----------
    index
        Built with imagery.
    image
        GeoTIFF and alike, or a PNG, JPEG, WebP without a place.
    filters
        What the cells must satisfy; distances are measured from the picture's place.
    k
        How many, at least 1.

    Raises
    ------
    UsageError
        If the index has no imagery, or filters need a place that the picture does not have.
    SourceError
        If the picture cannot be read, or is smaller than half a patch.
    IndexDamagedError
        If this version has other image tokens than the index.
    """
    filters, k = filters or Filters(), check_k(k)
    images = Images(index)
    picture = read_picture(image, images.settings)
    vector = vector_of(picture, images)
    if filters.apart_m is not None and picture.place is None:
        msg = f"--not-within is measured from a place; {image} has none. Leave it out"
        raise UsageError(msg)
    places = [] if picture.place is None else [picture.place]
    passing = rows_passing(index, filters, table=CELLS, places=places)
    rows = np.flatnonzero(np.diff(images.offsets))
    if passing is not None:
        rows = np.intersect1d(rows, passing, assume_unique=True)
    nearest, similarity = ranked(images.vectors(picture.level), rows, unit_of(vector), k)
    found = Neighbours(nearest, similarity, len(rows))
    place = picture.place or filters.near
    return Hits(
        make_table(index.rows_of(CELLS), found, table=CELLS, place=place),
        query={"image": str(image), "k": k, "table": CELLS},
        index=described(index, found, table=CELLS),
        num_passing=len(rows),
        notes=tuple(_notes(index, images, picture, image)),
    )


def vector_of(picture: Picture, images: Images) -> NDArray[np.float32]:
    """Return a picture as a vector of the index's scale at its level, shape ``(D + 1,)``.

    Raises
    ------
    SourceError
        If less than half a patch of it is known.
    """
    settings = images.settings
    tokeniser = load_image_tokeniser(settings["tokens"])
    if tokeniser.fingerprint != settings["tokens_fingerprint"]:
        msg = (
            f"the index has image tokens of {settings['tokens']} "
            f"{settings['tokens_fingerprint'][:8]}, this geoindex makes "
            f"{tokeniser.fingerprint[:8]}: they cannot be compared. Build the index again"
        )
        raise IndexDamagedError(msg)
    if picture.level > 1:
        tokeniser = tokeniser.halved()
    chip, gsd_m = picture.chip, settings["gsd_m"] * picture.level
    found = tokeniser.tokens(chip.rgb[None], chip.is_valid[None], gsd_m=gsd_m)
    known = found.tokens[0][found.is_valid[0]]
    if not len(known):
        patch_px = tokeniser.patch_px
        msg = (
            f"the picture shows less than half a patch of ground; want at least {patch_px} x "
            f"{patch_px} pixels of {gsd_m:g} m ({patch_px * gsd_m:.0f} m)"
        )
        raise SourceError(msg)
    scale = images.scale(picture.level)
    vector: NDArray[np.float32] = scaled(known.mean(axis=0, keepdims=True), scale)[0]
    return vector


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
    need("rasterio", "PIL")
    patch_px, gsd_m = settings["patch_px"], settings["gsd_m"]
    if not image.is_file():
        msg = f"there is no picture {image}. Want a file such as chip.tif or chip.png"
        raise SourceError(msg)
    if (extent := extent_of(image)) is None:
        return Picture(_plain_picture(image, patch_px), None)
    lon, lat, wide_m, pixel_m = extent
    level = level_for(settings, pixel_m)
    gsd_m *= level
    patch_px = patch_px if level == 1 else settings["coarse_patch_px"]
    patch_m = patch_px * gsd_m
    # a border of less than a patch's half is let go, not padded
    side_m = max(round(wide_m / patch_m), 1) * patch_m
    raster = RasterImagery(str(image), [str(image)], _options_for(image, settings))
    return Picture(raster.chip(ChipFrame(lon, lat, side_m, gsd_m)), LonLat(lon, lat), level)


def _options_for(image: Path, settings: dict[str, Any]) -> ImageryOptions:
    """Return bands and stretch: the build's, where the picture is of the same kind."""
    import rasterio

    built = kept_options(settings)
    with rasterio.open(image) as raster:
        is_deep, count = raster.dtypes[0] != "uint8", raster.count
    fits = built.bands is not None and max(built.bands) <= count
    bands = built.bands if is_deep and fits else None
    was_deep = tuple(settings["stretched"]) != (0, 255)
    stretch = ",".join(map(repr, settings["stretched"])) if is_deep and was_deep else "auto"
    return ImageryOptions(bands, stretch)


def _plain_picture(image: Path, patch_px: int) -> Chip:
    """Return an image without a place, made whole patches wide by ground unknown."""
    from geoindex.sources.imagery_tiles import decode_tile

    try:
        seen = decode_tile(image.read_bytes())
    except (OSError, ValueError, SyntaxError) as error:
        msg = f"{image} cannot be read: {error}. Want a GeoTIFF, or PNG, JPEG, WebP of 8 bit"
        raise SourceError(msg) from error
    high, wide = seen.is_valid.shape
    size = -(-max(high, wide) // patch_px) * patch_px
    chip = empty_chip(ChipFrame(0.0, 0.0, float(size), 1.0))
    chip.rgb[:high, :wide] = seen.rgb.transpose(1, 2, 0) * seen.is_valid[..., None]
    chip.is_valid[:high, :wide] = seen.is_valid
    return chip


def _notes(index: Index, images: Images, picture: Picture, image: Path) -> list[str]:
    notes = []
    if picture.place is None:
        notes.append(f"{image} has no place: taken as {images.settings['gsd_m']:g} m a pixel")
    else:
        notes.append(f"{image} lies at {picture.place}")
    if picture.level > 1:
        gsd_m = images.settings["gsd_m"]
        notes.append(
            f"it is coarser than the index ({gsd_m:g} m a pixel): compared with the ground at "
            f"{gsd_m * picture.level:g} m"
        )
    without = images.settings["cells_without"]
    if without:
        finest = index.manifest.resolutions[-1]
        notes.append(f"{without:,} cells of resolution {finest} have no imagery and no answer")
    return notes
