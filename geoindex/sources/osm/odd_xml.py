"""Find what editors and web services write into OpenStreetMap XML and osmium does not read.

Each function reads a file as a stream; memory does not grow with it but where that is said.
"""

import bz2
import codecs
import errno
import gzip
import mmap
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import osmium

from geoindex.features.ids import OSM_TYPES
from geoindex.sources.osm.id_set import IdSet

_CHUNK_BYTES = 1 << 22
# longer than what is looked for
_OVERLAP_BYTES = 2048
# that a header begins within
_HEAD_BYTES = 1 << 20
#: Why a file must be copied.
NODES_LATE = "nodes come after ways"
DELETED = "some objects are marked as deleted"
ON_WAYS = "the places of nodes stand on ways"
_NEGATIVE = "some objects have negative ids"
_IN_RELATIONS, _CENTRES = "places stand in relations", "middles of ways are among them"
#: Of these osmium refuses the XML: `write_plain` takes them out.
REFUSED = {_IN_RELATIONS, _CENTRES}
# plain searches, many times as fast as a parser; a text that only looks so costs a copy
_SIGNS = {
    DELETED: re.compile(rb"""action\s*=\s*["']delete["']"""),
    _NEGATIVE: re.compile(rb"""id(?<=\sid)\s*=\s*["']-"""),
    _IN_RELATIONS: re.compile(rb"<member\b[^>]*[^/>]>"),
    _CENTRES: re.compile(rb"<center\b"),
}
_LAT, _ON_WAY = re.compile(rb"\blat\s*="), re.compile(rb"<nd\s[^>]*\blat\s*=")
_UTF_16 = {
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
# osmium reads bzip2 in pieces of 5000 bytes and stops at a member's end in the last
_LAST_BYTES = 10_000
_BZIP2_MEMBER = re.compile(rb"BZh[1-9]1AY&SY")
_BZIP2_EMPTY = re.compile(rb"BZh[1-9]\x17rE8P\x90")
# nodes that have a place and no id get one by their place, below what editors count to
_MADE_UP = 1 << 50
_UNITS_A_DEG = 10_000_000
_MAX_LAT, _MAX_LON = 90 * _UNITS_A_DEG, 180 * _UNITS_A_DEG


def is_xml(path: Path) -> bool:
    """Tell by its name whether a file is XML, packed or not."""
    return not path.name.lower().endswith(".pbf")


# --- what osmium reads --------------------------------------------------------------------------


@contextmanager
def opened(path: Path, file_format: str, scratch: Path | None) -> Iterator[Any]:
    """Give a file as osmium reads all of it: itself, or an unpacked copy for as long as needed.

    Parameters
    ----------
    file_format
        The name's suffix, without its dot.
    scratch
        The folder for the copy; None: the system's.
    """
    with ExitStack() as stack:
        file = osmium.io.File(str(path), file_format)
        if _ends_early(path, file_format):
            folder = tempfile.TemporaryDirectory(prefix="geoindex-", dir=scratch)
            copy = Path(stack.enter_context(folder)) / "unpacked.osm"
            if _is_unpacked(path, copy):
                file = osmium.io.File(str(copy), "osm")
        yield file


def head(path: Path, file_format: str) -> Any:
    """Return a file of which osmium reads the header."""
    if _ends_early(path, file_format):
        with suppress(EOFError, OSError), _unpacked(path) as file:
            return osmium.io.FileBuffer(file.read(_HEAD_BYTES), "osm")
    return osmium.io.File(str(path), file_format)


def _ends_early(path: Path, file_format: str) -> bool:
    """Tell whether osmium may stop before the end.

    Of several members of bzip2 it takes the last for the whole rest if they are small, and an empty
    one for the end.
    """
    if file_format.endswith("bz2"):
        with suppress(OSError, ValueError), path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                has_empty = _BZIP2_EMPTY.search(content) is not None
            file.seek(max(1, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            return has_empty or _BZIP2_MEMBER.search(file.read()) is not None
    return False


def _is_unpacked(path: Path, target: Path) -> bool:
    """Write a file unpacked, and tell whether it is whole; if not, osmium says it better."""
    try:
        with _unpacked(path) as file, target.open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked, _CHUNK_BYTES)
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        return False
    return True


def _unpacked(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith(".gz"):
        return gzip.open(path)
    return bz2.open(path) if name.endswith(".bz2") else path.open("rb")


# --- what is odd --------------------------------------------------------------------------------


def oddity(path: Path) -> str | None:
    """Return why a file of XML must be copied before it is read; None if it need not."""
    return next(_oddities(path), None)


def oddities(path: Path) -> set[str]:
    """Return all that is odd in a file of XML."""
    return set(_oddities(path))


def _oddities(path: Path) -> Iterator[str]:
    tail, saw_way = b"", False
    # whatever is wrong with the file, osmium says it better
    with suppress(OSError, EOFError, zlib.error), _as_utf_8(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            text = tail + chunk
            for reason, sign in _SIGNS.items():
                if sign.search(text):
                    yield reason
            if _has_place_on_way(text):
                yield ON_WAYS
            first_way = 0 if saw_way else text.find(b"<way ")
            saw_way = first_way >= 0
            if saw_way and text.find(b"<node ", first_way) >= 0:
                yield NODES_LATE
            tail = text[max(first_way, len(text) - _OVERLAP_BYTES) :]


def _as_utf_8(path: Path) -> Any:
    file = _unpacked(path)
    encoding = _UTF_16.get(file.read(2))
    file.seek(0)
    return file if encoding is None else codecs.EncodedFile(file, "utf-8", encoding, "replace")


def _has_place_on_way(text: bytes) -> bool:
    """Tell whether a node of a way in a piece of XML has its place there."""
    first = text.find(b"<nd")
    # the first search is many times as fast as the second
    is_likely = first >= 0 and _LAT.search(text, first) is not None
    return is_likely and _ON_WAY.search(text, first) is not None


def deleted(path: Path) -> IdSet:
    """Return the objects that an editor marked as deleted."""
    found = IdSet()

    def start(name: str, attributes: dict[str, str]) -> None:
        if attributes.get("action") == "delete" and name in OSM_TYPES:
            with suppress(KeyError, ValueError, OverflowError):
                found.add(name, int(attributes["id"]))

    # what is no XML, osmium refuses in its own words
    with suppress(RuntimeError):
        _parse(path, start)
    return found


def _parse(
    path: Path,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
) -> None:
    """Call a function with each element and its attributes, and one at its end.

    Raises
    ------
    RuntimeError
        If it is no XML, or has entities of its own, which osmium refuses too.
    """
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = _refuse_entities
    try:
        with _unpacked(path) as file:
            parser.ParseFile(file)
    # the two last: of encodings that are not known
    except (expat.ExpatError, LookupError, ValueError) as error:
        msg = f"XML parsing error: {error}"
        raise RuntimeError(msg) from error


def _refuse_entities(*_declared: object) -> None:
    msg = "XML entities are not supported"
    raise RuntimeError(msg)


# --- what osmium refuses ------------------------------------------------------------------------


def write_plain(path: Path, target: Path) -> None:
    """Write XML as osmium reads it, without what Overpass adds to ways and relations.

    The places of a way that stand in a relation become that way, if there is none with nodes in
    the file. Memory is one relation, and 8 bytes for each way.

    Raises
    ------
    EOFError, OSError, RuntimeError, zlib.error
        If the file cannot be read.
    """
    known = _ways_with_nodes(path)
    with target.open("w", encoding="utf-8") as file:
        plain = _Plain(file.write, known)
        _parse(path, plain.start, plain.end)


def _ways_with_nodes(path: Path) -> IdSet:
    found, way = IdSet(), ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal way
        if name == "nd" and way:
            with suppress(ValueError, OverflowError):
                found.add("way", int(way))
            way = ""
        elif name in OSM_TYPES:
            way = attributes.get("id", "") if name == "way" else ""

    _parse(path, start)
    return found


class _Plain:
    """Writes the elements of a file but those that osmium refuses.

    Parameters
    ----------
    write
        Takes text.
    known
        The ways of which nothing is to be made.
    """

    def __init__(self, write: Callable[[str], Any], known: IdSet) -> None:
        self._write = write
        self._known = known
        # how many elements are open of what is left out
        self._depth = 0
        # the way of the member that is open, its places, and the ways of the relation
        self._way_id: int | None = None
        self._places: list[str] = []
        self._ways: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take an element and its attributes."""
        if self._depth:
            self._depth += 1
            if name == "nd" and self._way_id is not None:
                self._places.append(_placed(attributes))
            return
        if name == "center":
            self._depth = 1
            return
        text = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
        if name == "member":
            self._depth = 1
            self._way_id = self._wanted(attributes)
            self._write(f"<member{text}/>\n")
        else:
            self._write(f"<{name}{text}>\n")

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if self._depth:
            self._depth -= 1
            if not self._depth and self._places:
                self._ways.append(f'<way id="{self._way_id}">{"".join(self._places)}</way>\n')
                self._places = []
            return
        self._write(f"</{name}>\n")
        if name == "relation":
            self._write("".join(self._ways))
            self._ways = []

    def _wanted(self, member: dict[str, str]) -> int | None:
        """Return the id of a member that is a way which is not known."""
        with suppress(KeyError, ValueError, OverflowError):
            way_id = int(member["ref"])
            if member["type"] == "way" and not self._known.number("way", way_id):
                return way_id
        return None


def _placed(attributes: dict[str, str]) -> str:
    """Return a node of a way with the place that a member tells, the same wherever that is."""
    with suppress(KeyError, ValueError, OverflowError):
        lat = round(float(attributes["lat"]) * _UNITS_A_DEG)
        lon = round(float(attributes["lon"]) * _UNITS_A_DEG)
        if abs(lat) <= _MAX_LAT and abs(lon) <= _MAX_LON:
            place = (lat + _MAX_LAT) * (2 * _MAX_LON + 1) + lon + _MAX_LON
            lat_deg, lon_deg = lat / _UNITS_A_DEG, lon / _UNITS_A_DEG
            made_up = -_MADE_UP - 1 - place
            return f'<nd ref="{made_up}" lat="{lat_deg:.7f}" lon="{lon_deg:.7f}"/>'
    # a place that was not asked for is a node that is missing
    return f'<nd ref="-{_MADE_UP}"/>'
