"""Read the tagged entities of an OpenStreetMap file.

Formats: ``.osm.pbf``, ``.osm``, ``.osm.gz``, ``.osm.bz2``. What is kept, by documented rule
(docs/entities.md has it in full):

- nodes, ways and relations with a main tag (`geoindex.features.kinds.kind_of`);
- a closed way is an area or a line by its tags (`geoindex.features.kinds.is_area`);
- relations of type ``multipolygon`` or ``boundary`` become areas, with holes, as osmium's
  assembler builds them;
- other relations (routes, restrictions, sites) have no geometry of their own: their members are
  entities, they are not.

What is left out is counted: ``no_main_key``, ``missing_nodes`` (cut extracts), ``degenerate``
(one distinct point where a line is wanted), ``incomplete_relation`` (members missing, or rings
that do not close), ``too_many_members`` (over 32,000), ``relation_not_area``, ``deleted``,
``bad_coordinates`` (a node without a place on the Earth), ``bad_text`` (tags that are not UTF-8).

The file is read as a stream, twice where it has relations. Memory is one batch and osmium's index
of node locations, 16 bytes a node; a PBF whose ways have the places of their nodes
(``osmium add-locations-to-ways``) needs none. What is not in order is read from a copy:
`geoindex.sources.osm.sort`.
"""

import errno
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import pyarrow as pa
import pyarrow.compute as pc

from geoindex.errors import SourceError, UsageError
from geoindex.features.ids import OSM_TYPES
from geoindex.features.raw import RawEntities
from geoindex.sources.base import (
    BadTextError,
    SourceInfo,
    UnsortedSourceError,
    check_file,
    file_hash,
)
from geoindex.sources.osm.assemble import ObjectReader, area_relations
from geoindex.sources.osm.columns import IdOrder
from geoindex.sources.osm.objects import copy_objects
from geoindex.sources.osm.odd_xml import head, is_xml, oddity, opened
from geoindex.sources.osm.sort import MEMORY_BYTES, Originals, write_sorted

SUFFIXES = (".osm.pbf", ".osm", ".osm.gz", ".osm.bz2", ".pbf")
LICENCE = "ODbL-1.0"
ATTRIBUTION = "© OpenStreetMap contributors"
# of the header of a PBF: osmium numbers them from 0
_ON_WAYS, _MOST_FEATURES = "LocationsOnWays", 8
# pyosmium's InvalidLocationError is none of the others
_OSMIUM_ERRORS = (RuntimeError, ValueError, osmium.InvalidLocationError)
_UNPACKING_ERRORS = (EOFError, OSError, zlib.error)


class OsmSource:
    """One OpenStreetMap file.

    Parameters
    ----------
    path
        The file; its suffix names its format.
    check_text
        Whether to count objects whose tags are not UTF-8 as ``bad_text``, which triples the time;
        without, `read` raises `BadTextError` at the first.
    is_sorted
        Whether it is a copy that `sort_into` wrote.
    originals
        The ids that its objects have in the file that it is a copy of.
    scratch
        The folder for what is written while the file is read; None: the system's.
    """

    def __init__(
        self,
        path: Path,
        *,
        check_text: bool = False,
        is_sorted: bool = False,
        originals: Originals | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.path = path
        self._check_text = check_text
        self._is_sorted = is_sorted
        self._originals = originals
        self._scratch = scratch

    def describe(self) -> SourceInfo:
        """Read the header, and hash the file.

        Raises
        ------
        SourceError
            If the file cannot be read, is empty, or is no OpenStreetMap file.
        """
        check_file(self.path)
        digest = file_hash(self.path)
        size_bytes = self.path.stat().st_size
        if size_bytes == 0:
            msg = f"{self.path} is empty; want an OpenStreetMap file such as monaco.osm.pbf"
            raise SourceError(msg)
        header = self._header()
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

    def _header(self) -> Any:
        try:
            file = head(self.path, _format(self.path))
            with osmium.io.Reader(file, osmium.osm.osm_entity_bits.NOTHING) as reader:
                return reader.header()
        except _OSMIUM_ERRORS as error:
            raise self._explained(error) from error

    @property
    def _has_places_on_ways(self) -> bool:
        header = self._header()
        features = (header.get(f"pbf_optional_feature_{i}") for i in range(_MOST_FEATURES))
        return _ON_WAYS in features

    def notes(self) -> list[str]:
        """Return nothing: all of it is read, or counted."""
        return []

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in file order, areas of relations in batches of their own.

        Parameters
        ----------
        skipped
            Counts what is left out, by reason; grows while the source is read.

        Raises
        ------
        UnsortedSourceError
            If ids are not in order or there twice, nodes come after ways, or an editor or a web
            service wrote what osmium passes over; `sort_into` mends it.
        BadTextError
            If tags are not UTF-8; `checking_text` mends it.
        SourceError
            If the file is damaged.
        """
        if not self._is_sorted and is_xml(self.path) and (reason := oddity(self.path)):
            raise UnsortedSourceError(reason)
        try:
            with opened(self.path, _format(self.path), self._scratch) as file:
                for raw in self._entities(file, skipped):
                    yield raw if self._originals is None else _with_ids(raw, self._originals)
        except UnicodeError as error:
            msg = "some tags are not UTF-8"
            raise BadTextError(msg) from error
        except _OSMIUM_ERRORS as error:
            raise self._explained(error) from error

    def is_in_order(self) -> bool:
        """Return whether all objects of the file are there once, in osmium's order.

        Raises
        ------
        SourceError
            If the file is damaged.
        """
        if is_xml(self.path) and oddity(self.path):
            return False
        if self._header().get("sorting") == "Type_then_ID":
            return True
        order = IdOrder()
        kinds = (osmium.osm.NODE, osmium.osm.WAY, osmium.osm.RELATION)
        try:
            with opened(self.path, _format(self.path), self._scratch) as file:
                for name, kind in zip(OSM_TYPES, kinds, strict=True):
                    items: Any = osmium.FileProcessor(file, kind)
                    order.check(name, np.array([item.id for item in items], np.int64))
        except UnsortedSourceError:
            return False
        except _OSMIUM_ERRORS as error:
            raise self._explained(error) from error
        return True

    def keep_objects(self, target: Path) -> None:
        """Write all objects of the file, from which changes make those of a later moment.

        Raises
        ------
        UsageError
            If changes cannot be applied to them: their ids are not those of published objects, or
            the file lacks the nodes of ways.
        """
        if self._originals is not None:
            msg = (
                f"{self.path.name} holds ids of objects that were never uploaded, which no change "
                "names; leave --updatable out"
            )
            raise UsageError(msg)
        if self._has_places_on_ways:
            msg = (
                f"{self.path.name} has places on ways in the place of nodes, which changes name; "
                "leave --updatable out, or take the file that it was made from"
            )
            raise UsageError(msg)
        try:
            with opened(self.path, _format(self.path), self._scratch) as file:
                copy_objects(file, target)
        except _OSMIUM_ERRORS as error:
            raise self._explained(error) from error

    def _entities(self, file: Any, skipped: Counter[str]) -> Iterator[RawEntities]:
        check = {"check_text": self._check_text, "is_sorted": self._is_sorted}
        reader = ObjectReader(
            file,
            area_relations(file, skipped, **check),
            skipped,
            has_places=self._has_places_on_ways,
            scratch=self._scratch,
            **check,
        )
        yield from reader.batches()

    def checking_text(self) -> "OsmSource":
        """Return the same source, read so that tags that are not UTF-8 are counted."""
        return self._like(check_text=True)

    def with_scratch(self, folder: Path) -> "OsmSource":
        """Return the same source, which writes to a folder while it is read."""
        return self._like(scratch=folder)

    def _like(self, **changes: Any) -> "OsmSource":
        same = {
            "check_text": self._check_text, "is_sorted": self._is_sorted,
            "originals": self._originals, "scratch": self._scratch,
        }  # fmt: skip
        return OsmSource(self.path, **{**same, **changes})

    def sort_into(self, path: Path, *, memory_bytes: int = MEMORY_BYTES) -> "OsmSource":
        """Write the file's newest objects to `path` in osmium's order, and return that source.

        Parameters
        ----------
        path
            A name that ends in ``.osm.pbf``, in a folder with room for the file twice, and once
            unpacked where its text is rewritten.
        memory_bytes
            How much of the file is in memory at once, more than zero: less is slower.
        """
        try:
            with opened(self.path, _format(self.path), path.parent) as file:
                originals = write_sorted(
                    self.path,
                    file,
                    path,
                    has_places=self._has_places_on_ways,
                    memory_bytes=memory_bytes,
                )
        except _UNPACKING_ERRORS as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            raise self._explained(error) from error
        except _OSMIUM_ERRORS as error:
            raise self._explained(error) from error
        copy = OsmSource(path, check_text=self._check_text, is_sorted=True, originals=originals)
        return copy if self._scratch is None else copy.with_scratch(self._scratch)

    def _explained(self, error: Exception) -> Exception:
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


def _with_ids(raw: RawEntities, originals: Originals) -> RawEntities:
    """Return entities with the ids that they had before they were numbered."""
    kinds = raw.osm_type.to_numpy(zero_copy_only=False)
    osm_ids = raw.osm_id.to_numpy().copy()
    for kind, ids in originals.items():
        osm_ids[kinds == kind] = ids[osm_ids[kinds == kind] - 1]
    osm_id = pa.array(osm_ids, pa.int64())
    feature_id = pc.binary_join_element_wise(raw.osm_type, osm_id.cast(pa.string()), "/")
    return replace(raw, osm_id=osm_id, feature_id=feature_id)


def _format(path: Path) -> str:
    """Return the name's suffix as osmium wants it, which knows lower case only."""
    name = path.name.lower()
    return next((suffix[1:] for suffix in SUFFIXES if name.endswith(suffix)), "")
