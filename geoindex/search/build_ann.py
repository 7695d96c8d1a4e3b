"""How does an index get what speeds its search? Codes always, an approximate index if asked.

`add_indexes` works in the folder of a build that nobody reads yet. `reindex` does it to an index in
use: in a copy made of hard links, which takes its place in one step when all is written, so that a
reader sees the old or the new, and a killed run changes nothing.
"""

import os
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
    made_of,
    open_proposer,
    sizes,
)
from geoindex.search.base import RECALL_K, Approximate, Exact
from geoindex.search.pruning import MIN_ROWS, Codes, make_codes
from geoindex.search.recall import (
    WANTED_RECALL,
    held_rows,
    recall_of,
    true_similarity,
)
from geoindex.storage.layout import CELLS, ENTITIES, MANIFEST, index_files, search_files, table_path
from geoindex.storage.manifest import read_manifest
from geoindex.storage.stamp import check_stamp, write_stamp
from geoindex.storage.workspace import Workspace, exchange

#: What may be asked for: no approximate index, one if the table is large, or one of a kind.
KINDS = ("none", "auto", *BACKEND_OF)
#: Where k-means may run; a GPU that is not there is told.
DEVICES = ("auto", "cpu", "cuda")
#: From this many rows on `auto` makes one: the exact search then takes some 30 ms.
AUTO_ROWS = 5_000_000
_COLUMNS = ((ENTITIES, "embedding"), (ENTITIES, "own"), (CELLS, "embedding"))
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
    """Make codes and, if asked, approximate indexes beside the search files of an index.

    The stamp must be written after: an index inside a Lance table is a commit.

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
    folder = index_files(path).folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    matrices = {
        (table, name): np.load(search_files(path).vectors(table, name), mmap_mode="r")
        for table, name in _COLUMNS
    }
    records: dict[str, Any] = {}
    said: set[str] = set()
    with reporter.stage("indexes", len(matrices)) as advance:
        for (table, name), vectors in matrices.items():
            rows = vectors.view(np.ndarray)
            record: dict[str, Any] = {}
            codes = _codes(path, rows, table, name)
            if codes is not None:
                names = [index_files(path).codes(table, name).name,
                         index_files(path).axes(table, name).name]  # fmt: skip
                record["codes"] = {"dims": codes.rows.shape[1], "files": sizes(folder, names)}
            wanted = _kind_for(kind, len(rows)) if table == ENTITIES else "none"
            if kind in BACKEND_OF and wanted == "none" and (table, name) == _COLUMNS[0]:
                reporter.say(
                    f"{len(rows):,} entities: too few for an index of kind {kind}, which is made "
                    f"from {MIN_APPROXIMATE_ROWS:,} on; they are searched exactly"
                )
            if wanted != "none":
                exact = Exact(rows, codes)
                for note in _make(path, wanted, rows, table=table, name=name, device=device):
                    if note not in said:
                        reporter.say(note)
                    said.add(note)
                record["approximate"] = _settled(path, wanted, exact, table=table, name=name)
            if record:
                records[f"{table}.{name}"] = record
            advance(1)
    # last: each index inside a Lance table made its table a new version
    for key, record in records.items():
        table, name = key.split(".")
        record["made_of"] = made_of(path, table, matrices[table, name].view(np.ndarray))
    return records


def reindex(
    path: Path, kind: str, *, device: str = "auto", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Make anew what speeds the search of an index; return the records.

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
    manifest = read_manifest(path)
    check_stamp(path)
    workspace = Workspace(path)
    with workspace.locked():
        copy = workspace.path("reindexed")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy, copy_function=_linked)
        for key, record in manifest.indexes.items():
            if record.get("approximate", {}).get("kind") == "lance":
                table, name = key.split(".")
                lance_backend.drop(table_path(copy, table), TABLE_COLUMNS[name])
        records = add_indexes(copy, kind, device=device, reporter=reporter)
        write_stamp(copy)
        # not through the link, which is the other's file too: written beside it and renamed
        replace(manifest, indexes=records).write(copy)
        exchange(copy, path)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(workspace.folder / "replaced", ignore_errors=True)
    return records


def _linked(source: str, target: str) -> None:
    """Link a file, or copy it where there are no links."""
    if Path(source).name == MANIFEST:
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _kind_for(kind: str, n: int) -> str:
    if kind == "auto":
        return "ivf" if n >= AUTO_ROWS and find_spec("faiss") is not None else "none"
    return kind if n >= MIN_APPROXIMATE_ROWS else "none"


def _codes(path: Path, vectors: NDArray[np.float32], table: str, name: str) -> Codes | None:
    if len(vectors) < MIN_ROWS:
        return None
    files = index_files(path)
    # one thread gives the same bits whatever the number of cores
    with threadpool_limits(1, "blas"):
        return make_codes(vectors, files.codes(table, name), files.axes(table, name))


def _make(
    path: Path, kind: str, vectors: NDArray[np.float32], *, table: str, name: str, device: str
) -> Iterator[str]:
    """Make an approximate index; yield what is worth saying."""
    if BACKEND_OF[kind] == "lance":
        lance_backend.make(table_path(path, table), TABLE_COLUMNS[name], len(vectors))
        if device == "cuda":
            yield lance_backend.ON_CPU
        return
    yield from faiss_backend.make(
        vectors, kind, index_files(path).faiss(table, name), device=device
    )


def _settled(path: Path, kind: str, exact: Exact, *, table: str, name: str) -> dict[str, Any]:
    """Choose the quickest settings that find enough; return the record of an approximate index."""
    n = len(exact.vectors)
    is_lance = BACKEND_OF[kind] == "lance"
    tries = lance_backend.settings_to_try(n) if is_lance else faiss_backend.settings_to_try(kind, n)
    names = [] if is_lance else [index_files(path).faiss(table, name).name]
    record: dict[str, Any] = {
        "kind": kind, "files": sizes(index_files(path).folder, names), "settings": tries[-1],
    }  # fmt: skip
    rows = held_rows(exact.vectors, seed=_CHOOSING_SEED)
    # one query at a time: a second thread waits more than it works
    with threadpool_limits(1, "blas"):
        last = true_similarity(exact, rows)
        for settings in tries:
            record["settings"] = settings
            proposer = open_proposer(path, record, table=table, name=name)
            backend = Approximate(exact.vectors, proposer)
            if recall_of(backend, exact.vectors, rows, last) >= WANTED_RECALL:
                break
    record |= measured_recall(path, record, exact, table=table, name=name, seed=_TELLING_SEED)
    return record


def measured_recall(
    path: Path, record: dict[str, Any], exact: Exact, *, table: str, name: str, seed: int
) -> dict[str, Any]:
    """Return the `recall` of an approximate index, of how many nearest, and of how many queries."""
    proposer = open_proposer(path, record, table=table, name=name)
    rows = held_rows(exact.vectors, seed=seed)
    backend = Approximate(exact.vectors, proposer)
    with threadpool_limits(1, "blas"):
        recall = recall_of(backend, exact.vectors, rows, true_similarity(exact, rows))
    return {"recall": round(recall, 4), "k": RECALL_K, "num_queries": len(rows)}
