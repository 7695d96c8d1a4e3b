"""Points, boxes and radii: parse them, check them, and find the points that lie in them.

Degrees, EPSG:4326, longitude first. Distances are geodesics on the WGS 84 ellipsoid,
in metres. An entity is judged by its point (``lon``, ``lat``), not by its outline.
Polygons of ``--within`` are read by `geoindex.geo.polygon_io`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geoindex.errors import InvalidPlaceError
from geoindex.geo.earth import EQUATORIAL_RADIUS_M, MEAN_RADIUS_M
from geoindex.geo.measure import METRES, number_with_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

# half of the longest way round: the equator's
MAX_RADIUS_M = math.pi * EQUATORIAL_RADIUS_M
_BBOX_EXAMPLE = "Example: 12.98,55.59,13.02,55.61"


class LonLat(NamedTuple):
    """A point: longitude -180 to 180, latitude -90 to 90, degrees."""

    lon: float
    lat: float

    def __str__(self) -> str:
        return f"{self.lon:.7g},{self.lat:.7g}"


@dataclass(frozen=True, slots=True)
class BBox:
    """A box of longitude and latitude, degrees, its border included.

    Where `west` is greater than `east` it crosses the antimeridian.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        _check_bbox(self)

    def __str__(self) -> str:
        return ",".join(f"{side:.7g}" for side in (self.west, self.south, self.east, self.north))

    def __iter__(self) -> Iterator[float]:
        return iter((self.west, self.south, self.east, self.north))

    @property
    def crosses_antimeridian(self) -> bool:
        """Whether the box runs on from 180 to -180."""
        return self.west > self.east


def parse_bbox(text: str) -> BBox:
    """Parse ``W,S,E,N`` in degrees; ``W`` greater than ``E`` crosses the antimeridian.

    Raises
    ------
    InvalidPlaceError
        If these are no four numbers of which a box can be made.
    """
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 4:
        msg = f"want --bbox W,S,E,N in degrees, got {text!r}. {_BBOX_EXAMPLE}"
        raise InvalidPlaceError(msg)
    return BBox(*numbers)


def parse_point(text: str) -> LonLat:
    """Parse ``LON,LAT`` in degrees.

    Raises
    ------
    InvalidPlaceError
        If these are no two numbers, or none on Earth.
    """
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 2:
        msg = f"want LON,LAT in degrees, got {text!r}. Example: 13.00,55.60"
        raise InvalidPlaceError(msg)
    return check_point(*numbers)


def check_point(lon: float, lat: float) -> LonLat:
    """Return the point, if it lies on Earth.

    Raises
    ------
    InvalidPlaceError
        If it does not.
    """
    if not (math.isfinite(lon) and math.isfinite(lat)):
        msg = f"want LON,LAT as finite numbers, got {lon},{lat}. Example: 13.00,55.60"
        raise InvalidPlaceError(msg)
    if abs(lat) > 90:
        hint = f" LON comes first. Did you mean {lat:g},{lon:g}?" if abs(lon) <= 90 else ""
        msg = f"latitude {lat:g} is outside -90 to 90.{hint} Example: 13.00,55.60"
        raise InvalidPlaceError(msg)
    if abs(lon) > 180:
        turned = (lon + 180) % 360 - 180
        msg = f"longitude {lon:g} is outside -180 to 180. Did you mean {turned:g},{lat:g}?"
        raise InvalidPlaceError(msg)
    return LonLat(lon, lat)


def parse_radius(text: str) -> float:
    """Parse a distance: a number and m (also without a unit), km, mi, ft or nmi.

    Returns
    -------
    radius_m
        Metres, above 0 and at most half the Earth's circumference.

    Raises
    ------
    InvalidPlaceError
        If it is no such distance.
    """
    radius_m = number_with_unit(text, METRES)
    if math.isnan(radius_m):
        msg = f"want a distance in m, km, mi, ft or nmi, got {text!r}. Example: 500m"
        raise InvalidPlaceError(msg)
    return check_radius(radius_m, shown=text)


def check_radius(radius_m: float, *, shown: str | None = None) -> float:
    """Return the radius in metres, if it is positive and fits on Earth.

    Raises
    ------
    InvalidPlaceError
        If it is not; the message repeats `shown`.
    """
    if not 0 < radius_m <= MAX_RADIUS_M:
        came = shown if shown is not None else f"{radius_m:g}"
        msg = f"radius {came!r} must be above 0 and at most 20037 km. Example: 500m"
        raise InvalidPlaceError(msg)
    return float(radius_m)


def in_bbox(lon: ArrayLike, lat: ArrayLike, bbox: BBox) -> NDArray[np.bool_]:
    """Say which points lie in the box, its border included.

    180 and -180 are one meridian; at a pole every longitude is the same point.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    east_enough, west_enough = lon >= bbox.west, lon <= bbox.east
    inside = east_enough | west_enough if bbox.crosses_antimeridian else east_enough & west_enough
    if bbox.east == 180 or bbox.west == -180:
        inside |= np.abs(lon) == 180
    inside |= np.abs(lat) == 90
    return inside & (lat >= bbox.south) & (lat <= bbox.north)


def within_geometry(lon: ArrayLike, lat: ArrayLike, geometry: object) -> NDArray[np.bool_]:
    """Say which points lie in a polygon, its border included.

    The sides are straight in degrees, as in GeoJSON.
    """
    import shapely

    shapely.prepare(geometry)
    inside: NDArray[np.bool_] = shapely.intersects_xy(
        geometry, np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    )
    return inside


def distances_m(lon: ArrayLike, lat: ArrayLike, centre: LonLat) -> NDArray[np.float64]:
    """Return the geodesic distance from `centre` to each point, metres; about 1 µs a point."""
    from pyproj import Geod

    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    if not lon.size:
        return np.zeros(lon.shape)
    here = np.full(lon.shape, centre.lon), np.full(lat.shape, centre.lat)
    metres = Geod(ellps="WGS84").inv(*here, lon, lat)[2]
    return np.asarray(metres, np.float64)


def within_radius(
    lon: ArrayLike, lat: ArrayLike, centre: LonLat, radius_m: float
) -> NDArray[np.bool_]:
    """Say which points lie at most `radius_m` of geodesic from `centre`.

    A sphere decides where it can: it is off by less than 0.6 %, so only points whose
    distance on it is within 1 % of the radius are measured on the ellipsoid.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    rough = haversine_m(lon, lat, centre)
    # a millimetre protects the smallest radii from rounding
    inside: NDArray[np.bool_] = rough <= radius_m * 0.99 - 1e-3
    is_close = ~inside & (rough <= radius_m * 1.01 + 1e-3)
    if is_close.any():
        inside[is_close] = distances_m(lon[is_close], lat[is_close], centre) <= radius_m
    return inside


def haversine_m(
    lon: NDArray[np.float64], lat: NDArray[np.float64], centre: LonLat
) -> NDArray[np.float64]:
    """Return the distance on a sphere, metres: less than 0.6 % off the geodesic."""
    phi, centre_phi = np.radians(lat), math.radians(centre.lat)
    turn = np.radians(lon - centre.lon)
    chord = np.sin((phi - centre_phi) / 2) ** 2
    chord += np.cos(phi) * math.cos(centre_phi) * np.sin(turn / 2) ** 2
    metres: NDArray[np.float64] = 2 * MEAN_RADIUS_M * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return metres


def _numbers(text: str) -> list[float] | None:
    """Return the finite numbers between commas, or None."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    # float() reads 1_0 and the digits of other scripts
    is_odd = not text.isascii() or "_" in text
    return None if is_odd or not all(map(math.isfinite, numbers)) else numbers


def _check_bbox(bbox: BBox) -> None:
    west, south, east, north = bbox.west, bbox.south, bbox.east, bbox.north
    shown = ",".join(f"{side:g}" for side in (west, south, east, north))
    swapped = f"{south:g},{west:g},{north:g},{east:g}"
    if not all(map(math.isfinite, (west, south, east, north))):
        msg = f"bbox {shown} is not finite. {_BBOX_EXAMPLE}"
    elif max(abs(south), abs(north)) > 90:
        hint = (
            f"LON comes first. Did you mean {swapped}?"
            if max(abs(west), abs(east)) <= 90
            else _BBOX_EXAMPLE
        )
        msg = f"bbox {shown} has a latitude outside -90 to 90; want W,S,E,N. {hint}"
    elif max(abs(west), abs(east)) > 180:
        turned = [(side + 180) % 360 - 180 for side in (west, east)]
        msg = (
            f"bbox {shown} has a longitude outside -180 to 180. "
            f"Did you mean {turned[0]:g},{south:g},{turned[1]:g},{north:g}?"
        )
    elif south > north:
        msg = (
            f"bbox {shown} has its south {south:g} above its north {north:g}; want W,S,E,N. "
            f"Did you mean {west:g},{north:g},{east:g},{south:g}?"
        )
    else:
        return
    raise InvalidPlaceError(msg)
