"""What does a Python value given as an option mean? Texts, points, boxes, cells, areas, metres.

Text is read by the command's parsers; what is of no use raises a `UsageError` that shows a value
that works, never a TypeError from somewhere below.
"""

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias

from geoindex.errors import InvalidIdError, InvalidPlaceError, UsageError
from geoindex.geo.distance import (
    BBox,
    LonLat,
    check_point,
    check_radius,
    parse_bbox,
    parse_point,
    parse_radius,
)
from geoindex.geo.h3 import parse_cell
from geoindex.geo.polygon_io import check_area, parse_within

PathLike: TypeAlias = str | os.PathLike[str]
PointLike: TypeAlias = str | Sequence[float]
BBoxLike: TypeAlias = str | BBox | Sequence[float]
CellLike: TypeAlias = str | SupportsIndex


def texts(value: str | Sequence[str], name: str) -> tuple[str, ...]:
    """Return one text, or several, as a tuple."""
    found = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not all(isinstance(text, str) for text in found):
        msg = f"{name} is {value!r}; want ids as text. Example: {name}='way/1234'"
        raise UsageError(msg)
    return found


def point(value: PointLike, name: str) -> LonLat:
    """Return a point given as ``"LON,LAT"`` or two numbers."""
    if isinstance(value, str):
        return parse_point(value)
    lon, lat = _numbers(value, 2, f"{name} is {value!r}; want (lon, lat). Example: (24.95, 60.17)")
    return check_point(lon, lat)


def bbox(value: BBoxLike) -> BBox:
    """Return a box given as ``"W,S,E,N"`` or four numbers."""
    if isinstance(value, BBox):
        return value
    if isinstance(value, str):
        return parse_bbox(value)
    example = "want (west, south, east, north). Example: (24.9, 60.1, 25.0, 60.2)"
    return BBox(*_numbers(value, 4, f"bbox is {value!r}; {example}"))


def cell(value: CellLike) -> int:
    """Return a cell given as H3's text or its 64-bit integer."""
    if isinstance(value, str):
        return parse_cell(value)
    try:
        return parse_cell(f"{operator.index(value):x}")
    except (TypeError, InvalidIdError) as error:
        msg = f"cell is {value!r}; want an H3 cell. Example: '891f1d48177ffff'"
        raise InvalidIdError(msg) from error


def area(value: Any) -> Any:
    """Return the polygons of WKT, a file, a shapely geometry or GeoJSON."""
    if isinstance(value, os.PathLike):
        return parse_within(Path(value))
    return parse_within(value) if isinstance(value, str) else check_area(value)


def metres(value: str | SupportsFloat, name: str) -> float:
    """Return a distance given as ``"1.5km"`` or in metres."""
    if isinstance(value, str):
        return parse_radius(value)
    number = _numbers([value], 1, f"{name} is {value!r}; want metres or text. Example: '500m'")
    return check_radius(number[0])


def measure(
    value: str | SupportsFloat | None, name: str, parse: Callable[[str], float]
) -> float | None:
    """Return an area or length given as text, which `parse` reads, or as m² or metres."""
    if value is None or isinstance(value, str):
        return None if value is None else parse(value)
    return _numbers([value], 1, f"{name} is {value!r}; want a number or text. Example: 500")[0]


def _numbers(value: Iterable[Any], n: int, fault: str) -> list[float]:
    try:
        found = [float(number) for number in value if not isinstance(number, (str, bool))]
    except (TypeError, ValueError) as error:
        raise InvalidPlaceError(fault) from error
    if len(found) != n:
        raise InvalidPlaceError(fault)
    return found
