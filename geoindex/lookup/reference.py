"""Parse one reference to a place: an id or name, a cell, a point, or a drawn area.

===========================  ==================================================
written                      means
===========================  ==================================================
``way/1234``, ``Café Engel`` an entity, by its id or a name
``891f1d48177ffff``          an H3 cell
``7.42,43.73``               a point, longitude first
WKT, a file of polygons      an area; see `geoindex.geo.polygon_io`
===========================  ==================================================
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from geoindex.errors import InvalidIdError, InvalidPlaceError, UsageError
from geoindex.features.ids import CellId, parse_reference
from geoindex.geo.distance import LonLat, parse_point
from geoindex.geo.h3 import format_cell
from geoindex.geo.polygon_io import check_area, is_wkt, parse_within

#: What one text refers to: an id or name, a cell, a point, an area (shapely).
Reference: TypeAlias = "str | CellId | LonLat | Any"

_NUMBER = r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*"
_POINT = re.compile(f"{_NUMBER},{_NUMBER}", re.ASCII | re.IGNORECASE)
# WKT without an area can only be an id: some GeoParquet files name their rows by it
_NO_AREA = re.compile(r"\s*(MULTI)?(POINT|LINESTRING)\b", re.IGNORECASE)
_AREA_FILES = {".geojson", ".json", ".wkt", ".gpkg", ".geoparquet", ".parquet", ".shp", ".fgb"}


def parse_place(text: str) -> Reference:
    """Return what a text refers to; whether an index holds it is not checked.

    Raises
    ------
    InvalidPlaceError
        If it is written as a point, WKT or a file of polygons, and is none.
    InvalidIdError
        If it is written as a cell and is none.
    """
    try:
        reference = parse_reference(text)
    except InvalidIdError:
        pass
    else:
        return reference if isinstance(reference, CellId) else text
    if _POINT.fullmatch(text):
        return parse_point(text)
    if (is_wkt(text) and not _NO_AREA.match(text)) or _is_area_file(text):
        return parse_within(text)
    # a name, or no id at all: the index decides
    return text


def names_area_file(text: str) -> bool:
    """Tell whether a text is read as the name of a file of polygons, there or not."""
    return Path(text).suffix.lower() in _AREA_FILES


def _is_area_file(text: str) -> bool:
    if not names_area_file(text):
        return False
    if not Path(text).is_file():
        msg = (
            f"there is no file {text!r}; want one of polygons, or WKT. Example: --like area.geojson"
        )
        raise InvalidPlaceError(msg)
    return True


def texts_of(value: Any, name: str) -> tuple[str, ...]:
    """Return what a Python value refers to as texts that `parse_place` reads, each once.

    Parameters
    ----------
    value
        A text or several; each may also be a shapely polygon, GeoJSON as a dict, or a path.
    name
        Of the option, for messages.

    Returns
    -------
    texts
        Areas as WKT, whatever they were read from: a saved query needs no file.

    Raises
    ------
    UsageError
        If one of them is none of these.
    """
    is_one = isinstance(value, (str, os.PathLike, Mapping)) or _is_shape(value)
    if not is_one and not isinstance(value, Iterable):
        raise UsageError(_fault(value, name))
    return tuple(dict.fromkeys(_text(each, value, name) for each in ([value] if is_one else value)))


def _text(value: Any, whole: Any, name: str) -> str:
    if isinstance(value, os.PathLike):
        return str(parse_within(Path(value)).wkt)
    if isinstance(value, Mapping) or _is_shape(value):
        return str(check_area(value).wkt)
    if not isinstance(value, str):
        raise UsageError(_fault(whole, name))
    return str(parse_within(value).wkt) if _is_area_file(value) else value


def _is_shape(value: Any) -> bool:
    return hasattr(value, "__geo_interface__")


def _fault(value: Any, name: str) -> str:
    return f"{name} is {value!r}; want ids as text. Example: {name}='way/1234'"


def point_text(point: LonLat) -> str:
    """Write a point so that `parse_place` reads the very same."""
    return f"{point.lon!r},{point.lat!r}"


def shown(reference: Reference) -> str:
    """Return a reference as a few characters, for notes and explanations."""
    if isinstance(reference, CellId):
        return format_cell(reference.cell)
    return str(reference) if isinstance(reference, (str, LonLat)) else "the area asked for"
