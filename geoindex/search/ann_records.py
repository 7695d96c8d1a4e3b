"""Record what makes the search of an index faster, and open what belongs to its vectors.

The manifest keeps, for each vector column, a record of what was made of it: `made_of` (the version
of the table and a digest of the vectors), `codes` and `approximate`, this with its files and their
sizes. What was made of other vectors is noticed by that and never used.
"""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.search.base import Approximate, Exact, Proposer
from geoindex.search.planner import Searcher
from geoindex.search.pruning import Codes, open_codes
from geoindex.storage.consistency import Versions, table_versions
from geoindex.storage.filesystem import map_matrix
from geoindex.storage.layout import CELLS, ENTITIES, SearchFiles, faiss_path, table_path

#: Kinds of approximate indexes, and who searches them.
BACKEND_OF = {"ivf": "faiss", "hnsw": "faiss", "lance": "lance"}
#: An approximate index of fewer could only be slower.
MIN_APPROXIMATE_ROWS = 1000
#: The column of a Lance table that each vector file came from.
TABLE_COLUMNS = {"embedding": "embedding", "own": "embedding_own"}
#: Table and file name of every vector column.
VECTORS = ((ENTITIES, "embedding"), (ENTITIES, "own"), (CELLS, "embedding"))
_DIGEST_ROWS = 64


def held_vectors(files: SearchFiles) -> list[tuple[str, str]]:
    """Return which of `VECTORS` search files hold: encoders give entities one vector or two."""
    return [(table, name) for table, name in VECTORS if files.vectors(table, name).exists()]


def made_of(version: Mapping[str, Any], vectors: NDArray[np.float32]) -> dict[str, Any]:
    """Return what tells these vectors from any others; reads a few rows.

    Parameters
    ----------
    version
        Of their table.
    """
    rows = np.unique(np.linspace(0, max(len(vectors) - 1, 0), _DIGEST_ROWS).astype(np.int64))
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr(vectors.shape).encode())
    digest.update(np.ascontiguousarray(vectors[rows[: len(vectors)]]).tobytes())
    return {"tables": version, "vectors": digest.hexdigest()}


def records_of(
    files: SearchFiles, versions: Versions, approximate: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the record of each vector column that has codes or an approximate index.

    Parameters
    ----------
    files
        The search files: vectors and codes.
    versions
        Of the tables that they were made of.
    approximate
        Table and name of a vector column to what is recorded of its approximate index.
    """
    records = {}
    for table, name in held_vectors(files):
        key = f"{table}.{name}"
        record: dict[str, Any] = {}
        if files.codes(table, name).exists():
            record["codes"] = {"dims": map_matrix(files.codes(table, name)).shape[1]}
        if key in approximate:
            record["approximate"] = approximate[key]
        if record:
            vectors = map_matrix(files.vectors(table, name))
            records[key] = {**record, "made_of": made_of(versions[table], vectors)}
    return records


def described(record: Mapping[str, Any]) -> str:
    """Say what speeds the search of a vector column."""
    parts = []
    if codes := record.get("codes"):
        parts.append(f"exact search by codes of {codes['dims']} dims")
    if made := record.get("approximate"):
        told = f"recall@{made['k']} {made['recall']:.3f} of {made['num_queries']} held queries"
        parts.append(f"{made['kind']}, {told}")
    return "; ".join(parts)


def open_searcher(
    path: Path,
    files: SearchFiles,
    records: Mapping[str, Any],
    vectors: NDArray[np.float32],
    *,
    table: str,
    name: str,
    backend: str,
) -> Searcher:
    """Return who searches a vector column.

    Parameters
    ----------
    path, files
        The index and its search files.
    records
        Of its manifest.
    vectors
        Of the column.
    table, name
        Which column: its table, and the name of its file.
    backend
        ``"auto"``, ``"exact"``, ``"faiss"`` or ``"lance"``, the last two if the record has them.
    """
    record = records.get(f"{table}.{name}", {})
    notes: list[str] = []
    if record and record["made_of"] != made_of(table_versions(path)[table], vectors):
        notes.append(
            f"what speeds the search of {table} is older than its table, and is not used. "
            f"Make it again: geoindex index {path}"
        )
        record = {}
    exact = Exact(vectors, codes_of(files, table, name) if "codes" in record else None)
    approximate = record.get("approximate")
    if backend == "exact" or approximate is None:
        return Searcher(exact, notes=tuple(notes))
    fault = _fault(path, approximate)
    if fault:
        notes.append(f"the {approximate['kind']} index of {table} is not used: {fault}")
        return Searcher(exact, notes=tuple(notes))

    def opened() -> Approximate:
        proposer = open_proposer(path, files, approximate, table=table, name=name)
        return Approximate(vectors, proposer, approximate["recall"])

    wanted = backend if backend in BACKEND_OF.values() else None
    return Searcher(exact, opened, wanted=wanted, notes=tuple(notes))


def open_proposer(
    path: Path, files: SearchFiles, record: Mapping[str, Any], *, table: str, name: str
) -> Proposer:
    """Open an approximate index."""
    kind, settings = record["kind"], record["settings"]
    if BACKEND_OF[kind] == "lance":
        from geoindex.search.lance_backend import LanceRows

        addresses = files.addresses(table)
        return LanceRows(
            table_path(path, table), TABLE_COLUMNS[name], settings,
            addresses=map_matrix(addresses) if addresses.exists() else None,
        )  # fmt: skip
    from geoindex.search.faiss_backend import FaissRows

    return FaissRows(faiss_path(path, table, name), kind, settings)


def codes_of(files: SearchFiles, table: str, name: str) -> Codes | None:
    """Open the codes of a vector column; None where it has none, being short."""
    rows = files.codes(table, name)
    return open_codes(rows, files.axes(table, name)) if rows.exists() else None


def _fault(path: Path, record: Mapping[str, Any]) -> str:
    """Say why what was made cannot be used; empty where it can."""
    if BACKEND_OF.get(record.get("kind", "")) == "faiss" and find_spec("faiss") is None:
        return "faiss is not installed. Install it with: pip install 'geoindex-jepa[faiss]'"
    for name, size_bytes in record["files"].items():
        file = path / "indexes" / name
        found = file.stat().st_size if file.exists() else None
        if found != size_bytes:
            return f"indexes/{name} has {found or 'no'} bytes, want {size_bytes}"
    return ""
