"""How are chips cut from what GDAL opens? GeoTIFF, COG, VRT, JPEG 2000, WMS, WMTS; one or many.

Any reference system and rotation; what lies under nodata, a mask or alpha below half is not valid.
Of a source much finer than the chip GDAL reads overviews, where it has them, or averages. Where
several rasters overlap, the first by name is on top, and the next ones fill what it does not know.

A dataset of GDAL belongs to one thread, so that each thread opens its own.

Where does a raster lie, and how wide are its pixels? Told without reading one.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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
    require,
)
from geoindex.imagery.stretch import (
    NONE,
    Stretch,
    auto_stretch,
    full_range,
    parse_stretch,
)
from geoindex.imagery.warp import laid_over, warp

_SAMPLE_PX = 1000
# cubic resampling looks two pixels of the chip further, of which each is less than four read ones
_MARGIN_PX = 8
_OPAQUE = 128
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")


class _Window(NamedTuple):
    """The part of a raster that a chip needs: pixels, and how many of them become one."""

    column: int
    row: int
    width: int
    height: int
    step: int


class RasterImagery:
    """An imagery source of one or several rasters.

    Parameters
    ----------
    name
        What it was opened by, for messages.
    files
        What rasterio opens, the topmost first.
    options
        `zoom` has no meaning here and is refused.

    Raises
    ------
    SourceError
        If a raster cannot be opened, lies nowhere on Earth, or lacks a band.
    """

    def __init__(self, name: str, files: Sequence[str], options: ImageryOptions) -> None:
        if options.zoom is not None:
            msg = f"{name} has no zooms: they are of tiles. Say metres a pixel: --gsd 0.5"
            raise SourceError(msg)
        self.name = name
        self._files, self._options = list(files), options
        self._wanted = parse_stretch(options.stretch)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._bands = [self._checked_bands(file) for file in self._files]
        self.fingerprint = fingerprint_of(
            "rasters", options, name=name, files=[file_state(file) for file in self._parts()]
        )

    def gsd_at(self, lon: float, lat: float) -> float:
        """Return the finest pixel of all rasters, metres on the ground near a point."""
        here = ChipFrame(lon, lat, 1.0, 1.0)
        found = [self._gsd_m(i, here) for i in range(len(self._files))]
        return min(found)

    @property
    def stretched(self) -> tuple[float, float]:
        """What became 0 and 255."""
        return self._stretch.low, self._stretch.high

    def chip(self, frame: ChipFrame) -> Chip:
        """Cut a chip; see `geoindex.imagery.base.Imagery`."""
        found: Chip | None = None
        for i in range(len(self._files)):
            chip = self._chip_of(i, frame)
            if chip is not None:
                found = chip if found is None else laid_over(chip, found)
                if found.is_valid.all():
                    break
        return empty_chip(frame) if found is None else found

    def _chip_of(self, i: int, frame: ChipFrame) -> Chip | None:
        """Cut a chip from one raster; None if it lies elsewhere."""
        with self._explained(i), self._opened(i) as raster:
            window = _window(raster, frame)
            if window is None:
                return None
            values, is_valid = self._read(raster, self._bands[i], window)
            # warped after the stretch: the same numbers for tiles and rasters
            rgb = self._stretch.apply(values)
            rgb = np.repeat(rgb, 3, axis=0) if len(rgb) == 1 else rgb
            high, wide = is_valid.shape
            transform = _part_transform(
                raster.transform, window, window.width / wide, window.height / high
            )
            return warp(rgb, is_valid, frame, transform=transform, crs=raster.crs)

    def _read(
        self, raster: Any, bands: list[int], window: _Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return some pixels, ``(bands, h, w)``, and which are valid, ``(h, w)``."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        shape = (-(-window.height // window.step), -(-window.width // window.step))
        part = Window(window.column, window.row, window.width, window.height)
        # asked to average single pixels GDAL still goes the long way
        how = Resampling.nearest if window.step == 1 else Resampling.average
        values = raster.read(bands, window=part, out_shape=(len(bands), *shape), resampling=how)
        if _is_all_valid(raster, bands):
            is_valid = np.ones(shape, np.bool_)
        else:
            masks = raster.read_masks(bands, window=part, out_shape=(len(bands), *shape))
            is_valid = (masks >= _OPAQUE).all(axis=0)
        if np.issubdtype(values.dtype, np.floating):
            is_valid &= np.isfinite(values).all(axis=0)
        return values, is_valid

    @cached_property
    def _stretch(self) -> Stretch:
        with self._lock:
            return self._wanted or self._own_stretch()

    def _own_stretch(self) -> Stretch:
        """Return the stretch that the rasters themselves ask for."""
        samples, masks, dtype = [], [], np.dtype(np.uint8)
        for i, bands in enumerate(self._bands):
            with self._explained(i), self._opened(i) as raster:
                dtype = np.dtype(raster.dtypes[bands[0] - 1])
                if dtype == np.uint8 or self._options.stretch == NONE:
                    return full_range(dtype)
                step = max(1, -(-max(raster.width, raster.height) // _SAMPLE_PX))
                whole = _Window(0, 0, raster.width, raster.height, step)
                values, is_valid = self._read(raster, bands, whole)
                samples.append(values.reshape(len(bands), -1))
                masks.append(is_valid.ravel())
        return auto_stretch(np.concatenate(samples, axis=1), np.concatenate(masks))

    def _gsd_m(self, i: int, frame: ChipFrame) -> float:
        """Return the width of a raster's pixel on the ground, near a point or its own middle."""
        with self._explained(i), self._opened(i) as raster:
            from rasterio.warp import transform

            middle = raster.xy(raster.height / 2, raster.width / 2, offset="ul")
            corner = raster.xy(raster.height / 2 + 1, raster.width / 2 + 1, offset="ul")

            lon, lat = transform(raster.crs, "EPSG:4326", [middle[0]], [middle[1]])
            near = ChipFrame(lon[0], lat[0], frame.side_m, frame.gsd_m)
            x, y = transform(raster.crs, near.crs, *zip(middle, corner, strict=True))
            return float(np.hypot(x[1] - x[0], y[1] - y[0]) / np.sqrt(2))

    def _checked_bands(self, file: str) -> list[int]:
        with self._explained(self._files.index(file)), self._opened(self._files.index(file)) as it:
            if it.crs is None:
                msg = (
                    f"{file} does not say where on Earth it lies. Give it a reference system: "
                    "gdal_translate -a_srs EPSG:3857 -a_ullr W N E S in.tif out.tif"
                )
                raise SourceError(msg)
            bands = list(self._options.bands or _own_bands(it))
            if max(bands) > it.count:
                msg = f"{file} has {it.count} bands, want {bands}. Example: --imagery-bands 1,2,3"
                raise SourceError(msg)
            return bands

    def _parts(self) -> Iterator[str]:
        """Yield every file that decides the pixels: those of a VRT too."""
        for i, file in enumerate(self._files):
            yield file
            if Path(file).exists():
                with self._explained(i), self._opened(i) as raster:
                    yield from (part for part in raster.files if part != file)

    @contextmanager
    def _opened(self, i: int) -> Iterator[Any]:
        """Give this thread's dataset, under GDAL's settings."""
        import rasterio

        from geoindex.imagery.http_tiles import gdal_options

        is_remote = self._files[i].startswith(_REMOTE) or self._files[i].startswith(("WM", "<"))
        with rasterio.Env(**(gdal_options() if is_remote else {})):
            held: dict[int, Any] = self._local.__dict__.setdefault("held", {})
            if i not in held:
                held[i] = rasterio.open(self._files[i])
            yield held[i]

    @contextmanager
    def _explained(self, i: int) -> Iterator[None]:
        from rasterio.errors import RasterioError

        try:
            yield
        except RasterioError as error:
            cause = error.__cause__ or error
            msg = (
                f"imagery {self._files[i]} cannot be read: {cause}. Want what GDAL opens, such as "
                "aerial.tif; mend it and run the command again to go on"
            )
            raise SourceError(msg) from error


def _is_all_valid(raster: Any, bands: list[int]) -> bool:
    """Say whether a raster has neither nodata nor a mask nor alpha, so that none need be read."""
    from rasterio.enums import MaskFlags

    return all(raster.mask_flag_enums[band - 1] == [MaskFlags.all_valid] for band in bands)


def _own_bands(raster: Any) -> list[int]:
    """Return red, green and blue as the raster names them, else its first three, else its first."""
    from rasterio.enums import ColorInterp

    named = list(raster.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in named for colour in wanted):
        return [named.index(colour) + 1 for colour in wanted]
    others = [i for i, colour in enumerate(named, 1) if colour != ColorInterp.alpha]
    return others[:3] if len(others) >= 3 else others[:1]


def _part_transform(whole: Any, window: _Window, wide: float, high: float) -> Any:
    """Return the transform of a part whose pixels are `wide` by `high` of the whole's."""
    from affine import Affine

    c = whole.a * window.column + whole.b * window.row + whole.c
    f = whole.d * window.column + whole.e * window.row + whole.f
    return Affine(whole.a * wide, whole.b * high, c, whole.d * wide, whole.e * high, f)


def _window(raster: Any, frame: ChipFrame) -> _Window | None:
    """Return the part of a raster under a chip; None if there is none."""
    from rasterio.warp import transform

    east, north = frame.outline_m().T
    x, y = transform(frame.crs, raster.crs, east, north)
    turn = ~raster.transform
    columns = turn.a * np.array(x) + turn.b * np.array(y) + turn.c
    rows = turn.d * np.array(x) + turn.e * np.array(y) + turn.f
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    # by area: the bounding box of a turned chip is larger than the chip
    pixels = abs(np.dot(columns, np.roll(rows, 1)) - np.dot(rows, np.roll(columns, 1))) / 2
    # twice as fine as the chip, or the averages' own grid would show in it
    step = max(1, int(np.sqrt(pixels) / frame.size_px / 2 + 1e-6))
    margin = _MARGIN_PX * step
    first = np.floor([columns.min() - margin, rows.min() - margin]).astype(int)
    last = np.ceil([columns.max() + margin, rows.max() + margin]).astype(int)
    left, top = np.maximum(first, 0).tolist()
    right, bottom = np.minimum(last, [raster.width, raster.height]).tolist()
    if left >= right or top >= bottom:
        return None
    return _Window(left, top, right - left, bottom - top, step)


class Extent(NamedTuple):
    """A raster's middle, degrees, its shorter side and the width of its pixels, metres."""

    lon: float
    lat: float
    wide_m: float
    pixel_m: float


def extent_of(path: Path) -> Extent | None:
    """Return where a raster lies; None of no place."""
    require("rasterio")
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        with rasterio.open(path) as raster:
            if raster.crs is None:
                return None
            x, y = raster.xy(raster.height / 2, raster.width / 2, offset="ul")
            lon, lat = transform(raster.crs, "EPSG:4326", [x], [y])
            here = ChipFrame(lon[0], lat[0], 1.0, 1.0)
            ends = [raster.xy(raster.height / 2, 0, offset="ul")]
            ends += [raster.xy(0, raster.width / 2, offset="ul")]
            east, north = transform(raster.crs, here.crs, *zip(*ends, strict=True))
            sides = 2 * np.hypot(east, north)
            pixels = sides / [raster.width, raster.height]
            return Extent(lon[0], lat[0], float(sides.min()), float(pixels.max()))
    except RasterioError:
        # what GDAL cannot open may still be an image: who reads it says what is wrong
        return None
