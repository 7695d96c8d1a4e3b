"""How does a batch of OpenStreetMap objects become raw entities? Judged by its tags, in columns."""

from pathlib import Path
from typing import Any

import numpy as np
import osmium
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.kinds import are_areas, kinds_of
from geoindex.sources.base import RawEntities, UnsortedSourceError
from geoindex.sources.osm_xml import FORMAT, parse_xml
from geoindex.tag_maps import tag_map_of

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
        """Return all as entities, closed ways as areas where their tags say so.

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
