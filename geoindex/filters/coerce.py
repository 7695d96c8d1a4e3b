"""Read the values of options: points, boxes, cells, areas, distances, as text or Python values.

Text is read by one set of parsers for Python, the command and saved queries; what is of no use
raises a `UsageError` that shows a value that works, never a TypeError from somewhere below. Heavy
libraries are imported when a value needs them.
"""

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypeAlias

from geoindex.errors import InvalidIdError, InvalidPlaceError, UsageError

if TYPE_CHECKING:
    from geoindex.geo.distance import BBox, LonLat

PathLike: TypeAlias = str | os.PathLike[str]
PointLike: TypeAlias = str | Sequence[float]
BBoxLike: TypeAlias = str | Iterable[float]
CellLike: TypeAlias = str | SupportsIndex


def point(value: PointLike, name: str) -> "LonLat":
    """Return a point given as ``"LON,LAT"`` or two numbers."""
    from geoindex.geo.distance import check_point, parse_point

    if isinstance(value, str):
        return parse_point(value)
    lon, lat = _numbers(value, 2, f"{name} is {value!r}; want (lon, lat). Example: (24.95, 60.17)")
    return check_point(lon, lat)


def place(value: PointLike, name: str) -> "LonLat | str":
    """Return a point as `point` does, or a name of a place: a text with a letter in it."""
    if isinstance(value, str) and any(letter.isalpha() for letter in value):
        return value.strip()
    return point(value, name)


def place_plain(value: "LonLat | str") -> Any:
    """Return a point as a list, a name as it is."""
    return value if isinstance(value, str) else list(value)


def bbox(value: BBoxLike) -> "BBox":
    """Return a box given as ``"W,S,E,N"`` or four numbers."""
    from geoindex.geo.distance import BBox, parse_bbox

    if isinstance(value, BBox):
        return value
    if isinstance(value, str):
        return parse_bbox(value)
    example = "want (west, south, east, north). Example: (24.9, 60.1, 25.0, 60.2)"
    return BBox(*_numbers(value, 4, f"bbox is {value!r}; {example}"))


def cell(value: CellLike) -> int:
    """Return a cell given as H3's text or its 64-bit integer."""
    from geoindex.geo.h3 import parse_cell

    if isinstance(value, str):
        return parse_cell(value)
    if isinstance(value, float):
        # of a column with gaps
        return parse_cell(repr(float(value)))
    try:
        return parse_cell(f"{operator.index(value):x}")
    except (TypeError, InvalidIdError) as error:
        msg = f"cell is {value!r}; want an H3 cell. Example: '891f1d48177ffff'"
        raise InvalidIdError(msg) from error


def cell_text(value: int) -> str:
    """Return a cell as H3's text."""
    from geoindex.geo.h3 import format_cell

    return format_cell(value)


def area(value: Any) -> Any:
    """Return the polygons of WKT, a file, a shapely geometry or GeoJSON."""
    from geoindex.geo.polygon_io import check_area, parse_within

    if isinstance(value, os.PathLike):
        return parse_within(Path(value))
    return parse_within(value) if isinstance(value, str) else check_area(value)


def metres(value: str | SupportsFloat, name: str) -> float:
    """Return a distance given as ``"1.5km"`` or in metres."""
    from geoindex.geo.distance import check_radius, parse_radius

    if isinstance(value, str):
        return parse_radius(value)
    number = _numbers([value], 1, f"{name} is {value!r}; want metres or text. Example: '500m'")
    return check_radius(number[0])


def measure(value: str | SupportsFloat, name: str, parse: Callable[[str], float]) -> float:
    """Return an area or length given as text, which `parse` reads, or as m² or metres."""
    if isinstance(value, str):
        return parse(value)
    return _numbers([value], 1, f"{name} is {value!r}; want a number or text. Example: 500")[0]


def fraction(
    value: Any, name: str, *, least: float = 0, most: float = 1, example: str = "0.5"
) -> float:
    """Return a number of a range, its ends included."""
    import numbers

    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and least <= float(value) <= most):
        msg = f"{name} is {value!r}; want a number from {least:g} to {most:g}. Example: {example}"
        raise UsageError(msg)
    return float(value)


def count(value: Any, name: str) -> int:
    """Return a whole number of at least 1."""
    try:
        whole = operator.index(value)
    except TypeError:
        whole = 0
    if whole < 1 or isinstance(value, bool):
        msg = f"{name} is {value!r}; want a whole number of at least 1. Example: 10"
        raise UsageError(msg)
    return whole


def _numbers(value: Iterable[Any], n: int, fault: str) -> list[float]:
    try:
        found = [float(number) for number in value if not isinstance(number, (str, bool))]
    except (TypeError, ValueError) as error:
        raise InvalidPlaceError(fault) from error
    if len(found) != n:
        raise InvalidPlaceError(fault)
    return found
