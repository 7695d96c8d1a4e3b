"""Write a copy of an OpenStreetMap file that can be read as a stream.

The copy is in osmium's order and holds each object once. What editors and web services write
and osmium passes over is made plain in it:

- an object that is there several times: the newest version; of one version, or without any, all
  that is known of it (Overpass prints an object as skeleton here, with its tags there);
- objects that JOSM marks as deleted (``action='delete'``) are deleted;
- nodes whose place stands on ways alone (Overpass' ``out geom``) are nodes;
- ways whose places stand in relations alone (the same of relations) are ways; the middle of a way
  (``out center``), which osmium refuses, is left out;
- where ids are negative, as of objects never uploaded, or above 2^60, all are numbered anew, since
  osmium keeps no places for the ones and makes no areas of the others.

The file is sorted in memory.
"""

import bz2
import gzip
import mmap
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import osmium
from numpy.typing import NDArray

from geoindex.features.ids import OSM_TYPES, OsmType

# nodes without an id get one below what editors count to
_MADE_UP = 1 << 50
#: Ids beyond cannot be doubled, as osmium does to number areas.
MAX_PLAIN_ID = 1 << 60
_CHUNK_BYTES = 1 << 22
# longer than what is looked for
_OVERLAP_BYTES = 256
# plain searches, many times as fast as a parser; a text that only looks so costs a copy
_ODD = {
    "some objects are marked as deleted": re.compile(rb"""action\s*=\s*["']delete["']"""),
    "some objects have negative ids": re.compile(rb"""id\s*=\s*["']-"""),
    "places stand in relations": re.compile(rb"<member\b[^>]*[^/>]>"),
    "middles of ways are among them": re.compile(rb"<center\b"),
}
_ON_WAYS = "the places of nodes stand on ways"
NODES_LATE = "nodes come after ways"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LAT, _ON_WAY = re.compile(rb"\blat\s*="), re.compile(rb"<nd\s[^>]*\blat\s*=")
_CENTRE = re.compile(rb"<center\b[^>]*/>|<center\b[^>]*>\s*</center\s*>")
_MEMBER = re.compile(rb"<member\b([^>]*[^/>])>(.*?)</member\s*>", re.DOTALL)
_ATTRIBUTE = re.compile(rb"""([\w:]+)\s*=\s*["']([^"']*)["']""")
_WAY_ID = re.compile(rb"""<way\b[^>]*?\sid\s*=\s*["'](-?\d+)["']""")
_DECLARED = re.compile(r"""^(<\?xml[^>]*?encoding\s*=\s*["'])[^"']*""")
# osmium reads bzip2 in pieces of 5000 bytes and stops at a member's end in the last
_LAST_BYTES = 10_000
_BZIP2_MEMBER = re.compile(rb"BZh[1-9]1AY&SY")
_BZIP2_EMPTY = re.compile(rb"BZh[1-9]\x17rE8P\x90")
_SHORT: dict[str, OsmType] = {name[0]: name for name in OSM_TYPES}

#: The ids that objects had before they were numbered from 1, by type.
Originals = dict[str, NDArray[np.int64]]


def oddity(path: Path) -> str | None:
    """Return why a file of XML must be copied before it is read; None if it need not."""
    tail, saw_way = b"", False
    # whatever is wrong with the file, osmium says it better
    with suppress(OSError, EOFError, zlib.error), _unpacked(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            if not tail and chunk.startswith(_UTF_16):
                return "it is in UTF-16"
            text = tail + chunk
            for reason, sign in _ODD.items():
                if sign.search(text):
                    return reason
            if _has_place_on_way(text):
                return _ON_WAYS
            first_way = 0 if saw_way else text.find(b"<way ")
            saw_way = first_way >= 0
            if saw_way and text.find(b"<node ", first_way) >= 0:
                return NODES_LATE
            tail = text[max(first_way, len(text) - _OVERLAP_BYTES) :]
    return None


def opened(path: Path, file_format: str) -> Any:
    """Return a file as osmium reads it: its name, or its content where osmium would not read all.

    Of several members of bzip2 it takes the last for the whole rest if they are small, and an empty
    one for the end.
    """
    if file_format.endswith("bz2"):
        with suppress(OSError, EOFError, ValueError), path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                has_empty = _BZIP2_EMPTY.search(content) is not None
            file.seek(max(1, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            if has_empty or _BZIP2_MEMBER.search(file.read()):
                return osmium.io.FileBuffer(_unpacked(path).read(), "osm")
    return osmium.io.File(str(path), file_format)


def is_xml(path: Path) -> bool:
    """Tell by its name whether a file is XML, packed or not."""
    return not path.name.lower().endswith(".pbf")


def _has_place_on_way(text: bytes) -> bool:
    """Tell whether a node of a way in a piece of XML has its place there."""
    first = text.find(b"<nd")
    # the first search is many times as fast as the second
    is_likely = first >= 0 and _LAT.search(text, first) is not None
    return is_likely and _ON_WAY.search(text, first) is not None


def _unpacked(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith(".gz"):
        return gzip.open(path)
    return bz2.open(path) if name.endswith(".bz2") else path.open("rb")


def write_sorted(path: Path, target: Path, *, has_places: bool) -> Originals | None:
    """Write the copy.

    Parameters
    ----------
    path
        XML, packed or not, or PBF.
    target
        A name that ends in ``.osm.pbf``.
    has_places
        Whether the header says that each way has the places of its nodes; the copy's then says so.

    Returns
    -------
    originals
        None where objects keep their ids.

    Raises
    ------
    EOFError, OSError, RuntimeError, zlib.error
        If the file cannot be read.
    """
    content = path.read_bytes()
    if is_xml(path):
        with _unpacked(path) as file:
            content = _plain(file.read())
    deleted = _deleted(content) if is_xml(path) else set()
    places_on_ways = is_xml(path) and _has_place_on_way(content)
    merged = osmium.MergeInputReader()
    merged.add_buffer(content, "osm" if is_xml(path) else "osm.pbf")
    del content
    draft = target.with_name(f"draft-{target.name}")
    with _writer(draft, has_places=has_places or places_on_ways) as writer:
        merged.apply(writer, simplify=False)
    del merged
    survey = _survey(draft, places_on_ways=places_on_ways)
    if not (survey.twice or survey.is_odd or survey.places or deleted or places_on_ways):
        draft.replace(target)
        return None
    with _writer(target, has_places=has_places) as writer:
        copy = _Copy(writer, survey, deleted)
        for item in _objects(draft, survey.twice):
            copy.add(item)
    draft.unlink()
    return copy.originals


def _plain(content: bytes) -> bytes:
    """Return XML as osmium reads it: what Overpass adds to ways and relations is taken out.

    Places of the ways of relations become ways, where the file has no such ways.
    """
    if content.startswith(_UTF_16):
        content = _DECLARED.sub(r"\1UTF-8", content.decode("utf-16", "replace")).encode()
    content = _CENTRE.sub(b"", content)
    if not _MEMBER.search(content):
        return content
    known = set(_WAY_ID.findall(content))
    nodes: dict[tuple[bytes, bytes], int] = {}
    ways: list[bytes] = []

    def bare(member: re.Match[bytes]) -> bytes:
        described = dict(_ATTRIBUTE.findall(member[1]))
        if described.get(b"type") == b"way" and described.get(b"ref") not in known:
            places = [dict(_ATTRIBUTE.findall(part)) for part in member[2].split(b"<nd")[1:]]
            # a place that was not asked for is a node that is missing
            numbers = [
                nodes.setdefault((place[b"lat"], place[b"lon"]), -len(nodes) - 1 - _MADE_UP)
                if b"lat" in place
                else -_MADE_UP
                for place in places
            ]
            refs = b"".join(b'<nd ref="%d"/>' % number for number in numbers)
            ways.append(b'<way id="%s">%s</way>' % (described[b"ref"], refs))
            known.add(described[b"ref"])
        return b"<member%s/>" % member[1]

    content = _MEMBER.sub(bare, content)
    made = [
        b'<node id="%d" lat="%s" lon="%s"/>' % (number, *place) for place, number in nodes.items()
    ]
    end = content.rfind(b"</osm")
    return b"".join([content[:end], *made, *ways, content[end:]])


def _writer(path: Path, *, has_places: bool) -> Any:
    # without `history` the mark of deleted objects is not written
    options = "osm.pbf,history=true" + ",locations_on_ways=true" * has_places
    return osmium.SimpleWriter(osmium.io.File(str(path), options), overwrite=True)


def _deleted(content: bytes) -> set[tuple[str, int]]:
    """Return type and id of the objects that an editor marked."""
    found: set[tuple[str, int]] = set()
    if b"delete" not in content:
        return found

    def start(name: str, attributes: dict[str, str]) -> None:
        if attributes.get("action") == "delete" and name in OSM_TYPES:
            with suppress(KeyError, ValueError):
                found.add((name, int(attributes["id"])))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    # what is no XML, osmium refuses in its own words
    with suppress(expat.ExpatError):
        parser.Parse(content, True)  # noqa: FBT003 - takes no names
    return found


@dataclass
class _Survey:
    """What must be known of all objects before the first is written."""

    twice: set[tuple[str, int]] = field(default_factory=set)
    #: of nodes that are on ways and nowhere else
    places: dict[int, osmium.osm.Location] = field(default_factory=dict)
    is_odd: bool = False


def _survey(path: Path, *, places_on_ways: bool) -> _Survey:
    survey = _Survey()
    before, nodes = ("", 0), set()
    items: Iterator[Any] = iter(osmium.FileProcessor(str(path)))
    for item in items:
        key = (_SHORT[item.type_str()], item.id)
        if key == before:
            survey.twice.add(key)
        before = key
        survey.is_odd |= not 0 < item.id <= MAX_PLAIN_ID
        if not places_on_ways:
            continue
        if item.is_node() and item.location.valid():
            nodes.add(item.id)
        elif item.is_way():
            places = {node.ref: node.location for node in item.nodes if node.location.valid()}
            survey.places.update(places)
            survey.is_odd |= any(ref <= 0 for ref in places)
    survey.places = {ref: place for ref, place in survey.places.items() if ref not in nodes}
    return survey


@dataclass
class _Object:
    """What is read of an object, to hold on to it."""

    kind: OsmType
    osm_id: int
    version: int
    visible: bool
    tags: dict[str, str]
    location: osmium.osm.Location | None = None
    refs: list[int] = field(default_factory=list)
    members: list[tuple[str, int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, item: Any) -> "_Object":
        kind = _SHORT[item.type_str()]
        found = cls(kind, item.id, item.version, item.visible, dict(item.tags))
        if kind == "node":
            found.location = item.location if item.location.valid() else None
        elif kind == "way":
            found.refs = [node.ref for node in item.nodes]
        else:
            found.members = [(member.type, member.ref, member.role) for member in item.members]
        return found


def _united(copies: list[_Object]) -> _Object:
    """Return one object that has what is known of it."""
    newest = max(copy.version for copy in copies)
    known = [copy for copy in copies if copy.version in {newest, 0}]
    known.sort(key=lambda copy: (copy.version, len(copy.tags)), reverse=True)
    found = known[0]
    for copy in known[1:] if found.visible else ():
        found = replace(
            found,
            tags=copy.tags | found.tags,
            location=found.location or copy.location,
            refs=max(found.refs, copy.refs, key=len),
            members=max(found.members, copy.members, key=len),
        )
    return found


def _objects(path: Path, twice: set[tuple[str, int]]) -> Iterator[Any]:
    """Yield osmium's objects, but an `_Object` of those that are there several times."""
    copies: list[_Object] = []
    for item in osmium.FileProcessor(str(path)):
        key = (_SHORT[item.type_str()], item.id)
        if copies and key != (copies[0].kind, copies[0].osm_id):
            yield _united(copies)
            copies = []
        if key in twice:
            copies.append(_Object.of(item))
        else:
            yield item
    if copies:
        yield _united(copies)


class _Copy:
    """Writes objects in order, with new numbers where ids are odd."""

    def __init__(self, writer: Any, survey: _Survey, deleted: set[tuple[str, int]]) -> None:
        self._writer = writer
        self._places = survey.places
        self._deleted = deleted
        self._is_odd = survey.is_odd
        self._numbers: dict[str, dict[int, int]] = defaultdict(dict)
        self._wrote_places = False

    @property
    def originals(self) -> Originals | None:
        """The ids before."""
        if not self._is_odd:
            return None
        return {kind: np.array([*self._numbers[kind]], np.int64) for kind in OSM_TYPES}

    def add(self, item: Any) -> None:
        """Write an object of osmium's, or an `_Object`."""
        kind = item.kind if isinstance(item, _Object) else _SHORT[item.type_str()]
        if kind != "node":
            self._add_places()
        osm_id = item.osm_id if isinstance(item, _Object) else item.id
        is_deleted = (kind, osm_id) in self._deleted
        if not isinstance(item, _Object):
            if not (is_deleted or self._is_odd):
                self._writer.add(item)
                return
            item = _Object.of(item)
        self._write(replace(item, visible=item.visible and not is_deleted))

    def _add_places(self) -> None:
        if not self._wrote_places:
            self._wrote_places = True
            for ref, place in self._places.items():
                self._write(_Object("node", ref, 0, visible=True, tags={}, location=place))

    def _write(self, item: _Object) -> None:
        mutable = osmium.osm.mutable
        common: dict[str, Any] = {
            "id": self._number(item.kind, item.osm_id),
            "version": item.version,
            "visible": item.visible,
            "tags": item.tags,
        }
        if item.kind == "node":
            self._writer.add_node(mutable.Node(location=item.location, **common))
        elif item.kind == "way":
            refs = [self._number("node", ref) for ref in item.refs]
            self._writer.add_way(mutable.Way(nodes=refs, **common))
        else:
            # areas are made of ways
            members = [
                (kind, self._number("way", ref), role)
                for kind, ref, role in item.members
                if kind == "w"
            ]
            self._writer.add_relation(mutable.Relation(members=members, **common))

    def _number(self, kind: str, osm_id: int) -> int:
        if not self._is_odd:
            return osm_id
        # what is only referred to gets a number when it is met, that of nothing in the file
        return self._numbers[kind].setdefault(osm_id, len(self._numbers[kind]) + 1)
