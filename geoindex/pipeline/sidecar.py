"""Make the search files of an index from its Lance tables.

A build makes them so, and so does whoever opens an index whose tables were changed since: rows
deleted, added, updated or merged by LanceDB or pylance, files compacted. Rows lie in the table in
any order; in the search files they are sorted by cell, then `feature_id`, so that the same tables
give the same bytes. Rows that cannot be searched are refused, by name.

Memory: one batch, and the key of every row where they are not sorted.
"""

import errno
import filecmp
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geoindex.errors import IndexDamagedError
from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.geo.h3 import format_cell, resolution_of
from geoindex.index import IndexReader
from geoindex.search.ann_records import TABLE_COLUMNS, VECTORS, held_vectors, records_of
from geoindex.search.pruning import MIN_ROWS, make_codes
from geoindex.search.similarity import unit_slack
from geoindex.storage.checksums import check_changed_tables
from geoindex.storage.consistency import (
    TablesChangedError,
    Versions,
    cache_key,
    cached_files,
    find_sidecar,
    read_record,
    table_version,
    table_versions,
    write_record,
)
from geoindex.storage.filesystem import (
    exchange,
    give_back_memory,
    link,
    locked,
    map_matrix,
    new_folder,
    new_matrix,
    read_batches,
    release,
)
from geoindex.storage.lance_tables import (
    CELL_SCHEMA,
    open_table,
    vector_matrix,
    vector_type,
)
from geoindex.storage.layout import CELLS, DTYPES, ENTITIES, SearchFiles, search_files
from geoindex.storage.manifest import Manifest, read_manifest
from geoindex.storage.name_index import write_name_index
from geoindex.storage.row_store import Rows, write_in_order
from geoindex.storage.tag_index import TAG_ARRAYS, TagIndex, write_tag_index

Reader = TypeVar("Reader", bound=IndexReader)

_SCHEMAS = {ENTITIES: ENTITY_SCHEMA, CELLS: CELL_SCHEMA}
# read at a time: rows, and bytes of vectors; Lance holds some copies of them
_SCAN_ROWS, _SCAN_BYTES = 8192, 4 << 20
_ADDRESS = "_rowaddr"
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_sidecar(
    index: Path,
    files: SearchFiles,
    manifest: Manifest,
    *,
    is_ours: bool = False,
    tables: Versions | None = None,
) -> Versions:
    """Write the search files of an index, but their record; return the versions they are made of.

    Parameters
    ----------
    files
        In a folder that is there.
    manifest
        Of the index: the resolution of its entities' cells, and how long vectors are.
    is_ours
        Whether the build that runs wrote the tables, so that no id is there twice.
    tables
        Versions to make them of; None for the newest.

    Raises
    ------
    IndexDamagedError
        If a table cannot be read, or holds a row that cannot be searched; it is named.
    """
    versions = {}
    for table in (ENTITIES, CELLS):
        # one version of the table, whoever changes it meanwhile
        number = None if tables is None else tables[table]["version"]
        source = _Source(index, table, manifest, number)
        versions[table] = source.version
        source.write(files, is_ours=is_ours)
        give_back_memory()
    write_tag_index(read_batches(files.rows(ENTITIES)), files, advance=lambda _: None)
    write_name_index(files)
    _write_codes(files)
    return versions


def take_sidecar(made: SearchFiles, files: SearchFiles) -> None:
    """Take the search files of an index from what its tables were just written from.

    They are those that `write_sidecar` would read from the tables, where these hold float32.

    Parameters
    ----------
    made
        Rows in their order, cells, tag lists and vectors.
    files
        In a folder that is there.
    """
    for path in (made.rows(ENTITIES), made.tags, *map(made.array, TAG_ARRAYS)):
        link(path, files.folder / path.name)
    for table, name in held_vectors(made):
        link(made.vectors(table, name), files.vectors(table, name))
    position = np.arange(sum(batch.num_rows for batch in read_batches(made.rows(CELLS))))
    write_in_order(
        read_batches(made.rows(CELLS)), position, files.rows(CELLS), CELL_SCHEMA,
        scratch=files.folder / "scratch", advance=lambda _: None,
    )  # fmt: skip
    write_name_index(files)
    _write_codes(files)


def _write_codes(files: SearchFiles) -> None:
    for table, name in held_vectors(files):
        vectors = map_matrix(files.vectors(table, name))
        if len(vectors) >= MIN_ROWS:
            # one thread gives the same bits whatever the number of cores
            with threadpool_limits(1, "blas"):
                make_codes(vectors, files.codes(table, name), files.axes(table, name))
        release(vectors)


class _Source:
    """One version of one table.

    Raises
    ------
    IndexDamagedError
        If it cannot be read, or lacks a column.
    """

    def __init__(
        self, index: Path, table: str, manifest: Manifest, number: int | None = None
    ) -> None:
        self._index, self._table = index, table
        self._resolution = manifest.resolutions[-1]
        self._schema = _SCHEMAS[table]
        self._dataset = open_table(index, table, number)
        self.version = table_version(index, table, self._dataset.version)
        dim = manifest.encoder["dim" if table == ENTITIES else "region_dim"]
        found = self._dataset.schema
        # name of the file, and column
        self._columns = {
            name: column
            for name, column in TABLE_COLUMNS.items()
            if (table, name) in VECTORS and not (name == "own" and manifest.has_one_vector)
        }
        types = {field.name: [field.type] for field in self._schema}
        types |= {name: [vector_type(dtype, dim) for dtype in DTYPES] for name in
                  self._columns.values()}  # fmt: skip
        wrong = [
            name for name, allowed in types.items()
            if name not in found.names or found.field(name).type not in allowed
        ]  # fmt: skip
        if wrong:
            self._refuse(f"{', '.join(wrong)} missing or of another type")

    def _refuse(self, reason: str) -> NoReturn:
        msg = (
            f"{self._index}: table {self._table!r} cannot be searched: {reason}. Mend the table, "
            "or build the index again"
        )
        raise IndexDamagedError(msg)

    def _scan(
        self, columns: Sequence[str], *, num_rows: int = _SCAN_ROWS, **options: Any
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the table, few at a time."""
        for start in range(0, self._dataset.count_rows(), num_rows):
            # a scan of all of them would hold as much again as it reads ahead, to its end
            scanner = self._dataset.scanner(
                list(columns), offset=start, limit=num_rows, scan_in_order=True, **options
            )
            yield from scanner.to_batches()

    def write(self, files: SearchFiles, *, is_ours: bool) -> None:
        """Write rows, addresses and vectors."""
        position = self._position(is_ours=is_ours)
        write_in_order(
            self._rows(), position, files.rows(self._table), self._schema,
            scratch=files.folder / "scratch", advance=lambda _: None,
        )  # fmt: skip
        self._write_addresses(files, position)
        for name, column in self._columns.items():
            field = self._dataset.schema.field(column).type
            dtype = np.dtype(field.value_type.to_pandas_dtype())
            shape = (len(position), field.list_size)
            matrix = new_matrix(files.vectors(self._table, name), dtype, shape)
            start, at_once = 0, _SCAN_BYTES // (field.list_size * dtype.itemsize)
            for batch in self._scan([column], num_rows=max(at_once, 1)):
                places = position[start : start + batch.num_rows]
                self._check_vectors(batch[column], places, files, column)
                matrix[_run(places)] = vector_matrix(batch[column])
                start += batch.num_rows
                release(matrix)
            give_back_memory()

    def _position(self, *, is_ours: bool) -> NDArray[np.int64]:
        """Return the place of each row of the table in the order of the search files."""
        names = [name for name in ("cell", "feature_id") if name in self._schema.names]
        if is_ours and _ascend(self._scan(names)):
            return np.arange(self._dataset.count_rows())
        schema = pa.schema([self._schema.field(name) for name in names])
        keys = pa.Table.from_batches(self._scan(names), schema=schema)
        self._check_unique(keys[names[-1]])
        position = np.arange(keys.num_rows)
        if not _ascend(keys.to_batches()):
            order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names])
            position[order.to_numpy()] = np.arange(keys.num_rows)
        return position

    def _check_unique(self, names: pa.ChunkedArray) -> None:
        if pc.count_distinct(names).as_py() == len(names):
            return
        counts = pc.value_counts(names)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        self._refuse(f"row {_named(twice)} is there more than once")

    def _rows(self) -> Iterator[pa.RecordBatch]:
        for batch in self._scan(self._schema.names):
            self._check_rows(batch)
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)

    def _check_rows(self, batch: pa.RecordBatch) -> None:
        for field in self._schema:
            if not field.nullable and batch[field.name].null_count:
                row = pc.index(batch[field.name].is_null(), value=True).as_py()
                self._refuse(f"row {self._name(batch, row)} has no {field.name}")
        if self._table == CELLS:
            return
        wrong = np.flatnonzero(resolution_of(batch["cell"].to_numpy()) != self._resolution)
        if len(wrong):
            cell = format_cell(batch["cell"][int(wrong[0])].as_py())
            self._refuse(
                f"row {self._name(batch, wrong[0])} has cell {cell}, which is not of resolution "
                f"{self._resolution}"
            )
        shapes = batch["geometry"].to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(shapely.is_missing(shapely.from_wkb(shapes, on_invalid="ignore")))
        if len(wrong):
            self._refuse(f"row {self._name(batch, wrong[0])} has a geometry that is no valid WKB")

    def _check_vectors(
        self, column: pa.Array, places: NDArray[np.int64], files: SearchFiles, name: str
    ) -> None:
        if column.null_count:
            wrong, reason = pc.index(column.is_null(), value=True).as_py(), "no vector"
        else:
            vectors = vector_matrix(column)
            wide = vectors.astype(np.float32, copy=False)
            length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
            is_right = (length == 0) | (np.abs(length - 1) <= unit_slack(vectors.dtype))
            if is_right.all():
                return
            wrong = int(np.flatnonzero(~is_right)[0])
            reason = f"a vector of length {length[wrong]:g}, want 1"
            if not np.isfinite(length[wrong]):
                reason = "a vector that is not finite"
        key = "feature_id" if self._table == ENTITIES else "cell"
        row = _named(Rows(files.rows(self._table)).record(int(places[wrong]))[key])
        self._refuse(f"row {row} has {reason}, in {name}")

    def _name(self, batch: pa.RecordBatch, row: int) -> str:
        return _named(batch["feature_id" if self._table == ENTITIES else "cell"][int(row)].as_py())

    def _write_addresses(self, files: SearchFiles, position: NDArray[np.int64]) -> None:
        """Write where each row is in the table, unless they are numbered as they lie."""
        fragments = [item.fragment_id for item in self._dataset.get_fragments()]
        num_deleted = sum(item.num_deletions for item in self._dataset.get_fragments())
        is_plain = fragments == sorted(fragments) and not num_deleted
        if is_plain and np.array_equal(position, np.arange(len(position))):
            return
        parts = self._scan(["cell"], with_row_address=True)
        found = np.concatenate([batch[_ADDRESS].to_numpy() for batch in parts])
        order = np.argsort(found)
        addresses = new_matrix(files.addresses(self._table), np.uint64, (len(found), 2))
        addresses[:, 0], addresses[:, 1] = found[order], position[order]


def _named(key: int | str | None) -> str:
    return format_cell(key) if isinstance(key, int) else str(key)


def _run(places: NDArray[np.int64]) -> "slice | NDArray[np.int64]":
    """Return places as a slice where they are one run."""
    is_run = len(places) > 0 and bool(np.all(np.diff(places) == 1))
    return slice(int(places[0]), int(places[-1]) + 1) if is_run else places


def _ascend(batches: Iterable[pa.RecordBatch]) -> bool:
    """Tell whether rows ascend, by all columns."""
    last = None
    for rows in batches:
        batch = rows if last is None else pa.concat_batches([last, rows])
        cells = batch["cell"].to_numpy()
        step = cells[1:] > cells[:-1]
        if batch.num_columns > 1 and not step.all():
            later = pc.greater(batch["feature_id"][1:], batch["feature_id"][:-1])
            step |= (cells[1:] == cells[:-1]) & later.to_numpy(zero_copy_only=False)
        if not step.all():
            return False
        last = batch.slice(max(batch.num_rows - 1, 0))
    return True


def counts_of(files: SearchFiles, resolutions: Sequence[int]) -> dict[str, Any]:
    """Return the `counts` of a manifest."""
    types: Counter[str | None] = Counter()
    for batch in read_batches(files.rows(ENTITIES)):
        for item in batch["osm_type"].value_counts():
            types[item["values"].as_py()] += item["counts"].as_py()
    cells: Counter[int] = Counter()
    for batch in read_batches(files.rows(CELLS)):
        cells.update(batch["resolution"].to_pylist())
    return {
        "entities": sum(types.values()),
        **{f"{name}s": types[name] for name in ("node", "way", "relation")},
        "tags": TagIndex(files).num_tags,
        "cells": {str(resolution): cells[resolution] for resolution in resolutions},
    }


def carry_images(source: SearchFiles, target: SearchFiles) -> None:
    """Give search files the image files of others: they are not made from the tables."""
    for path in source.folder.glob("image*.npy"):
        link(path, target.folder / path.name)


def open_index(path: Path, kind: type[Reader]) -> Reader:
    """Open an index; if its tables were changed, make its search files anew and warn of it.

    Raises
    ------
    IndexDamagedError
        As `bring_up_to_date`.
    """
    try:
        return kind(path)
    except TablesChangedError:
        notes = bring_up_to_date(path)
    index = kind(path)
    index.notes = notes
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return index


def bring_up_to_date(index: Path) -> tuple[str, ...]:
    """Make the search files anew if the tables were changed; return what is worth saying.

    They take the place of the old ones in one step, so that whoever reads meanwhile sees the old
    or the new. Where the index may not be written to, they go to the user's cache.

    Raises
    ------
    IndexDamagedError
        If there is no index, it is damaged, or a row of its tables cannot be searched.
    """
    manifest = read_manifest(index)
    if _is_current(index):
        return ()
    # whoever else opens it waits, and finds it done
    with locked(index):
        if _is_current(index):
            return ()
        files = search_files(index)
        try:
            note = _remake(index, files, manifest)
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            files = cached_files(index, table_versions(index))
            files.folder.parent.mkdir(parents=True, exist_ok=True)
            note = _remake(index, files, manifest)
            for old in files.folder.parent.glob(f"{cache_key(index)}-*"):
                if old != files.folder:
                    shutil.rmtree(old, ignore_errors=True)
    return (note,)


def _is_current(index: Path) -> bool:
    try:
        find_sidecar(index)
    except TablesChangedError:
        return False
    return True


def _remake(index: Path, files: SearchFiles, manifest: Manifest) -> str:
    """Make search files and put them in their place; return what is worth saying."""
    old = search_files(index)
    record = read_record(index, old)
    check_changed_tables(index, old)
    with new_folder(files.folder) as folder:
        new = SearchFiles(folder)
        versions = write_sidecar(index, new, manifest)
        changed, dropped = _changed(index, manifest, old, record, new, versions)
        write_record(index, new, versions, changed)
        exchange(folder, files.folder)
    moved = ", ".join(
        f"{table} version {record['tables'][table].get('version')} -> {found['version']}"
        for table, found in versions.items()
        if found != record["tables"].get(table)
    )
    why = f"tables changed: {moved}" if moved else "search files of another form"
    text = f"{index}: {why}; search files made anew, {changed['counts']['entities']:,} rows"
    return "; ".join([text, *dropped])


def _changed(
    index: Path,
    manifest: Manifest,
    old: SearchFiles,
    record: Mapping[str, Any],
    new: SearchFiles,
    versions: Versions,
) -> tuple[dict[str, Any], list[str]]:
    """Return the members of the manifest that are others now, and what was dropped."""
    dropped = []
    before = record["changed"]
    kept = {}
    for key, held in before.get("indexes", manifest.indexes).items():
        if "approximate" not in held:
            continue
        table, name = key.split(".")
        if _same(old.vectors(table, name), new.vectors(table, name)):
            kept[key] = held["approximate"]
        else:
            kind = held["approximate"]["kind"]
            dropped.append(
                f"the {kind} index of {key} no longer fits and is not used. "
                f"Make it again: geoindex index {index} --index {kind}"
            )
    changed: dict[str, Any] = {
        "counts": counts_of(new, manifest.resolutions),
        "indexes": records_of(new, versions, kept),
    }
    settings = before.get("settings", manifest.settings)
    if "imagery" in settings:
        if _same_cells(old, new):
            carry_images(old, new)
        else:
            settings = {key: item for key, item in settings.items() if key != "imagery"}
            dropped.append("the cells are others now, and imagery no longer fits: it is left out")
        changed["settings"] = settings
    return changed, dropped


def _same(left: Path, right: Path) -> bool:
    with suppress(OSError):
        return filecmp.cmp(left, right, shallow=False)
    return False


def _same_cells(old: SearchFiles, new: SearchFiles) -> bool:
    with suppress(OSError, pa.ArrowException):
        left, right = (Rows(files.rows(CELLS)).column("cell") for files in (old, new))
        return np.array_equal(left, right)
    return False
