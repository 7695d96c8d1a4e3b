"""Convert places to metres about a point, and back."""

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.earth import ECCENTRICITY2, EQUATORIAL_RADIUS_M

_FULL_TURN, _HALF_TURN = 360.0, 180.0
# at the poles a degree of longitude has no width
_LEAST_COSINE = 1e-9
_MOST_M, _MOST_LAT = 3000.0, 80.0


def places_about(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    of: NDArray[np.int64],
    east_m: NDArray[np.float64],
    north_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return longitudes and latitudes, degrees, shape ``(n, 2)``.

    By Legendre's series of the direct problem of geodesics, to the third order, as in Bomford's
    Geodesy: up to a chip's width within micrometres, and many times sooner than `pyproj.Geod` tells
    it. What lies farther off, or so near a pole that the series is slow, is asked there.

    Parameters
    ----------
    lon, lat
        Of the points, degrees.
    of, east_m, north_m
        Which point each place is about, and where it lies on the plane that keeps ways from the
        point true, in direction and length; shape ``(n,)``.
    """
    if not len(of):
        return np.empty((0, 2))
    if max(np.abs(east_m).max(), np.abs(north_m).max()) > _MOST_M or np.abs(lat).max() > _MOST_LAT:
        from pyproj import Geod

        azimuth = np.degrees(np.arctan2(east_m, north_m))
        ends = Geod(ellps="WGS84").fwd(lon[of], lat[of], azimuth, np.hypot(east_m, north_m))
        return np.column_stack(ends[:2])
    turn = np.radians(lat)
    tan, eta2 = np.tan(turn), ECCENTRICITY2 / (1 - ECCENTRICITY2) * np.cos(turn) ** 2
    radius = (EQUATORIAL_RADIUS_M / np.sqrt(1 - ECCENTRICITY2 * np.sin(turn) ** 2))[of]
    u, v, t2 = north_m / radius, east_m / radius, tan * tan
    u2, v2 = u * u, v * v
    up = u - (tan / 2)[of] * v2 - (1.5 * eta2 * tan)[of] * u2
    up -= u * (((1 + 3 * t2 + eta2 - 9 * eta2 * t2) / 6)[of] * v2 + (eta2 * (1 - t2) / 2)[of] * u2)
    along = 1 + tan[of] * u + ((1 + 3 * t2 + eta2) / 3)[of] * u2 - (t2 / 3)[of] * v2
    found = np.empty((len(of), 2))
    found[:, 0] = lon[of] + np.degrees(1 / np.cos(turn))[of] * (along * v)
    found[:, 1] = lat[of] + np.degrees(1 + eta2)[of] * up
    over = np.abs(found[:, 0]) > _HALF_TURN
    found[over, 0] -= np.copysign(2 * _HALF_TURN, found[over, 0])
    return found


def metres_per_degree(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many metres a degree east and a degree north are, shape ``(n, 2)``."""
    turn = np.radians(lat)
    bent = 1 - ECCENTRICITY2 * np.sin(turn) ** 2
    east = np.maximum(np.cos(turn), _LEAST_COSINE) * EQUATORIAL_RADIUS_M / np.sqrt(bent)
    north = EQUATORIAL_RADIUS_M * (1 - ECCENTRICITY2) / bent**1.5
    return np.radians(np.column_stack([east, north]))


def offsets_m(points: NDArray[np.float64], lon_lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where places lie from points: metres east and north, each shape ``(n, 2)``."""
    off = lon_lat - points
    off[:, 0] = (off[:, 0] + _HALF_TURN) % _FULL_TURN - _HALF_TURN
    return off * metres_per_degree(points[:, 1])


def columns_off_m(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    points: NDArray[np.float64],
    metres: NDArray[np.float64],
    of: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same of millions of pairs: metres east and north, each shape ``(n,)``.

    Parameters
    ----------
    lon, lat
        Of the places, shape ``(n,)``; they become the answer.
    points, metres
        Shape ``(k, 2)``: points, and `metres_per_degree` there.
    of
        Which point each place is measured from, shape ``(n,)``.
    """
    lon -= points[:, 0][of]
    lat -= points[:, 1][of]
    if len(lon) and max(lon.max(), -lon.min()) > _HALF_TURN:
        lon = (lon + _HALF_TURN) % _FULL_TURN - _HALF_TURN
    lon *= metres[:, 0][of]
    lat *= metres[:, 1][of]
    return lon, lat


def local(shapes: NDArray[np.object_], points: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return geometries in metres east and north of a point each."""
    import shapely

    coordinates, of = shapely.get_coordinates(shapes, return_index=True)
    moved = offsets_m(points[of], coordinates)
    return np.asarray(shapely.set_coordinates(shapes.copy(), moved), object)
