"""What box holds each geometry? The `bbox` column of GeoParquet, and the box of a whole file.

Degrees, longitude first. What crosses the antimeridian has ``xmin > xmax``, as RFC 7946 (section
5.2) has it and GeoParquet allows; the ground round a pole does not cross it.
"""

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoindex.antimeridian import crossing, unwrapped

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
