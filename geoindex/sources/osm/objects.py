"""Keep the objects of an OpenStreetMap file, apply changes to them, and pick those near a change.

The objects are kept as a PBF of ids, versions, tags, places and references, in osmium's order; the
file is read and written by osmium alone, some million objects a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import osmium

from geoindex.errors import SourceError
from geoindex.features.ids import OSM_TYPES, OsmType
from geoindex.sources.base import UnsortedSourceError
from geoindex.sources.osm.assemble import AREA_RELATIONS
from geoindex.sources.osm.sort import MAX_PLAIN_ID

CHANGE_SUFFIXES = (".osc", ".osc.gz", ".osc.bz2")
_OPTIONS = "osm.pbf,add_metadata=version"
# as above, and whether an object was deleted, and when it was changed
_CHANGE_OPTIONS = "osm.pbf,add_metadata=version+timestamp,history=true"
_TYPES: dict[str, OsmType] = {name[0]: name for name in OSM_TYPES}
_OSMIUM_ERRORS = (RuntimeError, ValueError, osmium.InvalidLocationError)

#: Type to ids.
Ids = dict[OsmType, set[int]]


def no_ids() -> Ids:
    """Return a set for each type, empty."""
    return {name: set() for name in OSM_TYPES}


@dataclass(frozen=True)
class Change:
    """One changed object as a file of changes has it.

    Attributes
    ----------
    is_deleted
        Whether it is gone; then nothing but its id and version counts.
    timestamp
        Seconds since 1970; 0 where the file has none.
    """

    osm_type: OsmType
    osm_id: int
    version: int
    is_deleted: bool
    timestamp: int


def copy_objects(file: Any, target: Path) -> None:
    """Write the objects of one of osmium's files, in its order, without users and times."""
    with _writer(target, f"{_OPTIONS},history=true") as writer:
        osmium.apply(file, writer)


def merge_changes(paths: Sequence[Path], target: Path) -> None:
    """Write the newest version of each object of some files of changes, in osmium's order.

    Raises
    ------
    SourceError
        If a file is none of changes, or cannot be read.
    """
    merged = osmium.MergeInputReader()
    for path in paths:
        if not path.is_file():
            msg = f"there is no file {path}. Example: geoindex update INDEX --osc changes.osc.gz"
            raise SourceError(msg)
        if not path.name.lower().endswith(CHANGE_SUFFIXES):
            msg = f"{path.name} is no file of changes; want one of {', '.join(CHANGE_SUFFIXES)}"
            raise SourceError(msg)
        try:
            merged.add_file(str(path))
        except _OSMIUM_ERRORS as error:
            raise _unreadable(path, error) from error
    with _writer(target, _CHANGE_OPTIONS) as writer:
        merged.apply(writer, simplify=True)


def read_changes(path: Path) -> Iterator[Change]:
    """Yield what `merge_changes` wrote.

    Raises
    ------
    SourceError
        If an id is one that no published object has.
    """
    items: Any = osmium.FileProcessor(str(path))
    for item in items:
        osm_type = _TYPES[item.type_str()]
        if not 0 < item.id <= MAX_PLAIN_ID:
            msg = (
                f"the changes hold {osm_type} {item.id}, an id of an object that was never "
                "uploaded; want published changes"
            )
            raise SourceError(msg)
        seconds = int(item.timestamp.timestamp())
        yield Change(osm_type, item.id, item.version, not item.visible, max(seconds, 0))


def contents(path: Path) -> dict[tuple[OsmType, int], tuple[Any, ...]]:
    """Return all that is kept of a file's objects, but of deleted ones."""
    items: Any = osmium.FileProcessor(str(path))
    return {(_TYPES[item.type_str()], item.id): _content(item) for item in items if item.visible}


class Picked:
    """Some of the objects of files, by type and id.

    Memory is a bit an id, in blocks of 4 MB: at most 1.4 GB where ids are from all of
    OpenStreetMap.

    Parameters
    ----------
    ids
        Of the objects, which need not be there.
    """

    def __init__(self, ids: Ids) -> None:
        self._tracker = osmium.IdTracker()
        adds = (self._tracker.add_node, self._tracker.add_way, self._tracker.add_relation)
        for name, add in zip(OSM_TYPES, adds, strict=True):
            for osm_id in ids[name]:
                add(osm_id)

    def contents(self, path: Path) -> dict[tuple[OsmType, int], tuple[int, tuple[Any, ...]]]:
        """Return version and all that is kept of the objects in a file; not of deleted ones."""
        return {
            (_TYPES[item.type_str()], item.id): (item.version, _content(item))
            for item in self._in(path)
            if item.visible
        }

    def write(self, path: Path, target: Path) -> None:
        """Write those in a file, in their order."""
        with _writer(target, _OPTIONS) as writer:
            osmium.apply(str(path), self._tracker.id_filter(), writer)

    def grow(self, before: Path, after: Path) -> None:
        """Add the objects whose rows these may alter, with all that they are made of.

        What refers to one of these before or after comes in, and what it is made of both before
        and after: read alone, they give the rows that they give among all others.
        """
        tracker = self._tracker
        for path in (before, after):
            # the ways over nodes, and the relations over both
            tracker.complete_forward_references(str(path), relation_depth=0)
        for path in (before, after):
            for relation in self._in(path, osmium.osm.RELATION):
                # a route has no geometry: its members need not be read
                if relation.tags.get("type") in AREA_RELATIONS:
                    for member in relation.members:
                        if member.type == "w":
                            tracker.add_way(member.ref)
        for path in (before, after):
            # the nodes of ways
            tracker.complete_backward_references(str(path), relation_depth=0)

    def _in(self, path: Path, kinds: Any = osmium.osm.ALL) -> Any:
        return osmium.FileProcessor(str(path), kinds).with_filter(self._tracker.id_filter())


def _content(item: Any) -> tuple[Any, ...]:
    tags = tuple((tag.k, tag.v) for tag in item.tags)
    if item.is_node():
        place = item.location
        return (tags, (place.x, place.y) if place.valid() else None)
    if item.is_way():
        return (tags, *(node.ref for node in item.nodes))
    return (tags, *((member.type, member.ref, member.role) for member in item.members))


def apply_changes(objects: Path, changes: Path, target: Path) -> None:
    """Write the objects as they are after the changes; the newest version of each object counts.

    Of two of one version, that of the changes counts.

    Parameters
    ----------
    objects
        Of `copy_objects`, or of this.
    changes
        Of `merge_changes`.
    """
    merged = osmium.MergeInputReader()
    merged.add_buffer(changes.read_bytes(), "osm.pbf")
    target.unlink(missing_ok=True)
    writer = osmium.io.Writer(osmium.io.File(str(target), _OPTIONS), osmium.io.Header())
    reader = osmium.io.Reader(str(objects))
    try:
        merged.apply_to_reader(reader, writer)
    finally:
        reader.close()
        writer.close()


def write_deletions(versions: Mapping[tuple[OsmType, int], int], target: Path) -> None:
    """Write changes that delete objects, each of which is held in this version."""
    order = sorted(versions, key=lambda key: (OSM_TYPES.index(key[0]), key[1]))
    make: dict[OsmType, Any] = {
        "node": osmium.osm.mutable.Node,
        "way": osmium.osm.mutable.Way,
        "relation": osmium.osm.mutable.Relation,
    }
    with _writer(target, _CHANGE_OPTIONS) as writer:
        for key in order:
            writer.add(make[key[0]](id=key[1], version=versions[key], visible=False))


def _writer(target: Path, options: str) -> Any:
    return osmium.SimpleWriter(osmium.io.File(str(target), options), overwrite=True)


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"cannot read {path} as a file of changes: {error}. Want one of "
        f"{', '.join(CHANGE_SUFFIXES)}, whole"
    )


_ORDER = {ord(name[0]): place for place, name in enumerate(OSM_TYPES)}
_BY_LETTER: dict[int, OsmType] = {ord(name[0]): name for name in OSM_TYPES}


def differing(before: Path, after: Path, *, scratch: Path) -> tuple[Ids, Ids]:
    """Compare two files of objects.

    Both are written as text of a line an object, and the lines are compared as they stand.

    Parameters
    ----------
    scratch
        A folder.

    Returns
    -------
    altered, gone
        The ids of objects that are others after, or new; and of those that are there no more.

    Raises
    ------
    UnsortedSourceError
        If an object is out of order.
    """
    texts = [scratch / name for name in ("before.opl", "after.opl")]
    for path, text in zip((before, after), texts, strict=True):
        with _writer(text, "opl,add_metadata=version") as writer:
            osmium.apply(str(path), writer)
    altered, gone = no_ids(), no_ids()
    with texts[0].open("rb") as left, texts[1].open("rb") as right:
        one, other = left.readline(), right.readline()
        last = (-1, 0)
        while one or other:
            if one == other:
                one, other = left.readline(), right.readline()
                continue
            key, other_key = _line_key(one), _line_key(other)
            if min(key, other_key) < last:
                msg = f"{_BY_LETTER[other[0]]} {other_key[1]} is out of order"
                raise UnsortedSourceError(msg)
            last = min(key, other_key)
            if key < other_key:
                gone[_BY_LETTER[one[0]]].add(key[1])
                one = left.readline()
            else:
                altered[_BY_LETTER[other[0]]].add(other_key[1])
                other = right.readline()
                one = left.readline() if key == other_key else one
    for text in texts:
        text.unlink()
    return altered, gone


def _line_key(line: bytes) -> tuple[int, int]:
    """Return the place of a line among others: by type and id; the end comes last."""
    return (_ORDER[line[0]], int(line[1 : line.index(b" ")])) if line else (len(_ORDER), 0)
