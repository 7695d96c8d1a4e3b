"""Pictures cut from a raster, and the rows and cells that they show."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform
from rasterio.windows import from_bounds

from geoindex.api import Index
from geoindex.geo.h3 import centres
from geoindex.imagery import ChipFrame, open_imagery
from geoindex.imagery.patch_store import Images
from tests.support.imagery_files import CENTRE, GSD_M, write_raster

Row = dict[str, Any]


def cut(ground: Path, cell: int, to: Path, *, side_m: float = 60.0, shift_m: float = 0.0) -> Path:
    """Cut the ground about a cell's centre, or east of it, from the raster, with its place."""
    (lon,), (lat,) = centres([cell])
    with rasterio.open(ground) as raster:
        (x,), (y,) = transform("EPSG:4326", raster.crs, [lon], [lat])
        half, x = side_m / 2, x + shift_m
        window = from_bounds(x - half, y - half, x + half, y + half, raster.transform)
        window = window.round_offsets().round_lengths()
        bands = raster.read(window=window)
        return write_raster(to, bands, raster.crs.to_string(), raster.window_transform(window))


def chip_of(
    ground: Path, lon: float, lat: float, to: Path, *, side_m: float = 64.0, gsd_m: float = GSD_M
) -> Path:
    frame = ChipFrame(lon, lat, round(side_m / gsd_m) * gsd_m, gsd_m)
    bands = open_imagery(ground).chip(frame).rgb.transpose(2, 0, 1)
    return write_raster(to, bands, frame.crs, frame.transform)


def whole_cells(index: Index) -> list[int]:
    counts = np.diff(Images(index).offsets)
    rows = np.flatnonzero(counts >= np.percentile(counts[counts > 0], 60))
    return [int(index.cells.column("cell")[row]) for row in rows]


def inner_cells(index: Index) -> list[int]:
    """Return the cells about the raster's middle: cuts of them end nowhere near its border."""
    cells = whole_cells(index)
    lon, lat = centres(cells)
    near = (abs(lon - CENTRE[0]) < 7e-4) & (abs(lat - CENTRE[1]) < 7e-4)
    return [cell for cell, is_near in zip(cells, near, strict=True) if is_near]


def rows_of(index: Index) -> list[Row]:
    return [dict(row, tags=dict(row["tags"])) for row in index.entities.table.to_pylist()]


def metres(row: Row, lon: Any, lat: Any) -> NDArray[np.float64]:
    """Return places in metres about an entity's point, by PROJ."""
    return np.column_stack(plane_about(row["lon"], row["lat"]).transform(lon, lat))


@cache
def plane_about(lon: float, lat: float) -> pyproj.Transformer:
    crs = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m"
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
