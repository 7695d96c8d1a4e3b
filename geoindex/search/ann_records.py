"""What makes the search of an index faster, and does it belong to the vectors that are there?

The manifest keeps, for each vector column, a record of what was made of it: `made_of` (the versions
of the table and a digest of the vectors), `codes` and `approximate`, each with its files and their
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
from geoindex.storage.layout import index_files, table_path
from geoindex.storage.stamp import table_versions

#: Kinds of approximate indexes, and who searches them.
BACKEND_OF = {"ivf": "faiss", "hnsw": "faiss", "lance": "lance"}
#: An approximate index of fewer could only be slower.
MIN_APPROXIMATE_ROWS = 1000
#: The column of a Lance table that each vector file came from.
TABLE_COLUMNS = {"embedding": "embedding", "own": "embedding_own"}
_DIGEST_ROWS = 64


def made_of(path: Path, table: str, vectors: NDArray[np.float32]) -> dict[str, Any]:
    """Return what tells these vectors of a table from any others; reads a few rows."""
    rows = np.unique(np.linspace(0, max(len(vectors) - 1, 0), _DIGEST_ROWS).astype(np.int64))
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr(vectors.shape).encode())
    digest.update(np.ascontiguousarray(vectors[rows[: len(vectors)]]).tobytes())
    return {"tables": table_versions(path)[table], "vectors": digest.hexdigest()}


def described(record: Mapping[str, Any]) -> str:
    """Say what speeds the search of a vector column."""
    parts = []
    if codes := record.get("codes"):
        parts.append(f"exact search by codes of {codes['dims']} dims")
    if made := record.get("approximate"):
        told = f"recall@{made['k']} {made['recall']:.3f} of {made['num_queries']} held queries"
        parts.append(f"{made['kind']}, {told}")
    return "; ".join(parts)


def sizes(folder: Path, names: list[str]) -> dict[str, int]:
    """Return the size of each file, bytes."""
    return {name: (folder / name).stat().st_size for name in names}


def open_searcher(
    path: Path,
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
    path
        The index.
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
    if record and record["made_of"] != made_of(path, table, vectors):
        notes.append(
            f"what speeds the search of {table} is older than its table, and is not used. "
            f"Make it again: geoindex index {path}"
        )
        record = {}
    codes = _codes(path, record.get("codes"), table=table, name=name, notes=notes)
    exact = Exact(vectors, codes)
    approximate = record.get("approximate")
    if backend == "exact" or approximate is None:
        return Searcher(exact, notes=tuple(notes))
    fault = _fault(path, approximate)
    if fault:
        notes.append(f"the {approximate['kind']} index of {table} is not used: {fault}")
        return Searcher(exact, notes=tuple(notes))

    def opened() -> Approximate:
        proposer = open_proposer(path, approximate, table=table, name=name)
        return Approximate(vectors, proposer, approximate["recall"])

    wanted = backend if backend in BACKEND_OF.values() else None
    return Searcher(exact, opened, wanted=wanted, notes=tuple(notes))


def open_proposer(path: Path, record: Mapping[str, Any], *, table: str, name: str) -> Proposer:
    """Open an approximate index."""
    kind, settings = record["kind"], record["settings"]
    if BACKEND_OF[kind] == "lance":
        from geoindex.search.lance_backend import LanceRows

        return LanceRows(table_path(path, table), TABLE_COLUMNS[name], settings)
    from geoindex.search.faiss_backend import FaissRows

    return FaissRows(index_files(path).faiss(table, name), kind, settings)


def _codes(
    path: Path, record: Mapping[str, Any] | None, *, table: str, name: str, notes: list[str]
) -> Codes | None:
    if record is None:
        return None
    fault = _fault(path, record)
    if fault:
        notes.append(f"the codes of {table} are not used: {fault}. Build the index again")
        return None
    files = index_files(path)
    return open_codes(files.codes(table, name), files.axes(table, name))


def _fault(path: Path, record: Mapping[str, Any]) -> str:
    """Say why what was made cannot be used; empty where it can."""
    if BACKEND_OF.get(record.get("kind", "")) == "faiss" and find_spec("faiss") is None:
        return "faiss is not installed. Install it with: pip install 'geoindex-jepa[faiss]'"
    for name, size_bytes in record["files"].items():
        file = index_files(path).folder / name
        found = file.stat().st_size if file.exists() else None
        if found != size_bytes:
            return f"indexes/{name} has {found or 'no'} bytes, want {size_bytes}"
    return ""
