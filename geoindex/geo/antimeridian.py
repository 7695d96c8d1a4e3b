"""Geometries across the antimeridian: find them, unwrap them, cut them in two, bound them.

Degrees, longitude first, -180 to 180. A ring that runs from 179 on to -179 crosses: it is narrower
once its western longitudes are moved east by a full turn (RFC 7946, section 3.1.9, cuts such in
two). What is drawn round a pole or round the whole Earth does not cross, though some of its
sides run from -180 to 180: moved east it would shrink to a line, or it has a side along the pole.

The bbox of what crosses has ``xmin > xmax``, as RFC 7946 (section 5.2) has it and GeoParquet
allows.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BBOX = "bbox"
SIDES = ("xmin", "ymin", "xmax", "ymax")
_HALF_TURN, _FULL_TURN = 180.0, 360.0
_POLYGON = 3  # GEOS numbers the kinds; above 3 are collections


def crossing(geometries: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the rows that cross the antimeridian, ascending."""
    rows = np.flatnonzero(_widths(geometries) > _HALF_TURN)
    if rows.size:
        rows = rows[_widths(unwrapped(geometries[rows])) <= _HALF_TURN]
    parts, owner = singles(geometries[rows])
    is_wide = _widths(parts) > _HALF_TURN
    is_around = np.array([_goes_around(part) for part in parts[is_wide]], np.bool_)
    return np.delete(rows, np.unique(owner[is_wide][is_around]))


def unwrapped(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries with western longitudes moved a full turn east: 0 to 360."""
    import shapely

    moved: NDArray[np.object_] = shapely.transform(
        geometries, lambda points: points + np.where(points[:, :1] < 0, [[_FULL_TURN, 0.0]], 0.0)
    )
    return moved


def wrapped(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries with longitudes beyond 180 moved a full turn west."""
    import shapely

    moved: NDArray[np.object_] = shapely.transform(
        geometries,
        lambda points: points - np.where(points[:, :1] > _HALF_TURN, [[_FULL_TURN, 0.0]], 0.0),
    )
    return moved


def in_one_piece(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries, those that cross unwrapped: they run beyond 180."""
    rows = crossing(geometries)
    if not rows.size:
        return geometries
    whole = geometries.copy()
    whole[rows] = unwrapped(geometries[rows])
    return whole


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

    whole = in_one_piece(geometries).copy()
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

    rows = crossing(geometries)
    if not rows.size:
        return geometries
    found = geometries.copy()
    for row in rows.tolist():
        whole = unwrapped(geometries[row : row + 1])[0]
        if not shapely.is_valid(whole):
            whole = shapely.make_valid(whole, method="structure", keep_collapsed=True)
        east = shapely.intersection(whole, shapely.box(0, -90, _HALF_TURN, 90))
        west = shapely.intersection(whole, shapely.box(_HALF_TURN, -90, _FULL_TURN, 90))
        sides = [east, _moved(west, -_FULL_TURN)]
        # a side that the geometry only touches gives a line or a point
        solid = [side for side in sides if _dimension(side) == _dimension(whole)]
        found[row] = shapely.union_all(solid)
    return found


def valid_areas(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return polygons and multipolygons made valid, those that cross cut in two.

    Validity is of a polygon in one piece: as it is written, its sides over the antimeridian run
    round the Earth, and cross all that lies there.
    """
    import shapely

    whole = in_one_piece(geometries)
    rows = np.flatnonzero(~shapely.is_valid(whole))
    found = geometries.copy()
    found[rows] = wrapped(shapely.make_valid(whole[rows], method="structure", keep_collapsed=False))
    return cut(found)


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
        found[rows] = shapely.bounds(unwrapped(geometries[rows]))
        found[rows, 2] -= _FULL_TURN
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


def _widths(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return how many degrees of longitude each spans; NaN where there is nothing."""
    import shapely

    bounds = shapely.bounds(geometries)
    width: NDArray[np.float64] = bounds[:, 2] - bounds[:, 0]
    return width


def singles(geometries: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Return points, lines and polygons, and whose they are; a collection may hold collections."""
    import shapely

    single, owner = shapely.get_parts(geometries, return_index=True)
    while (shapely.get_type_id(single) > _POLYGON).any():
        single, of_part = shapely.get_parts(single, return_index=True)
        owner = owner[of_part]
    return single, owner


def _goes_around(part: object) -> bool:
    """Tell whether a wide line or polygon goes round the Earth or a pole, as it is drawn."""
    import shapely

    lon, lat = shapely.get_coordinates(part).T
    along_pole = (np.abs(np.diff(lon)) == _FULL_TURN) & (np.abs(lat[1:]) == 90)
    if along_pole.any():
        return True
    moved = unwrapped(np.array([part], object))
    if shapely.get_type_id(part) < _POLYGON:
        return not _widths(moved)[0] > 0
    # what crosses itself may have an area all the same
    return not shapely.area(moved)[0] and not shapely.area(shapely.make_valid(moved))[0]


def _dimension(geometry: object) -> int:
    import shapely

    return -1 if shapely.is_empty(geometry) else int(shapely.get_dimensions(geometry))


def _moved(geometry: object, degrees: float) -> object:
    import shapely

    return shapely.transform(geometry, lambda points: points + np.array([[degrees, 0.0]]))
