"""Keep the indexes that are served open, by name, and open them again where they were replaced."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

import geoindex.api
from geoindex.api import Index
from geoindex.errors import NotInIndexError, UsageError
from geoindex.queries.hits import OSM_URL, geojson_shapes
from geoindex.serve.tiles import TileSource
from geoindex.storage.layout import MANIFEST

_NO_WORD = re.compile(r"[^0-9A-Za-z._-]+")
_MOST_KINDS, _NUM_LANDMARKS = 400, 6
# of a landmark's rank: https://wiki.openstreetmap.org/wiki/Key:wikidata is on what is notable
_NOTABLE = {"wikidata": 4.0, "wikipedia": 2.0}
_SIGHTS = ("tourism", "historic", "amenity", "leisure", "building", "railway", "man_made")
_NO_SIGHT = {"boundary", "highway", "place", "landuse", "waterway", "route", "power", "natural"}
_TAGS_PER_POINT = 20
# a boundary or a river is no place to click
_WIDEST_SIGHT_DEG = 0.02


class UnknownIndexError(NotInIndexError):
    """No index of this name is served."""

    code = "unknown_index"


@dataclass
class ServedIndex:
    """One index that is served.

    Attributes
    ----------
    name
        In addresses.
    index, tiles
        Opened.
    version
        Changes with the content of the index.
    """

    name: str
    index: Index
    version: str
    tiles: TileSource = field(init=False)

    def __post_init__(self) -> None:
        self.tiles = TileSource(self.index)

    @property
    def data_timestamp(self) -> str | None:
        """When the map was as it is here: the newest of the sources that say so."""
        stamps = [source.get("timestamp") for source in self.index.manifest.sources]
        return max((stamp for stamp in stamps if stamp), default=None)

    @cached_property
    def kinds(self) -> dict[str, int]:
        """How many entities of each kind there are, the most first."""
        counted = pc.value_counts(self.index.entities.table["kind"]).to_pylist()
        found = {item["values"]: item["counts"] for item in counted}
        most = sorted(found, key=lambda kind: (-found[kind], kind))[:_MOST_KINDS]
        return {kind: found[kind] for kind in most}

    @cached_property
    def landmarks(self) -> list[dict[str, Any]]:
        """Six entities that many know, each of another kind where there are so many."""
        return self.sights(np.arange(len(self.index.entities)))

    def sights(self, among: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return at most six of some rows that many know, as plain values."""
        rows, scores = self._notable
        is_wanted = np.isin(rows, among)
        rows, scores = rows[is_wanted], scores[is_wanted]
        table = self.index.entities.take(rows, columns=["feature_id", "kind", "name", "lon", "lat"])
        records = table.to_pylist()
        found: list[dict[str, Any]] = []
        for is_new_kind in (True, False):
            for i in np.argsort(-scores, kind="stable").tolist():
                if len(found) == _NUM_LANDMARKS:
                    return found
                names = {each["name"] for each in found}
                kinds = {each["kind"] for each in found}
                one = records[i]
                if one["name"] not in names and not (is_new_kind and one["kind"] in kinds):
                    found.append({"id": one.pop("feature_id"), **one})
        return found

    @cached_property
    def _notable(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return rows that have a name and are worth a look, and how much."""
        index = self.index
        tags = index.tag_index
        scores = np.diff(tags.offsets) / _TAGS_PER_POINT
        for key, weight in _NOTABLE.items():
            scores = scores + weight * (tags.code_by_row(key) >= 0)
        column = index.entities.column
        width = np.maximum(column("xmax") - column("xmin"), column("ymax") - column("ymin"))
        scores += width > 0
        is_named = pc.is_valid(index.entities.table["name"]).to_numpy()
        rows = np.flatnonzero(is_named & (width < _WIDEST_SIGHT_DEG))
        best = rows[np.argsort(-scores[rows], kind="stable")[:2000]]
        kinds = index.entities.take(best, columns=["kind"])["kind"].to_pylist()
        keys = [kind.partition("=")[0] for kind in kinds]
        fits = np.array([key not in _NO_SIGHT for key in keys], bool)
        bonus = np.array([float(key in _SIGHTS) for key in keys])
        return best[fits], (scores[best] + bonus)[fits]

    def describe(self) -> dict[str, Any]:
        """Return what a client needs to know of the index, as plain values."""
        manifest = self.index.manifest
        counts = manifest.counts
        return {
            "id": self.name,
            "path": str(self.index.path),
            "version": self.version,
            "data_timestamp": self.data_timestamp,
            "created": manifest.created,
            "licence": manifest.licence,
            "attribution": manifest.attribution,
            "encoder": manifest.encoder["name"],
            "fingerprint": manifest.encoder["fingerprint"],
            "num_entities": len(self.index.entities),
            "num_cells": dict(counts["cells"]),
            "resolutions": manifest.resolutions,
            "bounds": [round(side, 7) for side in self.tiles.bounds],
            "view": [round(side, 7) for side in self.tiles.view],
            "has_imagery": bool(manifest.settings.get("imagery")),
            "notes": list(self.index.notes),
        }

    def features(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return entities as GeoJSON features, all that the index holds of them."""
        columns = [
            "feature_id", "kind", "name", "tags", "cell", "osm_type", "osm_version", "lon", "lat",
            "content_hash", "geometry",
        ]  # fmt: skip
        table = self.index.entities.take(rows, columns=columns)
        shapes = geojson_shapes(table["geometry"]) if table.num_rows else []
        records = table.drop_columns(["geometry"]).to_pylist()
        return [
            {
                "type": "Feature",
                "id": record["feature_id"],
                "geometry": shape,
                "properties": {
                    "kind": record["kind"],
                    "name": record["name"],
                    "tags": dict(record["tags"]),
                    "cell": f"{record['cell']:x}",
                    "osm_version": record["osm_version"] or None,
                    "osm_url": f"{OSM_URL}{record['feature_id']}" if record["osm_type"] else None,
                    "lon": round(record["lon"], 7),
                    "lat": round(record["lat"], 7),
                    "content_hash": record["content_hash"],
                    "row": int(row),
                },
            }
            for row, record, shape in zip(rows, records, shapes, strict=True)
        ]


class Catalog:
    """The indexes that are served.

    Parameters
    ----------
    paths
        Folders. An index is called as its folder without ``.geoindex``; of two that would be
        called the same, the second has ``-2`` behind.

    Raises
    ------
    IndexDamagedError
        If one of them cannot be opened.
    UsageError
        If there is none.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            msg = "no index to serve; want one or several. Example: geoindex serve monaco.geoindex"
            raise UsageError(msg)
        self._paths: dict[str, Path] = {}
        for path in paths:
            self._paths[_free_name(path, self._paths)] = path
        self._lock = Lock()
        self._open: dict[str, tuple[tuple[Any, ...], ServedIndex]] = {}
        for name in self._paths:
            self.get(name)

    @property
    def names(self) -> list[str]:
        """In the order given."""
        return list(self._paths)

    def get(self, name: str) -> ServedIndex:
        """Return an index; opened anew where its folder holds another than before.

        Raises
        ------
        UnknownIndexError
            If none of this name is served.
        IndexDamagedError
            If it can no longer be opened.
        """
        path = self._paths.get(name)
        if path is None:
            msg = f"no index {name!r} is served; want one of {', '.join(self._paths)}"
            raise UnknownIndexError(msg)
        state = _state(path)
        held = self._open.get(name)
        if held is not None and held[0] == state:
            return held[1]
        with self._lock:
            held = self._open.get(name)
            if held is None or held[0] != state:
                index = geoindex.api.open(path)
                held = (state, ServedIndex(name, index, _version(index)))
                self._open[name] = held
        return held[1]

    def all(self) -> list[ServedIndex]:
        """Return all of them."""
        return [self.get(name) for name in self._paths]


def _free_name(path: Path, taken: dict[str, Path]) -> str:
    stem = _NO_WORD.sub("-", path.resolve().name.removesuffix(".geoindex")).strip("-.") or "index"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


def _state(path: Path) -> tuple[Any, ...]:
    """Return what tells the content of a folder from what was in its place before."""
    try:
        found = os.stat(path / MANIFEST)  # noqa: PTH116 - one call, at every request
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _version(index: Index) -> str:
    """Return a digest of the manifest and of the record of the search files."""
    digest = blake2b(digest_size=8)
    for path in (index.path / MANIFEST, index.files.record):
        digest.update(path.read_bytes())
    return digest.hexdigest()
