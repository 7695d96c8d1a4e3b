"""Read entities from GeoParquet as QuackOSM and srai write it.

Wanted are the columns `feature_id` (``way/1234``, or any unique text such as a GERS UUID; srai's
index serves as well), a geometry (WKB, EPSG:4326 or OGC:CRS84) and `tags`: a map or a struct of
strings, or JSON text. Without `tags`, every other text column is a tag key, as srai's loaders
and QuackOSM's exploded files have it. Kinds are told by the rule of OSM files.

Counted when left out: ``no_feature_id``, ``no_main_key``, ``empty_geometry`` (none, an empty one,
or bytes that are no WKB), ``bad_coordinates``.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geoindex.errors import InvalidIdError, SourceError
from geoindex.features.ids import OsmId, parse_id
from geoindex.features.kinds import kinds_of
from geoindex.features.raw import RawEntities
from geoindex.features.tags import tag_map_of
from geoindex.sources.base import BATCH_ROWS, SourceInfo, file_hash
from geoindex.sources.osm.reader import ATTRIBUTION, LICENCE

SUFFIXES = (".parquet", ".geoparquet")
_ID_COLUMNS = ("feature_id", "__index_level_0__", "id")
_LON_LAT = {("EPSG", "4326"), ("OGC", "CRS84")}
# GeoParquet 1.1 orders a box in three dimensions so: x, y, z of one corner, then of the other
_BBOX_SIDES = {4: (0, 1, 2, 3), 6: (0, 1, 3, 4)}


class ParquetSource:
    """One GeoParquet file.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def describe(self) -> SourceInfo:
        """Check the columns and the coordinate system, and hash the file.

        Raises
        ------
        SourceError
            If the file is no Parquet, lacks a column, or is in other coordinates.
        """
        schema = self._schema()
        self._id_column(schema)
        name, column = self._geometry_column(schema)
        self._check_wkb(schema, name, column)
        bbox = column.get("bbox") or ()
        sides = _BBOX_SIDES.get(len(bbox))
        return SourceInfo(
            path=str(self.path),
            format="geoparquet",
            size_bytes=self.path.stat().st_size,
            blake2b=file_hash(self.path),
            timestamp=None,
            licence=LICENCE,
            attribution=ATTRIBUTION,
            bbox=tuple(bbox[side] for side in sides) if sides else None,
        )

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in file order; see `geoindex.sources.base.Source.read`."""
        schema = self._schema()
        ids = self._id_column(schema)
        geometry, _ = self._geometry_column(schema)
        tag_columns = _tag_columns(schema, geometry)
        with self._damage_told(), pq.ParquetFile(self.path) as file:
            columns = [ids, geometry, *tag_columns]
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                tags = self._tags(batch, tag_columns)
                yield _entities(batch[ids], batch[geometry], tags, skipped)

    def _tags(self, batch: pa.RecordBatch, columns: list[str]) -> pa.MapArray:
        if columns != ["tags"]:
            rows = batch.select(columns).to_pylist()
            return tag_map_of([_plain(row) for row in rows])
        rows = batch["tags"].to_pylist()
        try:
            return tag_map_of([_plain(row) for row in rows])
        except (ValueError, TypeError) as error:
            wrong = next(row for row in rows if not _is_tags(row))
            msg = (
                f"{self.path} has tags that cannot be read: {str(wrong)[:60]!r}; want a map, a "
                'struct, or JSON text such as {"amenity": "cafe"}'
            )
            raise SourceError(msg) from error

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            msg = (
                f"cannot read {self.path} as Parquet: {error}. Want a whole file, as geopandas' "
                "to_parquet writes it"
            )
            raise SourceError(msg) from error

    def _schema(self) -> pa.Schema:
        with self._damage_told(), pq.ParquetFile(self.path) as file:
            return file.schema_arrow

    def _id_column(self, schema: pa.Schema) -> str:
        for name in _ID_COLUMNS:
            if name in schema.names:
                return name
        raise self._lacks(_ID_COLUMNS[0], schema)

    def _geometry_column(self, schema: pa.Schema) -> tuple[str, dict[str, Any]]:
        """Return the geometry column's name and what the file's metadata say of it."""
        try:
            geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
            name = geo.get("primary_column", "geometry")
            column = geo.get("columns", {}).get(name, {})
        except (ValueError, AttributeError) as error:
            msg = f"{self.path} has GeoParquet metadata that are no JSON object: {error}"
            raise SourceError(msg) from error
        if name not in schema.names:
            raise self._lacks(name, schema)
        return name, column

    def _lacks(self, column: str, schema: pa.Schema) -> SourceError:
        msg = (
            f"{self.path} has no column {column!r}, but {', '.join(schema.names) or 'none'}; "
            "want GeoParquet with feature_id, tags and geometry"
        )
        return SourceError(msg)

    def _check_wkb(self, schema: pa.Schema, name: str, column: dict[str, Any]) -> None:
        kind = schema.field(name).type
        kind = getattr(kind, "storage_type", kind)
        encoding = column.get("encoding", "WKB")
        is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        if encoding != "WKB" or not is_binary:
            msg = (
                f"{self.path} has {name} as {encoding if encoding != 'WKB' else kind}; want WKB. "
                "With geopandas: geopandas.read_parquet(a).to_parquet(b)"
            )
            raise SourceError(msg)
        crs = _authority(column.get("crs"))
        if crs is not None and crs not in _LON_LAT:
            msg = (
                f"{self.path} is in {':'.join(crs)}; want EPSG:4326. "
                "With geopandas: geopandas.read_parquet(a).to_crs(4326).to_parquet(b)"
            )
            raise SourceError(msg)


def _authority(crs: Any) -> tuple[str, str] | None:
    """Return the authority and code of a coordinate system, None where the file names none."""
    if crs is None:
        return None
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        found = CRS.from_user_input(crs)
    except CRSError:
        return ("an unknown system", str(crs)[:40])
    return found.to_authority() or ("an unnamed system", found.name)


def _entities(
    ids: pa.Array, geometries: pa.Array, tags: pa.MapArray, skipped: Counter[str]
) -> RawEntities:
    names = [None if name is None else str(name).strip() for name in ids.to_pylist()]
    osm = [_osm_id(name) if name else None for name in names]
    kind = kinds_of(tags)
    wkb = np.array(geometries.to_numpy(zero_copy_only=False), object)
    raw = RawEntities(
        pa.array(
            [str(found) if found else name for name, found in zip(names, osm, strict=True)],
            pa.string(),
        ),
        pa.array([found.osm_type if found else None for found in osm], pa.string()),
        pa.array([found.osm_id if found else None for found in osm], pa.int64()),
        pa.nulls(len(names), pa.int32()),
        kind,
        tags,
        wkb,
    )
    keep = np.ones(len(names), bool)
    for reason, good in (
        ("no_feature_id", np.array([bool(name) for name in names], bool)),
        ("no_main_key", kind.is_valid().to_numpy(zero_copy_only=False)),
        ("empty_geometry", geometries.is_valid().to_numpy(zero_copy_only=False)),
    ):
        skipped[reason] += int((keep & ~good).sum())
        keep &= good
    return raw.take(np.flatnonzero(keep))


def _osm_id(feature_id: str) -> OsmId | None:
    try:
        found = parse_id(feature_id)
    except InvalidIdError:
        return None
    return OsmId(found.osm_type, found.osm_id) if isinstance(found, OsmId) else None


def _tag_columns(schema: pa.Schema, geometry: str) -> list[str]:
    if "tags" in schema.names:
        return ["tags"]
    return [
        field.name
        for field in schema
        if _is_text(field.type) and field.name not in (*_ID_COLUMNS, geometry)
    ]


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(item: Any) -> dict[str, str]:
    """Return tags given as a map (pairs), a struct or JSON text as a dict of text without NUL."""
    if isinstance(item, str):
        item = json.loads(item)
        if not isinstance(item, dict | None):
            msg = "no JSON object"
            raise TypeError(msg)
    pairs = item.items() if isinstance(item, dict) else (item or ())
    return {_text(key): _text(value) for key, value in pairs if value is not None}


def _text(item: Any) -> str:
    return str(item).replace("\0", "")


def _is_tags(item: Any) -> bool:
    try:
        _plain(item)
    except (ValueError, TypeError):
        return False
    return True
