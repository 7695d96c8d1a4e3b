"""What becomes of geometries that cross the antimeridian? Read as one piece, written as two.

Degrees, longitude first, -180 to 180. A ring that runs from 179 on to -179 crosses if it is
narrower once the western longitudes are moved east (RFC 7946, section 3.1.9, cuts such in two).
"""

import numpy as np
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
