"""Which patches of a chip are in the cell? Those whose centre is: each belongs to one cell."""

import numpy as np
from numpy.typing import NDArray

from geoindex.cells import cells_at, resolution_of
from geoindex.sources.imagery import ChipFrame


def in_cell(centres_m: NDArray[np.float32], frame: ChipFrame, cell: int) -> NDArray[np.bool_]:
    """Say which patches of a chip have their centre in a cell, shape ``(p,)``."""
    from rasterio.warp import transform

    east, north = centres_m.astype(np.float64).T
    lon, lat = transform(frame.crs, "EPSG:4326", east, north)
    resolution = int(resolution_of([cell])[0])
    found: NDArray[np.bool_] = cells_at(lon, lat, resolution=resolution) == np.uint64(cell)
    return found
