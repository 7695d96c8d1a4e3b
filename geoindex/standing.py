"""What stands at a point? The smallest area that holds it, else the nearest entity in reach."""

import numpy as np
from numpy.typing import NDArray

from geoindex.antimeridian import close_to
from geoindex.errors import NotInIndexError
from geoindex.index import Index
from geoindex.places import LonLat, distances_m, haversine_m

AT_REACH_M = 100.0
# the shortest degree of latitude, at the equator, is 110.57 km
_REACH_DEG = AT_REACH_M / 110_000
_AREA = 2  # dimensions


def entity_at(index: Index, point: LonLat) -> int:
    """Return the row of what stands at a point.

    The smallest area that holds the point, its border included; else the entity nearest to it, by
    its geometry, if that is within `AT_REACH_M`. Ties go to the smaller row.

    Raises
    ------
    NotInIndexError
        If there is none; says how far the nearest is.
    """
    import shapely

    rows = _candidates(index, point)
    if rows.size:
        wkb = index.entities.take(rows)["geometry"].to_numpy()
        geometries = close_to(shapely.from_wkb(wkb), point.lon)
        holds = shapely.intersects_xy(geometries, point.lon, point.lat)
        holds &= shapely.get_dimensions(geometries) == _AREA
        if holds.any():
            areas = np.where(holds, shapely.area(geometries), np.inf)
            return int(rows[np.argmin(areas)])
        away_m = _away_m(geometries, point)
        if away_m.min() <= AT_REACH_M:
            return int(rows[np.argmin(away_m)])
    raise NotInIndexError(_nothing_text(index, point))


def _candidates(index: Index, point: LonLat) -> NDArray[np.intp]:
    """Return the rows whose bbox is in reach, on this side of the antimeridian or the other."""
    column = index.entities.column
    is_near = column("ymin") <= point.lat + _REACH_DEG
    is_near &= column("ymax") >= point.lat - _REACH_DEG
    rows = np.flatnonzero(is_near)
    # the reach in longitude grows towards the poles; there everything is in reach
    shrunk = np.cos(np.radians(min(abs(point.lat) + _REACH_DEG, 90.0)))
    reach = min(_REACH_DEG / max(shrunk, 1e-9), 180.0)
    west, east = column("xmin")[rows], column("xmax")[rows]
    # a bbox over the antimeridian has west > east
    width = np.where(west > east, east + 360 - west, east - west)
    from_middle = np.abs((point.lon - (west + width / 2) + 180) % 360 - 180)
    # the room is for rounding of what was turned round the Earth
    return rows[from_middle <= width / 2 + reach + 1e-9]


def _away_m(geometries: NDArray[np.object_], point: LonLat) -> NDArray[np.float64]:
    """Return the geodesic distance to the nearest point of each geometry.

    The nearest point is sought where degrees of longitude are as long as those of latitude: in
    plain degrees it would lie too far north or south.
    """
    import shapely

    shrink = np.array([max(np.cos(np.radians(point.lat)), 1e-9), 1.0])
    flat = shapely.transform(geometries, lambda places: places * shrink)
    here = shapely.Point(np.array(point) * shrink)
    ends = shapely.get_coordinates(shapely.get_point(shapely.shortest_line(here, flat), 1))
    lon, lat = (ends / shrink).T
    return distances_m(lon, np.clip(lat, -90, 90), point)


def _nothing_text(index: Index, point: LonLat) -> str:
    rows = index.entities
    nearest = int(np.argmin(haversine_m(rows.column("lon"), rows.column("lat"), point)))
    found = rows.record(nearest)
    away_m = distances_m([found["lon"]], [found["lat"]], point)[0]
    away = f"{away_m:.0f} m" if away_m < 1000 else f"{away_m / 1000:.1f} km"
    return (
        f"nothing of {index.path} lies within {AT_REACH_M:.0f} m of {point}; the nearest point of "
        f"an entity is {away} away, at {found['lon']:.5f},{found['lat']:.5f}: "
        f"{found['feature_id']} ({found['kind']})"
    )
