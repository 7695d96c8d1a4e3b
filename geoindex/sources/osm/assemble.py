"""Pick the nodes, ways and areas of an OpenStreetMap file that are entities, with geometries.

`geoindex.sources.osm.reader` lists what is kept. A node or way passes Python once, for its
geometry; its tags go as text through a small file to `geoindex.sources.osm.columns` and are judged
a batch at a time. Areas of relations are few: their tags are fetched one by one.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import osmium

from geoindex.features.kinds import kind_of
from geoindex.features.raw import RawEntities
from geoindex.sources.base import BATCH_ROWS, UnsortedSourceError
from geoindex.sources.osm.across import areas_across, is_near, is_wide
from geoindex.sources.osm.columns import AreaBatch, IdOrder, LineBatch
from geoindex.sources.osm.odd_xml import NODES_LATE
from geoindex.sources.osm.sort import MAX_PLAIN_ID

AREA_RELATIONS = frozenset({"multipolygon", "boundary"})
#: As many as OpenStreetMap allows; osmium's assembler takes their square: 7 s for so many rings.
MOST_MEMBERS = 32_000


def area_relations(
    file: osmium.io.File, skipped: Counter[str], *, check_text: bool, is_sorted: bool
) -> dict[int, str]:
    """Read the relations that become areas, id to type, and count the others.

    An area comes before its relation in the stream, and osmium leaves `type` out of its tags.

    Raises
    ------
    UnsortedSourceError
        If they are out of order, or of ids that osmium makes no areas of.
    """
    found: dict[int, str] = {}
    ids = []
    relations: Any = osmium.FileProcessor(file, osmium.osm.RELATION)
    for relation in relations.with_filter(osmium.filter.EmptyTagFilter()):
        ids.append(relation.id)
        if not relation.visible:
            skipped["deleted"] += 1
        elif check_text and not _is_text(relation):
            skipped["bad_text"] += 1
        elif relation.tags.get("type") not in AREA_RELATIONS:
            skipped["relation_not_area"] += 1
        elif kind_of(dict(relation.tags)) is None:
            skipped["no_main_key"] += 1
        elif len(relation.members) > MOST_MEMBERS:
            skipped["too_many_members"] += 1
        else:
            found[relation.id] = relation.tags["type"]
            if not (is_sorted or relation.version or len(relation.members)):
                msg = f"relation {relation.id} has tags but no members"
                raise UnsortedSourceError(msg)
            odd = (ref for ref in _ids_of_area(relation) if not 0 < ref <= MAX_PLAIN_ID)
            if not is_sorted and (osm_id := next(odd, None)) is not None:
                msg = f"relation {relation.id} has an id without areas, {osm_id}"
                raise UnsortedSourceError(msg)
    IdOrder().check("relation", np.array(ids, np.int64))
    return found


def _ids_of_area(relation: Any) -> Iterator[int]:
    yield relation.id
    yield from (member.ref for member in relation.members if member.type == "w")


class ObjectReader:
    """Reads one file, once.

    Parameters
    ----------
    file
        The file.
    relations
        From `area_relations`; those whose area was met are taken out.
    skipped
        Counts what is left out, by reason.
    check_text
        Whether to fetch every tag to see whether it is Unicode text, which triples the time;
        without, text that is none raises `UnicodeError`.
    is_sorted
        Whether all that a sorted copy can mend is mended.
    has_places
        Whether ways have the places of their nodes: then no index of nodes is kept.
    scratch
        The folder for the texts of tags; None: the system's.
    """

    def __init__(
        self,
        file: osmium.io.File,
        relations: dict[int, str],
        skipped: Counter[str],
        *,
        check_text: bool,
        is_sorted: bool,
        has_places: bool,
        scratch: Path | None = None,
    ) -> None:
        self._scratch = scratch
        self._relations = relations
        self._skipped = skipped
        self._check_text = check_text
        self._is_sorted = is_sorted
        self._wkb = osmium.geom.WKBFactory()
        self._saw_way = False
        self._index_bytes = 0
        self._missing: set[int] = set()
        self._file = file
        self._has_places = has_places
        self._is_near_antimeridian = False
        self._wide: dict[int, tuple[int, dict[str, str], bytes]] = {}
        self._processor = _processor(file, relations)
        if has_places:
            self._processor.with_locations(None)

    def batches(self) -> Iterator[RawEntities]:
        """Yield the entities in file order, but areas of relations in batches of their own."""
        order = IdOrder()
        with tempfile.TemporaryDirectory(prefix="geoindex-", dir=self._scratch) as folder:
            lines, areas = LineBatch(Path(folder), order), AreaBatch()
            for item in self._processor:
                if item.is_area():
                    self._add_area(item, areas)
                else:
                    self._add_line(item, lines)
                if len(lines) >= BATCH_ROWS:
                    yield self._kept(lines)
                    lines = LineBatch(Path(folder), order)
                if len(areas) >= BATCH_ROWS:
                    yield areas.raw()
                    areas = AreaBatch()
            yield self._kept(lines)
            self._add_across(areas)
            yield areas.raw()
        self._check_missing()
        self._skipped["incomplete_relation"] += len(self._relations)

    def _kept(self, lines: LineBatch) -> RawEntities:
        self._check_late()
        raw = lines.raw()
        rows = np.flatnonzero(raw.kind.is_valid().to_numpy(zero_copy_only=False))
        self._skipped["no_main_key"] += len(raw) - len(rows)
        kept = raw.take(rows)
        self._is_near_antimeridian = self._is_near_antimeridian or is_near(kept.wkb)
        return kept

    def _add_line(self, item: Any, lines: LineBatch) -> None:
        wkb = self._geometry(item)
        if wkb is None:
            return
        if item.is_way():
            lines.add_way(item, wkb)
        else:
            lines.add_node(item, wkb)

    def _geometry(self, item: Any) -> bytes | None:
        """Return the WKB of a node or a way as a line, or None when it is not kept."""
        is_way = item.is_way()
        if is_way and not self._saw_way:
            self._saw_way = True
            self._index_bytes = self._places_bytes()
        if not item.visible:
            self._skipped["deleted"] += 1
            return None
        if self._check_text and not _is_text(item):
            self._skipped["bad_text"] += 1
            return None
        try:
            if not is_way:
                return bytes.fromhex(self._wkb.create_point(item))
            line = self._wkb.create_linestring(item)
            # osmium passes over missing nodes at the beginning; a ring lacks them at its end too
            if item.is_closed() or item.nodes[0].location.valid():
                return bytes.fromhex(line)
        # pyosmium's InvalidLocationError is no RuntimeError
        except (RuntimeError, osmium.InvalidLocationError):
            pass
        self._skip(item)
        return None

    def _skip(self, item: Any) -> None:
        is_bare = (not item.location.valid()) if item.is_node() else (not len(item.nodes))
        if is_bare and not item.version and not self._is_sorted:
            msg = f"{item.type_str()}{item.id} has tags but no place"
            raise UnsortedSourceError(msg)
        if kind_of(dict(item.tags)) is None:
            self._skipped["no_main_key"] += 1
        elif item.is_node():
            self._skipped["bad_coordinates"] += 1
        elif placeless := [node.ref for node in item.nodes if not node.location.valid()]:
            self._skipped["missing_nodes"] += 1
            self._missing.update(ref for ref in placeless if ref > 0)
            if not self._is_sorted and min(placeless) <= 0:
                msg = f"way {item.id} is over nodes that were never uploaded"
                raise UnsortedSourceError(msg)
        else:
            self._skipped["degenerate"] += 1

    def _check_late(self) -> None:
        """Raise if a node came after a way: its place may have been wanted before."""
        if self._saw_way and self._places_bytes() != self._index_bytes:
            raise UnsortedSourceError(NODES_LATE)

    def _places_bytes(self) -> int:
        places = self._processor.node_location_storage
        return 0 if places is None else int(places.used_memory())

    def _check_missing(self) -> None:
        """Raise if a node that ways missed is there after all.

        The index grows with each node while it is sparse; when dense, only in blocks.
        """
        places = self._processor.node_location_storage
        if places is None:
            return
        if any(_has_place(places, osm_id) for osm_id in self._missing):
            raise UnsortedSourceError(NODES_LATE)

    def _add_area(self, item: Any, areas: AreaBatch) -> None:
        relation_type = self._relations.get(item.orig_id())
        if relation_type is None or item.from_way():
            return
        try:
            wkb = bytes.fromhex(self._wkb.create_multipolygon(item))
        except (RuntimeError, osmium.InvalidLocationError):
            return  # stays among the relations, and is counted as incomplete
        del self._relations[item.orig_id()]
        tags = {**dict(item.tags), "type": relation_type}
        if is_wide(wkb):
            self._wide[item.orig_id()] = (item.version, tags, wkb)
        else:
            areas.add(item.orig_id(), item.version, tags, wkb)

    def _add_across(self, areas: AreaBatch) -> None:
        """Add the areas that may cross the antimeridian, of which osmium knows nothing."""
        ids = {*self._wide, *(self._relations if self._is_near_antimeridian else ())}
        across: dict[int, Any] = {}
        if ids:
            across = areas_across(self._file, sorted(ids), has_places=self._has_places)
        for osm_id in across:
            self._relations.pop(osm_id, None)
        for osm_id, found in sorted({**self._wide, **across}.items()):
            areas.add(osm_id, *found)


def _processor(file: osmium.io.File, relations: Iterable[int]) -> Any:
    """Stream tagged nodes, ways and the areas of these relations, all else filtered in C++."""
    # osmium makes no areas of others
    plain = [osm_id for osm_id in relations if 0 < osm_id <= MAX_PLAIN_ID]
    return (
        osmium.FileProcessor(file)
        .with_areas(_only(plain, osmium.osm.RELATION))
        .with_filter(osmium.filter.EmptyTagFilter())
        .with_filter(_only([], osmium.osm.RELATION))
        # osmium numbers the area of way n 2n, and that of relation n 2n + 1
        .with_filter(_only([2 * osm_id + 1 for osm_id in plain], osmium.osm.AREA))
    )


def _only(ids: list[int], kind: osmium.osm.osm_entity_bits) -> Any:
    """Let of one kind of objects only these through, and all of the others."""
    return osmium.filter.IdFilter(ids).enable_for(kind)


def _has_place(places: Any, osm_id: int) -> bool:
    try:
        return bool(places.get(osm_id).valid())
    except KeyError:
        return False


def _is_text(item: Any) -> bool:
    try:
        dict(item.tags)
    except UnicodeDecodeError:
        return False
    return True
