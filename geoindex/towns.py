"""Which place is meant by ``--in-place``? A boundary, or the town that something lies in.

What is named is the place if it is an area: a municipality, a park, a campus. Of areas and points
of one name (a town is often mapped as both) the area is meant. What is no area, or a point, names
the town it lies in: the smallest administrative boundary around it of level 8 or coarser (a
municipality nearly everywhere), else the smallest of any level.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.cells import format_cell
from geoindex.errors import AmbiguousNameError, NotInIndexError, UsageError
from geoindex.ids import CellId
from geoindex.index import Index
from geoindex.naming import row_named, rows_named
from geoindex.places import LonLat
from geoindex.things import meaning_of

_BOUNDARY = "boundary=administrative"
_TOWN_LEVEL = 8
_AREA = 2  # dimensions


def place_named(index: Index, text: str) -> tuple[Any, str]:
    """Return the area of a place, and what was taken for it.

    Parameters
    ----------
    text
        An id, a name or ``LON,LAT``.

    Returns
    -------
    area
        A shapely polygon or multipolygon, degrees.
    note
        For the user.

    Raises
    ------
    NotInIndexError
        If the index does not hold what is named, or no boundary around it.
    AmbiguousNameError
        If several areas have the name.
    UsageError
        If it is a cell, or an area that was drawn.
    """
    meaning = meaning_of(text)
    if isinstance(meaning, CellId):
        msg = f"{text!r} is a cell; a place is wanted. Want --in-cell {format_cell(meaning.cell)}"
        raise UsageError(msg)
    if isinstance(meaning, LonLat):
        return _town_at(index, meaning, str(meaning))
    if not isinstance(meaning, str):
        msg = "--in-place is an id, a name or LON,LAT; an area that was drawn goes to --within"
        raise UsageError(msg)
    row = _row(index, meaning)
    geometry = _geometry(index, row)
    if _is_area(geometry):
        return geometry, f"in {_shown(index, row)}"
    column = index.entities.column
    point = LonLat(float(column("lon")[row]), float(column("lat")[row]))
    return _town_at(index, point, text)


def _row(index: Index, text: str) -> int:
    try:
        return row_named(index, text)[0]
    except AmbiguousNameError:
        areas = [row for row in rows_named(index, text).tolist() if _is_area(_geometry(index, row))]
        bounds = [row for row in areas if _kind(index, row) == _BOUNDARY]
        for found in (bounds, areas):
            if len(found) == 1:
                return found[0]
        raise


def _town_at(index: Index, point: LonLat, text: str) -> tuple[Any, str]:
    import shapely

    column = index.entities.column
    is_around = pc.equal(index.entities.table["kind"], _BOUNDARY)
    rows = index.entities.where_true(is_around)
    rows = rows[(column("ymin")[rows] <= point.lat) & (column("ymax")[rows] >= point.lat)]
    geometries = np.array([_geometry(index, row) for row in rows.tolist()], object)
    holds = np.array([_is_area(geometry) for geometry in geometries], np.bool_)
    holds &= shapely.intersects_xy(geometries, point.lon, point.lat)
    if not holds.any():
        msg = (
            f"no administrative boundary of {index.path} is an area that holds {text}; want the "
            "id or name of an area. Example: --in-place relation/1155956"
        )
        raise NotInIndexError(msg)
    rows, geometries = rows[holds], geometries[holds]
    sizes = np.where(_is_town(index, rows), 0, 1e6) + shapely.area(geometries)
    best = int(np.argmin(sizes))
    return geometries[best], f"{text} lies in {_shown(index, int(rows[best]))}"


def _is_town(index: Index, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which boundaries are of a municipality or something coarser."""
    levels = [index.entities.record(row)["tags"].get("admin_level", "") for row in rows.tolist()]
    known = [int(level) if level.isascii() and level.isdigit() else 99 for level in levels]
    return np.array(known) <= _TOWN_LEVEL


def _kind(index: Index, row: int) -> str:
    return str(index.entities.table["kind"][row].as_py())


def _geometry(index: Index, row: int) -> Any:
    import shapely

    return shapely.from_wkb(index.entities.table["geometry"][row].as_py())


def _is_area(geometry: Any) -> bool:
    import shapely

    return bool(shapely.get_dimensions(geometry) == _AREA and not shapely.is_empty(geometry))


def _shown(index: Index, row: int) -> str:
    found = index.entities.record(row)
    name = f" {found['name']!r}" if found["name"] else ""
    return f"{found['feature_id']} ({found['kind']}){name}"
