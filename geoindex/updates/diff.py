"""Compare two versions of an index, entity by entity."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.geo.distance import LonLat, distances_m
from geoindex.storage.lance_tables import open_table, vector_matrix
from geoindex.storage.layout import ENTITIES
from geoindex.storage.manifest import read_manifest
from geoindex.storage.versions import find_version, read_columns

#: What may have happened to an entity.
CHANGES = ("added", "removed", "changed")
_COLUMNS = ("feature_id", "kind", "name", "tags", "content_hash", "lon", "lat", "geometry")
_SCHEMA = pa.schema(
    [
        pa.field("change", pa.string(), nullable=False),
        pa.field("feature_id", pa.string(), nullable=False),
        pa.field("kind_before", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("name", pa.string()),
        # JSON objects: key to value, and key to both values
        pa.field("tags_added", pa.string(), nullable=False),
        pa.field("tags_removed", pa.string(), nullable=False),
        pa.field("tags_changed", pa.string(), nullable=False),
        pa.field("is_reshaped", pa.bool_(), nullable=False),
        pa.field("moved_m", pa.float64()),
        pa.field("own_moved", pa.float64()),
        pa.field("context_moved", pa.float64()),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
    ]
)
_METRE_DIGITS, _VECTOR_DIGITS, _DEGREE_DIGITS = 1, 6, 7


@dataclass(frozen=True)
class Difference:
    """What differs between two versions.

    Attributes
    ----------
    table
        A row an entity, by `change`, then `feature_id`: `change` (``added``, ``removed``,
        ``changed``), `kind_before`, `kind`, `name`, `tags_added`, `tags_removed`, `tags_changed`
        (JSON), `is_reshaped`, `moved_m` (of its point, metres), `own_moved` and `context_moved`
        (1 - cosine of the vectors before and after), `lon`, `lat`, `geometry` (WKB, as it is, or as
        it was of what is gone).
    versions
        What the history says of both.
    counts
        Rows by `change`.
    """

    table: pa.Table
    versions: tuple[dict[str, Any], dict[str, Any]]
    counts: dict[str, int]

    def features(self) -> list[dict[str, Any]]:
        """Return the rows as GeoJSON features."""
        rows = self.table.drop_columns(["geometry"]).to_pylist()
        shapes = shapely.to_geojson(
            shapely.orient_polygons(shapely.from_wkb(self.table["geometry"].to_pylist()))
        ) if rows else []  # fmt: skip
        found = []
        for row, shape in zip(rows, shapes, strict=True):
            for name in ("tags_added", "tags_removed", "tags_changed"):
                row[name] = json.loads(row[name])
            found.append({"type": "Feature", "id": row.pop("feature_id"),
                          "geometry": json.loads(shape), "properties": row})  # fmt: skip
        return found


def diff_versions(
    index: Path, before: str, after: str, *, changes: Sequence[str] = CHANGES
) -> Difference:
    """Return what was added, removed and changed between two versions of an index.

    Parameters
    ----------
    before, after
        Numbers or dates; see `geoindex.storage.versions.find_version`.
    changes
        Which of `CHANGES` are wanted.

    Raises
    ------
    UsageError
        If the index does not keep these versions, or there is no such change.
    IndexDamagedError
        If it cannot be read.
    """
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        msg = f"no change {unknown[0]!r}; want some of {', '.join(CHANGES)}. Example: added"
        raise UsageError(msg)
    manifest = read_manifest(index)
    records = [find_version(index, manifest, text) for text in (before, after)]
    was, is_ = (read_columns(index, record, _COLUMNS) for record in records)
    place = pc.index_in(was["feature_id"], is_["feature_id"].combine_chunks())
    gone = np.flatnonzero(place.is_null().to_numpy())
    there = np.flatnonzero(place.is_valid().to_numpy())
    now = place.drop_null().to_numpy().astype(np.int64)
    came = np.setdiff1d(np.arange(is_.num_rows), now)
    same = pc.equal(
        was["content_hash"].take(pa.array(there)), is_["content_hash"].take(pa.array(now))
    )
    differs = np.flatnonzero(~same.to_numpy())
    there, now = there[differs], now[differs]
    parts = {
        "added": lambda: _one_sided("added", is_, came),
        "removed": lambda: _one_sided("removed", was, gone),
        "changed": lambda: _changed(index, records, (was, there), (is_, now)),
    }
    tables = [parts[name]() for name in CHANGES if name in changes]
    table = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    found = Counter(table["change"].to_pylist())
    return Difference(table, (records[0], records[1]), {name: found[name] for name in changes})


def _one_sided(change: str, table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    taken = table.take(pa.array(rows)).sort_by("feature_id")
    n = taken.num_rows
    tags = [_json(dict(item)) for item in taken["tags"].to_pylist()]
    none, empty = pa.nulls(n, pa.string()), ["{}"] * n
    is_new = change == "added"
    columns = {
        "change": [change] * n,
        "feature_id": taken["feature_id"],
        "kind_before": none if is_new else taken["kind"],
        "kind": taken["kind"] if is_new else none,
        "name": taken["name"],
        "tags_added": tags if is_new else empty,
        "tags_removed": empty if is_new else tags,
        "tags_changed": empty,
        "is_reshaped": [False] * n,
        **{name: pa.nulls(n, pa.float64()) for name in ("moved_m", "own_moved", "context_moved")},
        **_places(taken),
    }
    return pa.table(columns, schema=_SCHEMA)


def _changed(
    index: Path,
    records: Sequence[dict[str, Any]],
    before: tuple[pa.Table, NDArray[np.int64]],
    after: tuple[pa.Table, NDArray[np.int64]],
) -> pa.Table:
    was, is_ = (table.take(pa.array(rows)) for table, rows in (before, after))
    tags = [
        (dict(old), dict(new))
        for old, new in zip(was["tags"].to_pylist(), is_["tags"].to_pylist(), strict=True)
    ]
    metres = [
        round(float(distances_m(np.array([x]), np.array([y]), LonLat(lon, lat))[0]), _METRE_DIGITS)
        for x, y, lon, lat in zip(
            *(table[name].to_pylist() for table in (was, is_) for name in ("lon", "lat")),
            strict=True,
        )
    ]
    moved = {
        name: _vectors_moved(index, records, before[1], after[1], column)
        for name, column in (("own_moved", "embedding_own"), ("context_moved", "embedding"))
    }
    columns = {
        "change": ["changed"] * len(tags),
        "feature_id": is_["feature_id"],
        "kind_before": was["kind"],
        "kind": is_["kind"],
        "name": is_["name"],
        "tags_added": [_json({k: new[k] for k in new.keys() - old.keys()}) for old, new in tags],
        "tags_removed": [_json({k: old[k] for k in old.keys() - new.keys()}) for old, new in tags],
        "tags_changed": [
            _json({k: [old[k], new[k]] for k in old.keys() & new.keys() if old[k] != new[k]})
            for old, new in tags
        ],
        "is_reshaped": pc.not_equal(was["geometry"], is_["geometry"]),
        "moved_m": metres,
        **moved,
        **_places(is_),
    }
    return pa.table(columns, schema=_SCHEMA).sort_by("feature_id")


def _places(table: pa.Table) -> dict[str, Any]:
    degrees = {
        name: np.round(table[name].to_numpy(), _DEGREE_DIGITS) + 0.0 for name in ("lon", "lat")
    }
    return {**degrees, "geometry": table["geometry"]}


def _vectors_moved(
    index: Path,
    records: Sequence[dict[str, Any]],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    column: str,
) -> NDArray[np.float64]:
    sides = []
    for record, rows in zip(records, (before, after), strict=True):
        table = open_table(index, ENTITIES, record["tables"][ENTITIES]["version"])
        found = table.take(rows.tolist(), columns=[column])[column] if len(rows) else None
        parts = [] if found is None else [vector_matrix(chunk) for chunk in found.chunks]
        sides.append(np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 1)))
    cosine = np.einsum("ij,ij->i", *sides)
    length = np.prod([np.linalg.norm(side, axis=1) for side in sides], axis=0)
    moved = 1 - cosine / np.where(length > 0, length, 1)
    return np.round(np.maximum(moved, 0.0), _VECTOR_DIGITS) + 0.0


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(dict(sorted(content.items())), ensure_ascii=False)
