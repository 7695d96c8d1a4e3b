"""Read entities from GeoParquet and other Parquet with geometries.

Wanted are an id, a geometry and tags.

- The id is the column `feature_id` (``way/1234``, or any unique text such as a GERS UUID), srai's
  index, or `id`. Where a number is an id and another column names its type, as osmnx (`element`)
  and pyrosm (`osm_type`) have it, both are the id.
- The geometry is WKB in EPSG:4326 or OGC:CRS84, as GeoParquet or as Parquet's own type.
- Tags are the column `tags` (or GDAL's `other_tags`), a map, a struct, JSON text or hstore, and
  every other column of text, numbers, truths or lists of them that is neither id nor metadata
  (`NO_TAGS`): so srai and QuackOSM explode them, and pyrosm keeps the rest in `tags`. In our own
  exports all tags are in `tags`. True is ``yes``, false ``no``, as OpenStreetMap writes them; whole
  numbers have no point.

With a mapping (`geoindex.features.tag_mapping`) none of that holds: its rules make the tags, and it
names the column of ids, the geometry and the licence. Of a file that has boxes in its rows, only
the row groups that meet `bbox` are read.

Kinds follow the rule of OSM files. Licence and attribution are what the file's metadata name
(`rights_of`), or unknown.

Counted when left out: ``no_feature_id``, ``no_main_key``, ``bad_text`` (tags that are no Unicode),
``empty_geometry`` (none, an empty one, or bytes that are no WKB), ``unsupported_geometry``
(curves), ``bad_coordinates``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geoindex.errors import InvalidIdError, SourceError
from geoindex.features.ids import OSM_TYPES, OsmId, parse_id
from geoindex.features.kinds import kinds_of
from geoindex.features.raw import RawEntities
from geoindex.features.tag_mapping import TagMapping
from geoindex.features.tag_texts import is_plain, is_text, tags_in, text_of, texts_of
from geoindex.features.tags import tag_map_of
from geoindex.geo.crs import authority, extension_crs, native_crs, native_type
from geoindex.geo.distance import BBox
from geoindex.geo.wkb import srids
from geoindex.sources.base import BATCH_ROWS, UNKNOWN, SourceInfo, check_file, file_hash
from geoindex.storage.row_groups import groups_meeting

SUFFIXES = (".parquet", ".geoparquet")
_ID_COLUMNS = (
    "feature_id",
    "__index_level_1__",
    "__index_level_0__",
    "id",
    "osmid",
    "osm_id",
    "@id",
)
_TYPE_COLUMNS = ("element", "element_type", "osm_type", "@type", "type", "__index_level_0__")
# GDAL's driver of OpenStreetMap puts what has no column of its own into one of these
_TAG_COLUMNS = ("tags", "other_tags", "all_tags")
_BRIDGE_COLUMNS = ("osm_type", "osm_id", "osm_version")
_TYPES = {
    text: name for name in OSM_TYPES for text in (name, name[0], f"{name}s")
}  # as in the columns of osmnx, pyrosm and Overpass
#: Columns beside the tags that describe the row, not the entity.
NO_TAGS = frozenset(
    {*_ID_COLUMNS, *_TAG_COLUMNS, "element", "element_type", "osm_type", "@type", "region_id"}
    | {"version", "timestamp", "changeset", "uid", "user", "visible"}
    | {"lon", "lat", "longitude", "latitude", "bbox", "geometry", "centroid", "nodes", "ways"}
)
_NUMBER = re.compile(r"\s*(-?[0-9]+)(?:\.0)?\s*")
_LON_LAT = {("EPSG", "4326"), ("OGC", "CRS84")}
_LON_LAT_SRIDS = {4326}
# GeoParquet 1.1 orders a box in three dimensions so: x, y, z of one corner, then of the other
_SHOWN = 5
_BBOX_SIDES = {4: (0, 1, 2, 3), 6: (0, 1, 3, 4)}


class ParquetSource:
    """One Parquet file.

    Parameters
    ----------
    path
        The file.
    mapping
        What makes tags of its columns; None for a file that has tags, as above.
    bbox
        Row groups that do not meet it may be left out.
    """

    def __init__(
        self, path: Path, *, mapping: TagMapping | None = None, bbox: BBox | None = None
    ) -> None:
        self.path = path
        self._mapping = mapping
        self._bbox = bbox

    def describe(self) -> SourceInfo:
        """Check the columns and the coordinate system, and hash the file.

        Raises
        ------
        SourceError
            If the file is no Parquet, lacks a column, or is in other coordinates.
        MappingError
            If the mapping names a column that the file does not have.
        """
        check_file(self.path)
        layout = self._layout()
        licence, attribution = rights_of(layout.metadata)
        if self._mapping is not None:
            licence = self._mapping.licence or licence
            attribution = self._mapping.attribution or attribution
        return SourceInfo(
            path=str(self.path),
            format="geoparquet",
            size_bytes=self.path.stat().st_size,
            blake2b=file_hash(self.path),
            timestamp=None,
            licence=licence,
            attribution=attribution,
            bbox=layout.bbox,
        )

    def notes(self) -> list[str]:
        """Say which columns are not read, though they might be tags."""
        unread = [] if self._mapping is not None else self._layout().unread
        if not unread:
            return []
        shown = ", ".join(unread[:_SHOWN]) + (", ..." if len(unread) > _SHOWN else "")
        return [f"{self.path.name}: columns that cannot be tags are not read: {shown}"]

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in file order; see `geoindex.sources.base.Source.read`."""
        layout = self._layout()
        with self._explained(), pq.ParquetFile(self.path) as file:
            groups = groups_meeting(file.metadata, self._bbox, layout.covering)
            kept = sum(file.metadata.row_group(i).num_rows for i in groups)
            skipped["outside_bbox"] += file.metadata.num_rows - kept
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=layout.columns):
                geometries = batch[layout.geometry]
                geometries = getattr(geometries, "storage", geometries)
                wkb = np.array(geometries.to_numpy(zero_copy_only=False), object)
                self._check_srids(wkb)
                if self._mapping is None:
                    rows = self._tags(batch, layout)
                    yield _entities(batch, layout, wkb, rows, skipped)
                else:
                    batch.validate(full=True)  # whose texts are not looked at one by one
                    tags = self._mapping.apply(batch, skipped)
                    yield _mapped(batch, layout, wkb, tags, skipped)

    def _layout(self) -> "_Layout":
        with self._explained(), pq.ParquetFile(self.path) as file:
            layout = _Layout(
                self.path,
                file.schema_arrow,
                file.metadata.metadata or {},
                file.schema,
                mapping=self._mapping,
            )
            layout.check()
            if layout.osm_type == "type" and not _are_types(file.read(["type"])["type"]):
                layout.has_types = False
        return layout

    def _tags(self, batch: pa.RecordBatch, layout: "_Layout") -> list[dict[str, str]]:
        beside = {name: texts_of(batch[name]).to_pylist() for name in layout.beside}
        columns = [[(name, text) for text in texts] for name, texts in beside.items()]
        rows = [
            {name: text for name, text in row if text}
            for row in (zip(*columns, strict=True) if columns else [()] * batch.num_rows)
        ]
        if layout.tags is None:
            return rows
        for row, item in zip(rows, batch[layout.tags].to_pylist(), strict=True):
            try:
                row.update(tags_in(item))
            except (ValueError, TypeError, RecursionError) as error:
                msg = (
                    f"{self.path} has tags that cannot be read: {str(item)[:60]!r}; want a map, a "
                    'struct, or JSON text such as {"amenity": "cafe"}'
                )
                raise SourceError(msg) from error
        return rows

    def _check_srids(self, wkb: NDArray[np.object_]) -> None:
        for srid in sorted(srids(wkb) - _LON_LAT_SRIDS):
            raise SourceError(_other_system(self.path, f"EPSG:{srid}"))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            msg = (
                f"cannot read {self.path} as Parquet: {error}. Want a whole file, as geopandas' "
                "to_parquet writes it"
            )
            raise SourceError(msg) from error


@dataclass
class _Layout:
    """Which columns of a file are what."""

    path: Path
    schema: pa.Schema
    metadata: Mapping[bytes, bytes]
    parquet_schema: Any
    has_types: bool = True
    mapping: TagMapping | None = None

    def check(self) -> None:
        """Raise `SourceError` if a column is missing, or the geometry is of another kind."""
        if self.mapping is not None:
            self.mapping.check(self.schema, self.path.name)
        for name in self.columns:
            if self.schema.names.count(name) > 1:
                msg = f"{self.path} has several columns {name!r}; want each once"
                raise SourceError(msg)
        kind = self.schema.field(self.geometry).type
        kind = getattr(kind, "storage_type", kind)
        encoding = self.described.get("encoding", "WKB")
        if encoding != "WKB" or not _is_binary(kind):
            msg = (
                f"{self.path} has {self.geometry} as {encoding if encoding != 'WKB' else kind}; "
                "want WKB. With geopandas: geopandas.read_parquet(a).to_parquet(b)"
            )
            raise SourceError(msg)
        for crs in map(authority, self._systems):
            if crs is not None and crs not in _LON_LAT:
                raise SourceError(_other_system(self.path, ":".join(crs)))

    @cached_property
    def geo(self) -> dict[str, Any]:
        """The metadata of GeoParquet, empty where there are none."""
        try:
            geo = json.loads(self.metadata.get(b"geo", b"{}"))
            for column in geo.get("columns", {}).values():
                column.get("crs")
        except (ValueError, AttributeError, RecursionError) as error:
            msg = f"{self.path} has GeoParquet metadata that are no JSON object: {error}"
            raise SourceError(msg) from error
        return geo

    @property
    def described(self) -> dict[str, Any]:
        """What the metadata of GeoParquet tell of the geometry column."""
        return dict(self.geo.get("columns", {}).get(self.geometry, {}))

    @cached_property
    def geometry(self) -> str:
        """The geometry column."""
        if self.mapping is not None and self.mapping.geometry is not None:
            return self.mapping.geometry
        name = self.geo.get("primary_column", "geometry")
        if name in self.schema.names:
            return str(name)
        native = [
            name for name in self.schema.names if native_type(self.parquet_schema, name) is not None
        ]
        if len(native) == 1 and not self.geo:
            return native[0]
        raise self._lacks(str(name))

    @cached_property
    def feature_id(self) -> str:
        """The column of ids."""
        if self.mapping is not None and self.mapping.id is not None:
            return self.mapping.id
        for name in _ID_COLUMNS:
            if name in self.schema.names:
                return name
        raise self._lacks(_ID_COLUMNS[0])

    @property
    def osm_type(self) -> str | None:
        """The column of the types of ids, where there is one."""
        if self.mapping is not None:
            return None
        found = (name for name in _TYPE_COLUMNS if name in self.schema.names)
        other = (name for name in found if name != self.feature_id)
        name = next(other, None) if self.has_types else None
        return name if name and is_text(self.schema.field(name).type) else None

    @property
    def tags(self) -> str | None:
        """The column of tags, where there is one."""
        return next((name for name in _TAG_COLUMNS if name in self.schema.names), None)

    @property
    def has_bridges(self) -> bool:
        """Whether it is an export of ours: its rows name OSM objects whatever their ids are."""
        return b"geoindex" in self.metadata and set(_BRIDGE_COLUMNS) <= set(self.schema.names)

    @property
    def beside(self) -> list[str]:
        """The columns that are tags themselves."""
        return [field.name for field in self._others if is_plain(field.type)]

    @property
    def unread(self) -> list[str]:
        """The columns that might be tags, but for their type."""
        return [f"{field.name} ({field.type})" for field in self._others
                if not is_plain(field.type)]  # fmt: skip

    @property
    def _others(self) -> list[pa.Field]:
        if self.tags == "tags" and b"geoindex" in self.metadata:
            return []
        taken = {self.feature_id, self.osm_type, self.geometry}
        return [field for field in self.schema if field.name not in NO_TAGS | taken]

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        if self.mapping is not None:
            named = [self.feature_id, self.geometry, *self.mapping.roots(self.schema)]
            return list(dict.fromkeys(named))
        names = [self.feature_id, self.osm_type, self.geometry, self.tags]
        names += _BRIDGE_COLUMNS if self.has_bridges else ()
        names = list(dict.fromkeys(names))
        return [name for name in (*names, *self.beside) if name is not None]

    @property
    def bbox(self) -> tuple[float, float, float, float] | None:
        """The bbox of all that the metadata of GeoParquet name."""
        bbox = self.described.get("bbox")
        if not isinstance(bbox, list) or not all(isinstance(side, (int, float)) for side in bbox):
            return None
        sides = _BBOX_SIDES.get(len(bbox))
        if sides is None:
            return None
        west, south, east, north = (float(bbox[side]) for side in sides)
        return west, south, east, north

    @property
    def covering(self) -> dict[str, str] | None:
        """The columns that hold the sides of each row's box, by side; None where there are none."""
        try:
            box = self.described["covering"]["bbox"]
            return {side: ".".join(box[side]) for side in ("xmin", "ymin", "xmax", "ymax")}
        except (KeyError, TypeError):
            return None

    @property
    def _systems(self) -> Iterator[Any]:
        """Yield the coordinate systems of the geometry that the file names in several places."""
        yield self.described.get("crs")
        native = native_type(self.parquet_schema, self.geometry)
        if native:
            yield native_crs(native, self.metadata)
        yield extension_crs(self.schema.field(self.geometry))

    def _lacks(self, column: str) -> SourceError:
        msg = (
            f"{self.path} has no column {column!r}, but {', '.join(self.schema.names) or 'none'}; "
            "want GeoParquet with feature_id, tags and geometry, or a mapping: --map mapping.toml"
        )
        return SourceError(msg)


def rights_of(metadata: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Return licence and attribution as the metadata of a file name them, or unknown.

    Read are the keys `licence` or `license`, and `attribution`: of the file itself, in any case,
    and of the JSON of ``geoindex`` and ``emb``, which our exports have.
    """
    known: dict[str, Any] = {}
    for key in (b"emb", b"geoindex"):
        try:
            content = json.loads(metadata.get(key, b"{}"))
        except (ValueError, RecursionError):
            continue
        known |= content if isinstance(content, dict) else {}
    for name, text in metadata.items():
        known[name.decode("utf-8", "replace").lower()] = text.decode("utf-8", "replace")
    licence = _first_text(known, "licence", "license")
    return licence or UNKNOWN, _first_text(known, "attribution") or UNKNOWN


def _first_text(known: Mapping[str, Any], *names: str) -> str | None:
    texts = (known.get(name) for name in names)
    return next((text.strip() for text in texts if isinstance(text, str) and text.strip()), None)


def _other_system(path: Path, crs: str) -> str:
    return (
        f"{path} is in {crs}; want EPSG:4326. "
        "With geopandas: geopandas.read_parquet(a).to_crs(4326).to_parquet(b)"
    )


def _ids(batch: pa.RecordBatch, layout: _Layout) -> list[str | None]:
    """Return the id of each row as text, with its type before it where a column has that."""
    ids = [text_of(item) for item in batch[layout.feature_id].to_pylist()]
    if layout.osm_type is None:
        return ids
    types = [_TYPES.get(str(name).lower()) for name in batch[layout.osm_type].to_pylist()]
    numbers = [_NUMBER.fullmatch(text or "") for text in ids]
    return [
        f"{name}/{number[1]}" if name and number else text
        for name, text, number in zip(types, ids, numbers, strict=True)
    ]


def _are_types(column: pa.ChunkedArray) -> bool:
    """Tell whether a column holds types of ids alone, and is no tag."""
    found = pc.unique(texts_of(column.combine_chunks()).drop_null()).to_pylist()
    return bool(found) and all(text.lower() in _TYPES for text in found)


def _mapped(
    batch: pa.RecordBatch,
    layout: _Layout,
    wkb: NDArray[np.object_],
    tags: pa.MapArray,
    skipped: Counter[str],
) -> RawEntities:
    """Return the entities of a table whose tags a mapping made."""
    prefix = layout.mapping.id_prefix if layout.mapping else ""
    texts = [text_of(item) for item in batch[layout.feature_id].to_pylist()]
    names = [prefix + text.strip() if text and text.strip() else None for text in texts]
    osm = [_osm_id(name) if name else None for name in names]
    return _kept(names, wkb, tags, osm, np.ones(len(names), bool), skipped)


def _entities(
    batch: pa.RecordBatch,
    layout: _Layout,
    wkb: NDArray[np.object_],
    rows: list[dict[str, str]],
    skipped: Counter[str],
) -> RawEntities:
    names = [name.strip() if name else None for name in _ids(batch, layout)]
    is_unicode = np.array(
        [_is_unicode(name, row) for name, row in zip(names, rows, strict=True)], bool
    )
    names = [name if good else None for name, good in zip(names, is_unicode, strict=True)]
    tags = tag_map_of([row if good else {} for row, good in zip(rows, is_unicode, strict=True)])
    osm = [_osm_id(name) if name else None for name in names]
    if layout.has_bridges:
        bridges = (batch[name].to_pylist() for name in _BRIDGE_COLUMNS)
        beside = (_bridge(*each) for each in zip(*bridges, strict=True))
        osm = [own or other for own, other in zip(osm, beside, strict=True)]
    return _kept(names, wkb, tags, osm, is_unicode, skipped)


def _kept(
    names: list[str | None],
    wkb: NDArray[np.object_],
    tags: pa.MapArray,
    osm: list[OsmId | None],
    is_unicode: NDArray[np.bool_],
    skipped: Counter[str],
) -> RawEntities:
    """Return the entities that have an id, a kind and a geometry, the others counted."""
    own = [_osm_id(name) if name else None for name in names]
    kind = kinds_of(tags)
    raw = RawEntities(
        pa.array(
            [str(found) if found else name for name, found in zip(names, own, strict=True)],
            pa.string(),
        ),
        pa.array([found.osm_type if found else None for found in osm], pa.string()),
        pa.array([found.osm_id if found else None for found in osm], pa.int64()),
        pa.array([found.version if found else None for found in osm], pa.int32()),
        kind,
        tags,
        wkb,
    )
    keep = np.ones(len(names), bool)
    for reason, good in (
        ("bad_text", is_unicode),
        ("no_feature_id", np.array([bool(name) for name in names], bool)),
        ("no_main_key", kind.is_valid().to_numpy(zero_copy_only=False)),
        ("empty_geometry", np.array([item is not None for item in wkb], bool)),
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


def _bridge(osm_type: Any, osm_id: Any, version: Any) -> OsmId | None:
    """Return the OSM object that an entity of another id was made of, as our exports name it."""
    if osm_type not in OSM_TYPES or not isinstance(osm_id, int):
        return None
    return OsmId(osm_type, osm_id, version if isinstance(version, int) else None)


def _is_unicode(name: str | None, tags: Mapping[str, str]) -> bool:
    """Tell whether all is text: JSON may hold half of a surrogate pair."""
    try:
        "".join([name or "", *tags, *tags.values()]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
