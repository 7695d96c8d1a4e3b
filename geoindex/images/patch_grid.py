"""Which patches lie in a box? Sorted by rows of latitude: a box is a run of each row it meets.

Boxes of degrees are many and small, some patches each: two searches a row are several times sooner
than a tree of points, and nothing has to be built but one sort.
"""

import numpy as np
from numpy.typing import NDArray

from geoindex.membership import ranges

_FULL_TURN, _HALF_TURN = 360.0, 180.0
_TOP = 90.0
# the steps of a row; of longitude some centimetres
_COLUMNS = 1 << 31
_STEP = _FULL_TURN / _COLUMNS


class PatchGrid:
    """Points, by rows; those of a row lie side by side in memory.

    Parameters
    ----------
    lon_lat
        Degrees, shape ``(t, 2)``.
    row
        How high a row is, degrees.

    Attributes
    ----------
    order
        Which point stands where, shape ``(t,)``.
    lon, lat
        In that order.
    """

    def __init__(self, lon_lat: NDArray[np.float64], row: float) -> None:
        self._row = max(row, _STEP)
        keys = self._rows(lon_lat[:, 1]) * (2 * _COLUMNS) + _columns(lon_lat[:, 0])
        # of one key by number: the same order whatever else is there
        self.order = np.argsort(keys, kind="stable")
        self._keys = keys[self.order]
        self.lon, self.lat = lon_lat[self.order].T.copy()

    def in_boxes(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pairs of a box and the place of a point in it or near its border, by box.

        Parameters
        ----------
        low, high
            West and south, east and north of each, shape ``(n, 2)``. What runs over the
            antimeridian holds the points beyond it; no point is told twice.
        """
        box, west, east = _pieces(low[:, 0], high[:, 0])
        first, last = self._rows(low[box, 1]), self._rows(high[box, 1])
        counts = last - first + 1
        row, of = ranges(first, counts), np.repeat(np.arange(len(box)), counts)
        starts = np.searchsorted(self._keys, row * (2 * _COLUMNS) + _columns(west)[of])
        stops = np.searchsorted(self._keys, row * (2 * _COLUMNS) + _columns(east)[of], "right")
        sizes = np.maximum(stops - starts, 0)
        return np.repeat(box[of], sizes), ranges(starts, sizes)

    def _rows(self, lat: NDArray[np.float64]) -> NDArray[np.int64]:
        return ((lat.clip(-_TOP, _TOP) + _TOP) / self._row).astype(np.int64)


def _columns(lon: NDArray[np.float64]) -> NDArray[np.int64]:
    return ((lon.clip(-_HALF_TURN, _HALF_TURN) + _HALF_TURN) / _STEP).astype(np.int64)


def _pieces(
    west: NDArray[np.float64], east: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the pieces of boxes this side of the antimeridian: which box, west and east."""
    every = np.arange(len(west))
    if not len(west) or (west.min() >= -_HALF_TURN and east.max() <= _HALF_TURN):
        return every, west, east
    is_round = east - west >= _FULL_TURN - 2 * _STEP
    west, east = np.where(is_round, -_HALF_TURN, west), np.where(is_round, _HALF_TURN, east)
    over_west, over_east = np.flatnonzero(west < -_HALF_TURN), np.flatnonzero(east > _HALF_TURN)
    box = np.concatenate([every, over_west, over_east])
    order = np.argsort(box, kind="stable")
    beyond = np.full(len(over_east), -_HALF_TURN)
    west = np.concatenate([west, west[over_west] + _FULL_TURN, beyond])[order]
    ends = np.full(len(over_west), _HALF_TURN)
    east = np.concatenate([east, ends, east[over_east] - _FULL_TURN])[order]
    return box[order], west, east
