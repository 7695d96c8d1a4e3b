"""What becomes of geometries that cross the antimeridian? Read as one piece, written as two.

Degrees, longitude first, -180 to 180. A ring that runs from 179 on to -179 crosses if it is
narrower once the western longitudes are moved east (RFC 7946, section 3.1.9, cuts such in two).

What box holds each geometry? The `bbox` column of GeoParquet, and the box of a whole file.

Degrees, longitude first. What crosses the antimeridian has ``xmin > xmax``, as RFC 7946 (section
5.2) has it and GeoParquet allows; the ground round a pole does not cross it.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_HALF_TURN, _FULL_TURN = 180.0, 360.0


def crossing(geometries: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the rows that cross: wider than half a turn, and narrower once unwrapped."""
    import shapely

    bounds = shapely.bounds(geometries)
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > _HALF_TURN)
    if not wide.size:
        return wide
    moved = shapely.bounds(unwrapped(geometries[wide]))
    width = moved[:, 2] - moved[:, 0]
    # a band round the Earth, all corners on the antimeridian, would shrink to a line
    return wide[(width > 0) & (width <= _HALF_TURN)]


def unwrapped(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries with western longitudes moved a full turn east: 0 to 360."""
    import shapely

    moved: NDArray[np.object_] = shapely.transform(
        geometries, lambda points: points + np.where(points[:, :1] < 0, [[_FULL_TURN, 0.0]], 0.0)
    )
    return moved


def close_to(geometries: NDArray[np.object_], lon: float) -> NDArray[np.object_]:
    """Return the geometries in one piece, moved by full turns to where they are nearest to `lon`.

    Parameters
    ----------
    geometries
        Shape ``(n,)``.
    lon
        Degrees; a geometry that holds it on this side or the other stays where it holds it.
    """
    import shapely

    whole = geometries.copy()
    rows = crossing(geometries)
    whole[rows] = unwrapped(geometries[rows])
    bounds = shapely.bounds(whole)
    turns = np.array([0.0, -_FULL_TURN, _FULL_TURN])
    west, east = bounds[:, :1] + turns, bounds[:, 2:3] + turns
    away = np.maximum(np.maximum(west - lon, lon - east), 0)
    # argmin takes the first of equals: what is near where it lies is not moved
    turn = turns[np.argmin(away, axis=1)]
    for row in np.flatnonzero(turn).tolist():
        whole[row] = _moved(whole[row], turn[row])
    return whole


def cut(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries, those that cross cut in two as RFC 7946 wants."""
    import shapely

    found = geometries.copy()
    for row in crossing(geometries).tolist():
        whole = unwrapped(geometries[row : row + 1])[0]
        east = shapely.intersection(whole, shapely.box(0, -90, _HALF_TURN, 90))
        west = shapely.intersection(whole, shapely.box(_HALF_TURN, -90, _FULL_TURN, 90))
        sides = [east, _moved(west, -_FULL_TURN)]
        # a side that the geometry only touches gives a line or a point
        solid = [side for side in sides if _dimension(side) == _dimension(whole)]
        found[row] = shapely.union_all(solid)
    return found


def _dimension(geometry: object) -> int:
    import shapely

    return -1 if shapely.is_empty(geometry) else int(shapely.get_dimensions(geometry))


def _moved(geometry: object, degrees: float) -> object:
    import shapely

    return shapely.transform(geometry, lambda points: points + np.array([[degrees, 0.0]]))


BBOX = "bbox"
SIDES = ("xmin", "ymin", "xmax", "ymax")


def bbox_field(*, nullable: bool) -> pa.Field:
    """Return the field of the bbox column: degrees, null exactly where the geometry may be."""
    sides = [pa.field(side, pa.float64(), nullable=False) for side in SIDES]
    return pa.field(BBOX, pa.struct(sides), nullable=nullable)


def bboxes(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the bbox of each geometry, degrees.

    Returns
    -------
    bbox
        Shape ``(n, 4)``: xmin, ymin, xmax, ymax. NaN where there is no geometry.
    """
    import shapely

    found = np.array(shapely.bounds(geometries), np.float64).reshape(-1, 4)
    rows = crossing(geometries)
    if rows.size:
        moved = shapely.bounds(unwrapped(geometries[rows]))
        moved[:, 2] -= 360
        # a band round the Earth, all corners on the antimeridian, does not shrink to a line
        is_part = moved[:, 2] + 360 > moved[:, 0]
        found[rows[is_part]] = moved[is_part]
    return found


def bbox_column(boxes: NDArray[np.float64], *, is_null: pa.BooleanArray) -> pa.StructArray:
    """Return bboxes, shape ``(n, 4)``, as a column; null where there is no geometry."""
    fields = bbox_field(nullable=True).type
    sides = [pa.array(np.ascontiguousarray(side)) for side in boxes.T]
    return pa.StructArray.from_arrays(sides, fields=list(fields), mask=is_null)


class Extent:
    """The bbox of many bboxes, one after another.

    It is kept twice: as it is, and with western longitudes moved east by 360 degrees, which alone
    holds as long as bboxes cross the antimeridian and none crosses the prime meridian.
    """

    def __init__(self) -> None:
        self._plain = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._moved = self._plain.copy()
        self._crosses_antimeridian = False
        self._crosses_prime = False

    def add(self, boxes: NDArray[np.float64]) -> None:
        """Add bboxes, shape ``(n, 4)``; NaN counts as none."""
        boxes = boxes[~np.isnan(boxes).any(axis=1)]
        if not len(boxes):
            return
        moved = boxes.copy()
        moved[:, ::2] += np.where(boxes[:, ::2] < 0, 360.0, 0.0)
        self._crosses_antimeridian |= bool((boxes[:, 0] > boxes[:, 2]).any())
        self._crosses_prime |= bool((moved[:, 0] > moved[:, 2]).any())
        for kept, new in ((self._plain, boxes), (self._moved, moved)):
            np.minimum(kept[:2], new[:, :2].min(axis=0), out=kept[:2])
            np.maximum(kept[2:], new[:, 2:].max(axis=0), out=kept[2:])

    def bbox(self) -> list[float] | None:
        """Return the bbox of all; None of none."""
        west, south, east, north = self._plain.tolist()
        if south > north:
            return None
        if self._crosses_antimeridian:
            west, east = -180.0, 180.0
            if not self._crosses_prime:
                west, east = float(self._moved[0]), float(self._moved[2]) - 360
        return [west, south, east, north]
