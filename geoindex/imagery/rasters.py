"""Cut chips from rasters that GDAL opens: GeoTIFF, COG, VRT, JPEG 2000, WMS, WMTS; one or many.

Any reference system and rotation, also across the antimeridian; what lies under nodata, a mask or
alpha below half is not valid. A pixel is nodata where all its bands are. Colour tables and bands of
fewer than 8 bits are expanded to colours before anything is averaged. Of a source much finer than
the chip GDAL reads overviews, where it has them, or averages. Where several rasters overlap, the
first by name is on top, and the next ones fill its gaps.

A dataset of GDAL belongs to one thread, so that each thread opens its own.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
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
from geoindex.imagery.stretch import NONE, Stretch, auto_stretch, full_range, parse_stretch
from geoindex.imagery.warp import composite, projected, warp

_SAMPLE_PX = 1000
# a larger raster without overviews is sampled in windows spread over it
_MOST_WHOLE_PX = 1 << 28
_SAMPLE_WINDOWS = 32
# cubic resampling reaches two pixels of the chip, of which each is less than four read ones
_MARGIN_PX = 8
_OPAQUE = 128
# one chip may need so many pixels of a raster, and a block of one may take so many bytes
_MOST_READ_PX = 1 << 32
_MOST_BLOCK_BYTES = 1 << 29
# of a colour table: samples along the side of an averaged pixel, and pixels expanded at once
_TABLE_SAMPLES = 16
_TABLE_STRIP_PX = 1 << 22
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi", "WM", "<")
_UINT8 = np.dtype(np.uint8)
_BYTE = full_range(_UINT8)


class Bands(NamedTuple):
    """The bands of a raster that become red, green and blue.

    Attributes
    ----------
    numbers
        One or three, from 1.
    dtype
        Of their values.
    full
        The stretch of all that the type, or its bits, can hold.
    table
        Colours by value, shape ``(n, 4)``, with alpha; None where values are intensities.
    is_inverted
        Low values are bright.
    """

    numbers: list[int]
    dtype: np.dtype[Any]
    full: Stretch
    table: NDArray[np.uint8] | None = None
    is_inverted: bool = False

    @property
    def is_byte(self) -> bool:
        """Say whether what is read has 8 bits, and needs no stretch."""
        return self.table is not None or self.dtype == _UINT8


class _Window(NamedTuple):
    """The part of a raster that a chip needs: pixels, and how many of them become one."""

    column: int
    row: int
    width: int
    height: int
    step: int


class _Pixels(NamedTuple):
    """What was read of a window.

    Attributes
    ----------
    values
        Shape ``(bands, h, w)``.
    is_valid
        Shape ``(h, w)``.
    width, height
        Of one of these pixels, in pixels of the raster.
    """

    values: NDArray[Any]
    is_valid: NDArray[np.bool_]
    width: float
    height: float


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
        self._bands = [self._checked_bands(i) for i in range(len(self._files))]
        self.fingerprint = fingerprint_of(
            "rasters", options, name=name, files=[file_state(file) for file in self._parts()]
        )

    def gsd_at(self, lon: float, lat: float) -> float:  # noqa: ARG002 - each at its own middle
        """Return the finest pixel of all rasters, metres, each at its middle."""
        return min(self._gsd_m(i) for i in range(len(self._files)))

    @property
    def stretched(self) -> tuple[float, float]:
        """Source values that become 0 and 255: of the first raster of more than 8 bits, if any."""
        deep = next((i for i, bands in enumerate(self._bands) if not bands.is_byte), 0)
        return self._stretches[deep].low, self._stretches[deep].high

    def chip(self, frame: ChipFrame) -> Chip:
        """Cut a chip; see `geoindex.imagery.base.Imagery`."""
        found: Chip | None = None
        for i in range(len(self._files)):
            for chip in self._chips_of(i, frame):
                found = chip if found is None else composite(chip, found)
            if found is not None and found.is_valid.all():
                break
        return empty_chip(frame) if found is None else found

    def _chips_of(self, i: int, frame: ChipFrame) -> list[Chip]:
        """Cut a chip from each part of a raster under it; none if it lies elsewhere."""
        bands, chips = self._bands[i], []
        with self._explained(i), self._opened(i) as raster:
            for window, whole in _windows(raster, frame):
                self._check_size(i, raster, window)
                pixels = _read(raster, bands, window)
                # warped after the stretch: the same numbers for tiles and rasters
                rgb = self._stretches[i].apply(pixels.values)
                rgb = np.repeat(rgb, 3, axis=0) if len(rgb) == 1 else rgb
                transform = _part_transform(whole, window, pixels.width, pixels.height)
                chips.append(warp(rgb, pixels.is_valid, frame, transform=transform, crs=raster.crs))
        return chips

    def _check_size(self, i: int, raster: Any, window: _Window) -> None:
        coarsest = max(raster.overviews(self._bands[i].numbers[0]), default=1)
        if window.width * window.height > _MOST_READ_PX * min(coarsest, window.step) ** 2:
            msg = (
                f"a chip needs {window.width:,} x {window.height:,} pixels of {self._files[i]}; "
                "make overviews (gdaladdo) or say fewer metres a pixel. Example: --gsd 0.5"
            )
            raise SourceError(msg)

    @cached_property
    def _stretches(self) -> list[Stretch]:
        """The stretch of each raster: one for all of 8 bits, one for all of each other type."""
        with self._lock:
            deep = [bands for bands in self._bands if not bands.is_byte]
            auto: dict[np.dtype[Any], Stretch] = {}
            if self._wanted is None and self._options.stretch != NONE:
                auto = {dtype: self._auto_stretch(dtype) for dtype in {b.dtype for b in deep}}
            found = []
            for bands in self._bands:
                if bands.is_byte:
                    # beside deeper rasters the numbers are meant for those
                    found.append(self._wanted if self._wanted and not deep else _BYTE)
                else:
                    found.append(self._wanted or auto.get(bands.dtype, bands.full))
            return found

    def _auto_stretch(self, dtype: np.dtype[Any]) -> Stretch:
        """Return the stretch that all rasters of a type ask for together."""
        samples, masks = [], []
        for i, bands in enumerate(self._bands):
            if bands.is_byte or bands.dtype != dtype:
                continue
            with self._explained(i), self._opened(i) as raster:
                for window in _sample_windows(raster, bands):
                    pixels = _read(raster, bands, window)
                    samples.append(pixels.values.reshape(len(bands.numbers), -1))
                    masks.append(pixels.is_valid.ravel())
        if len({len(sample) for sample in samples}) > 1:
            # grey beside coloured ones: a band stands for all three
            samples = [np.broadcast_to(sample, (3, sample.shape[1])) for sample in samples]
        return auto_stretch(np.concatenate(samples, axis=1), np.concatenate(masks))

    def _gsd_m(self, i: int) -> float:
        """Return the width of a raster's pixel at its own middle, metres."""
        with self._explained(i), self._opened(i) as raster:
            from rasterio.warp import transform

            middle = raster.xy(raster.height / 2, raster.width / 2, offset="ul")
            corner = raster.xy(raster.height / 2 + 1, raster.width / 2 + 1, offset="ul")
            lon, lat = transform(raster.crs, "EPSG:4326", [middle[0]], [middle[1]])
            near = ChipFrame(lon[0], lat[0], 1.0, 1.0)
            x, y = transform(raster.crs, near.crs, *zip(middle, corner, strict=True))
            return float(np.hypot(x[1] - x[0], y[1] - y[0]) / np.sqrt(2))

    def _checked_bands(self, i: int) -> Bands:
        file = self._files[i]
        with self._explained(i), self._opened(i) as raster:
            if raster.crs is None:
                msg = (
                    f"{file} does not say where on Earth it lies. Give it a reference system: "
                    "gdal_translate -a_srs EPSG:3857 -a_ullr W N E S in.tif out.tif"
                )
                raise SourceError(msg)
            numbers = list(self._options.bands or [])
            if max(numbers, default=1) > raster.count:
                msg = (
                    f"{file} has {raster.count} bands, want {numbers}. "
                    "Example: --imagery-bands 1,2,3"
                )
                raise SourceError(msg)
            return bands_of(raster, numbers)

    def _parts(self) -> Iterator[str]:
        """Yield every file that determines the pixels: those of a VRT too."""
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

        with rasterio.Env(**gdal_options(is_remote=self._files[i].startswith(_REMOTE))):
            held: dict[int, Any] = self._local.__dict__.setdefault("held", {})
            if i not in held:
                held[i] = rasterio.open(self._files[i])
            yield held[i]

    @contextmanager
    def _explained(self, i: int) -> Iterator[None]:
        try:
            yield
        except SourceError:
            raise
        except Exception as error:
            # GDAL, PROJ and rasterio have errors of a dozen kinds for a damaged file
            cause = error.__cause__ or error
            msg = (
                f"imagery {self._files[i]} cannot be read: {cause}. Want what GDAL opens, such as "
                "aerial.tif; mend it and run the command again to go on"
            )
            raise SourceError(msg) from error


def _own_bands(raster: Any) -> list[int]:
    """Return red, green and blue as the raster names them, else its first three, else its first."""
    from rasterio.enums import ColorInterp

    named = list(raster.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in named for colour in wanted):
        return [named.index(colour) + 1 for colour in wanted]
    others = [i for i, colour in enumerate(named, 1) if colour != ColorInterp.alpha]
    has_three = len(others) >= 3 and named[others[0] - 1] != ColorInterp.palette
    return others[:3] if has_three else others[:1]


def bands_of(raster: Any, numbers: list[int] | None = None) -> Bands:
    """Return how the values of some bands, else of the raster's own three, become colours.

    Raises
    ------
    SourceError
        If they are no numbers of one type, or a colour table is missing or used beside others.
    """
    from rasterio.enums import ColorInterp

    numbers = numbers or _own_bands(raster)
    types = {raster.dtypes[number - 1] for number in numbers}
    dtype = np.dtype(types.pop())
    if types or dtype.kind not in "uif":
        names = ", ".join(raster.dtypes[number - 1] for number in numbers)
        msg = f"bands {numbers} of {raster.name} are {names}; want real numbers of one type"
        raise SourceError(msg)
    structure = raster.tags(ns="IMAGE_STRUCTURE")
    block = raster.block_shapes[numbers[0] - 1]
    together = raster.count if structure.get("INTERLEAVE") == "PIXEL" else 1
    if block[0] * block[1] * dtype.itemsize * together > _MOST_BLOCK_BYTES:
        msg = (
            f"{raster.name} is stored in blocks of {block[1]:,} x {block[0]:,} pixels. "
            "Cut it smaller: gdal_translate -co TILED=YES in.tif out.tif"
        )
        raise SourceError(msg)
    bits = int(raster.tags(numbers[0], ns="IMAGE_STRUCTURE").get("NBITS", 8 * dtype.itemsize))
    full = full_range(dtype, bits)
    palettes = {raster.colorinterp[number - 1] == ColorInterp.palette for number in numbers}
    if True in palettes:
        if len(set(numbers)) > 1 or dtype.kind == "f":
            msg = (
                f"bands {numbers} of {raster.name} hold numbers of colours, of which one band is "
                "a picture. Example: --imagery-bands 1"
            )
            raise SourceError(msg)
        return Bands(numbers[:1], dtype, full, _colour_table(raster, numbers[0]))
    is_inverted = structure.get("MINISWHITE") == "YES"
    if dtype == _UINT8 and bits < 8:
        grey = np.linspace(0, 255, 1 << bits).round().astype(np.uint8)
        grey = grey[::-1] if is_inverted else grey
        table = np.column_stack([grey, grey, grey, np.full_like(grey, 255)])
        if len(set(numbers)) == 1:
            return Bands(numbers[:1], dtype, full, table)
        msg = f"bands {numbers} of {raster.name} have {bits} bits each; want 8 or more"
        raise SourceError(msg)
    return Bands(numbers, dtype, full, None, is_inverted)


def _colour_table(raster: Any, number: int) -> NDArray[np.uint8]:
    """Return the colours of a band by value, shape ``(n, 4)``; a value without one is clear."""
    try:
        colours = raster.colormap(number)
    except ValueError as error:
        msg = f"band {number} of {raster.name} should have a table of colours, and has none"
        raise SourceError(msg) from error
    # one more: what lies beyond the table is read as its last
    table = np.zeros((max(colours) + 2, 4), np.uint8)
    table[list(colours)] = list(colours.values())
    return table


def _read(raster: Any, bands: Bands, window: _Window) -> _Pixels:
    """Read a window of a raster."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    if bands.table is not None:
        return _read_table(raster, bands.numbers[0], bands.table, window)
    shape = (-(-window.height // window.step), -(-window.width // window.step))
    part = Window(window.column, window.row, window.width, window.height)
    # averaging single pixels is slower and changes nothing
    how = Resampling.nearest if window.step == 1 else Resampling.average
    out_shape = (len(bands.numbers), *shape)
    values = raster.read(bands.numbers, window=part, out_shape=out_shape, resampling=how)
    is_valid = _valid(raster, bands.numbers, part, shape)
    if values.dtype.kind == "f":
        is_valid &= np.isfinite(values).all(axis=0)
    if bands.is_inverted:
        values = (bands.full.high - values).astype(values.dtype)
    return _Pixels(values, is_valid, window.width / shape[1], window.height / shape[0])


def _read_table(raster: Any, number: int, table: NDArray[np.uint8], window: _Window) -> _Pixels:
    """Read a window of numbers of colours: they become colours, and these are averaged."""
    from rasterio.windows import Window

    # of a pixel that many are averaged to, so many rows and columns are enough
    apart = max(1, window.step // _TABLE_SAMPLES)
    step = window.step // apart
    high, wide = -(-window.height // apart), -(-window.width // apart)
    across = np.arange(0, wide, step)
    strips = []
    rows_at_once = max(1, _TABLE_STRIP_PX // wide // step) * step
    for top in range(0, high, rows_at_once):
        rows = min(rows_at_once, high - top)
        first = window.row + top * apart
        height = min(rows * apart, window.row + window.height - first)
        part = Window(window.column, first, window.width, height)
        values = raster.read(number, window=part, out_shape=(rows, wide))
        values = np.where(values < 0, len(table), values) if values.dtype.kind == "i" else values
        rgba = table.take(values, axis=0, mode="clip")
        is_valid = _valid(raster, [number], part, (rows, wide)) & (rgba[..., 3] >= _OPAQUE)
        rgba[..., 3] = 1
        weighted = rgba.astype(np.float32) * is_valid[..., None]
        sums = np.add.reduceat(weighted, across, axis=1)
        strips.append(np.add.reduceat(sums, np.arange(0, rows, step), axis=0))
    total = np.concatenate(strips)
    share = total[..., 3]
    rgb = np.rint(total[..., :3] / np.maximum(share, 1)[..., None]).astype(np.uint8)
    of = np.outer(*(np.minimum(size - np.arange(0, size, step), step) for size in (high, wide)))
    return _Pixels(rgb.transpose(2, 0, 1), 2 * share >= of, step * apart, step * apart)


def _valid(raster: Any, numbers: list[int], part: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels have data: nodata is where all bands are, and alpha is half or more."""
    from rasterio.enums import ColorInterp, MaskFlags

    flags = raster.mask_flag_enums
    if all(flags[number - 1] == [MaskFlags.all_valid] for number in numbers):
        # neither nodata nor a mask nor alpha: there is nothing to read
        return np.ones(shape, np.bool_)

    def masks(of: list[int]) -> Any:
        return raster.read_masks(of, window=part, out_shape=(len(of), *shape)) >= _OPAQUE

    is_valid: NDArray[np.bool_]
    if not any(MaskFlags.nodata in flags[number - 1] for number in numbers):
        is_valid = masks(numbers).all(axis=0)
        return is_valid
    is_valid = masks(numbers).any(axis=0)
    named = list(raster.colorinterp)
    others = [
        number
        for number, colour in enumerate(named, 1)
        if number not in numbers and colour != ColorInterp.alpha
    ]
    if others and not is_valid.all():
        is_valid |= masks(others).any(axis=0)
    if ColorInterp.alpha in named:
        # GDAL's own mask forgets alpha where there is nodata too
        alpha = raster.read(named.index(ColorInterp.alpha) + 1, window=part, out_shape=shape)
        is_valid &= alpha >= full_range(alpha.dtype).high / 2
    return is_valid


def _sample_windows(raster: Any, bands: Bands) -> list[_Window]:
    """Return the windows that a stretch is taken from: the whole, or many spread over it."""
    coarsest = max(raster.overviews(bands.numbers[0]), default=1)
    step = max(1, -(-max(raster.width, raster.height) // _SAMPLE_PX))
    if raster.width * raster.height <= _MOST_WHOLE_PX * min(coarsest, step) ** 2:
        return [_Window(0, 0, raster.width, raster.height, step)]
    size = _SAMPLE_PX // _SAMPLE_WINDOWS
    wide, high = min(size, raster.width), min(size, raster.height)
    return [
        _Window(int(column), int(row), wide, high, 1)
        for row in np.linspace(0, raster.height - high, _SAMPLE_WINDOWS)
        for column in np.linspace(0, raster.width - wide, _SAMPLE_WINDOWS)
    ]


def _part_transform(whole: Any, window: _Window, wide: float, high: float) -> Any:
    """Return the transform of a part whose pixels are `wide` by `high` of the whole's."""
    from affine import Affine

    c = whole.a * window.column + whole.b * window.row + whole.c
    f = whole.d * window.column + whole.e * window.row + whole.f
    return Affine(whole.a * wide, whole.b * high, c, whole.d * wide, whole.e * high, f)


def _windows(raster: Any, frame: ChipFrame) -> Iterator[tuple[_Window, Any]]:
    """Yield the parts of a raster under a chip, with the transform of the whole raster.

    Longitudes, and the eastings of cylindrical projections, come back after a turn. A raster may
    lie a turn away from where PROJ puts the chip, and a chip on the antimeridian may lie on both
    ends of one.
    """
    from affine import Affine

    x, y = projected(frame.crs, raster.crs, *frame.outline_m().T)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return
    turn = _turn_of(raster.crs)
    turns = range(1)
    if turn:
        # PROJ's own turn is number 0; who only touches its end is in no other
        first, last = ((end + off * turn) / turn for end, off in
                       ((raster.bounds.left, 1e-9), (raster.bounds.right, -1e-9)))  # fmt: skip
        turns = range(max(round(first), -2), min(round(last), 2) + 1)
    for number in turns:
        whole = raster.transform
        if number:
            whole = Affine(whole.a, whole.b, whole.c - number * turn, whole.d, whole.e, whole.f)
        back = ~whole
        columns, rows = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
        for window in _windows_about(columns, rows, frame.size_px, (raster.width, raster.height)):
            yield window, whole


def _windows_about(
    columns: NDArray[np.float64], rows: NDArray[np.float64], size_px: int, shape: tuple[int, int]
) -> Iterator[_Window]:
    """Yield the window about a chip's outline in a raster; two where the outline jumps a turn."""
    gaps = np.hypot(np.diff(columns, append=columns[0]), np.diff(rows, append=rows[0]))
    jumps = gaps > 10 * np.median(gaps)
    if jumps.any() and jumps.sum() % 2 == 0:
        side = np.cumsum(jumps) - jumps
        groups = [(columns[side % 2 == i], rows[side % 2 == i]) for i in (0, 1)]
        top, right, bottom, left = gaps.reshape(4, -1)
        pixels = np.median([*top, *bottom]) * np.median([*left, *right]) * (len(gaps) / 4) ** 2
        reach = float(np.median(gaps))
    else:
        groups, reach = [(columns, rows)], 0.0
        # by area: the bounding box of a turned chip is larger than the chip
        pixels = abs(np.dot(columns, np.roll(rows, 1)) - np.dot(rows, np.roll(columns, 1))) / 2
    # twice as fine as the chip, or the averages' own grid would show in it
    step = max(1, int(min(np.sqrt(pixels) / size_px / 2 + 1e-6, max(shape))))
    margin = _MARGIN_PX * step + reach
    for some_columns, some_rows in groups:
        first = np.floor([some_columns.min() - margin, some_rows.min() - margin])
        last = np.ceil([some_columns.max() + margin, some_rows.max() + margin])
        left, top = first.clip(0, shape).astype(int).tolist()
        right, bottom = last.clip(0, shape).astype(int).tolist()
        if left < right and top < bottom:
            yield _Window(left, top, right - left, bottom - top, step)


@cache
def _turn_of(crs: Any) -> float:
    """Return the units of x after which a reference system is at the same place; 0 for none."""
    if crs.is_geographic:
        return float(2 * np.pi / crs.units_factor[1])
    steps = []
    for lat in (0.0, 45.0):
        x, y = projected("EPSG:4326", crs, np.arange(-180, 180, 45.0) + 1, np.full(8, lat))
        if not np.isfinite([x, y]).all() or np.ptp(y) > 1:
            return 0.0
        steps.append(np.diff(x))
    typical = float(np.median(steps))
    # one of the steps may cross the end of the projection
    is_even = np.abs(np.array(steps) - typical) < 1e-6 * abs(typical)
    return 8 * typical if typical > 0 and (is_even.sum(axis=1) >= 6).all() else 0.0


class Extent(NamedTuple):
    """A raster's middle, degrees, its shorter side and the width of its pixels, metres."""

    lon: float
    lat: float
    wide_m: float
    pixel_m: float


def extent_of(path: Path) -> Extent | None:
    """Return where a raster lies; None if it does not say, or GDAL cannot open it."""
    require("rasterio")
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as raster:
            if raster.crs is None:
                return None
            x, y = raster.xy(raster.height / 2, raster.width / 2, offset="ul")
            lon, lat = projected(raster.crs, "EPSG:4326", [x], [y])[:, 0].tolist()
            ends = [raster.xy(raster.height / 2, 0, offset="ul")]
            ends += [raster.xy(0, raster.width / 2, offset="ul")]
            here = ChipFrame(lon, lat, 1.0, 1.0)
            sides = 2 * np.hypot(*projected(raster.crs, here.crs, *zip(*ends, strict=True)))
            pixels = sides / [raster.width, raster.height]
    except (RasterioError, ValueError, ArithmeticError):
        # what GDAL cannot open may still be an image: its decoder says what is wrong
        return None
    found = Extent(lon, lat, float(sides.min()), float(pixels.max()))
    return found if np.isfinite(found).all() else None
