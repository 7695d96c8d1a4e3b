"""Find the OpenStreetMap objects that Overture's features were made of.

They are in `sources`: those of the dataset OpenStreetMap whose `property` is the whole feature,
and whose `record_id` is written ``w1234@5``.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoindex.features.ids import RECORDS
from geoindex.features.tags import tag_map

_DATASET = "openstreetmap"
_RECORD = r"^(?P<kind>[nwr])(?P<id>[0-9]{1,18})(?:@(?P<version>[0-9]{1,9}))?$"
_TYPES = pa.array(["node", "way", "relation"])
_LETTERS = pa.array(["n", "w", "r"])


class OsmRecords(NamedTuple):
    """The first object of each row, null where it has none, and all of those that have several."""

    osm_type: pa.StringArray
    osm_id: pa.Int64Array
    version: pa.Int32Array
    tags: pa.MapArray


def osm_records(sources: pa.Array) -> OsmRecords:
    """Return the objects that rows were made of, from their column `sources`."""
    lengths = pc.fill_null(pc.list_value_length(sources), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(sources)), lengths.astype(np.int64))
    items = sources.flatten()
    fields = {field.name for field in items.type}
    if not {"dataset", "record_id"} <= fields:
        return _none(len(sources))
    dataset = pc.utf8_lower(pc.struct_field(items, "dataset").cast(pa.string()))
    is_wanted = pc.fill_null(pc.equal(dataset, _DATASET), fill_value=False)
    if "property" in fields:
        whole = pc.fill_null(pc.equal(pc.struct_field(items, "property"), ""), fill_value=True)
        is_wanted = pc.and_(is_wanted, whole)
    record = pc.struct_field(items, "record_id").cast(pa.string())
    found = pc.extract_regex(record, pattern=_RECORD)
    is_wanted = pc.and_(is_wanted, found.is_valid())
    at = np.flatnonzero(is_wanted.to_numpy(zero_copy_only=False))
    found, row = found.take(pa.array(at)), row[at]
    kind = _TYPES.take(pc.index_in(pc.struct_field(found, "kind"), value_set=_LETTERS))
    osm_id = pc.struct_field(found, "id").cast(pa.int64())
    version = pc.struct_field(found, "version")
    version = pc.if_else(pc.equal(version, ""), pa.scalar(None, pa.string()), version)
    first = np.full(len(sources), -1)
    first[row[::-1]] = np.arange(len(row))[::-1]
    taken = pa.array(first, mask=first < 0)
    return OsmRecords(
        kind.take(taken),
        osm_id.take(taken),
        version.cast(pa.int32()).take(taken),
        _all(len(sources), row, kind, osm_id),
    )


def _all(num_rows: int, row: "np.ndarray", kind: pa.Array, osm_id: pa.Array) -> pa.MapArray:
    """Return a tag of the rows that were made of several objects: ``way/1;way/2``."""
    names = pc.binary_join_element_wise(kind, osm_id.cast(pa.string()), "/").to_pylist()
    several: dict[int, dict[str, None]] = {}
    for place, name in zip(row.tolist(), names, strict=True):
        several.setdefault(place, {})[name] = None
    values = {place: ";".join(each) for place, each in several.items() if len(each) > 1}
    counts = np.zeros(num_rows, np.int64)
    counts[list(values)] = 1
    texts = pa.array([values[place] for place in sorted(values)], pa.string())
    return tag_map(counts, pa.repeat(RECORDS, len(texts)).cast(pa.string()), texts)


def _none(num_rows: int) -> OsmRecords:
    empty = pa.array([], pa.string())
    return OsmRecords(
        pa.nulls(num_rows, pa.string()),
        pa.nulls(num_rows, pa.int64()),
        pa.nulls(num_rows, pa.int32()),
        tag_map(np.zeros(num_rows, np.int64), empty, empty),
    )
