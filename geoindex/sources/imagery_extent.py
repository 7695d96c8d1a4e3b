"""Where does a raster lie, and how wide are its pixels? Told without reading one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoindex.sources.imagery import ChipFrame, need


class Extent(NamedTuple):
    """A raster's middle, degrees, its shorter side and the width of its pixels, metres."""

    lon: float
    lat: float
    wide_m: float
    pixel_m: float


def extent_of(path: Path) -> Extent | None:
    """Return where a raster lies; None of no place."""
    need("rasterio")
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
