"""Resolve ``--in-area`` to an area: a boundary, or the municipality that something lies in.

What is named is the place if it is an area: a municipality, a park, a campus. Of areas and points
of one name (a town is often mapped as both) the area is meant. What is no area, or a point, names
the town it lies in: the smallest administrative boundary around it of level 8 or coarser (a
municipality nearly everywhere), else the smallest of any level.

What stands at a point? The smallest area that holds it, else the nearest entity in reach.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import InvalidIdError, NotInIndexError, UsageError
from geoindex.features.ids import CellId
from geoindex.geo.antimeridian import close_to, cut
from geoindex.geo.distance import LonLat, distances_m, haversine_m
from geoindex.geo.h3 import format_cell
from geoindex.index import IndexReader
from geoindex.lookup.find import clear_first, places_named
from geoindex.lookup.names import is_like_an_id, row_named, taken
from geoindex.lookup.reference import parse_place

_BOUNDARY = "boundary=administrative"
_TOWN_LEVEL = 8
_AREA = 2  # dimensions


def place_named(index: IndexReader, text: str) -> tuple[Any, str]:
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
    reference = parse_place(text)
    if isinstance(reference, CellId):
        msg = f"{text!r} is a cell; a place is wanted. Want --in-cell {format_cell(reference.cell)}"
        raise UsageError(msg)
    if isinstance(reference, LonLat):
        return _town_at(index, reference, str(reference))
    if not isinstance(reference, str):
        msg = "--in-area is an id, a name or LON,LAT; an area that was drawn goes to --within"
        raise UsageError(msg)
    row = _row(index, reference)
    geometry = _geometry(index, row)
    if _is_area(geometry):
        return geometry, f"in {_shown(index, row)}"
    column = index.entities.column
    point = LonLat(float(column("lon")[row]), float(column("lat")[row]))
    return _town_at(index, point, text)


def point_of(index: IndexReader, place: LonLat | str) -> tuple[LonLat, str | None]:
    """Return a point as it is, or that of an entity by its id or name, and what to say of it.

    Raises
    ------
    NotInIndexError, AmbiguousNameError
        As `geoindex.lookup.names.row_named`.
    """
    if not isinstance(place, str):
        return place, None
    row, note = row_named(index, place)
    column = index.entities.column
    return LonLat(float(column("lon")[row]), float(column("lat")[row])), note


def _row(index: IndexReader, text: str) -> int:
    """Return the row of an id, or of the area that a name means; of what is none, of the thing."""
    try:
        return index.row_of(text)
    except InvalidIdError:
        if is_like_an_id(text):
            raise
    places = places_named(index, text)
    rows = np.unique([row for place in places for row in place.rows]).astype(np.int64)
    is_area = np.array([_is_area(_geometry(index, row)) for row in rows.tolist()], np.bool_)
    areas = rows[is_area]
    bounds = areas[np.array([_kind(index, row) == _BOUNDARY for row in areas.tolist()], np.bool_)]
    for some in (bounds, areas):
        found = clear_first(places_named(index, text, among=some)) if some.size else None
        if found is not None and found.is_whole:
            return found.rows[0]
    return taken(index, text, places)[0]


def _town_at(index: IndexReader, point: LonLat, text: str) -> tuple[Any, str]:
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
            "id or name of an area. Example: --in-area relation/1155956"
        )
        raise NotInIndexError(msg)
    rows, geometries = rows[holds], geometries[holds]
    sizes = np.where(_is_town(index, rows), 0, 1e6) + shapely.area(geometries)
    best = int(np.argmin(sizes))
    return geometries[best], f"{text} lies in {_shown(index, int(rows[best]))}"


def _is_town(index: IndexReader, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which boundaries are of a municipality or something coarser."""
    levels = [index.entities.record(row)["tags"].get("admin_level", "") for row in rows.tolist()]
    known = [int(level) if level.isascii() and level.isdigit() else 99 for level in levels]
    return np.array(known) <= _TOWN_LEVEL


def _kind(index: IndexReader, row: int) -> str:
    return str(index.entities.table["kind"][row].as_py())


def _geometry(index: IndexReader, row: int) -> Any:
    import shapely

    wkb = index.entities.table["geometry"][row].as_py()
    return cut(np.array([shapely.from_wkb(wkb)], object))[0]


def _is_area(geometry: Any) -> bool:
    import shapely

    return bool(shapely.get_dimensions(geometry) == _AREA and not shapely.is_empty(geometry))


def _shown(index: IndexReader, row: int) -> str:
    found = index.entities.record(row)
    name = f" {found['name']!r}" if found["name"] else ""
    return f"{found['feature_id']} ({found['kind']}){name}"


AT_REACH_M = 100.0
# the shortest degree of latitude, at the equator, is 110.57 km
_REACH_DEG = AT_REACH_M / 110_000


def entity_at(index: IndexReader, point: LonLat) -> int:
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


def _candidates(index: IndexReader, point: LonLat) -> NDArray[np.intp]:
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


def swapped_text(index: IndexReader, point: LonLat) -> str:
    """Return a question where a point lies off the map but, LAT,LON turned round, on it."""
    column = index.entities.column
    west, east = float(column("lon").min()), float(column("lon").max())
    south, north = float(column("lat").min()), float(column("lat").max())

    def is_on_map(lon: float, lat: float) -> bool:
        return west <= lon <= east and south <= lat <= north

    if is_on_map(*point) or not is_on_map(point.lat, point.lon):
        return ""
    return f"; longitude comes first: did you mean {point.lat},{point.lon}?"


def _nothing_text(index: IndexReader, point: LonLat) -> str:
    rows = index.entities
    nearest = int(np.argmin(haversine_m(rows.column("lon"), rows.column("lat"), point)))
    found = rows.record(nearest)
    away_m = distances_m([found["lon"]], [found["lat"]], point)[0]
    away = f"{away_m:.0f} m" if away_m < 1000 else f"{away_m / 1000:.1f} km"
    return (
        f"nothing of {index.path} lies within {AT_REACH_M:.0f} m of {point}; the nearest point of "
        f"an entity is {away} away, at {found['lon']:.5f},{found['lat']:.5f}: "
        f"{found['feature_id']} ({found['kind']}){swapped_text(index, point)}"
    )
