"""Make approximate indexes of an index's vectors, and measure them.

`add_indexes` works in the folder of a build that nobody reads yet. `reindex` does it to an index in
use: in a copy made of hard links, which takes its place in one step when all is written, so that a
reader sees the old or the new, and a killed run changes nothing.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geoindex.errors import MissingExtraError, UsageError
from geoindex.progress import Reporter, Silent
from geoindex.search import faiss_backend, lance_backend
from geoindex.search.ann_records import (
    BACKEND_OF,
    MIN_APPROXIMATE_ROWS,
    TABLE_COLUMNS,
    VECTORS,
    codes_of,
    held_vectors,
    open_proposer,
    records_of,
)
from geoindex.search.base import RECALL_K, Approximate, Exact
from geoindex.search.recall import (
    WANTED_RECALL,
    held_rows,
    recall_of,
    true_similarity,
)
from geoindex.storage.checksums import damaged_files, raise_damaged
from geoindex.storage.consistency import find_sidecar, table_versions, write_record
from geoindex.storage.filesystem import exchange, link, map_matrix
from geoindex.storage.layout import (
    ENTITIES,
    MANIFEST,
    SearchFiles,
    faiss_path,
    search_files,
    table_path,
)
from geoindex.storage.manifest import read_manifest
from geoindex.storage.workspace import Workspace

#: What may be asked for: no approximate index, one if the table is large, or one of a kind.
KINDS = ("none", "auto", *BACKEND_OF)
#: Where k-means may run; a note says so where there is no GPU.
DEVICES = ("auto", "cpu", "cuda")
#: From this many rows on `auto` makes one: the exact search then takes some 30 ms.
AUTO_ROWS = 5_000_000
# queries that settings are chosen by, and those that recall is then told of
_CHOOSING_SEED, _TELLING_SEED = 1, 0


def check_device(device: str) -> str:
    """Return where k-means is to run, if there is such a place.

    Raises
    ------
    UsageError
        If there is none such.
    """
    if device not in DEVICES:
        msg = f"no device {device!r}; want one of {', '.join(DEVICES)}. Example: auto"
        raise UsageError(msg)
    return device


def check_kind(kind: str) -> str:
    """Return a kind of approximate index, if there is such a one and it can be made.

    Raises
    ------
    UsageError
        If there is none such.
    MissingExtraError
        If what makes it is not installed.
    """
    if kind not in KINDS:
        msg = f"no kind of index {kind!r}; want one of {', '.join(KINDS)}. Example: ivf"
        raise UsageError(msg)
    if BACKEND_OF.get(kind) == "faiss" and find_spec("faiss") is None:
        package, extra = "faiss", "faiss"
        raise MissingExtraError(package, extra)
    return kind


def add_indexes(
    path: Path, kind: str, *, device: str = "auto", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Make approximate indexes, if asked, beside the search files of an index.

    The record of these must be written after: an index inside a Lance table is a commit.

    Parameters
    ----------
    kind
        One of `KINDS`.
    device
        See `geoindex.search.faiss_backend.make`.

    Returns
    -------
    records
        For the manifest; see `geoindex.search.ann_records`.
    """
    reporter = reporter or Silent()
    files = search_files(path)
    folder = path / "indexes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    approximate: dict[str, Any] = {}
    said: set[str] = set()
    for table, name in held_vectors(files):
        rows = map_matrix(files.vectors(table, name))
        wanted = _kind_for(kind, len(rows)) if table == ENTITIES else "none"
        if kind in BACKEND_OF and wanted == "none" and (table, name) == VECTORS[0]:
            reporter.say(
                f"{len(rows):,} entities: too few for an index of kind {kind}, which is made "
                f"from {MIN_APPROXIMATE_ROWS:,} on; they are searched exactly"
            )
        if wanted != "none":
            for note in _make(path, wanted, rows, table=table, name=name, device=device):
                if note not in said:
                    reporter.say(note)
                said.add(note)
            exact = Exact(rows, codes_of(files, table, name))
            approximate[f"{table}.{name}"] = _settled(
                path, files, wanted, exact, table=table, name=name
            )
    # last: each index inside a Lance table made its table a new version
    return records_of(files, table_versions(path), approximate)


def reindex(
    path: Path, kind: str, *, device: str = "auto", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Make anew the approximate indexes of an index; return the records.

    Raises
    ------
    IndexDamagedError
        If there is no index, or it is damaged.
    UsageError, MissingExtraError
        As `check_kind`.
    GeoindexError
        If a build or another of these is at work on it.
    """
    check_kind(kind)
    check_device(device)
    sidecar = find_sidecar(path)
    manifest = sidecar.applied(read_manifest(path))
    workspace = Workspace(path)
    with workspace.locked():
        # what is damaged and stays would have a right checksum after
        faults = damaged_files(path, sidecar.files)
        remade = ("indexes/", MANIFEST)
        raise_damaged(path, {k: v for k, v in faults.items() if not k.startswith(remade)})
        copy = workspace.path("reindexed")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy, copy_function=_linked)
        if sidecar.files.folder != search_files(path).folder:
            shutil.rmtree(search_files(copy).folder)
            shutil.copytree(sidecar.files.folder, search_files(copy).folder, copy_function=_linked)
        for key, record in manifest.indexes.items():
            if record.get("approximate", {}).get("kind") == "lance":
                table, name = key.split(".")
                lance_backend.drop(table_path(copy, table), TABLE_COLUMNS[name])
        with (reporter or Silent()).stage("indexes", len(VECTORS)) as advance:
            records = add_indexes(copy, kind, device=device, reporter=reporter)
            advance(len(VECTORS))
        # not through the link, which is the other's file too: written beside it and renamed
        replace(manifest, indexes=records).write(copy)
        write_record(copy, search_files(copy), table_versions(copy))
        exchange(copy, path)
        shutil.rmtree(copy, ignore_errors=True)
    return records


def _linked(source: str, target: str) -> None:
    """Link a file, or copy it where there are no links."""
    if Path(source).name == MANIFEST:
        shutil.copy2(source, target)
        return
    link(Path(source), Path(target))


def _kind_for(kind: str, n: int) -> str:
    if kind == "auto":
        return "ivf" if n >= AUTO_ROWS and find_spec("faiss") is not None else "none"
    return kind if n >= MIN_APPROXIMATE_ROWS else "none"


def _make(
    path: Path, kind: str, vectors: NDArray[np.float32], *, table: str, name: str, device: str
) -> Iterator[str]:
    """Make an approximate index; yield what is worth saying."""
    if BACKEND_OF[kind] == "lance":
        lance_backend.make(table_path(path, table), TABLE_COLUMNS[name], len(vectors))
        if device == "cuda":
            yield lance_backend.ON_CPU
        return
    yield from faiss_backend.make(vectors, kind, faiss_path(path, table, name), device=device)


def _settled(
    path: Path, files: SearchFiles, kind: str, exact: Exact, *, table: str, name: str
) -> dict[str, Any]:
    """Choose the quickest settings that find enough; return the record of an approximate index."""
    n = len(exact.vectors)
    is_lance = BACKEND_OF[kind] == "lance"
    tries = lance_backend.settings_to_try(n) if is_lance else faiss_backend.settings_to_try(kind, n)
    made = [] if is_lance else [faiss_path(path, table, name)]
    record: dict[str, Any] = {
        "kind": kind, "files": {file.name: file.stat().st_size for file in made},
        "settings": tries[-1],
    }  # fmt: skip
    rows = held_rows(exact.vectors, seed=_CHOOSING_SEED)
    # one query at a time: a second thread waits more than it works
    with threadpool_limits(1, "blas"):
        last = true_similarity(exact, rows)
        for settings in tries:
            record["settings"] = settings
            proposer = open_proposer(path, files, record, table=table, name=name)
            backend = Approximate(exact.vectors, proposer)
            if recall_of(backend, exact.vectors, rows, last) >= WANTED_RECALL:
                break
    record |= measured_recall(
        path, files, record, exact, table=table, name=name, seed=_TELLING_SEED
    )
    return record


def measured_recall(
    path: Path,
    files: SearchFiles,
    record: dict[str, Any],
    exact: Exact,
    *,
    table: str,
    name: str,
    seed: int,
) -> dict[str, Any]:
    """Return the `recall` of an approximate index, of how many nearest, and of how many queries."""
    proposer = open_proposer(path, files, record, table=table, name=name)
    rows = held_rows(exact.vectors, seed=seed)
    backend = Approximate(exact.vectors, proposer)
    with threadpool_limits(1, "blas"):
        recall = recall_of(backend, exact.vectors, rows, true_similarity(exact, rows))
    return {"recall": round(recall, 4), "k": RECALL_K, "num_queries": len(rows)}
