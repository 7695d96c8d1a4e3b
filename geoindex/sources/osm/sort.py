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

The file is cut into parts, each of a type and a range of ids, that are sorted in memory one by one.
Beside a part, memory is 8 bytes for each object that an editor deleted, where places stand in
relations 8 for each way, and where all are numbered anew 16 for each id.
"""

import math
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import osmium
from numpy.typing import NDArray

from geoindex.features.ids import OSM_TYPES, OsmType
from geoindex.sources.osm.id_set import IdSet
from geoindex.sources.osm.odd_xml import (
    DELETED,
    ON_WAYS,
    REFUSED,
    deleted,
    is_xml,
    oddities,
    write_plain,
)

#: Ids beyond cannot be doubled, as osmium does to number areas.
MAX_PLAIN_ID = 1 << 60
#: Of objects that are sorted at once, as osmium holds them; osmium takes half as much again.
MEMORY_BYTES = 200_000_000
# what osmium takes, about
_OBJECT_BYTES, _TAG_BYTES, _NODE_REF_BYTES, _MEMBER_BYTES = 100, 50, 16, 40
# each has a thread and buffers of its own while it is written
_MOST_PARTS, _PART_BUFFER_BYTES = 16, 65_536
_KEYS_A_PART = 64
_SHORT: dict[str, OsmType] = {name[0]: name for name in OSM_TYPES}

#: The ids that objects had before they were numbered from 1, by type.
Originals = dict[str, NDArray[np.int64]]


def write_sorted(
    path: Path, file: Any, target: Path, *, has_places: bool, memory_bytes: int
) -> Originals | None:
    """Write the copy.

    Parameters
    ----------
    path
        XML, packed or not, or PBF.
    file
        The same, as `odd_xml.opened` gives it.
    target
        A name that ends in ``.osm.pbf``; parts of the file lie beside it for a while.
    has_places
        Whether the header says that each way has the places of its nodes. In the copy they are
        nodes.
    memory_bytes
        How much of the file is in memory at once, as osmium holds it. Less makes more parts, of
        which each object passes one more for every factor of `_MOST_PARTS`.

    Returns
    -------
    originals
        None where objects keep their ids.

    Raises
    ------
    EOFError, OSError, RuntimeError, zlib.error
        If the file cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        found = oddities(path) if is_xml(path) else set()
        if found & REFUSED:
            plain = Path(folder) / "plain.osm"
            write_plain(path, plain)
            path, file, found = plain, osmium.io.File(str(plain), "osm"), oddities(plain)
        has_places |= ON_WAYS in found
        marked = deleted(path) if DELETED in found else IdSet()
        survey = _survey(file, has_places=has_places, memory_bytes=memory_bytes)
        numbers = _numbers(file) if survey.is_odd else None
        splitter = _Splitter(Path(folder), memory_bytes)
        with _writer(target) as writer:
            copy = _Copy(writer, numbers, marked)
            for part in splitter.parts(file, survey, has_places=has_places):
                _write_part(part, copy, writer)
    return None if numbers is None else {kind: numbers.ids(kind) for kind in OSM_TYPES}


def _write_part(part: Path, copy: "_Copy", writer: Any) -> None:
    """Write the objects of a part in order, and delete it."""
    repeats = _Repeats()
    _in_order(part).apply(repeats, simplify=False)
    if repeats.second or copy.is_changed:
        draft = part.with_name(f"draft-{part.name}")
        with _writer(draft) as draft_writer:
            _in_order(part).apply(draft_writer, simplify=False)
        for item in _objects(draft, repeats.second):
            copy.add(item)
        draft.unlink()
    else:
        _in_order(part).apply(writer, simplify=False)
    part.unlink()


def _writer(path: Path, **options: Any) -> Any:
    # without `history` the mark of deleted objects is not written
    file = osmium.io.File(str(path), "osm.pbf,history=true")
    return osmium.SimpleWriter(file, overwrite=True, **options)


def _numbers(file: Any) -> IdSet:
    """Return all ids, also those that are only referred to."""
    found = IdSet()
    for item in _stream(file):
        found.add(_SHORT[item.type_str()], item.id)
        if item.is_way():
            for node in item.nodes:
                found.add("node", node.ref)
        elif item.is_relation():
            for member in item.members:
                # areas are made of ways
                if member.type == "w":
                    found.add("way", member.ref)
    return found


# --- parts --------------------------------------------------------------------------------------

#: Orders objects as osmium does: type, whether the id is positive, its size.
_Key = tuple[int, bool, int]
_FIRST_OF_TYPES: list[_Key] = [(1, False, 0), (2, False, 0)]


@dataclass
class _Survey:
    """What must be known of all objects before the first is written."""

    #: of all objects, in osmium's memory
    num_bytes: int = 0
    #: of one object in so many bytes
    keys: list[_Key] = field(default_factory=list)
    is_odd: bool = False


def _pieces(file: Any, *, has_places: bool) -> Iterator[tuple[_Key, int, Any]]:
    """Yield key, size in memory and the object of each, and a node for each place on a way."""
    for item in _stream(file):
        rank, num_bytes = 0, _OBJECT_BYTES + _TAG_BYTES * len(item.tags)
        if item.is_way():
            rank = 1
            num_bytes += _NODE_REF_BYTES * len(item.nodes)
        elif item.is_relation():
            rank = 2
            num_bytes += _MEMBER_BYTES * len(item.members)
        yield (rank, item.id > 0, abs(item.id)), num_bytes, item
        if has_places and rank == 1:
            for node in item.nodes:
                if node.location.valid():
                    place = osmium.osm.mutable.Node(id=node.ref, location=node.location)
                    yield (0, node.ref > 0, abs(node.ref)), _OBJECT_BYTES, place


def _survey(file: Any, *, has_places: bool, memory_bytes: int) -> _Survey:
    found = _Survey()
    step = max(1, memory_bytes // _KEYS_A_PART)
    for key, num_bytes, _ in _pieces(file, has_places=has_places):
        found.num_bytes += num_bytes
        if found.num_bytes >= step * (len(found.keys) + 1):
            found.keys.append(key)
        found.is_odd |= not (key[1] and key[2] <= MAX_PLAIN_ID)
    found.keys.sort()
    return found


class _Splitter:
    """Cuts a file into parts that each can be sorted in memory.

    Parameters
    ----------
    folder
        For the parts.
    memory_bytes
        Of the objects of a part; more only where they are all the same.
    """

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._num_files = 0

    def parts(self, file: Any, survey: _Survey, *, has_places: bool) -> Iterator[Path]:
        """Yield files of objects that all come before those of the next."""
        wanted = math.ceil(survey.num_bytes / (self._memory_bytes / 2))
        num_parts = min(max(wanted, 1), _MOST_PARTS)
        keys = survey.keys
        bounds = [keys[len(keys) * i // num_parts] for i in range(1, num_parts)]
        # of mixed types osmium writes a block for each run of a type, and takes pages for each
        bounds = sorted({*bounds, *_FIRST_OF_TYPES})
        paths = [self._new_path() for _ in range(len(bounds) + 1)]
        sizes = [0] * len(paths)
        with ExitStack() as stack:
            writers = [
                stack.enter_context(_writer(path, bufsz=_PART_BUFFER_BYTES)) for path in paths
            ]
            for key, num_bytes, item in _pieces(file, has_places=has_places):
                i = bisect_right(bounds, key)
                sizes[i] += num_bytes
                writers[i].add(item)
        for path, num_bytes in zip(paths, sizes, strict=True):
            if self._memory_bytes < num_bytes < survey.num_bytes:
                part = osmium.io.File(str(path), "osm.pbf")
                within = _survey(part, has_places=False, memory_bytes=self._memory_bytes)
                yield from self.parts(part, within, has_places=False)
                path.unlink()
            else:
                yield path

    def _new_path(self) -> Path:
        self._num_files += 1
        return self._folder / f"part-{self._num_files}.osm.pbf"


class _Repeats(osmium.SimpleHandler):
    """Finds the objects that come several times in a row."""

    def __init__(self) -> None:
        super().__init__()
        #: of the second of each, its place among all
        self.second = array("Q")
        self._num_objects = 0
        self._before = ("", 0)
        self._is_known = False

    def node(self, item: Any) -> None:
        self._see("node", item.id)

    def way(self, item: Any) -> None:
        self._see("way", item.id)

    def relation(self, item: Any) -> None:
        self._see("relation", item.id)

    def _see(self, kind: str, osm_id: int) -> None:
        is_again = self._before == (kind, osm_id)
        if is_again and not self._is_known:
            self.second.append(self._num_objects)
        self._before, self._is_known = (kind, osm_id), is_again
        self._num_objects += 1


def _stream(file: Any) -> Iterator[Any]:
    # typed as any of osmium's classes, which have little in common
    return iter(osmium.FileProcessor(file))


def _in_order(path: Path) -> Any:
    """Return a part's objects, sorted in memory; they can be taken once."""
    merged = osmium.MergeInputReader()
    merged.add_file(str(path))
    return merged


# --- objects ------------------------------------------------------------------------------------


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
        # to begin with tags takes long, even where there are none
        tags = dict(item.tags) if len(item.tags) else {}
        found = cls(kind, item.id, item.version, item.visible, tags)
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


def _objects(path: Path, second: Iterable[int]) -> Iterator[Any]:
    """Yield osmium's objects, but an `_Object` of those that are there several times."""
    copies: list[_Object] = []
    firsts = (i - 1 for i in second)
    first = next(firsts, None)
    for i, item in enumerate(_stream(str(path))):
        if copies:
            if (copies[0].kind, copies[0].osm_id) == (_SHORT[item.type_str()], item.id):
                copies.append(_Object.of(item))
                continue
            yield _united(copies)
            copies = []
        if i == first:
            copies.append(_Object.of(item))
            first = next(firsts, None)
        else:
            yield item
    if copies:
        yield _united(copies)


class _Copy:
    """Writes objects in order, with new numbers where ids are odd."""

    def __init__(self, writer: Any, numbers: IdSet | None, deleted: IdSet) -> None:
        self._writer = writer
        self._numbers = numbers
        self._deleted = deleted

    @property
    def is_changed(self) -> bool:
        """Whether it is more than the objects in order."""
        return self._numbers is not None or bool(self._deleted)

    def add(self, item: Any) -> None:
        """Write an object of osmium's, or an `_Object`."""
        kind = item.kind if isinstance(item, _Object) else _SHORT[item.type_str()]
        osm_id = item.osm_id if isinstance(item, _Object) else item.id
        is_deleted = bool(self._deleted) and self._deleted.number(kind, osm_id) > 0
        if not isinstance(item, _Object):
            if not is_deleted and self._numbers is None:
                self._writer.add(item)
                return
            item = _Object.of(item)
        self._write(replace(item, visible=item.visible and not is_deleted))

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

    def _number(self, kind: OsmType, osm_id: int) -> int:
        return osm_id if self._numbers is None else self._numbers.number(kind, osm_id)
