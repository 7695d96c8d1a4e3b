"""Read entities from Overture Maps: GeoParquet of every theme.

The id of an entity is its GERS id. Where it was made of OpenStreetMap objects (`sources`), the
first is in `osm_type`, `osm_id` and `osm_version`; where they are several, all are in the tag
``source:osm``, which encoders do not read.

The type of a row is in the column `type`, in the path (``theme=places/type=place``), or told by the
columns that the file has. Rules per type: `mapping.toml`; categories of places: `categories`.
Features of the theme base that bring the tags they were made of (`source_tags`) keep those.

Counted when left out: ``connector`` and ``bathymetry`` (types that are no places of their own),
``permanently_closed``, ``no_category`` and ``unmapped_category`` of places, and as of any file
``no_feature_id``, ``no_main_key``, ``empty_geometry``; noted: ``unmapped_value``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError, SourceError
from geoindex.features.kinds import kinds_of
from geoindex.features.raw import RawEntities
from geoindex.features.tags import merged, tag_map_of
from geoindex.geo.distance import BBox
from geoindex.sources.base import BATCH_ROWS, UNKNOWN, SourceInfo
from geoindex.sources.overture.categories import Category, tags_of_category
from geoindex.sources.overture.parquet_files import ParquetFile, ParquetFiles, open_files
from geoindex.sources.overture.records import osm_records
from geoindex.sources.overture.rules import (
    THEMES,
    WITH_SOURCE_TAGS,
    closed_values,
    rights,
    rules_hash,
    rules_of,
    skipped_types,
)

_CATEGORY_COLUMNS = ("categories", "taxonomy", "basic_category")
# writers name the element of a list in two ways
_LICENCES = ("sources.list.element.license", "sources.list.item.license")
#: Columns that only one type has, or, after them, several.
_TOLD_BY = (
    ("building_part", ("building_id",)),
    ("building", ("has_parts",)),
    ("place", ("categories",)),
    ("place", ("taxonomy",)),
    ("place", ("basic_category",)),
    ("segment", ("connectors",)),
    ("division_boundary", ("division_ids",)),
    ("division_area", ("division_id",)),
    ("division", ("hierarchies",)),
    ("address", ("address_levels",)),
    ("bathymetry", ("depth",)),
    ("water", ("is_salt",)),
)
_CONNECTOR = frozenset({"id", "geometry", "bbox", "version", "sources", "theme", "type"})


class OvertureSource:
    """Files of one or several types of Overture's schema.

    Parameters
    ----------
    path
        A file, a folder, or ``s3://bucket/key``.
    bbox
        Row groups that do not meet it are not read.
    """

    def __init__(self, path: Path, *, bbox: BBox | None = None) -> None:
        self.path = path
        self._bbox = bbox
        self._files: ParquetFiles | None = None

    @property
    def rules_hash(self) -> str:
        """The hash of the rules: other rules are other entities."""
        return rules_hash()

    def describe(self) -> SourceInfo:
        """Read the footers, and the licences of the rows.

        Raises
        ------
        SourceError
            If a file cannot be read, or its type is not told.
        """
        opened = self._opened()
        named = [self._rights(file) for file in opened.files]
        licences = sorted({licence for licences, _ in named for licence in licences})
        credits_ = sorted({part for _, attributions in named for part in attributions})
        # whoever is part of a longer line need not be named again
        credits_ = [each for each in credits_ if not any(each in o and each != o for o in credits_)]
        return SourceInfo(
            path=opened.name,
            format="overture",
            size_bytes=opened.size_bytes,
            blake2b=opened.digest(),
            timestamp=opened.release,
            licence=" AND ".join(licences) or UNKNOWN,
            attribution="; ".join(credits_) or UNKNOWN,
            bbox=None,
        )

    def notes(self) -> list[str]:
        """Return nothing: which columns are read is by the rules of the types."""
        return []

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities file by file; see `geoindex.sources.base.Source.read`."""
        for file in self._opened().files:
            groups = file.groups(self._bbox)
            total = file.metadata.num_rows
            skipped["outside_bbox"] += total - file.num_rows(groups)
            kind = _type_of(file)
            if kind in skipped_types():
                skipped[kind] += file.num_rows(groups)
                continue
            columns = _columns(file, kind)
            try:
                for batch in file.batches(groups, columns, BATCH_ROWS):
                    # texts are taken as they are: bytes that are none would be met much later
                    batch.validate(full=True)
                    for each, rows in _by_type(batch, kind):
                        if each in skipped_types():
                            skipped[each] += rows.num_rows
                        else:
                            yield _entities(rows, each, skipped)
            except (OSError, pa.ArrowException) as error:
                msg = f"cannot read {file.path}: {error}. Want whole files of an Overture release"
                raise SourceError(msg) from error

    def _opened(self) -> ParquetFiles:
        if self._files is None:
            self._files = open_files(self.path)
        return self._files

    def _rights(self, file: ParquetFile) -> tuple[set[str], set[str]]:
        """Return the licences of the rows of a file, and whom to credit."""
        kind = _type_of(file)
        kinds = _types_in(file) if kind is None else [kind]
        of_types = [rights(each) for each in kinds if each not in skipped_types()]
        if not of_types:
            return set(), set()
        attributions = {attribution for _, attribution in of_types}
        stated, is_complete = _stated_licences(file, self._bbox)
        if stated and is_complete:
            return stated, attributions
        return stated | {licence for licence, _ in of_types}, attributions


def is_overture(schema: pa.Schema) -> bool:
    """Tell whether a table is of Overture's schema: it says of each row what it was made of."""
    if not {"id", "geometry", "sources"} <= set(schema.names):
        return False
    kind = schema.field("sources").type
    inner = getattr(kind, "value_type", None)
    return inner is not None and pa.types.is_struct(inner) and inner.get_field_index("dataset") >= 0


def is_overture_file(path: Path) -> bool:
    """Tell whether a Parquet file is of Overture's schema; what is no Parquet is not."""
    try:
        return is_overture(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return False


def _type_of(file: ParquetFile) -> str | None:
    """Return the type of all rows of a file; None if each row says its own.

    Raises
    ------
    SourceError
        If it is none that we know, or cannot be told.
    """
    schema = file.schema
    if not is_overture(schema):
        msg = (
            f"{file.path} has {', '.join(schema.names[:12])}, which are not Overture's columns; "
            "want id, geometry and sources, or a mapping: --map mapping.toml"
        )
        raise SourceError(msg)
    named = file.partition.get("type")
    if named is not None:
        return _known(named, file.path)
    if "type" in schema.names:
        return None
    names = set(schema.names)
    for kind, columns in _TOLD_BY:
        if names.issuperset(columns):
            return kind
    if names <= _CONNECTOR:
        return "connector"
    # what is left are infrastructure, land and land use, which differ in their classes alone
    words = Path(file.path).stem.lower().replace("-", "_")
    for kind in sorted(THEMES, key=len, reverse=True):
        if kind in words:
            return kind
    msg = (
        f"{file.path} does not tell its type: want a column `type`, a path such as "
        "theme=base/type=land_use, or a name such as land_use.parquet"
    )
    raise SourceError(msg)


def _known(kind: str, path: str) -> str:
    if kind not in THEMES:
        msg = f"{path} has the type {kind!r}; want one of {', '.join(THEMES)}"
        raise SourceError(msg)
    return kind


def _types_in(file: ParquetFile) -> list[str]:
    """Return the types of the rows of a file."""
    groups = list(range(file.metadata.num_row_groups))
    found: set[str] = set()
    for batch in file.batches(groups, ["type"], 1 << 20):
        found.update(str(each) for each in pc.unique(batch["type"]).to_pylist() if each)
    return [_known(each, file.path) for each in sorted(found)]


def _stated_licences(file: ParquetFile, bbox: BBox | None) -> tuple[set[str], bool]:
    """Return the licences that rows name of themselves, and whether all do."""
    leaves = {file.metadata.schema.column(i).path for i in range(len(file.metadata.schema))}
    leaf = next((name for name in _LICENCES if name in leaves), None)
    if leaf is None:
        return set(), False
    stated: set[str] = set()
    is_complete = True
    for batch in file.batches(file.groups(bbox), [leaf], 1 << 18):
        licences = pc.struct_field(batch["sources"].flatten(), "license")
        is_complete &= licences.null_count == 0
        stated.update(each.strip() for each in pc.unique(licences).to_pylist() if each)
    return stated - {""}, is_complete


def _columns(file: ParquetFile, kind: str | None) -> list[str]:
    """Return the columns that are read."""
    schema = file.schema
    kinds = _types_in(file) if kind is None else [kind]
    wanted = {"id", "geometry", "sources", "type", *closed_values()}
    for each in kinds:
        wanted.update(rules_of(each).roots(schema))
        wanted.update(_CATEGORY_COLUMNS if each == "place" else ())
        wanted.update(("source_tags",) if each in WITH_SOURCE_TAGS else ())
    return [name for name in schema.names if name in wanted]


def _by_type(batch: pa.RecordBatch, kind: str | None) -> Iterator[tuple[str, pa.RecordBatch]]:
    if kind is not None:
        yield kind, batch
        return
    types = batch["type"]
    for each in sorted(set(types.to_pylist()) - {None}):
        yield each, batch.filter(pc.equal(types, each))


def _entities(batch: pa.RecordBatch, kind: str, skipped: Counter[str]) -> RawEntities:
    """Return the entities of rows of one type, those left out counted."""
    geometries = batch["geometry"]
    geometries = getattr(geometries, "storage", geometries)
    wkb = np.array(geometries.to_numpy(zero_copy_only=False), object)
    ids = pc.utf8_trim_whitespace(batch["id"].cast(pa.string()))
    tags = rules_of(kind).apply(batch, skipped)
    reasons = [("permanently_closed", ~_is_closed(batch))]
    if kind == "place":
        of_category, is_named, is_mapped = _category_tags(batch)
        tags = merged(of_category, tags)
        reasons += [("no_category", is_named), ("unmapped_category", is_mapped)]
    if kind in WITH_SOURCE_TAGS and "source_tags" in batch.schema.names:
        tags = _source_tags(batch["source_tags"], tags)
    records = osm_records(batch["sources"])
    tags = merged(tags, records.tags)
    found = kinds_of(tags)
    has_id = pc.fill_null(pc.not_equal(ids, ""), fill_value=False)
    reasons += [
        ("no_feature_id", has_id.to_numpy(zero_copy_only=False)),
        ("no_main_key", found.is_valid().to_numpy(zero_copy_only=False)),
        ("empty_geometry", np.array([item is not None for item in wkb], bool)),
    ]
    keep = np.ones(len(wkb), bool)
    for reason, good in reasons:
        skipped[reason] += int((keep & ~good).sum())
        keep &= good
    raw = RawEntities(ids, records.osm_type, records.osm_id, records.version, found, tags, wkb)
    return raw.take(np.flatnonzero(keep))


def _is_closed(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    closed = np.zeros(batch.num_rows, bool)
    for column, values in closed_values().items():
        if column in batch.schema.names:
            is_in = pc.is_in(batch[column].cast(pa.string()), value_set=pa.array(sorted(values)))
            closed |= is_in.to_numpy(zero_copy_only=False)
    return closed


def _category_tags(
    batch: pa.RecordBatch,
) -> tuple[pa.MapArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the tags of the category of each place, whether it has one, and whether it is known.

    Raises
    ------
    MissingExtraError
        If the table of categories is not installed.
    """
    columns = [
        batch[name].to_pylist() if name in batch.schema.names else [None] * batch.num_rows
        for name in _CATEGORY_COLUMNS
    ]
    found = [_category(*each) for each in zip(*columns, strict=True)]
    try:
        known = {each: tags_of_category(each) for each in set(found)}
    except ImportError as error:
        package = "overturetoosm"
        raise MissingExtraError(package, "overture") from error
    tags = [known[each] for each in found]
    is_named = np.array([each.primary is not None for each in found], bool)
    is_mapped = np.array([each is not None for each in tags], bool)
    return tag_map_of([each or {} for each in tags]), is_named, is_mapped | ~is_named


def _category(categories: Any, taxonomy: Any, basic: Any) -> Category:
    before, after = categories or {}, taxonomy or {}
    hierarchy = _texts(after.get("hierarchy"))
    names = _texts([before.get("primary"), after.get("primary"), *reversed(hierarchy), basic])
    others = _texts([*(before.get("alternate") or ()), *(after.get("alternates") or ()), basic])
    return Category(names[0] if names else None, hierarchy, others)


def _texts(items: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(item for item in items or () if isinstance(item, str) and item)


def _source_tags(column: pa.Array, made: pa.MapArray) -> pa.MapArray:
    """Return the tags of OpenStreetMap where they name a kind, else those that rules made."""
    if not pa.types.is_map(column.type):
        return made
    given = tag_map_of([_plain(each) for each in column.to_pylist()])
    has_kind = kinds_of(given).is_valid().to_numpy(zero_copy_only=False)
    both = pa.concat_arrays([made, given])
    places = np.arange(len(made)) + np.where(has_kind, len(made), 0)
    return both.take(pa.array(places))


def _plain(pairs: Any) -> dict[str, str]:
    return {
        key.replace("\0", ""): value.replace("\0", "")
        for key, value in pairs or ()
        if isinstance(key, str) and isinstance(value, str) and key
    }
