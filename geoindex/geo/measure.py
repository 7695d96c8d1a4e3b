"""Geodesic areas and lengths on the WGS 84 ellipsoid, and ranges of them.

Area, m²: of polygons, their holes taken out; points and lines have none. Length, m: of lines along
them, of polygons round their outer rings; points have none. What has no measure is in no range.
Sides are geodesics. Measured per query, nothing is stored: about 10 µs an entity.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError

_POLYGON = 3
_LINES = (1, 2)  # GEOS: a line, a ring
SQUARE_METRES = {"": 1.0, "m2": 1.0, "m²": 1.0, "ha": 1e4, "km2": 1e6, "km²": 1e6}
METRES = {"": 1.0, "m": 1.0, "km": 1e3, "mi": 1609.344, "ft": 0.3048, "nmi": 1852.0}
_MEASURE = re.compile(r"([+-]?[0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]*[2²]?)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Range:
    """A range of a measure, its ends included; None is no end.

    Raises
    ------
    UsageError
        If an end is no number of at least 0, or nothing lies between them.
    """

    name: str
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        for end, value in (("min", self.least), ("max", self.most)):
            if value is not None and not 0 <= value < np.inf:
                msg = f"--{end}-{self.name} is {value:g}; want 0 or more. Example: 500"
                raise UsageError(msg)
        if self.least is not None and self.most is not None and self.least > self.most:
            msg = (
                f"--min-{self.name} {self.least:g} is above --max-{self.name} {self.most:g}; "
                f"nothing lies between. Example: --min-{self.name} {self.most:g} "
                f"--max-{self.name} {self.least:g}"
            )
            raise UsageError(msg)

    @property
    def is_open(self) -> bool:
        """Whether it has no end at all."""
        return self.least is None and self.most is None

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which values lie in it; NaN lies in none."""
        least, most = (self.least or 0.0), np.inf if self.most is None else self.most
        inside: NDArray[np.bool_] = (values >= least) & (values <= most)
        return inside


def parse_area(text: str) -> float:
    """Parse an area, ``500``, ``500m2``, ``2ha`` or ``1.5km2``, to m².

    Raises
    ------
    UsageError
        If it is none.
    """
    return _parse(text, SQUARE_METRES, "an area in m2, ha or km2", "500m2")


def parse_length(text: str) -> float:
    """Parse a length, ``500``, ``500m`` or ``1.5km``, to metres; 0 is one.

    Raises
    ------
    UsageError
        If it is none.
    """
    return _parse(text, METRES, "a length in m, km, mi, ft or nmi", "1.5km")


def number_with_unit(text: str, units: dict[str, float]) -> float:
    """Return a number times its unit, ``1.5km``; NaN where the text is none."""
    match = _MEASURE.fullmatch(text.strip())
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return math.nan
    try:
        return float(match[1]) * unit
    except ValueError:
        return math.nan


def _parse(text: str, units: dict[str, float], what: str, example: str) -> float:
    value = number_with_unit(text, units)
    if not 0 <= value < math.inf:
        msg = f"want {what}, 0 or more, got {text!r}. Example: {example}"
        raise UsageError(msg)
    return value


def areas_m2(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the geodesic area of each geometry, shape ``(n,)``; NaN where it has no polygon."""
    import shapely
    from pyproj import Geod

    from geoindex.geo.antimeridian import singles

    geod = Geod(ellps="WGS84")
    single, owner = singles(geometries)
    is_polygon = shapely.get_type_id(single) == _POLYGON
    rings, of_polygon = shapely.get_rings(single[is_polygon], return_index=True)
    # the first ring of a polygon is the outer one
    sign = np.where(np.diff(of_polygon, prepend=-1) > 0, 1.0, -1.0)
    # a ring's own direction gives the sign of its area
    ring_m2 = [
        abs(geod.polygon_area_perimeter(*shapely.get_coordinates(ring).T)[0]) for ring in rings
    ]
    return _summed(sign * np.array(ring_m2), owner[is_polygon][of_polygon], len(geometries))


def lengths_m(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the geodesic length of each geometry, shape ``(n,)``; NaN where it is of points."""
    import shapely
    from pyproj import Geod

    from geoindex.geo.antimeridian import singles

    geod = Geod(ellps="WGS84")
    single, owner = singles(geometries)
    type_id = shapely.get_type_id(single)
    is_polygon = type_id == _POLYGON
    single[is_polygon] = shapely.get_exterior_ring(single[is_polygon])
    is_long = is_polygon | np.isin(type_id, _LINES)
    metres = [geod.line_length(*shapely.get_coordinates(line).T) for line in single[is_long]]
    return _summed(np.array(metres), owner[is_long], len(geometries))


def _summed(values: NDArray[np.float64], owner: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    total = np.bincount(owner, weights=values, minlength=n).astype(np.float64)
    has_any = np.bincount(owner, minlength=n) > 0
    found: NDArray[np.float64] = np.where(has_any, total, np.nan)
    return found
