"""How far a cell and all its descendants can reach, as boxes of longitude and latitude.

A finer cell sticks out over the border of its parent, so a search that descends from
coarse to fine cells must not judge a parent by its own outline. It judges by a cap: the
circle round the parent's centre that holds the outlines of all descendants, and by the
box round that circle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geoindex.cells import centres

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Radius of the cap at resolution 0, radians; each resolution is √7 smaller. Measured over
#: all cells of resolutions 0 and 1 and samples of 2 to 12, three resolutions down: at most
#: 0.2281. Deeper descendants add less than 1 %; 5 % of room.
_REACH_RAD = 0.24
#: No corner lies nearer to its cell's centre: 0.1235 at pentagons' neighbours, measured so.
_NEAREST_CORNER_RAD = 0.12


class Boxes(NamedTuple):
    """Boxes of longitude and latitude, degrees, each of shape ``(n,)``.

    `half_width` is 180 where all longitudes belong to it; `lon` is the middle, so
    ``lon ± half_width`` may lie outside -180 to 180.
    """

    lon: NDArray[np.float64]
    half_width: NDArray[np.float64]
    south: NDArray[np.float64]
    north: NDArray[np.float64]


def reach_rad(resolution: int) -> float:
    """Return the radius of the cap that holds a cell of `resolution` and its descendants."""
    return float(_REACH_RAD * 7 ** (-resolution / 2))


def nearest_corner_rad(resolution: int) -> float:
    """Return a distance that no corner of a cell is nearer to its centre, radians."""
    return float(_NEAREST_CORNER_RAD * 7 ** (-resolution / 2))


def cap_boxes(cells: NDArray[np.uint64], resolution: int) -> Boxes:
    """Return the boxes round the caps of cells, all of one resolution."""
    lon, lat = centres(cells)
    return circle_boxes(lon, lat, np.full(lon.shape, reach_rad(resolution)))


def circle_boxes(
    lon: NDArray[np.float64], lat: NDArray[np.float64], radius_rad: NDArray[np.float64]
) -> Boxes:
    """Return the boxes round circles on the sphere; a circle about a pole has all longitudes."""
    phi = np.radians(lat)
    holds_pole = np.abs(phi) + radius_rad >= np.pi / 2 - 1e-9
    # the meridian that touches the circle, not the one through its easternmost degree
    sine = np.sin(np.minimum(radius_rad, np.pi / 2)) / np.maximum(np.cos(phi), 1e-12)
    half_width = np.where(holds_pole, 180.0, np.degrees(np.arcsin(np.minimum(sine, 1.0))))
    # protect against floating point errors at the finest cells
    room = np.degrees(radius_rad) * 1e-6 + 1e-12
    south = np.maximum(lat - np.degrees(radius_rad) - room, -90.0)
    north = np.minimum(lat + np.degrees(radius_rad) + room, 90.0)
    return Boxes(lon, np.minimum(half_width * (1 + 1e-6) + 1e-12, 180.0), south, north)


def shapes_of(boxes: Boxes) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.object_]]:
    """Return the boxes as polygons within -180 to 180.

    Returns
    -------
    shapes, rows, others
        One polygon a box; and for the boxes `rows` that cross the antimeridian, the part
        on the other side.
    """
    import shapely

    west, east = boxes.lon - boxes.half_width, boxes.lon + boxes.half_width
    shapes: NDArray[np.object_] = shapely.box(
        np.maximum(west, -180.0), boxes.south, np.minimum(east, 180.0), boxes.north
    )
    over_west, over_east = west < -180, east > 180
    rows = np.flatnonzero(over_west | over_east)
    others: NDArray[np.object_] = shapely.box(
        np.where(over_west, west + 360.0, -180.0)[rows],
        boxes.south[rows],
        np.where(over_west, 180.0, east - 360.0)[rows],
        boxes.north[rows],
    )
    return shapes, rows, others


def touch_boxes(geometries: NDArray[np.object_], boxes: Boxes) -> NDArray[np.bool_]:
    """Say, pair by pair, which prepared geometry touches which box; all of shape ``(n,)``."""
    import shapely

    shapes, rows, others = shapes_of(boxes)
    touch: NDArray[np.bool_] = shapely.intersects(geometries, shapes)
    if rows.size:
        touch[rows] |= shapely.intersects(geometries[rows], others)
    return touch
