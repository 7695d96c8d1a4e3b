"""What does every imagery source promise? The chip of a piece of ground, in local metres.

A chip is a square image, north up, RGB, 8 bit, centred on a point: its grid lies in the azimuthal
equidistant projection of that point, so that a pixel is `gsd_m` metres wide wherever on Earth it
is, whatever the source's own reference system, rotation or pixel size. Beside it goes what of it
is known: outside the source, under nodata and where alpha is low, a pixel is not valid and black.

`open_imagery` tells by the name what it is::

    tiles/ (z/x/y.png)  https://.../{z}/{x}/{y}.png    imagery_tiles, imagery_remote
    town.mbtiles  town.pmtiles  https://.../a.pmtiles   imagery_archives
    a.tif  a.vrt  wms.xml  WMTS:https://...  a folder   imagery_rasters: all that GDAL opens
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError, SourceError, UsageError

if TYPE_CHECKING:
    from affine import Affine

EXTRA = "imagery"
TILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".xml")
# a chip of 8192 x 8192 is 200 MB
MAX_CHIP_PX = 8192


@dataclass(frozen=True)
class ChipFrame:
    """Which ground a chip covers, and in what pixels.

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
    """An image of some ground.

    Attributes
    ----------
    rgb
        Shape ``(size, size, 3)``, uint8, row 0 in the north; 0 where not valid.
    is_valid
        Shape ``(size, size)``: True where the source knows the ground.
    """

    rgb: NDArray[np.uint8]
    is_valid: NDArray[np.bool_]


@dataclass(frozen=True)
class ImageryOptions:
    """How a source is read; the defaults fit a picture of the ground in 8 bit.

    Attributes
    ----------
    bands
        Red, green and blue, from 1; None takes those the source calls so, else the first three.
        One band stands for all three.
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
    """Something to cut chips from; safe to be called from several threads."""

    @property
    def name(self) -> str:
        """What it was opened by."""

    @property
    def fingerprint(self) -> str:
        """Hash what decides the chips: files by name, size and time, addresses by name."""

    @property
    def stretched(self) -> tuple[float, float]:
        """What became 0 and 255; see `geoindex.imagery.stretch`."""

    def gsd_at(self, lon: float, lat: float) -> float:
        """Return the finest pixel the source has there, metres on the ground."""

    def chip(self, frame: ChipFrame) -> Chip:
        """Cut a chip; one without any valid pixel where the source has nothing.

        Raises
        ------
        SourceError
            If a file or tile cannot be read; names it.
        """


def open_imagery(name: str | Path, options: ImageryOptions | None = None) -> Imagery:
    """Open an imagery source.

    Parameters
    ----------
    name
        A file, a folder of tiles or of rasters, a URL or a template of tiles.
    options
        How to read it.

    Raises
    ------
    SourceError
        If there is no such file, or it is none that we read.
    MissingExtraError
        If the libraries are not installed.
    """
    text, options = str(name), options or ImageryOptions()
    need("rasterio", "PIL")
    path = text.split("?", 1)[0].lower()
    if "{x}" in text:
        from geoindex.imagery.http_tiles import open_template

        return open_template(text, options)
    if path.endswith((".mbtiles", ".pmtiles")):
        from geoindex.imagery.tile_archives import open_archive

        return open_archive(text, options)
    if Path(text).is_dir() and (found := tile_zooms(Path(text))):
        from geoindex.imagery.xyz_tiles import FolderTiles, TiledImagery

        return TiledImagery(text, FolderTiles(Path(text), found), options)
    from geoindex.imagery.rasters import RasterImagery

    return RasterImagery(text, raster_files(text), options)


def tile_zooms(folder: Path) -> dict[int, Path]:
    """Return the zooms of a folder of tiles: its folders that are called by numbers."""
    return {
        int(path.name): path
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name.isascii() and path.name.isdigit() and int(path.name) <= 30
    }


def raster_files(name: str) -> Sequence[str]:
    """Return the rasters of a name: those of a folder, by name, else the name itself."""
    folder = Path(name)
    if not folder.is_dir():
        if not folder.exists() and "://" not in name and ":" not in name and "<" not in name:
            msg = f"there is no imagery {name}. Want a file, a folder or a URL such as aerial.tif"
            raise SourceError(msg)
        return [name]
    found = [str(path) for path in sorted(folder.iterdir()) if _is_raster(path)]
    if not found:
        msg = (
            f"{name} holds neither tiles (z/x/y.png) nor rasters ({', '.join(RASTER_SUFFIXES)}). "
            "Example: --imagery tiles/ with tiles/19/315878/264074.png"
        )
        raise SourceError(msg)
    return found


def _is_raster(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in RASTER_SUFFIXES


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


def need(*modules: str) -> None:
    """Import what the extra brings.

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
    """Silence rasterio's word about arrays without a place, which it warps by places of ours.

    It does so itself, but not where several threads warp.
    """
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def empty_chip(frame: ChipFrame) -> Chip:
    """Return the chip of ground of which nothing is known."""
    size = frame.size_px
    return Chip(np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.bool_))


def fingerprint_of(kind: str, options: ImageryOptions, **parts: Any) -> str:
    """Hash what decides the chips of a source."""
    from geoindex.storage.workspace import fingerprint

    # unfinished builds of chips resampled otherwise are not gone on with
    return fingerprint(
        kind=kind, bands=options.bands, stretch=options.stretch, warp="cubic-2", **parts
    )


def file_state(path: str | Path) -> list[Any]:
    """Return what tells whether a file was changed: name, size, time; of an address the name."""
    try:
        found = Path(path).stat()
    except OSError:
        return [str(path)]
    return [str(path), found.st_size, found.st_mtime_ns]
