"""Check that an index is whole, and that its answers agree with brute force.

Every file is compared with its checksum first; a check that reads a damaged file through native
code, which could end the process, is left out. Then the search files are made anew from the Lance
tables, beside the others, and every byte is compared; the manifest and the answers are held against
the tables. Memory is one vector column of the entities.
"""

import filecmp
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from geoindex.encoders import load_encoder
from geoindex.errors import GeoindexError, IndexDamagedError
from geoindex.features.schema import content_hash
from geoindex.geo.h3 import cells_at
from geoindex.index import IndexReader
from geoindex.pipeline.sidecar import write_sidecar
from geoindex.pipeline.vector_recall import recall_again
from geoindex.progress import Reporter, Silent
from geoindex.queries.execute import execute
from geoindex.queries.query import Query
from geoindex.search.ann_records import TABLE_COLUMNS, held_vectors
from geoindex.search.build_ann import measured_recall
from geoindex.storage.checksums import damaged_files, described, is_of_table
from geoindex.storage.consistency import cached_files
from geoindex.storage.filesystem import new_folder
from geoindex.storage.lance_tables import cell_schema, entity_schema, open_table, vector_matrix
from geoindex.storage.layout import CELLS, DTYPES, ENTITIES, SearchFiles
from geoindex.types import FOCUSES

if TYPE_CHECKING:
    from collections.abc import Callable

# kinds of files
_TABLES, _ROWS, _ARRAYS, _JSON, _INDEXES = "tables", "rows", "arrays", "json", "indexes"
_K = 10
# a product in float32 against ours in float64, rounded to six digits
_SIMILARITY_SLACK = 1e-5
# three standard deviations of the recall of 200 queries of ten
_RECALL_SLACK = 0.03


@dataclass(frozen=True)
class Finding:
    """What one check found; `fault` is empty where all is well."""

    check: str
    detail: str
    fault: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the check passed."""
        return not self.fault


def check_index(
    index: IndexReader, *, num_queries: int = 20, seed: int = 0, reporter: Reporter | None = None
) -> list[Finding]:
    """Run every check.

    Parameters
    ----------
    num_queries
        How many entities are searched for, for each focus, and compared with brute force.
    seed
        Chooses them.
    """
    reporter = reporter or Silent()
    remade = _Remade(index)
    # with what each reads through native code, which damage can end
    damaged: set[str] = set()
    checks: list[tuple[str, set[str], Callable[[], Finding]]] = [
        ("schema", {_TABLES}, lambda: _schema(index)),
        ("counts", {_TABLES, _ROWS}, lambda: _counts(index)),
        ("rows", {_TABLES}, lambda: _rows(remade)),
        ("order", {_ROWS}, lambda: _order(index)),
        ("hashes", {_ROWS}, lambda: _hashes(index)),
        ("vectors", {_TABLES}, lambda: _vectors(remade)),
        ("encoder", set(), lambda: _encoder(index)),
        ("queries", {_TABLES, _ROWS, _ARRAYS}, lambda: _queries(index, num_queries, seed)),
        ("recall", {_TABLES, _ROWS, _ARRAYS}, lambda: _recall(index, seed, damaged)),
    ]
    with reporter.stage("check", len(checks) + 1) as advance:
        findings = [_guarded("files", lambda: _files(index, damaged))]
        if not findings[0].is_ok and not damaged:
            # a file could not even be read
            damaged.update({_TABLES, _ROWS, _ARRAYS, _INDEXES})
        advance(1)
        for name, reads, check in checks:
            if reads & damaged:
                skipped = Finding(name, "", "not checked: what it reads is damaged")
                findings.append(skipped)
            else:
                findings.append(_guarded(name, check))
            advance(1)
    return findings


def _guarded(name: str, check: "Callable[[], Finding]") -> Finding:
    """Run a check; whatever it raises is a finding."""
    try:
        return check()
    except (KeyboardInterrupt, SystemExit):
        raise
    except GeoindexError as error:
        return Finding(name, "", str(error))
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is no Exception
        text = " ".join(str(error).split())
        return Finding(name, "", f"{type(error).__name__} while it was checked: {text}")


def _files(index: IndexReader, damaged: set[str]) -> Finding:
    """Hold files against their checksums, and validate rows; add what is not to be read."""
    faults = damaged_files(index.path, index.files)
    damaged.update(_kind(name) for name in faults)
    if _ROWS not in damaged:
        for table in (ENTITIES, CELLS):
            try:
                index.rows_of(table).table.validate(full=True)
            except (IndexDamagedError, pa.ArrowException) as error:
                faults[f"search/{index.files.rows(table).name}"] = f"is damaged ({error})"
                damaged.add(_ROWS)
    return Finding("files", "every file equals its checksum", described(faults))


def _kind(name: str) -> str:
    if is_of_table(name):
        return _TABLES
    if name.startswith("indexes/"):
        return _INDEXES
    # the manifest and the records are read as JSON, which ends no process
    return {".arrow": _ROWS, ".json": _JSON}.get(Path(name).suffix, _ARRAYS)


class _Remade:
    """What the search files differ in from those that the tables give now."""

    def __init__(self, index: IndexReader) -> None:
        self._index = index

    def differing(self, *, vectors: bool) -> list[str]:
        """Return the names of files that differ: those of vectors, or the others."""
        return [name for name in self._differing if name.endswith(".npy") is vectors]

    @cached_property
    def _differing(self) -> list[str]:
        index, held = self._index, self._index.files
        place = held if os.access(held.folder.parent, os.W_OK) else cached_files(index.path, {})
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(place.folder) as folder:
            write_sidecar(index.path, SearchFiles(folder), index.manifest)
            made = {path.name for path in folder.iterdir()}
            here = {
                path.name
                for path in held.folder.iterdir()
                if path not in {held.record, held.checksums} and not path.name.startswith("image")
            }
            same = filecmp.cmpfiles(folder, held.folder, made & here, shallow=False)[0]
            return sorted((made | here) - set(same))


def _schema(index: IndexReader) -> Finding:
    encoder = index.manifest.encoder
    dtype = index.manifest.settings.get("vector_dtype", DTYPES[0])
    columns = [
        TABLE_COLUMNS[name] for table, name in held_vectors(index.files) if table == ENTITIES
    ]
    expected = {
        ENTITIES: entity_schema(encoder["dim"], dtype, columns=columns),
        CELLS: cell_schema(encoder["region_dim"], dtype),
    }
    faults = []
    for table, schema in expected.items():
        found = open_table(index.path, table).schema
        missing = [
            field.name for field in schema
            if field.name not in found.names or found.field(field.name).type != field.type
        ]  # fmt: skip
        if missing:
            faults.append(f"{table}: {', '.join(missing)} missing or of another type")
    return Finding("schema", "columns and types of both tables", "; ".join(faults))


def _counts(index: IndexReader) -> Finding:
    counts = index.manifest.counts
    expected = {ENTITIES: counts["entities"], CELLS: sum(counts["cells"].values())}
    rows = {ENTITIES: len(index.entities), CELLS: len(index.cells)}
    faults = []
    for table, wanted in expected.items():
        held = open_table(index.path, table).count_rows()
        if not held == rows[table] == wanted:
            faults.append(
                f"{table}: table {held}, search files {rows[table]}, manifest {wanted} rows"
            )
    return Finding("counts", f"{counts['entities']:,} entities", "; ".join(faults))


def _rows(remade: _Remade) -> Finding:
    """Hold rows and tags of the search files against the tables."""
    names = remade.differing(vectors=False)
    faults = [f"search/{name} differs from the table" for name in names]
    return Finding("rows", "search files equal the tables; ids are unique", "; ".join(faults))


def _order(index: IndexReader) -> Finding:
    cells = index.entities.column("cell")
    lon, lat = index.entities.column("lon"), index.entities.column("lat")
    fault = "" if np.all(cells[1:] >= cells[:-1]) else "rows are not in cell order"
    wrong = int((cells_at(lon, lat, resolution=index.manifest.resolutions[-1]) != cells).sum())
    if wrong:
        fault = f"{wrong} entities do not lie in their cell"
    return Finding("order", "rows in cell order, points in their cells", fault)


def _hashes(index: IndexReader) -> Finding:
    wrong = 0
    for batch in index.entities.table.select(["tags", "geometry", "content_hash"]).to_batches():
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        wrong += sum(content_hash(dict(tags), wkb) != stored for tags, wkb, stored in rows)
        shapes = batch["geometry"].to_numpy(zero_copy_only=False)
        wrong += int(shapely.is_missing(shapely.from_wkb(shapes, on_invalid="ignore")).sum())
    fault = f"{wrong} entities differ from their content hash" if wrong else ""
    return Finding("hashes", f"{len(index.entities):,} content hashes", fault)


def _vectors(remade: _Remade) -> Finding:
    """Hold vectors, their bounds and the tag lists of the search files against the tables."""
    names = remade.differing(vectors=True)
    faults = [f"search/{name} differs from the table" for name in names]
    return Finding(
        "vectors", "finite, of unit length, equal in tables and search files", "; ".join(faults)
    )


def _encoder(index: IndexReader) -> Finding:
    made_by = index.manifest.encoder
    here = load_encoder(made_by["name"], is_local=True).fingerprint
    fault = ""
    if here != made_by["fingerprint"]:
        fault = (
            f"made by another {made_by['name']} ({made_by['fingerprint'][:8]}) than this geoindex "
            f"has ({here[:8]}): --tags cannot be asked"
        )
    return Finding("encoder", f"{made_by['name']} {made_by['fingerprint'][:8]}", fault)


def _queries(index: IndexReader, num_queries: int, seed: int) -> Finding:
    """Ask about some entities, and compare with a plain product over the Lance column."""
    rng = np.random.default_rng(seed)
    n = len(index.entities)
    chosen = rng.choice(n, min(num_queries, n), replace=False)
    ids = index.entities.table["feature_id"].to_pylist()
    asked, faults = 0, []
    has_one = index.manifest.has_one_vector
    for focus in ("both",) if has_one else FOCUSES:
        column = "embedding_own" if focus == "own" else "embedding"
        table = open_table(index.path, ENTITIES).to_table(columns=["feature_id", column])
        place = {name: row for row, name in enumerate(table["feature_id"].to_pylist())}
        parts = [vector_matrix(chunk) for chunk in table[column].chunks]
        del table
        matrix = np.concatenate(parts).astype(np.float32)
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix /= np.where(length > 0, length, 1)
        for row in chosen:
            similarity = matrix @ matrix[place[ids[row]]]
            query = Query(ids[row], k=_K, focus=focus, parts=True)
            (hits,) = execute(index, [query], backend="exact")
            similarity[place[ids[row]]] = -np.inf
            expected = np.sort(similarity)[::-1][: len(hits)]
            found = np.array(hits.table["similarity"].to_pylist())
            asked += 1
            if len(hits) != min(_K, n - 1) or not np.allclose(
                found, expected, atol=_SIMILARITY_SLACK
            ):
                faults.append(f"{focus} {ids[row]}")
    fault = (
        f"{len(faults)} of {asked} differ from brute force: {', '.join(faults[:3])}"
        if faults
        else ""
    )
    return Finding("queries", f"{asked} queries equal brute force", fault)


def _recall(index: IndexReader, seed: int, damaged: set[str]) -> Finding:
    """Hold what speeds the search against its table, and measure recall again."""
    found: list[str] = []
    faults: list[str] = []
    for key, record in index.manifest.indexes.items():
        table, name = key.split(".")
        focus = "own" if name == "own" else "context"
        searcher = index.searcher(table, focus=focus)
        faults += searcher.notes
        if searcher.notes or "approximate" not in record or _INDEXES in damaged:
            continue
        told = record["approximate"]["recall"]
        measured = measured_recall(
            index.path, index.files, record["approximate"], searcher.exact,
            table=table, name=name, seed=seed,
        )  # fmt: skip
        found.append(f"{key} {measured['recall']:.3f} (built: {told:.3f})")
        if measured["recall"] < told - _RECALL_SLACK:
            faults.append(f"recall of {key} is {measured['recall']:.3f}, was {told:.3f} when built")
    settings = index.manifest.settings
    again = recall_again(index.path, index.files) if "vector_dtype" in settings else {}
    for key, now in again.items():
        told = settings["vector_recall"][key]["recall"]
        found.append(f"{key} {now['recall']:.3f} of float32 (built: {told:.3f})")
        if now["recall"] < told - _RECALL_SLACK:
            faults.append(
                f"recall of {settings['vector_dtype']} of {key} is {now['recall']:.3f}, "
                f"was {told:.3f} when built"
            )
    detail = f"recall@{_K}: {', '.join(found)}" if found else "every search is exact"
    return Finding("recall", detail, "; ".join(faults))
