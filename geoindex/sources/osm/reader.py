"""Read the tagged entities of an OpenStreetMap file.

Formats: ``.osm.pbf``, ``.osm``, ``.osm.gz``, ``.osm.bz2``. What is kept, by documented rule
(docs/entities.md has it in full):

- nodes, ways and relations with a main tag (`geoindex.features.kinds.kind_of`);
- a closed way is an area or a line by its tags (`geoindex.features.kinds.is_area`);
- relations of type ``multipolygon`` or ``boundary`` become areas, with holes, as osmium's
  assembler builds them;
- other relations (routes, restrictions, sites) have no ground of their own: their members are
  entities, they are not.

What is left out is counted: ``no_main_key``, ``missing_nodes`` (cut extracts), ``degenerate``
(one distinct point where a line is wanted), ``incomplete_relation`` (members missing, or rings
that do not close), ``relation_not_area``, ``deleted``, ``bad_coordinates`` (a node without a place
on the Earth), ``bad_text`` (tags that are not UTF-8).

The file is read as a stream, twice where it has relations. Memory is one batch and osmium's index
of node locations, 16 bytes a node.
"""

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import osmium

from geoindex.errors import SourceError
from geoindex.sources.base import (
    BadTextError,
    RawEntities,
    SourceInfo,
    UnsortedSourceError,
    file_hash,
)
from geoindex.sources.osm.assemble import ObjectReader, area_relations

SUFFIXES = (".osm.pbf", ".osm", ".osm.gz", ".osm.bz2", ".pbf")
LICENCE = "ODbL-1.0"
ATTRIBUTION = "© OpenStreetMap contributors"
# a file of more is sorted in parts of so many objects, some 300 MB; ids are counted in bins
_SORTED_AT_ONCE_BYTES, _PART_OBJECTS, _BIN_BITS = 32_000_000, 2_000_000, 12
_PART_BUFFER_BYTES = 65_536
# pyosmium's InvalidLocationError is none of the others
_OSMIUM_ERRORS = (RuntimeError, ValueError, osmium.InvalidLocationError)


class OsmSource:
    """One OpenStreetMap file.

    Parameters
    ----------
    path
        The file; its format is told by its suffix.
    check_text
        Whether to count objects whose tags are not UTF-8 as ``bad_text``, which triples the time;
        without, `read` raises `BadTextError` at the first.
    """

    def __init__(self, path: Path, *, check_text: bool = False) -> None:
        self.path = path
        self._check_text = check_text
        self._file = osmium.io.File(str(path), _format(path))

    def describe(self) -> SourceInfo:
        """Read the header, and hash the file.

        Raises
        ------
        SourceError
            If the file cannot be read, is empty, or is no OpenStreetMap file.
        """
        digest = file_hash(self.path)
        size_bytes = self.path.stat().st_size
        if size_bytes == 0:
            msg = f"{self.path} is empty; want an OpenStreetMap file such as monaco.osm.pbf"
            raise SourceError(msg)
        try:
            with osmium.io.Reader(self._file, osmium.osm.osm_entity_bits.NOTHING) as reader:
                header = reader.header()
        except _OSMIUM_ERRORS as error:
            raise self._told(error) from error
        if header.has_multiple_object_versions:
            msg = (
                f"{self.path} is a history file; want one moment of it. "
                f"Make one with: osmium time-filter {self.path.name} -o snapshot.osm.pbf"
            )
            raise SourceError(msg)
        box = header.box()
        bbox = None
        if box.valid():
            low, high = box.bottom_left, box.top_right
            bbox = (low.lon, low.lat, high.lon, high.lat)
        return SourceInfo(
            path=str(self.path),
            format="osm",
            size_bytes=size_bytes,
            blake2b=digest,
            timestamp=header.get("osmosis_replication_timestamp")
            or header.get("timestamp")
            or None,
            licence=LICENCE,
            attribution=ATTRIBUTION,
            bbox=bbox,
        )

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in file order, areas of relations in batches of their own.

        Parameters
        ----------
        skipped
            Counts what is left out, by reason; grows while the source is read.

        Raises
        ------
        UnsortedSourceError
            If ids are not in order or there twice, or nodes come after ways; `sort_into` mends it.
        BadTextError
            If tags are not UTF-8; `checking_text` mends it.
        SourceError
            If the file is damaged.
        """
        try:
            relations = area_relations(self._file, skipped, check_text=self._check_text)
            reader = ObjectReader(self._file, relations, skipped, check_text=self._check_text)
            yield from reader.batches()
        except UnicodeError as error:
            msg = "some tags are not UTF-8"
            raise BadTextError(msg) from error
        except _OSMIUM_ERRORS as error:
            raise self._told(error) from error

    def checking_text(self) -> "OsmSource":
        """Return the same source, read so that tags that are not UTF-8 are counted."""
        return OsmSource(self.path, check_text=True)

    def sort_into(self, path: Path) -> "OsmSource":
        """Write the file's newest objects to `path` in osmium's order, and return that source.

        A large file is first cut into parts, each of one type and a range of ids, beside `path`:
        no more than a part is in memory.
        """
        try:
            with osmium.SimpleWriter(_kept_whole(path), overwrite=True) as writer:
                for part in self._parts(path.parent):
                    merged = osmium.MergeInputReader()
                    merged.add_buffer(part.read_bytes(), _format(part))
                    merged.apply(writer, simplify=True)
        except _OSMIUM_ERRORS as error:
            raise self._told(error) from error
        return OsmSource(path, check_text=self._check_text)

    def _parts(self, folder: Path) -> Iterator[Path]:
        """Yield files that hold the objects, each those that come before all of the next."""
        if self.path.stat().st_size <= _SORTED_AT_ONCE_BYTES:
            yield self.path
            return
        counts = Counter(map(_bin, osmium.FileProcessor(self._file)))
        part_of, part, num_objects = {}, 0, 0
        for key in sorted(counts):
            if num_objects and num_objects + counts[key] > _PART_OBJECTS:
                part, num_objects = part + 1, 0
            part_of[key] = part
            num_objects += counts[key]
        paths = [folder / f"part-{i}.osm.pbf" for i in range(part + 1)]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(
                    osmium.SimpleWriter(_kept_whole(path), bufsz=_PART_BUFFER_BYTES, overwrite=True)
                )
                for path in paths
            ]
            for item in osmium.FileProcessor(self._file):
                writers[part_of[_bin(item)]].add(item)
        for path in paths:
            yield path
            path.unlink()

    def _told(self, error: Exception) -> Exception:
        """Return what to raise in place of an error of osmium's, which are of few classes."""
        text = str(error)
        if "out of order" in text or "twice in input" in text:
            return UnsortedSourceError(text)
        if os.strerror(errno.ENOSPC) in text:
            return OSError(errno.ENOSPC, text)
        msg = (
            f"cannot read {self.path} as an OpenStreetMap file: {error}. "
            f"Want one of {', '.join(SUFFIXES[:-1])}, whole; "
            f"`osmium fileinfo -e {self.path.name}` tells more"
        )
        return SourceError(msg)


def _kept_whole(path: Path) -> osmium.io.File:
    # without `history` the mark of deleted objects is not written
    return osmium.io.File(str(path), "osm.pbf,history=true")


def _bin(item: Any) -> tuple[int, bool, int]:
    """Return a key of some thousand neighbouring ids of a type, in osmium's order of objects."""
    return "nwr".index(item.type_str()), item.id > 0, abs(item.id) >> _BIN_BITS


def _format(path: Path) -> str:
    """Return the name's suffix as osmium wants it, which knows lower case only."""
    name = path.name.lower()
    return next((suffix[1:] for suffix in SUFFIXES if name.endswith(suffix)), "")
