"""Which cells an area needs: a few cells that together hold every point of it.

The promise: for each point of the area, and each resolution R at least that of the cover,
``parents(cells_at(lon, lat, resolution=R), r)`` is in the cover, r being its resolution.
So with rows sorted by cell, `geoindex.cells.cell_ranges` turns a cover into ranges that
miss no row; the rows between are then judged one by one by `geoindex.places`.

A cover descends from the 122 coarsest cells and drops those whose cap
(`geoindex.caps`) lies off the area: no trouble at poles, pentagons or the antimeridian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geoindex.caps import Boxes, cap_boxes, reach_rad, shapes_of
from geoindex.cells import base_cells, centres, check_resolution, children
from geoindex.places import EARTH_RADIUS_M, BBox, LonLat, haversine_m

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    #: Says which cells of one resolution may have a descendant in the area.
    Judge = Callable[[NDArray[np.uint64], int], NDArray[np.bool_]]

#: Past some 2,000 ranges, finer cells save less than finding their rows costs.
MAX_CELLS = 2000


def cover_bbox(
    bbox: BBox, *, resolution: int, max_cells: int = MAX_CELLS
) -> NDArray[np.uint64] | None:
    """Return cells that hold every point of a bbox.

    Parameters
    ----------
    bbox
        May cross the antimeridian.
    resolution
        The finest wanted, 0 to 15: that of the rows, or coarser.
    max_cells
        The cover is coarsened until it has no more than this.

    Returns
    -------
    cells
        Sorted, unique, of one resolution; None where no cell can be ruled out.

    Raises
    ------
    InvalidResolutionError
        If `resolution` is not one of H3's sixteen.
    """
    width = (bbox.east - bbox.west) % 360 if bbox.crosses_antimeridian else bbox.east - bbox.west
    middle = bbox.west + width / 2

    def judge(cells: NDArray[np.uint64], level: int) -> NDArray[np.bool_]:
        boxes = cap_boxes(cells, level)
        apart = np.abs((boxes.lon - middle + 180) % 360 - 180)
        # the room is for rounding of what was turned round the Earth
        is_near = apart <= boxes.half_width + width / 2 + 1e-9
        return is_near & (boxes.south <= bbox.north) & (boxes.north >= bbox.south)

    return _descend(judge, resolution, max_cells)


def cover_radius(
    centre: LonLat, radius_m: float, *, resolution: int, max_cells: int = MAX_CELLS
) -> NDArray[np.uint64] | None:
    """Return cells that hold every point at most `radius_m` of geodesic from `centre`.

    Otherwise as `cover_bbox`.
    """
    # the sphere is off by less than 0.6 %: see within_radius
    radius_rad = (radius_m * 1.01 + 1e-3) / EARTH_RADIUS_M

    def judge(cells: NDArray[np.uint64], level: int) -> NDArray[np.bool_]:
        away_rad = haversine_m(*centres(cells), centre) / EARTH_RADIUS_M
        is_near: NDArray[np.bool_] = away_rad <= radius_rad + reach_rad(level) + 1e-9
        return is_near

    return _descend(judge, resolution, max_cells)


def cover_polygon(
    geometry: object, *, resolution: int, max_cells: int = MAX_CELLS
) -> NDArray[np.uint64] | None:
    """Return cells that hold every point of a polygon or multipolygon, in degrees.

    Otherwise as `cover_bbox`.
    """
    import shapely

    shapely.prepare(geometry)

    def judge(cells: NDArray[np.uint64], level: int) -> NDArray[np.bool_]:
        return touch_boxes(np.full(cells.shape, geometry, object), cap_boxes(cells, level))

    return _descend(judge, resolution, max_cells)


def touch_boxes(geometries: NDArray[np.object_], boxes: Boxes) -> NDArray[np.bool_]:
    """Say, pair by pair, which prepared geometry touches which box; all of shape ``(n,)``."""
    import shapely

    shapes, rows, others = shapes_of(boxes)
    touch: NDArray[np.bool_] = shapely.intersects(geometries, shapes)
    if rows.size:
        touch[rows] |= shapely.intersects(geometries[rows], others)
    return touch


def _descend(judge: Judge, resolution: int, max_cells: int) -> NDArray[np.uint64] | None:
    resolution = check_resolution(resolution)
    found: NDArray[np.uint64] | None = None
    cells = base_cells()
    for level in range(resolution + 1):
        if level:
            cells = children(cells)
        kept = cells[judge(cells, level)]
        if kept.size > max_cells and found is not None:
            break
        # while every parent stays and every child too, nothing is ruled out
        is_everything = kept.size == cells.size and (level == 0 or found is None)
        found = None if is_everything else kept
        if kept.size > max_cells:
            break
        cells = kept
    return found
