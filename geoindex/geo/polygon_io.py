"""Read the area of ``--within``: WKT, or a file of one of five formats.

Every polygon of every layer of a file counts; together they make one area, in degrees, longitude
first. A ring from 179 to -179 crosses the antimeridian (`geoindex.geo.antimeridian`) and is cut
there.
GeoJSON and WKT are read by shapely alone. GeoPackage, GeoParquet, Shapefile and what else
GDAL knows are read by geopandas, and brought to EPSG:4326 from any other system.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoindex.errors import GeoindexError, InvalidPlaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import geopandas
    import shapely

_WKT = re.compile(
    r"\s*(SRID=\d+;\s*)?(MULTI)?(POINT|LINESTRING|POLYGON)\b|\s*(SRID=\d+;\s*)?GEOMETRYCOLLECTION\b",
    re.IGNORECASE,
)
_EXAMPLE = "Example: 'POLYGON((13 55.5,13.1 55.5,13.1 55.6,13 55.5))' or area.geojson"
_VALID = "Valid Geometry"  # of GEOS
_POLYGON = 3  # GEOS numbers the kinds: 0 to 2 points, lines, rings; above 3 collections


def parse_within(text: str | Path) -> shapely.Geometry:
    """Read the area that ``--within`` names.

    Parameters
    ----------
    text
        WKT of a polygon, multipolygon or collection of them, or the path of a file:
        GeoJSON, ``.wkt``, GeoPackage, GeoParquet, Shapefile.

    Returns
    -------
    area
        A valid polygon or multipolygon, EPSG:4326, longitude first.

    Warns
    -----
    UserWarning
        If a ring crossed itself and was made valid.

    Raises
    ------
    InvalidPlaceError
        If there is no such file, it cannot be read, holds no polygon, or leaves the Earth.
    """
    if isinstance(text, str) and is_wkt(text):
        return _area([_from_wkt(text, "the WKT")], "the WKT")
    path = Path(text)
    if not str(text).strip() or not path.exists():
        msg = f"--within {str(text)!r} is no WKT, and there is no such file. {_EXAMPLE}"
        raise InvalidPlaceError(msg)
    return _area(_from_file(path), path.name)


def is_wkt(text: str) -> bool:
    """Tell whether a text begins as WKT does."""
    return _WKT.match(text) is not None


def check_area(geometry: object) -> shapely.Geometry:
    """Return the area of a geometry in memory, as `parse_within` would read it from a file.

    Parameters
    ----------
    geometry
        A shapely polygon, multipolygon or collection of them, GeoJSON as a dict, or anything
        with ``__geo_interface__``; degrees, longitude first.

    Raises
    ------
    InvalidPlaceError
        If it is no such geometry, holds no polygon, or leaves the Earth.
    """
    import shapely

    if isinstance(geometry, shapely.Geometry):
        return _area([geometry], "within")
    if getattr(geometry, "crs", None) is not None and hasattr(geometry, "to_crs"):
        # of geopandas, in whatever system
        geometry = geometry.to_crs("EPSG:4326")
    document = getattr(geometry, "__geo_interface__", geometry)
    try:
        parts = [shapely.geometry.shape(each) for each in _geometries(document)]
    except _no_geojson():
        kind = type(geometry).__name__
        msg = f"within is a {kind}; want a polygon, WKT or a file. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None
    return _area(parts, "within")


def _from_file(path: Path) -> list[shapely.Geometry]:
    suffix = path.suffix.lower()
    if path.is_file() and path.stat().st_size == 0:
        msg = f"{path} is empty; want a file of polygons. {_EXAMPLE}"
        raise InvalidPlaceError(msg)
    if suffix in {".geojson", ".json"}:
        return _from_geojson(path)
    if suffix == ".wkt":
        return [_from_wkt(_read(path), path.name)]
    return _from_geopandas(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None


def _from_wkt(text: str, name: str) -> shapely.Geometry:
    import shapely

    srid = re.match(r"\s*SRID=(\d+);", text, re.IGNORECASE)
    if srid and srid[1] != "4326":
        msg = f"{name} is in EPSG:{srid[1]}; want degrees, EPSG:4326. {_EXAMPLE}"
        raise InvalidPlaceError(msg)
    try:
        return shapely.from_wkt(text[srid.end() :] if srid else text)
    except shapely.errors.GEOSException as error:
        msg = f"{name} is no valid WKT: {error}. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None


def _from_geojson(path: Path) -> list[shapely.Geometry]:
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no valid JSON: {error}. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None
    if isinstance(document, dict) and not re.search(
        r"CRS84|4326|null", json.dumps(document.get("crs"))
    ):
        # GeoJSON of before 2016 could name another system
        return _from_geopandas(path)
    import shapely

    try:
        return [shapely.geometry.shape(each) for each in _geometries(document)]
    except _no_geojson() as error:
        msg = f"{path} is no valid GeoJSON: {error!r}. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None


def _no_geojson() -> tuple[type[Exception], ...]:
    """Return what shapely raises for coordinates of any other form."""
    import shapely

    faults = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
    return (*faults, shapely.errors.ShapelyError)


def _geometries(document: Any) -> list[dict[str, Any]]:
    """Return the geometries of a GeoJSON document; features without one are left out."""
    match document["type"]:
        case "FeatureCollection":
            found = [feature["geometry"] for feature in document["features"]]
        case "Feature":
            found = [document["geometry"]]
        case _:
            found = [document]
    return [geometry for geometry in found if geometry is not None]


def _from_geopandas(path: Path) -> list[shapely.Geometry]:
    try:
        tables = [_lon_lat(table) for table in _tables(path)]
        return [geometry for table in tables for geometry in table if geometry is not None]
    except Exception as error:  # noqa: BLE001 - GDAL, pyarrow and PROJ each have their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{path} cannot be read as polygons: {reason}. {_EXAMPLE}"
        raise InvalidPlaceError(msg) from None


def _tables(path: Path) -> Iterator[geopandas.GeoSeries]:
    """Yield the geometries of each layer of a file; most kinds of file have one."""
    import geopandas
    import pyogrio

    if path.suffix.lower() in {".parquet", ".geoparquet", ".pq"}:
        yield geopandas.read_parquet(path).geometry
        return
    for layer, kind in pyogrio.list_layers(path):
        if kind is not None:
            yield geopandas.read_file(path, layer=layer).geometry


def _lon_lat(geometries: geopandas.GeoSeries) -> geopandas.GeoSeries:
    return geometries if geometries.crs is None else geometries.to_crs("EPSG:4326")


def _area(geometries: list[shapely.Geometry], name: str) -> shapely.Geometry:
    """Join the polygons of a source into one valid area."""
    import numpy as np
    import shapely

    from geoindex.geo.antimeridian import in_one_piece, valid_areas
    from geoindex.geo.tangled import tangled

    # one level at a time: a collection may hold collections
    parts = np.array(geometries, object)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts = shapely.get_parts(parts)
    polygons = parts[(shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_empty(parts)]
    if not polygons.size:
        kinds = sorted({part.geom_type for part in parts if not part.is_empty})
        msg = f"{name} holds no polygon, but {', '.join(kinds) or 'nothing'}. {_EXAMPLE}"
        raise InvalidPlaceError(msg)
    check_on_earth(polygons, name)
    whole = in_one_piece(polygons)
    if tangled(whole).size:
        msg = (
            f"{name} has a polygon that crosses itself too often to be made valid; mend it first, "
            f"as with QGIS. {_EXAMPLE}"
        )
        raise InvalidPlaceError(msg)
    reasons = shapely.is_valid_reason(whole)
    broken = [reason for reason in reasons if reason != _VALID]
    if broken:
        warnings.warn(f"{name}: {broken[0]}; the polygon was made valid", stacklevel=3)
    area = shapely.union_all(valid_areas(polygons))
    if not shapely.area(area) > 0:
        msg = f"{name} has polygons without an area. {_EXAMPLE}"
        raise InvalidPlaceError(msg)
    return area


def check_on_earth(
    polygons: Any, name: str, error: type[GeoindexError] = InvalidPlaceError
) -> None:
    """Check that polygons lie within -180 to 180 and -90 to 90 degrees.

    Parameters
    ----------
    polygons
        Shapely, shape ``(n,)``.
    name, error
        Of what they are, for the message, and what is raised.

    Raises
    ------
    GeoindexError
        As `error`, if they do not.
    """
    import shapely

    xmin, ymin, xmax, ymax = (float(side) for side in shapely.total_bounds(polygons))
    # NaN, of what is empty, is no place off the Earth
    if not (max(abs(ymin), abs(ymax)) > 90 or max(abs(xmin), abs(xmax)) > 180):
        return
    shown = f"{xmin:g},{ymin:g},{xmax:g},{ymax:g}"
    may_be_swapped = max(abs(xmin), abs(xmax)) <= 90 and max(abs(ymin), abs(ymax)) <= 180
    if may_be_swapped:
        hint = "Are latitude and longitude swapped?"
    elif max(abs(xmin), abs(xmax)) <= 360:
        hint = "Cut it in two at the antimeridian, as RFC 7946 asks."
    else:
        hint = "Is it in metres?"
    msg = f"{name} covers {shown}; want degrees, longitude first. {hint} {_EXAMPLE}"
    raise error(msg)
