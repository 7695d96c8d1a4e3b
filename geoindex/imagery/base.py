"""Define what every imagery source provides: chips, square images in local metres.

A chip is a square image, north up, RGB, 8 bit, centred on a point: its grid lies in the azimuthal
equidistant projection of that point, so that a pixel is `gsd_m` metres wide wherever on Earth it
is, whatever the source's own reference system, rotation or pixel size. A mask of valid pixels goes
with it: outside the source, under nodata and where alpha is low, a pixel is not valid and black.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from affine import Affine

EXTRA = "imagery"
# a chip of 8192 x 8192 is 200 MB
MAX_CHIP_PX = 8192


@dataclass(frozen=True)
class ChipFrame:
    """The area a chip covers, and the size of its pixels.

    Attributes
    ----------
    lon, lat
        The centre, degrees.
    side_m
        How wide and high, metres.
    gsd_m
        Width of a pixel, metres; `side_m` is a whole number of them.
    """

    lon: float
    lat: float
    side_m: float
    gsd_m: float

    def __post_init__(self) -> None:
        check_gsd(self.gsd_m)
        size = self.side_m / self.gsd_m
        if not (0.5 <= size <= MAX_CHIP_PX + 0.5):
            msg = (
                f"a chip of {self.side_m:g} m at {self.gsd_m:g} m is {size:,.0f} pixels wide; want "
                f"1 to {MAX_CHIP_PX}. Example: --gsd {max(self.side_m, 1) / 512:.2g}"
            )
            raise UsageError(msg)

    @property
    def size_px(self) -> int:
        """Width and height in pixels."""
        return round(self.side_m / self.gsd_m)

    @property
    def crs(self) -> str:
        """The chip's reference system, for PROJ: x metres east, y metres north of the centre."""
        # NumPy's floats would write their type
        lon, lat = float(self.lon), float(self.lat)
        return f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m +no_defs"

    @property
    def transform(self) -> "Affine":
        """From columns and rows to metres."""
        from affine import Affine

        half = self.side_m / 2
        return Affine(self.gsd_m, 0.0, -half, 0.0, -self.gsd_m, half)

    def outline_m(self, per_side: int = 8) -> NDArray[np.float64]:
        """Return points along the border, metres from the centre, shape ``(4 * per_side, 2)``."""
        along = np.linspace(-0.5, 0.5, per_side, endpoint=False) * self.side_m
        half = np.full(per_side, self.side_m / 2)
        sides = ((along, half), (half, -along), (-along, -half), (-half, along))
        return np.concatenate([np.column_stack(side) for side in sides])


class Chip(NamedTuple):
    """An image of an area, and which of its pixels are valid.

    Attributes
    ----------
    rgb
        Shape ``(size, size, 3)``, uint8, row 0 in the north; 0 where not valid.
    is_valid
        Shape ``(size, size)``: True where the source has data.
    """

    rgb: NDArray[np.uint8]
    is_valid: NDArray[np.bool_]


@dataclass(frozen=True)
class ImageryOptions:
    """How a source is read; the defaults fit an aerial image of 8 bit.

    Attributes
    ----------
    bands
        Red, green and blue, from 1; None takes those of that colour interpretation, else the
        first three. One band stands for all three.
    stretch
        ``"auto"``, ``"none"`` or ``"LOW,HIGH"``; see `geoindex.imagery.stretch`.
    zoom
        Of tiles: the one zoom to read; None takes the coarsest that is as fine as the chip.
    """

    bands: tuple[int, ...] | None = None
    stretch: str = "auto"
    zoom: int | None = None

    def __post_init__(self) -> None:
        if self.bands is not None and (len(self.bands) not in {1, 3} or min(self.bands) < 1):
            msg = f"bands are {list(self.bands)}; want one or three, from 1. Example: 4,3,2"
            raise UsageError(msg)
        if self.zoom is not None and not 0 <= self.zoom <= 30:
            msg = f"zoom is {self.zoom}; want 0 (the Earth) to 30. Example: 19"
            raise UsageError(msg)


class Imagery(Protocol):
    """A source of chips; safe to be called from several threads."""

    @property
    def name(self) -> str:
        """What it was opened by."""

    @property
    def fingerprint(self) -> str:
        """Hash of what determines the chips: files by name, size and time, addresses by name."""

    @property
    def stretched(self) -> tuple[float, float]:
        """Source values that become 0 and 255; see `geoindex.imagery.stretch`."""

    def gsd_at(self, lon: float, lat: float) -> float:
        """Return the ground sampling distance of the source there, metres a pixel."""

    def chip(self, frame: ChipFrame) -> Chip:
        """Cut a chip; one without any valid pixel where the source has no data.

        Raises
        ------
        SourceError
            If a file or tile cannot be read; names it.
        """


def check_gsd(gsd_m: float) -> float:
    """Return the width of a pixel, metres, if it is one.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not (isinstance(gsd_m, (int, float)) and 0.001 <= gsd_m <= 100_000):
        msg = f"gsd is {gsd_m!r}; want metres a pixel, more than 0. Example: 0.5"
        raise UsageError(msg)
    return float(gsd_m)


def require(*modules: str) -> None:
    """Import modules of the extra.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    from importlib import import_module

    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtraError(module, EXTRA) from error
    _quieten()


@cache
def _quieten() -> None:
    """Silence warnings about what is dealt with: places passed beside arrays, alpha, large images.

    rasterio does so itself, but not where several threads warp. Where a message of GDAL is no
    UTF-8, as of a damaged file, its log prints a traceback: the error itself is raised beside it.
    """
    from PIL.Image import DecompressionBombWarning
    from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning

    for category in (NotGeoreferencedWarning, NodataShadowWarning, DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category)

    def without_log(hook: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> None:
            error = getattr(args[0], "exc_value", args[-2] if len(args) > 2 else None)
            frames = [frame for frame, _ in walk_tb(getattr(error, "__traceback__", None))]
            is_log = not frames or "rasterio" in frames[-1].f_code.co_filename
            if not (is_log and isinstance(error, UnicodeDecodeError)):
                hook(*args)

        return call

    sys.excepthook = without_log(sys.excepthook)
    sys.unraisablehook = without_log(sys.unraisablehook)


def empty_chip(frame: ChipFrame) -> Chip:
    """Return a chip without any valid pixel."""
    size = frame.size_px
    return Chip(np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.bool_))


def fingerprint_of(kind: str, options: ImageryOptions, **parts: Any) -> str:
    """Hash what determines the chips of a source."""
    from geoindex.storage.workspace import fingerprint

    # unfinished builds with chips resampled otherwise are not resumed
    return fingerprint(
        kind=kind, bands=options.bands, stretch=options.stretch, warp="cubic-2", **parts
    )


def file_state(path: str | Path) -> list[Any]:
    """Return name, size and time of a file, in which a change shows; of an address the name."""
    try:
        found = Path(path).stat()
    except OSError:
        return [str(path)]
    return [str(path), found.st_size, found.st_mtime_ns]
