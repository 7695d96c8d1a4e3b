"""Overture's files, written anew for each run, and the real samples as GeoParquet."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.geometry import shape

_SAMPLES = Path(
    os.environ.get("GEOINDEX_OVERTURE") or Path(__file__).parents[3] / "shared/data/overture"
)

_TEXT = pa.string()
_TEXTS = pa.list_(_TEXT)
_BETWEEN = ("between", pa.list_(pa.float64()))
_WHEN = pa.struct(
    {
        "during": _TEXT,
        "heading": _TEXT,
        "using": _TEXTS,
        "recognized": _TEXTS,
        "mode": _TEXTS,
        "vehicle": pa.list_(pa.struct([("dimension", _TEXT)])),
    }
)
_SPEED = pa.struct([("value", pa.int32()), ("unit", _TEXT)])
NAMES = pa.struct(
    {
        "primary": _TEXT,
        "common": pa.map_(_TEXT, _TEXT),
        "rules": pa.list_(pa.struct([("variant", _TEXT), ("value", _TEXT)])),
    }
)
SOURCES = pa.list_(
    pa.struct(
        {
            **dict.fromkeys(("property", "dataset", "license", "record_id", "update_time"), _TEXT),
            "confidence": pa.float64(),
        }
    )
)
BBOX = pa.struct([(side, pa.float32()) for side in ("xmin", "xmax", "ymin", "ymax")])


def _rules(value: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct([("value", value), _BETWEEN]))


_FLAGS = pa.list_(pa.struct([("values", _TEXTS), _BETWEEN]))
_CLASSIFIED = {"names": NAMES, "subtype": _TEXT, "class": _TEXT}
_BASE = {
    **_CLASSIFIED,
    "source_tags": pa.map_(_TEXT, _TEXT),
    "wikidata": _TEXT,
    "surface": _TEXT,
    "level": pa.int32(),
}
_APPEARANCE = {
    "height": pa.float64(),
    "num_floors": pa.int32(),
    "roof_shape": _TEXT,
    "roof_material": _TEXT,
    "facade_material": _TEXT,
    "is_underground": pa.bool_(),
    "level": pa.int32(),
}
_BRAND = pa.struct([("names", NAMES), ("wikidata", _TEXT)])
_ADDRESS = pa.struct([(name, _TEXT) for name in ("freeform", "locality", "postcode", "country")])
#: Columns of each type beside id, geometry, bbox, version and sources.
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "building": {**_CLASSIFIED, **_APPEARANCE, "has_parts": pa.bool_()},
    "building_part": {"names": NAMES, **_APPEARANCE, "building_id": _TEXT},
    "segment": {
        **_CLASSIFIED,
        "subclass": _TEXT,
        "connectors": pa.list_(pa.struct([("connector_id", _TEXT), ("at", pa.float64())])),
        "road_surface": _rules(_TEXT),
        "road_flags": _FLAGS,
        "rail_flags": _FLAGS,
        "width_rules": _rules(pa.float64()),
        "level_rules": _rules(pa.int32()),
        "speed_limits": pa.list_(
            pa.struct([("max_speed", _SPEED), ("min_speed", _SPEED), ("when", _WHEN)])
        ),
        "access_restrictions": pa.list_(pa.struct([("access_type", _TEXT), ("when", _WHEN)])),
        "routes": pa.list_(pa.struct([("ref", _TEXT), ("network", _TEXT)])),
    },
    "connector": {},
    "place": {
        "names": NAMES,
        "categories": pa.struct([("primary", _TEXT), ("alternate", _TEXTS)]),
        "basic_category": _TEXT,
        "taxonomy": pa.struct([("primary", _TEXT), ("hierarchy", _TEXTS), ("alternates", _TEXTS)]),
        "confidence": pa.float64(),
        "websites": _TEXTS,
        "phones": _TEXTS,
        "brand": _BRAND,
        "addresses": pa.list_(_ADDRESS),
        "operating_status": _TEXT,
    },
    "division": {
        **_CLASSIFIED,
        "hierarchies": _TEXTS,
        "population": pa.int32(),
        "wikidata": _TEXT,
    },
    "division_area": {**_CLASSIFIED, "division_id": _TEXT, "admin_level": pa.int32()},
    "division_boundary": {
        "subtype": _TEXT,
        "class": _TEXT,
        "division_ids": _TEXTS,
        "is_disputed": pa.bool_(),
    },
    "address": {"number": _TEXT, "street": _TEXT, "address_levels": _TEXTS},
    "infrastructure": {**_BASE, "height": pa.float64()},
    "land": {**_BASE, "elevation": pa.int32()},
    "land_use": {**_BASE, "elevation": pa.int32()},
    "land_cover": {"subtype": _TEXT},
    "water": {**_BASE, "is_intermittent": pa.bool_(), "is_salt": pa.bool_()},
    "bathymetry": {"depth": pa.int32()},
}


def gers_id(number: int) -> str:
    """Return a GERS id as they are since 2025."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def osm_source(record_id: str, **more: Any) -> dict[str, Any]:
    """Return an item of `sources` for an OpenStreetMap object: ``w12@3``."""
    return {"property": "", "dataset": "OpenStreetMap", "record_id": record_id, **more}


def write_overture(
    path: Path,
    kind: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    with_type: bool = False,
    row_group_rows: int | None = None,
) -> Path:
    """Write rows of one type as Overture does.

    Parameters
    ----------
    rows
        Columns by name; `geometry` is shapely's, and `id`, `sources` and `geometry` may be missing.
    with_type
        Whether there are columns `theme` and `type`.
    """
    made = [
        {
            "id": gers_id(i),
            "geometry": shapely.Point(i * 1e-4, 1.0),
            "sources": [{"property": "", "dataset": "Test"}],
            "version": 1,
            **({"type": kind, "theme": "x"} if with_type else {}),
            **row,
        }
        for i, row in enumerate(rows)
    ]
    columns = {
        "id": _TEXT,
        "geometry": pa.binary(),
        "bbox": BBOX,
        "version": pa.int32(),
        "sources": SOURCES,
        **COLUMNS[kind],
        **({"theme": _TEXT, "type": _TEXT} if with_type else {}),
    }
    for row in made:
        geometry = row["geometry"]
        west, south, east, north = shapely.bounds(geometry).tolist()
        row["bbox"] = {"xmin": west, "xmax": east, "ymin": south, "ymax": north}
        row["geometry"] = None if geometry is None else shapely.to_wkb(geometry)
    table = pa.Table.from_pylist(made, schema=pa.schema(list(columns.items())))
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table.replace_schema_metadata({"geo": json.dumps(geo)}), path, row_group_size=row_group_rows
    )
    return path


def sample(name: str) -> Path | None:
    """Return a real sample of `shared/data/overture`; None where a checkout has none."""
    path = _SAMPLES / name
    return path if path.exists() else None


def sample_as_parquet(name: str, kind: str, target: Path) -> Path | None:
    """Write a real GeoJSON sample as the GeoParquet it was made of; None where there is none."""
    path = sample(name)
    if path is None:
        return None
    rows = []
    for feature in json.loads(path.read_text("utf-8"))["features"]:
        known = {"id", "sources", *COLUMNS[kind]}
        row = {key: value for key, value in feature["properties"].items() if key in known}
        names = row.get("names")
        if names:
            row["names"] = {**names, "common": list((names.get("common") or {}).items())}
        rows.append({**row, "geometry": shape(feature["geometry"])})
    return write_overture(target, kind, rows)
