"""How are chips cut from a pyramid of square tiles in web mercator? Tiles laid together, warped.

Tiles are named zoom, x from the west, y from the north (XYZ), as OpenStreetMap's are; what counts
y from the south is turned round by its store. A tile that is not there is ground without imagery;
one that cannot be read ends the work, by name.

The tiles of a chip are laid together before they are resampled, so there is no seam. They are read
in web mercator about the chip's own meridian: a chip across the antimeridian is like any other.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from math import ceil, cos, log2, pi, radians
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import SourceError
from geoindex.imagery.base import (
    Chip,
    ChipFrame,
    ImageryOptions,
    empty_chip,
    file_state,
    fingerprint_of,
)
from geoindex.imagery.stretch import full_range, parse_stretch
from geoindex.imagery.warp import warp

TILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
EARTH_RADIUS_M = 6_378_137.0
EQUATOR_M = 2 * pi * EARTH_RADIUS_M
TILE_PX = 256
_OPAQUE = 128
# decoded tiles of 256 px: 16 MB
_KEPT_TILES = 64
# more tiles than this for one chip is a wrong zoom, not a wish
_MOST_TILES = 1024
# cubic resampling looks two pixels further, of a source twice as fine four
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


class FolderTiles:
    """Tiles as files, ``z/x/y.png`` (or .jpg, .jpeg, .webp)."""

    def __init__(self, folder: Path, zooms: dict[int, Path]) -> None:
        self._folders = zooms
        self.zooms = tuple(sorted(zooms))
        self.state = [str(folder), *(file_state(column) for column in self._columns())]
        self._suffixes = self._found_suffixes()

    def _columns(self) -> Iterator[Path]:
        # a folder's time changes when a tile is added or removed in it
        for zoom in self.zooms:
            yield from (path for path in sorted(self._folders[zoom].iterdir()) if path.is_dir())

    def _found_suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of the first column, those first; others may follow."""
        for column in self._columns():
            seen = {path.suffix.lower() for path in column.iterdir()}
            return tuple(sorted(TILE_SUFFIXES, key=lambda suffix: suffix not in seen))
        return TILE_SUFFIXES

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        for suffix in self._suffixes:
            try:
                return (self._folders[z] / str(x) / f"{y}{suffix}").read_bytes()
            except FileNotFoundError:
                continue
        return None


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
        """Return the finest pixel at a latitude, metres on the ground, for tiles of 256 px."""
        return _tile_m(self._zooms[-1], lat) / TILE_PX

    @property
    def stretched(self) -> tuple[float, float]:
        """What became 0 and 255."""
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
        if len(columns) * len(rows) > _MOST_TILES:
            msg = (
                f"a chip of {frame.side_m:.0f} m needs {len(columns) * len(rows):,} tiles of zoom "
                f"{zoom} of {self.name}; want a coarser zoom. Example: --imagery-zoom {zoom - 3}"
            )
            raise SourceError(msg)
        around = 1 << zoom
        tiles = [[self._tile(zoom, x % around, y) for x in columns] for y in rows]
        found = [tile for row in tiles for tile in row if tile is not None]
        if not found:
            return empty_chip(frame)
        size = found[0].rgb.shape[-1]
        rgb = np.zeros((3, len(rows) * size, len(columns) * size), np.uint8)
        is_valid = np.zeros(rgb.shape[1:], np.bool_)
        for i, row in enumerate(tiles):
            for j, tile in enumerate(row):
                if tile is not None:
                    self._check_size(tile, size, zoom, columns[j] % around, rows[i])
                    at = (slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
                    rgb[:, *at], is_valid[at] = tile.rgb, tile.is_valid
        tile_m = EQUATOR_M / around
        west = _x_of(frame.lon, zoom)
        pixel = tile_m / size
        transform = Affine(
            pixel, 0.0, (columns[0] - west) * tile_m,
            0.0, -pixel, EQUATOR_M / 2 - rows[0] * tile_m,
        )  # fmt: skip
        crs = f"+proj=webmerc +lon_0={float(frame.lon)!r} +datum=WGS84 +units=m +no_defs"
        return warp(rgb, is_valid, frame, transform=transform, crs=crs)

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
            while len(self._kept) > _KEPT_TILES:
                self._kept.popitem(last=False)
        return tile

    def _read(self, z: int, x: int, y: int) -> "_Tile | None":
        try:
            content = self._store.read(z, x, y)
            if content is None:
                return None
            tile = decode_tile(content)
        except SourceError as error:
            msg = f"tile {z}/{x}/{y} of {self.name}: {error}"
            raise SourceError(msg) from error
        except (OSError, ValueError, SyntaxError) as error:
            msg = (
                f"tile {z}/{x}/{y} of {self.name} cannot be read: {error}. Want a PNG, JPEG or "
                "WebP image; mend or remove it and run the command again to go on"
            )
            raise SourceError(msg) from error
        rgb = tile.rgb if self._bands is None else tile.rgb[_chosen(self._bands)]
        return _Tile(self._stretch.apply(rgb), tile.is_valid)


class _Tile:
    """A decoded tile: `rgb` of shape ``(3, h, w)``, `is_valid` of shape ``(h, w)``."""

    __slots__ = ("is_valid", "rgb")

    def __init__(self, rgb: NDArray[np.uint8], is_valid: NDArray[np.bool_]) -> None:
        self.rgb, self.is_valid = rgb, is_valid


def decode_tile(content: bytes) -> _Tile:
    """Decode a PNG, JPEG or WebP image; palettes, grey and alpha are fine.

    Raises
    ------
    OSError, SyntaxError
        If it is no image, or cut.
    ValueError
        If it is none of 8 bit.
    """
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
        if image.mode.startswith(("I", "F")):
            msg = f"its pixels are of mode {image.mode}, want 8 bit"
            raise ValueError(msg)
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
    """Return the width of a tile on the ground."""
    return EQUATOR_M * cos(radians(min(abs(lat), 85.0))) / (1 << zoom)


def _x_of(lon: float, zoom: int) -> float:
    return (lon + 180) / 360 * (1 << zoom)


def _tile_ranges(frame: ChipFrame, zoom: int) -> tuple[range, range]:
    """Return the columns and rows of the tiles under a chip; columns may lie round the Earth."""
    from rasterio.warp import transform

    east, north = frame.outline_m().T
    lon, lat = (np.array(part) for part in transform(frame.crs, "EPSG:4326", east, north))
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
