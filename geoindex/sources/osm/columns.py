"""Make raw entities of batches of OpenStreetMap objects, in columns.

Type, id, version and tags of nodes and ways are parsed from osmium's own XML. osmium writes tags
as text some five times as fast as its Python binding hands them out one by one, so a batch goes
through a small text file and is parsed here in columns. This reads what osmium writes, not XML at
large: one element a line, attributes in one order, and in texts no line break and no quote. ::

      <way id="1234" version="7">
        <nd ref="1"/>
        <tag k="name" v="Rue &quot;du Port&quot;"/>
      </way>

osmium's other text format, OPL, is as quick, but writes U+100000 and above as other letters.
"""

from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import osmium
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.features.kinds import are_areas, kinds_of
from geoindex.features.raw import RawEntities
from geoindex.features.tags import tag_map, tag_map_of
from geoindex.sources.base import UnsortedSourceError

# what osmium must write for `parse_xml`: versions, but no times, users and changesets
FORMAT = "osm,add_metadata=version"
# the parts of a line between quotes: <way id=|1234| version=|7|...
_ID, _VERSION_NAME, _VERSION = 1, 2, 3
_KEY, _VALUE = 1, 3
_NO_PARTS = '""""'


class ObjectColumns(NamedTuple):
    """What stands in the text; one item an object.

    `osm_type` is ``node`` or ``way``; `version` is null where the file has none.
    """

    osm_type: pa.StringArray
    osm_id: pa.Int64Array
    version: pa.Int32Array
    tags: pa.MapArray


def parse_xml(text: bytes) -> ObjectColumns:
    """Parse what osmium wrote of nodes and ways.

    Raises
    ------
    UnicodeError
        If the text is not UTF-8.
    """
    try:
        whole = pa.array([text], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid as error:
        raise UnicodeError(str(error)) from error
    lines = pc.split_pattern(whole, "\n").flatten().cast(pa.string())
    is_tag = pc.starts_with(lines, "    <tag")
    is_object = pc.or_(pc.starts_with(lines, "  <node"), pc.starts_with(lines, "  <way"))
    opened, sides = lines.filter(is_object), pc.split_pattern(lines.filter(is_tag), '"')
    keys, values = (_unescaped(pc.list_element(sides, i)) for i in (_KEY, _VALUE))
    owner = np.cumsum(_bools(is_object))[_bools(is_tag)] - 1
    # an object without a version has fewer parts
    padded = pc.binary_join_element_wise(opened, _NO_PARTS, "")
    parts = pc.split_pattern(padded, '"', max_splits=4)
    has_version = pc.equal(pc.list_element(parts, _VERSION_NAME), " version=")
    version = pc.if_else(has_version, pc.list_element(parts, _VERSION), None).cast(pa.int32())
    return ObjectColumns(
        pc.if_else(pc.starts_with(opened, "  <node"), "node", "way"),
        pc.list_element(parts, _ID).cast(pa.int64()),
        pc.if_else(pc.greater(version, 0), version, pa.scalar(None, pa.int32())),
        tag_map(np.bincount(owner, minlength=len(opened)), keys, values),
    )


def _unescaped(texts: pa.StringArray) -> pa.StringArray:
    escaped = pc.match_substring(texts, "&")
    plain = [unescape(text) for text in texts.filter(escaped).to_pylist()]
    return pc.replace_with_mask(texts, escaped, pa.array(plain, pa.string()))


def _bools(array: pa.BooleanArray) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False))


# WKB, little endian: a line is 01 | 2 | points, an area of one ring is 01 | 3 | 1 | points
_LINE_HEADER_BYTES = 5
_POLYGON_HEADER = b"\x01\x03\x00\x00\x00\x01\x00\x00\x00"
_MIN_RING_BYTES = 9 + 4 * 16  # three distinct corners, and the first again
_BUFFER_BYTES = 1 << 20
_NEGATIVE_FIRST = 1 << 62


class IdOrder:
    """Holds the ids of each type to osmium's order: 0, -1, -2 ..., 1, 2 ..., each once."""

    def __init__(self) -> None:
        self._last: dict[str, NDArray[np.int64]] = {}

    def check(self, osm_type: str, osm_ids: NDArray[np.int64]) -> None:
        """Raise `UnsortedSourceError` if these do not go on where the last ones ended."""
        places = np.where(osm_ids > 0, osm_ids, np.abs(osm_ids) - _NEGATIVE_FIRST)
        before = self._last.get(osm_type, np.zeros(0, np.int64))
        wrong = np.flatnonzero(np.diff(np.append(before, places)) <= 0)
        if len(wrong):
            msg = (
                f"{osm_type} {osm_ids[wrong[0] + 1 - len(before)]} is out of order, or there twice"
            )
            raise UnsortedSourceError(msg)
        self._last[osm_type] = places[-1:] if len(places) else before


class LineBatch:
    """Nodes and ways of one batch: geometries here, all else in a text file."""

    def __init__(self, folder: Path, order: IdOrder) -> None:
        self._wkb: list[bytes] = []
        self._closed: list[int] = []
        self._order = order
        self._path = folder / "batch.osm"
        self._writer = osmium.SimpleWriter(
            osmium.io.File(str(self._path), FORMAT), overwrite=True, bufsz=_BUFFER_BYTES
        )

    def __len__(self) -> int:
        return len(self._wkb)

    def add_node(self, node: Any, wkb: bytes) -> None:
        """Add a node and its point."""
        self._writer.add_node(node)
        self._wkb.append(wkb)

    def add_way(self, way: Any, wkb: bytes) -> None:
        """Add a way and its line."""
        self._writer.add_way(way)
        if way.is_closed():
            self._closed.append(len(self._wkb))
        self._wkb.append(wkb)

    def raw(self) -> RawEntities:
        """Return all as entities, closed ways as areas where their tags make them so.

        `kind` is null for those that are none. Nothing can be added after.

        Raises
        ------
        UnsortedSourceError
            If ids are out of order.
        UnicodeError
            If a tag is no Unicode text.
        """
        self._writer.close()
        osm_type, osm_id, version, tags = parse_xml(self._path.read_bytes())
        ids, is_way = osm_id.to_numpy(), pc.equal(osm_type, "way").to_numpy(zero_copy_only=False)
        self._order.check("node", ids[~is_way])
        self._order.check("way", ids[is_way])
        wkb = np.array(self._wkb, object)
        closed = np.array(self._closed, np.intp)
        for row in closed[are_areas(tags.take(pa.array(closed)))]:
            if len(wkb[row]) >= _MIN_RING_BYTES:
                wkb[row] = _POLYGON_HEADER + wkb[row][_LINE_HEADER_BYTES:]
        feature_id = pc.binary_join_element_wise(osm_type, osm_id.cast(pa.string()), "/")
        return RawEntities(feature_id, osm_type, osm_id, version, kinds_of(tags), tags, wkb)


class AreaBatch:
    """Areas of relations."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._versions: list[int | None] = []
        self._tags: list[dict[str, str]] = []
        self._wkb: list[bytes] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, relation_id: int, version: int, tags: dict[str, str], wkb: bytes) -> None:
        """Add the area of a relation."""
        self._ids.append(relation_id)
        self._versions.append(version or None)
        self._tags.append(tags)
        self._wkb.append(wkb)

    def raw(self) -> RawEntities:
        """Return all as entities."""
        tags = tag_map_of(self._tags)
        return RawEntities(
            pa.array([f"relation/{relation_id}" for relation_id in self._ids], pa.string()),
            pa.array(["relation"] * len(self), pa.string()),
            pa.array(self._ids, pa.int64()),
            pa.array(self._versions, pa.int32()),
            kinds_of(tags),
            tags,
            np.array(self._wkb, object),
        )
