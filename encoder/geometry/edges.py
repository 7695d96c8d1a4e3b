"""Take geometries apart into edges, in metres, each geometry in its own frame.

Geometries are shapely, EPSG:4326, longitude first. Each is laid out in a local frame of its own:
x east and y north in metres, origin at the centre of its bbox, equirectangular with the WGS 84
radii of curvature at the origin's latitude. Areas of buildings are good to parts in a million;
of a country a thousand kilometres wide, to a few per cent.

A bbox wider than 180° of longitude is read as one that crosses the antimeridian.
An edge here is a segment of a line or ring, or a point: a segment of no length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from encoder.earth import ECCENTRICITY2, EQUATORIAL_RADIUS_M

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FIRST_COLLECTION_TYPE = 4  # shapely.GeometryType: MULTIPOINT, and all above, hold parts
HALF_EARTH_DEG = 180.0
# about 2 MB for the widest arrays of the Fourier sums: they stay in the cache
COORDINATES_A_CHUNK = 16_384
POINT, LINE, POLYGON = 0, 1, 2


@dataclass(frozen=True)
class LocalFrames:
    """Where each of n geometries has its origin, and what a degree is worth there.

    Attributes
    ----------
    origin_deg
        Longitude and latitude, shape ``(n, 2)``; longitudes of crossers lie in 0 to 360.
    m_per_deg
        Metres east and north, shape ``(n, 2)``.
    """

    origin_deg: NDArray[np.float64]
    m_per_deg: NDArray[np.float64]

    def to_metres(
        self, lon_lat: NDArray[np.float64], owner: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return x east, y north of coordinates ``(c, 2)`` that belong to `owner` ``(c,)``."""
        metres: NDArray[np.float64] = (lon_lat - self.origin_deg[owner]) * self.m_per_deg[owner]
        return metres

    def to_degrees(self, xy_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return longitude in [-180, 180) and latitude of one place a geometry, ``(n, 2)``."""
        # at a pole a degree of longitude is worth nothing: keep the origin's longitude
        lon_lat = self.origin_deg + xy_m / np.maximum(self.m_per_deg, 1.0)
        lon_lat[:, 0] = (lon_lat[:, 0] + 180.0) % 360.0 - 180.0
        lon_lat[:, 1] = lon_lat[:, 1].clip(-90.0, 90.0)
        return lon_lat


@dataclass(frozen=True)
class Edges:
    """The e edges of n geometries, those of one geometry side by side.

    Attributes
    ----------
    start, end
        Metres in the owner's frame, shape ``(e, 2)``; equal for a point.
    owner, first
        The edge's geometry ``(e,)``; each geometry's first edge ``(n,)``.
    dimension
        0 point, 1 line, 2 ring of a polygon, shape ``(e,)``.
    sign
        +1 where the polygon lies left of the edge, -1 right, shape ``(e,)``: shells and holes
        count right whichever way their vertices run. 0 for points, lines and flat rings.
    parts, holes
        How many, shape ``(n,)``: parts of a multi or collection (1 for a single), inner rings.
    has_dimension
        Which of point, line and polygon occur, shape ``(n, 3)``.
    end_to_end_m
        Sum over lines of the distance from first to last vertex, shape ``(n,)``.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    owner: NDArray[np.intp]
    first: NDArray[np.intp]
    dimension: NDArray[np.int8]
    sign: NDArray[np.float64]
    parts: NDArray[np.intp]
    holes: NDArray[np.intp]
    has_dimension: NDArray[np.bool_]
    end_to_end_m: NDArray[np.float64]


def chunks(geometries: NDArray[np.object_]) -> Iterator[NDArray[np.intp]]:
    """Yield the rows to measure together, about 16,384 coordinates at a time.

    Rows that are missing, empty or have a coordinate that is NaN or infinite are left out.

    Parameters
    ----------
    geometries
        Shape ``(n,)``.

    Raises
    ------
    ValueError
        If a coordinate is no longitude and latitude.
    """
    sizes = shapely.get_num_coordinates(geometries)
    rows = np.flatnonzero(sizes)
    if not len(rows):
        return
    chunk_of_row = (np.cumsum(sizes[rows]) - 1) // COORDINATES_A_CHUNK
    for chunk in np.split(rows, np.flatnonzero(np.diff(chunk_of_row)) + 1):
        lon_lat = shapely.get_coordinates(geometries[chunk])
        size = np.abs(lon_lat)
        if (size <= (360.0, 90.0)).all():
            yield chunk
            continue
        is_finite = np.isfinite(size).all(axis=1)
        is_outside = is_finite & (size > (360.0, 90.0)).any(axis=1)
        if is_outside.any():
            x, y = lon_lat[is_outside][0]
            msg = (
                f"coordinate ({x}, {y}) is no longitude and latitude in degrees; "
                "reproject to EPSG:4326 first, for example GeoDataFrame.to_crs(4326)"
            )
            raise ValueError(msg)
        ends = np.cumsum(sizes[chunk]) - sizes[chunk]
        usable = chunk[np.logical_and.reduceat(is_finite, ends)]
        if len(usable):
            yield usable


def unwrap(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the geometries with antimeridian crossers moved to longitudes 0 to 360."""
    bounds = shapely.bounds(geometries)
    is_crosser = bounds[:, 2] - bounds[:, 0] > HALF_EARTH_DEG
    if not is_crosser.any():
        return geometries
    geometries = geometries.copy()
    geometries[is_crosser] = shapely.transform(
        geometries[is_crosser],
        lambda lon_lat: lon_lat + np.where(lon_lat[:, :1] < 0, (360.0, 0.0), (0.0, 0.0)),
    )
    return geometries


def local_frames(geometries: NDArray[np.object_]) -> LocalFrames:
    """Return the frame of each geometry, unwrapped and not empty, shape ``(n,)``."""
    bounds = shapely.bounds(geometries)
    origin_deg = (bounds[:, :2] + bounds[:, 2:]) / 2
    lat = np.radians(origin_deg[:, 1])
    # radii of curvature along the parallel's normal section (N) and the meridian (M)
    flattening = 1.0 - ECCENTRICITY2 * np.sin(lat) ** 2
    normal_m = EQUATORIAL_RADIUS_M / np.sqrt(flattening)
    meridian_m = normal_m * (1.0 - ECCENTRICITY2) / flattening
    m_per_rad = np.column_stack((normal_m * np.cos(lat), meridian_m))
    return LocalFrames(origin_deg, np.radians(m_per_rad))


@dataclass(frozen=True)
class _Paths:
    """Points, lines and rings, sorted by geometry: what the edges are cut from."""

    shapes: NDArray[np.object_]
    owner: NDArray[np.intp]
    dimension: NDArray[np.int8]
    is_hole: NDArray[np.bool_]
    part_owner: NDArray[np.intp]
    part_dimension: NDArray[np.int8]


def _paths(geometries: NDArray[np.object_]) -> _Paths:
    """Take multis and collections, nested ones too, apart into points, lines and rings."""
    parts, owner = geometries, np.arange(len(geometries))
    while ((type_id := shapely.get_type_id(parts)) >= FIRST_COLLECTION_TYPE).any():
        parts, index = shapely.get_parts(parts, return_index=True)
        owner = owner[index]
    has_coordinates = ~shapely.is_empty(parts)
    parts, owner, type_id = parts[has_coordinates], owner[has_coordinates], type_id[has_coordinates]
    # shapely's ids: 0 point, 1 line, 2 linear ring (a closed line), 3 polygon
    dimension = np.array([POINT, LINE, LINE, POLYGON], np.int8)[type_id]
    is_polygon = dimension == POLYGON
    rings, polygon_of_ring = shapely.get_rings(parts[is_polygon], return_index=True)
    # get_rings gives the shell first, then the holes
    is_hole = np.diff(polygon_of_ring, prepend=-1) == 0
    shapes = np.concatenate((parts[~is_polygon], rings))
    path_owner = np.concatenate((owner[~is_polygon], owner[is_polygon][polygon_of_ring]))
    path_dimension = np.concatenate((dimension[~is_polygon], np.full(len(rings), POLYGON, np.int8)))
    is_hole = np.concatenate((np.zeros(len(shapes) - len(rings), np.bool_), is_hole))
    order = np.argsort(path_owner, kind="stable")
    return _Paths(
        shapes[order], path_owner[order], path_dimension[order], is_hole[order], owner, dimension
    )


def edges_of(geometries: NDArray[np.object_], frames: LocalFrames) -> Edges:
    """Return the edges of geometries that are unwrapped and not empty, shape ``(n,)``."""
    n = len(geometries)
    paths = _paths(geometries)
    lon_lat, path = shapely.get_coordinates(paths.shapes, return_index=True)
    xy = frames.to_metres(lon_lat, paths.owner[path])
    is_point = paths.dimension[path] == POINT
    is_start = is_point.copy()
    is_start[:-1] |= path[1:] == path[:-1]
    at = np.flatnonzero(is_start)
    start, end = xy[at], xy[at + ~is_point[at]]
    path_of_edge = path[at]
    owner = paths.owner[path_of_edge]

    doubled_area = np.bincount(path_of_edge, cross(start, end), len(paths.shapes))
    side = np.where(paths.dimension == POLYGON, np.sign(doubled_area), 0.0)
    side[paths.is_hole] *= -1

    is_line = paths.dimension == LINE
    path_first = np.searchsorted(path, np.flatnonzero(is_line), side="left")
    path_last = np.searchsorted(path, np.flatnonzero(is_line), side="right") - 1
    span = np.hypot(*(xy[path_last] - xy[path_first]).T)

    occurs = np.zeros((n, 3), np.bool_)
    occurs[paths.part_owner, paths.part_dimension] = True
    return Edges(
        start=start,
        end=end,
        owner=owner,
        first=np.searchsorted(owner, np.arange(n)),
        dimension=paths.dimension[path_of_edge],
        sign=side[path_of_edge],
        parts=np.bincount(paths.part_owner, minlength=n),
        holes=np.bincount(paths.owner[paths.is_hole], minlength=n),
        has_dimension=occurs,
        # bincount of nothing counts in integers
        end_to_end_m=np.bincount(paths.owner[is_line], span, n).astype(np.float64),
    )


def cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the z of a × b, vectors in the last axis."""
    z: NDArray[np.float64] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return z
