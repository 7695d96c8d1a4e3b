"""Frame a chip about each cell, and read chips ahead in several threads.

Every chip of a build has one size, so that chips can be batched: a square about the cell's centre
that holds the widest of the cells, widened to whole patches. Chips are read by several threads a
few ahead of the consumer; memory holds no more than those few.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geoindex._threads import made_ahead
from geoindex.geo.earth import MEAN_RADIUS_M
from geoindex.geo.h3 import centres, corners
from geoindex.imagery.base import Chip, ChipFrame, Imagery, check_gsd

# without --gsd a chip is at most about so many pixels wide
MAX_PX = 512
DEFAULT_WORKERS = 4
# a geodesic is at most 0.56 % longer than the arc on the mean sphere
_ELLIPSOID = 1.0057

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ChipGrid:
    """The size of all chips of a build.

    Attributes
    ----------
    side_m
        Width and height, metres; whole patches.
    gsd_m
        Width of a pixel, metres.
    """

    side_m: float
    gsd_m: float

    def frame(self, lon: float, lat: float) -> ChipFrame:
        """Return the chip about a point."""
        return ChipFrame(float(lon), float(lat), self.side_m, self.gsd_m)

    def frames(self, cells: NDArray[np.uint64]) -> list[ChipFrame]:
        """Return the chip of each cell."""
        return [self.frame(lon, lat) for lon, lat in zip(*centres(cells), strict=True)]


def chip_grid(
    cells: NDArray[np.uint64], imagery: Imagery, *, patch_px: int, gsd_m: float | None = None
) -> ChipGrid:
    """Return the size of the chips of some cells.

    Parameters
    ----------
    cells
        All of a build, of one resolution, at least one.
    imagery
        Gives the ground sampling distance, if `gsd_m` is None.
    patch_px
        Width of a patch.
    gsd_m
        Metres a pixel. None: as fine as the source, but no chip over about `MAX_PX` pixels.
    """
    wide_m = widest_m(cells)
    if gsd_m is None:
        lon, lat = centres(cells[:1])
        native_m = imagery.gsd_at(float(lon[0]), float(lat[0]))
        # whole patches within MAX_PX pixels; two digits are enough for a setting
        least_m = wide_m / (MAX_PX // patch_px * patch_px)
        gsd_m = _two_digits_up(max(native_m, least_m))
    gsd_m = check_gsd(gsd_m)
    patch_m = patch_px * gsd_m
    return ChipGrid(ceil(wide_m / patch_m) * patch_m, gsd_m)


def widest_m(cells: NDArray[np.uint64]) -> float:
    """Return twice the distance from a cell's centre to its farthest corner, of the widest cell.

    Measured on a sphere, and widened by the most that the ellipsoid adds.
    """
    offsets, lon_lat = corners(cells)
    lon, lat = (np.repeat(part, np.diff(offsets)) for part in centres(cells))
    return 2 * _ELLIPSOID * float(_great_circle_m(lon, lat, lon_lat).max())


def _great_circle_m(
    lon: NDArray[np.float64], lat: NDArray[np.float64], lon_lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return great-circle distances, metres."""
    west, south, east, north = map(np.radians, (lon, lat, *lon_lat.T))
    half = np.sin((north - south) / 2) ** 2
    half += np.cos(south) * np.cos(north) * np.sin((east - west) / 2) ** 2
    return 2 * MEAN_RADIUS_M * np.arcsin(np.sqrt(half))


def _two_digits_up(value: float) -> float:
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{ceil(value / unit - 1e-9) * unit:.6g}")


def read_chips(
    imagery: Imagery, frames: Iterable[ChipFrame], *, workers: int = DEFAULT_WORKERS
) -> Generator[Chip, None, None]:
    """Yield the chip of each frame, in order, read ahead by several threads.

    Parameters
    ----------
    workers
        Threads; twice as many chips are in memory at most. More help with a slow disk or server.

    Raises
    ------
    SourceError
        As `Imagery.chip` does, for the first frame that fails.
    """
    return read_ahead(imagery.chip, frames, workers=workers)


def read_ahead(
    make: Callable[[T], R], items: Iterable[T], *, workers: int = DEFAULT_WORKERS
) -> Generator[R, None, None]:
    """Yield what is read, and made, for each item, in order; see `read_chips`."""
    threads = max(1, workers)
    return made_ahead(make, items, threads=threads, most_held=2 * threads, name="chips")
