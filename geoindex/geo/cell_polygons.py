"""The outlines of cells, as polygons in plain longitude and latitude.

A cell's sides are arcs of great circles. Drawn as straight lines in degrees they are off
by millimetres at resolution 9, but by kilometres for coarse cells or close to a pole:
there the sides get more corners, so that none is off by more than a thousandth of itself.
A cell across the antimeridian becomes two polygons, one that holds a pole reaches up to
latitude ±90.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geoindex.geo.h3 import corners

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# a side of w km at latitude φ bulges by w² tan φ / 8R; a thousandth of w at w tan φ = 51 km
_STRAIGHT_RAD = 0.008
_MAX_PARTS = 128


def boundaries(cells: ArrayLike) -> NDArray[np.object_]:
    """Return the outline of each cell: a valid polygon, or two at the antimeridian.

    Parameters
    ----------
    cells
        Shape ``(n,)``; about 5 µs each.

    Returns
    -------
    polygons
        Shapely geometries, degrees, longitude first, all within -180 to 180. Shape ``(n,)``.
    """
    import shapely

    offsets, lon_lat = corners(cells)
    n = offsets.size - 1
    if n == 0:
        return np.empty(0, object)
    of_cell = np.repeat(np.arange(n), np.diff(offsets))
    polygons: NDArray[np.object_] = shapely.polygons(shapely.linearrings(lon_lat, indices=of_cell))
    is_hard = _is_hard(offsets, lon_lat)
    for row in np.flatnonzero(is_hard).tolist():
        polygons[row] = _split(_with_more_corners(lon_lat[offsets[row] : offsets[row + 1]]))
    return polygons


def _is_hard(offsets: NDArray[np.int64], lon_lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which cells cross the antimeridian, hold a pole or have sides that bulge."""
    lon, lat = lon_lat[:, 0], lon_lat[:, 1]
    first = offsets[:-1]
    width = np.maximum.reduceat(lon, first) - np.minimum.reduceat(lon, first)
    south, north = np.minimum.reduceat(lat, first), np.maximum.reduceat(lat, first)
    steepest = np.minimum(np.maximum(np.abs(south), np.abs(north)), 89.999)
    # a hexagon is twice as wide as its side is long
    side = np.radians(np.maximum(north - south, width * np.cos(np.radians(steepest)))) / 2
    bulges: NDArray[np.bool_] = side * np.tan(np.radians(steepest)) > _STRAIGHT_RAD
    return bulges | (width > 180)


def _with_more_corners(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide each side, along its great circle, until the parts are nearly straight."""
    lon, lat = np.radians(ring[:, 0]), np.radians(ring[:, 1])
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
    pieces = []
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        width = float(np.linalg.norm(end - start))
        # close to the pole the tangent grows beyond all bounds
        highest = min(max(abs(start[2]), abs(end[2])), 0.9999999)
        bulge = width * highest / np.sqrt(1 - highest**2)
        parts = int(np.clip(np.ceil(bulge / _STRAIGHT_RAD), 1, _MAX_PARTS))
        share = np.arange(parts)[:, None] / parts
        pieces.append(start * (1 - share) + end * share)
    dense = np.concatenate(pieces)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    lon_lat: NDArray[np.float64] = np.stack(
        [np.arctan2(dense[:, 1], dense[:, 0]), np.arcsin(dense[:, 2])], -1
    )
    return np.rad2deg(lon_lat)


def _split(ring: NDArray[np.float64]) -> object:
    """Cut a ring at the antimeridian, and close one that runs round a pole."""
    import shapely

    steps = (np.diff(ring[:, 0], append=ring[:1, 0]) + 180) % 360 - 180
    lon = ring[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
    lat = np.append(ring[:, 1], ring[0, 1])
    if abs(lon[-1] - lon[0]) > 180:
        pole = 90.0 if lat.mean() > 0 else -90.0
        lon = np.concatenate([lon, [lon[-1], lon[0]]])
        lat = np.concatenate([lat, [pole, pole]])
    unrolled = shapely.make_valid(shapely.polygons(np.stack([lon, lat], -1)))
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        world = shapely.box(-180.0 + turn, -90.0, 180.0 + turn, 90.0)
        # the cut may leave lines and points where the outline only meets the antimeridian
        cut = shapely.get_parts(shapely.intersection(unrolled, world))
        cut = cut[shapely.area(cut) > 0]
        parts.extend(shapely.transform(cut, lambda xy, turn=turn: xy - [turn, 0.0]))
    return shapely.union_all(parts)
