"""Cut chips from a pyramid of square tiles in web mercator: tiles are laid together and warped.

Tiles are named zoom, x from the west, y from the north (XYZ), as OpenStreetMap's are; what counts
y from the south is turned round by its store. A tile that is not there is an area without imagery;
one that cannot be read ends the work, by name.

The tiles of a chip are laid together before they are resampled, so there is no seam. They are read
in web mercator about the chip's own meridian: a chip across the antimeridian is like any other.
"""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import ceil, cos, log2, pi, radians
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import SourceError
from geoindex.geo.earth import EQUATORIAL_RADIUS_M
from geoindex.imagery.base import (
    MAX_CHIP_PX,
    Chip,
    ChipFrame,
    ImageryOptions,
    empty_chip,
    file_state,
    fingerprint_of,
)
from geoindex.imagery.stretch import full_range, parse_stretch
from geoindex.imagery.warp import projected, warp

TILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
EQUATOR_M = 2 * pi * EQUATORIAL_RADIUS_M
TILE_PX = 256
_OPAQUE = 128
MAX_TILE_BYTES = 64 << 20
_MAX_TILE_PX = 2048
# decoded tiles: 64 of 256 px are 16 MB, 4 of 2048 px 64 MB
_KEPT_PX = 4 * _MAX_TILE_PX**2
_KEPT_TILES = 64
_KEPT_COLUMNS = 256
# more tiles, or pixels, than these for one chip are a wrong zoom
_MOST_TILES = 1024
_MOST_PX = 1 << 28
# cubic resampling reaches two pixels further, of a source twice as fine four
_MARGIN_PX = 4


class TileStore(Protocol):
    """Where encoded tiles lie; safe to be called from several threads."""

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms that may hold tiles, coarsest first."""

    @property
    def state(self) -> object:
        """Plain values that differ where tiles may differ."""

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none.

        Raises
        ------
        OSError, SourceError
            If it cannot be read.
        """


def read_tile(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there is none.

    Raises
    ------
    SourceError
        If it is a pipe or a device, or larger than any tile.
    OSError
        If it cannot be read.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not S_ISREG(found.st_mode) or found.st_size > MAX_TILE_BYTES:
        msg = f"{path} is no file of at most {MAX_TILE_BYTES:,} bytes"
        raise SourceError(msg)
    return path.read_bytes()


class FolderTiles:
    """Tiles as files, ``z/x/y.png`` (or .jpg, .jpeg, .webp), in letters of either case.

    Raises
    ------
    SourceError
        If no file is named so.
    """

    def __init__(self, folder: Path, zooms: dict[int, Path]) -> None:
        self._folders = zooms
        self.zooms = tuple(sorted(zooms))
        self.state = [str(folder), *(file_state(column) for column in self._columns())]
        # listed once: a folder is asked by zoom and column, and most of its tiles are wanted
        self._column = lru_cache(_KEPT_COLUMNS)(_tiles_of)
        if not any(_is_number(column.name) and any(map(_is_number, self._column(column)))
                   for column in self._columns()):  # fmt: skip
            msg = (
                f"{folder} has no file named as a tile: want z/x/y.png (or .jpg, .jpeg, .webp), "
                f"numbers without zeros before. Example: {folder}/19/315878/264074.png"
            )
            raise SourceError(msg)

    def _columns(self) -> Iterator[Path]:
        # a folder's time changes when a tile is added or removed in it
        for zoom in self.zooms:
            yield from (path for path in sorted(self._folders[zoom].iterdir()) if path.is_dir())

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        column = self._folders[z] / str(x)
        name = self._column(column).get(str(y))
        return None if name is None else read_tile(column / name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name


def names_by_lower(folder: Path) -> dict[str, str]:
    """Return the names in a folder by what they are in lower case."""
    try:
        return {entry.name.lower(): entry.name for entry in os.scandir(folder)}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _tiles_of(column: Path) -> dict[str, str]:
    """Return the files of a column of tiles by row; of several forms PNG goes before JPEG, WebP."""
    try:
        names = [entry.name for entry in os.scandir(column)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    tiles: dict[str, str] = {}
    for suffix in reversed(TILE_SUFFIXES):
        cut = -len(suffix)
        tiles |= {name[:cut]: name for name in sorted(names) if name[cut:].lower() == suffix}
    return tiles


class TiledImagery:
    """An imagery source of tiles.

    Parameters
    ----------
    name
        What it was opened by, for messages.
    store
        Where the tiles are.
    options
        `zoom` must be one that the store has; `bands` and `stretch` are applied to the tiles' red,
        green and blue.

    Raises
    ------
    SourceError
        If the store has no tiles of that zoom.
    """

    def __init__(self, name: str, store: TileStore, options: ImageryOptions) -> None:
        self._store, self._options = store, options
        self._bands = options.bands
        if self._bands is not None and max(self._bands) > 3:
            msg = f"tiles of {name} have bands 1 to 3, got {list(self._bands)}. Example: 1,2,3"
            raise SourceError(msg)
        self._stretch = parse_stretch(options.stretch) or full_range(np.dtype(np.uint8))
        self._kept: OrderedDict[tuple[int, int, int], _Tile | None] = OrderedDict()
        self._lock = threading.Lock()
        self.name = name
        self._zooms = store.zooms if options.zoom is None else (options.zoom,)
        if not set(self._zooms) <= set(store.zooms) or not store.zooms:
            held = ", ".join(map(str, store.zooms)) or "none"
            msg = f"{name} has no tiles of zoom {options.zoom}; it has {held}"
            raise SourceError(msg)
        self.fingerprint = fingerprint_of(
            "tiles", options, name=name, zooms=self._zooms, state=store.state
        )

    def gsd_at(self, lon: float, lat: float) -> float:  # noqa: ARG002 - mercator: latitude alone
        """Return the finest pixel at a latitude, metres, for tiles of 256 px."""
        return _tile_m(self._zooms[-1], lat) / TILE_PX

    @property
    def stretched(self) -> tuple[float, float]:
        """Source values that become 0 and 255."""
        return self._stretch.low, self._stretch.high

    def zoom_for(self, frame: ChipFrame) -> int:
        """Return the coarsest zoom that is as fine as the chip, else the finest there is."""
        wanted = ceil(log2(_tile_m(0, frame.lat) / TILE_PX / frame.gsd_m) - 1e-2)
        return next((zoom for zoom in self._zooms if zoom >= wanted), self._zooms[-1])

    def chip(self, frame: ChipFrame) -> Chip:
        """Cut a chip; see `geoindex.imagery.base.Imagery`."""
        from affine import Affine

        zoom = self.zoom_for(frame)
        columns, rows = _tile_ranges(frame, zoom)
        num_tiles, around, size = len(columns) * len(rows), 1 << zoom, 0
        self._check_number(num_tiles, 1, frame, zoom)
        for (i, y), (j, x) in product(enumerate(rows), enumerate(columns)):
            tile = self._tile(zoom, x % around, y)
            if tile is None:
                continue
            if not size:
                size = tile.rgb.shape[-1]
                self._check_number(num_tiles, size, frame, zoom)
                rgb = np.zeros((3, len(rows) * size, len(columns) * size), np.uint8)
                is_valid = np.zeros(rgb.shape[1:], np.bool_)
            self._check_size(tile, size, zoom, x % around, y)
            at = (slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
            rgb[:, *at], is_valid[at] = tile.rgb, tile.is_valid
        if not size:
            return empty_chip(frame)
        tile_m = EQUATOR_M / around
        west = _x_of(frame.lon, zoom)
        pixel = tile_m / size
        transform = Affine(
            pixel, 0.0, (columns[0] - west) * tile_m,
            0.0, -pixel, EQUATOR_M / 2 - rows[0] * tile_m,
        )  # fmt: skip
        crs = f"+proj=webmerc +lon_0={float(frame.lon)!r} +datum=WGS84 +units=m +no_defs"
        return warp(rgb, is_valid, frame, transform=transform, crs=crs)

    def _check_number(self, num_tiles: int, size: int, frame: ChipFrame, zoom: int) -> None:
        if num_tiles > _MOST_TILES or num_tiles * size**2 > _MOST_PX:
            msg = (
                f"a chip of {frame.side_m:.0f} m needs {num_tiles:,} tiles of zoom {zoom} of "
                f"{self.name}; want a coarser zoom. Example: --imagery-zoom {max(zoom - 3, 0)}"
            )
            raise SourceError(msg)

    def _check_size(self, tile: "_Tile", size: int, z: int, x: int, y: int) -> None:
        if tile.rgb.shape != (3, size, size):
            height, width = tile.rgb.shape[1:]
            msg = (
                f"tile {z}/{x}/{y} of {self.name} is {width} x {height} pixels, its neighbour "
                f"{size} x {size}; want square tiles of one size, such as 256 x 256"
            )
            raise SourceError(msg)

    def _tile(self, z: int, x: int, y: int) -> "_Tile | None":
        """Return a decoded tile; neighbouring chips share them."""
        key = (z, x, y)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        tile = self._read(z, x, y)
        with self._lock:
            self._kept[key] = tile
            most = _KEPT_TILES if tile is None else min(_KEPT_TILES, _KEPT_PX // tile.is_valid.size)
            while len(self._kept) > most:
                self._kept.popitem(last=False)
        return tile

    def _read(self, z: int, x: int, y: int) -> "_Tile | None":
        try:
            content = self._store.read(z, x, y)
            if content is None:
                return None
            tile = decode_tile(content, most_px=_MAX_TILE_PX)
        except SourceError as error:
            msg = f"tile {z}/{x}/{y} of {self.name}: {error}"
            raise SourceError(msg) from error
        except (OSError, ValueError) as error:
            msg = (
                f"tile {z}/{x}/{y} of {self.name} cannot be read: {error}. Want a PNG, JPEG or "
                "WebP image; mend or remove it and run the command again to go on"
            )
            raise SourceError(msg) from error
        rgb = tile.rgb if self._bands is None else tile.rgb[_chosen(self._bands)]
        return _Tile(self._stretch.apply(rgb), tile.is_valid)


class _Tile(NamedTuple):
    """A decoded tile: `rgb` of shape ``(3, h, w)``, `is_valid` of shape ``(h, w)``."""

    rgb: NDArray[np.uint8]
    is_valid: NDArray[np.bool_]


def is_image(content: bytes) -> bool:
    """Say whether bytes begin as PNG, JPEG or WebP do."""
    return content.startswith((b"\x89PNG", b"\xff\xd8\xff")) or content[8:12] == b"WEBP"


def decode_tile(content: bytes, *, most_px: int = MAX_CHIP_PX) -> _Tile:
    """Decode a PNG, JPEG or WebP image, upright; palettes, grey and alpha are fine.

    Parameters
    ----------
    most_px
        Width and height that it may have.

    Raises
    ------
    ValueError
        If it is no image, cut, larger, or none of 8 bit.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
            return _decoded(image, most_px)
    except Exception as error:
        # decoders of damaged images have errors of many kinds, a bomb of its own
        raise ValueError(str(error) or repr(error)) from error


def _decoded(image: Any, most_px: int) -> _Tile:
    from PIL import ExifTags, ImageOps

    if image.mode.startswith(("I", "F")):
        msg = f"its pixels are of mode {image.mode}, want 8 bit"
        raise ValueError(msg)
    if max(image.size) > most_px:
        msg = f"it is {image.width:,} x {image.height:,} pixels, want at most {most_px:,} each way"
        raise ValueError(msg)
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        # upright, as every viewer shows it
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        rgb = np.asarray(image)
        is_valid = np.ones(rgb.shape[:2], np.bool_)
    else:
        rgba = np.asarray(image.convert("RGBA"))
        rgb, is_valid = rgba[..., :3], rgba[..., 3] >= _OPAQUE
    return _Tile(np.ascontiguousarray(rgb.transpose(2, 0, 1)), is_valid)


def _chosen(bands: tuple[int, ...]) -> list[int]:
    places = [band - 1 for band in bands]
    return places * 3 if len(places) == 1 else places


def _tile_m(zoom: int, lat: float) -> float:
    """Return the width of a tile, metres."""
    return EQUATOR_M * cos(radians(min(abs(lat), 85.0))) / (1 << zoom)


def _x_of(lon: float, zoom: int) -> float:
    return (lon + 180) / 360 * (1 << zoom)


def _tile_ranges(frame: ChipFrame, zoom: int) -> tuple[range, range]:
    """Return the columns and rows of the tiles under a chip; columns may lie round the Earth."""
    lon, lat = projected(frame.crs, "EPSG:4326", *frame.outline_m().T)
    # longitudes run on across the antimeridian, from the centre's
    lon = frame.lon + (lon - frame.lon + 180) % 360 - 180
    around = 1 << zoom
    x = (lon + 180) / 360 * around
    # web mercator ends at 85.05 degrees
    sin = np.sin(np.radians(lat.clip(-85.051128, 85.051128)))
    y = (0.5 - np.log((1 + sin) / (1 - sin)) / (4 * pi)) * around
    margin = _MARGIN_PX / TILE_PX
    columns = range(int(np.floor(x.min() - margin)), int(np.floor(x.max() + margin)) + 1)
    first, last = np.floor([y.min() - margin, y.max() + margin]).astype(int).tolist()
    return columns, range(max(first, 0), min(last, around - 1) + 1)
