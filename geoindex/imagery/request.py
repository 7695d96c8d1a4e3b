"""Describe the imagery of a build: source, reading options, tokens, and its manifest entry."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geoindex.errors import IndexDamagedError, UsageError
from geoindex.imagery.base import Imagery, ImageryOptions, check_gsd
from geoindex.imagery.open import open_imagery

DEFAULT_TOKENS = "default"


@dataclass(frozen=True)
class ImageryRequest:
    """The imagery of a build.

    Attributes
    ----------
    source
        As `geoindex.imagery.open_imagery` takes it.
    options
        Bands, stretch, zoom.
    gsd_m
        Metres a pixel; None: see `geoindex.imagery.chips.chip_grid`.
    tokens
        As `geoindex.encoders.load_image_tokeniser` takes it.
    """

    source: str
    options: ImageryOptions = field(default_factory=ImageryOptions)
    gsd_m: float | None = None
    tokens: str = DEFAULT_TOKENS

    def __post_init__(self) -> None:
        if self.gsd_m is not None:
            check_gsd(self.gsd_m)

    def open(self) -> Imagery:
        """Open the source."""
        return open_imagery(self.source, self.options)


def imagery_request(
    imagery: str | Path | None,
    *,
    zoom: int | None = None,
    gsd: float | None = None,
    bands: str | tuple[int, ...] | None = None,
    stretch: str | None = None,
    tokens: str | None = None,
) -> ImageryRequest | None:
    """Return the imagery of a build by its options; None without imagery.

    Raises
    ------
    UsageError
        If an option is none, or there are options without imagery.
    """
    if imagery is None:
        given = {
            "--imagery-zoom": zoom, "--gsd": gsd, "--imagery-bands": bands,
            "--imagery-stretch": stretch, "--image-tokens": tokens,
        }  # fmt: skip
        if wrong := [name for name, value in given.items() if value is not None]:
            msg = f"{wrong[0]} needs imagery. Example: --imagery tiles/ {wrong[0]} ..."
            raise UsageError(msg)
        return None
    options = ImageryOptions(parse_bands(bands), stretch or "auto", zoom)
    return ImageryRequest(str(imagery), options, gsd, tokens or DEFAULT_TOKENS)


def parse_bands(bands: str | tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Parse ``R,G,B``.

    Raises
    ------
    UsageError
        If these are no numbers.
    """
    if not isinstance(bands, str):
        return bands
    try:
        return tuple(int(part) for part in bands.split(","))
    except ValueError:
        msg = f"want bands as R,G,B, got {bands!r}. Example: 4,3,2"
        raise UsageError(msg) from None


def manifest_source(source: str) -> str:
    """Return the name of a source as the manifest holds it.

    Files by their whole path, so that a query finds them from anywhere. What follows the ``?`` of
    an address, and a name before its ``@``, may be somebody's key: an index is passed on, keys are
    not.
    """
    if source.startswith(("http://", "https://", "WMS:", "WMTS:")):
        bare = source.split("?", 1)[0]
        parts = urlsplit(bare)
        return (
            bare.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if parts.netloc else bare
        )
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def manifest_options(settings: dict[str, Any]) -> ImageryOptions:
    """Return the options of the manifest's `imagery` settings.

    Raises
    ------
    IndexDamagedError
        If they are none.
    """
    bands, zoom = settings.get("bands"), settings.get("zoom")
    stretch = settings.get("stretch", "auto")
    is_sound = isinstance(stretch, str) and (zoom is None or type(zoom) is int)
    if bands is not None:
        is_sound &= isinstance(bands, list) and all(type(band) is int for band in bands)
    if not is_sound:
        msg = f"the manifest's imagery is read by bands {bands}, zoom {zoom}, stretch {stretch}"
        raise IndexDamagedError(msg)
    return ImageryOptions(None if bands is None else tuple(bands), stretch, zoom)
