"""Rasters and tiles whose colour at every point of the ground is known: made here, by a formula."""

import io
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from geoindex.imagery.request import ImageryRequest

CENTRE = (36.9, -1.305)
GSD_M = 0.5
RESOLUTION = 11  # of the cells that have imagery
# a full turn of colour, degrees: about 300 m, so that neither a pixel nor a metre is lost
PERIOD_DEG = 0.003


def colours(lon: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.float64]:
    """Return red, green and blue, 20 to 220, shape ``(3, ...)``: waves east, north and across."""
    waves = [lon, lat, lon + lat]
    return np.stack([120 + 100 * np.sin(2 * np.pi * wave / PERIOD_DEG) for wave in waves])


def ground_truth(frame: Any) -> NDArray[np.float64]:
    """Return the colours of a chip, by geodesics from its centre: no projection of ours.

    Shape ``(size, size, 3)``.
    """
    size = frame.size_px
    along = (np.arange(size) + 0.5) * frame.gsd_m - frame.side_m / 2
    east, north = np.meshgrid(along, -along)
    azimuth, away_m = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
    start = np.full(east.shape, frame.lon), np.full(east.shape, frame.lat)
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(*start, azimuth, away_m)
    # where the formula does not know the antimeridian, longitudes run on
    lon = frame.lon + (lon - frame.lon + 180) % 360 - 180
    return colours(lon, lat).transpose(1, 2, 0)


def assert_shows_the_ground(chip: Any, frame: Any, *, most_off: float = 6.0) -> None:
    """A pixel of 2 m is at most 4 of 255 colours wide: 6 is a pixel and a half off."""
    truth = ground_truth(frame)
    off = np.abs(chip.rgb.astype(float) - truth)[chip.is_valid]
    assert off.size
    assert np.percentile(off, 99) < most_off, f"{np.percentile(off, 99):.1f} of 255 off"


def raster_colours(crs: str, transform: Any, width: int, height: int) -> NDArray[np.float64]:
    """Return the colours at the middles of a raster's pixels, shape ``(3, height, width)``."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = transform.a * column + transform.b * row + transform.c
    y = transform.d * column + transform.e * row + transform.f
    turn = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return colours(*turn.transform(x, y))


def transform_about(
    crs: str, gsd: float, width: int, height: int, *, turned_deg: float = 0.0
) -> Any:
    """Return the transform of a raster whose middle is `CENTRE`."""
    from affine import Affine

    turn = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = turn.transform(*CENTRE)
    return (
        Affine.translation(x, y)
        @ Affine.rotation(turned_deg)
        @ Affine.scale(gsd, -gsd)
        @ Affine.translation(-width / 2, -height / 2)
    )


def write_raster(
    path: Path, bands: NDArray[Any], crs: str | None, transform: Any, **more: Any
) -> Path:
    """Write a GeoTIFF of bands ``(b, h, w)``."""
    import rasterio

    mask = more.pop("mask", None)
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
    profile |= {"dtype": bands.dtype, "crs": crs, "transform": transform} | more
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as out:
        out.write(bands)
        if mask is not None:
            out.write_mask(mask)
    return path


def plain_raster(path: Path, crs: str = "EPSG:32737", gsd: float = 1.0, size: int = 600,
                 **more: Any) -> Path:  # fmt: skip
    """Write a GeoTIFF of the formula's colours about `CENTRE`."""
    transform = transform_about(crs, gsd, size, size, turned_deg=more.pop("turned_deg", 0.0))
    bands = np.rint(raster_colours(crs, transform, size, size)).astype(np.uint8)
    return write_raster(path, bands, crs, transform, **more)


def tile_image(z: int, x: int, y: int, *, form: str = "PNG", size: int = 256) -> bytes:
    """Encode the tile of the formula's colours."""
    from PIL import Image

    bands = np.rint(tile_colours(z, x, y, size)).astype(np.uint8)
    return encoded(Image.fromarray(bands.transpose(1, 2, 0)), form)


def encoded(image: Any, form: str = "PNG") -> bytes:
    """Encode an image without loss where the form can."""
    out = io.BytesIO()
    image.save(out, form, **({"lossless": True} if form == "WEBP" else {"quality": 98}))
    return out.getvalue()


def tile_colours(z: int, x: int, y: int, size: int) -> NDArray[np.float64]:
    """Return the colours at the middles of a tile's pixels, by mercator's own formula."""
    along = (np.arange(size) + 0.5) / size
    column, row = np.meshgrid((x + along) / 2**z, (y + along) / 2**z)
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * row))))
    return colours(column * 360 - 180, lat)


def tiles_about(lon: float, lat: float, zoom: int, reach: int = 2) -> list[tuple[int, int, int]]:
    """Return the tiles about a point: zoom, column, row."""
    x = int((lon + 180) / 360 * 2**zoom)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**zoom)
    near = range(-reach, reach + 1)
    return [(zoom, (x + i) % 2**zoom, y + j) for i in near for j in near]


def write_tiles(folder: Path, tiles: list[tuple[int, int, int]], form: str = "PNG") -> Path:
    """Write tiles as ``z/x/y.png``."""
    suffix = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[form]
    for z, x, y in tiles:
        path = folder / str(z) / str(x) / f"{y}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tile_image(z, x, y, form=form))
    return folder


def write_mbtiles(path: Path, tiles: list[tuple[int, int, int]], form: str = "png") -> Path:
    """Write an MBTiles file, by its specification."""
    with sqlite3.connect(path) as out:
        out.execute("CREATE TABLE metadata (name text, value text)")
        out.execute(
            "CREATE TABLE tiles (zoom_level int, tile_column int, tile_row int, tile_data blob)"
        )
        out.execute("INSERT INTO metadata VALUES ('format', ?)", (form,))
        rows = [(z, x, 2**z - 1 - y, tile_image(z, x, y)) for z, x, y in tiles]
        out.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    out.close()
    return path


def write_pmtiles(path: Path, tiles: list[tuple[int, int, int]]) -> Path:
    """Write a PMTiles archive by its authors' library."""
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import Writer

    with path.open("wb") as file:
        out = Writer(file)
        for tile_id, tile in sorted((zxy_to_tileid(*tile), tile) for tile in tiles):
            out.write_tile(tile_id, tile_image(*tile))
        zooms = [z for z, _, _ in tiles]
        header = {
            "tile_type": TileType.PNG, "tile_compression": Compression.NONE,
            "min_zoom": min(zooms), "max_zoom": max(zooms),
            "min_lon_e7": 0, "min_lat_e7": 0, "max_lon_e7": 0, "max_lat_e7": 0,
            "center_zoom": min(zooms), "center_lon_e7": 0, "center_lat_e7": 0,
        }  # fmt: skip
        out.finalize(header, {})
    return path


def chips_of(b: int, size: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Smooth ground with some noise, all of it known."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (b, size // 16, size // 16, 3))
    fine = coarse.repeat(16, axis=1).repeat(16, axis=2) + rng.integers(0, 50, (b, size, size, 3))
    return fine.astype(np.uint8), np.ones((b, size, size), np.bool_)


def noise_raster(path: Path, size: int) -> Path:
    """Write a GeoTIFF of noise about `CENTRE`, its pixels half a metre wide."""
    bands = np.random.default_rng(0).integers(1, 255, (3, size, size), dtype=np.uint8)
    transform = transform_about("EPSG:32737", GSD_M, size, size)
    return write_raster(path, bands, "EPSG:32737", transform)


def request_for(ground: Path) -> ImageryRequest:
    """Return the request for a raster of `GSD_M` and tokens that are fast to make."""
    return ImageryRequest(str(ground), gsd_m=GSD_M, tokens="statistics")
