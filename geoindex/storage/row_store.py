"""Write and read the rows of one table: all columns but the vectors, in one Arrow file."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.storage.arrow_buffers import number_column, numbers_from, text_column
from geoindex.storage.filesystem import map_table, new_arrow, read_batches
from geoindex.storage.layout import SEARCH_BATCH_ROWS

# some 100 MB of rows; more where there would be more files than a process may open
_BUCKET_ROWS = 8 * SEARCH_BATCH_ROWS
_MAX_BUCKETS = 128
_POSITION = pa.field("position", pa.int64())


class Rows:
    """The rows of one table; nothing is read before it is used.

    Parameters
    ----------
    path
        An Arrow file.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If it is missing or no such file.

    Attributes
    ----------
    table
        All rows.
    """

    def __init__(self, path: Path) -> None:
        self.table: pa.Table = map_table(path)
        self._batches: list[pa.RecordBatch] = self.table.to_batches()
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """Return a numeric column as an array, 0 where it is null; kept for the next call."""
        if name not in self._columns:
            self._columns[name] = numbers_from(self.table[name])
        return self._columns[name]

    def find(self, name: str, text: str) -> int:
        """Return the first row whose column is the text, -1 if there is none; about 8 ns a row."""
        return int(pc.index(self.table[name], text_column([text])[0]).as_py())

    def where_equal(self, name: str, text: str) -> NDArray[np.int64]:
        """Return the rows whose column is the text, ascending."""
        return self.where_true(pc.equal(self.table[name], text_column([text])[0]))

    def where_true(self, is_wanted: pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the rows for which a column of truths, one a row, is true, ascending."""
        found = pc.indices_nonzero(is_wanted)
        chunked = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
        return numbers_from(chunked).astype(np.int64)

    def take(
        self, rows: Sequence[int] | NDArray[np.int64], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return some rows, in the order asked for; about 2 µs a row where they are many.

        Parameters
        ----------
        columns
            Those that are wanted; None for all.
        """
        wanted = np.asarray(rows, np.int64)
        names = self.table.column_names if columns is None else list(columns)
        # in pieces, so that no column of text grows beyond Arrow's 2 GB
        starts = range(0, len(wanted), SEARCH_BATCH_ROWS)
        pieces = [self._take(wanted[start : start + SEARCH_BATCH_ROWS], names) for start in starts]
        return pa.concat_tables(pieces) if pieces else self.table.select(names).slice(0, 0)

    def record(self, row: int) -> dict[str, Any]:
        """Return one row as plain values, its tags as a dict."""
        found: dict[str, Any] = self.take([row]).to_pylist()[0]
        if "tags" in found:
            found["tags"] = dict(found["tags"])
        return found

    def _take(self, wanted: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """Take batch by batch, then restore the order: a take of the table would scan all of it."""
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        batch_of = np.searchsorted(self._starts, ascending, side="right") - 1
        cuts = np.flatnonzero(np.diff(batch_of)) + 1
        picked = [
            self._batches[i].select(columns).take(number_column(part - self._starts[i]))
            for i, part in zip(
                batch_of[np.append(0, cuts)].tolist(), np.split(ascending, cuts), strict=True
            )
        ]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return pa.Table.from_batches(picked).combine_chunks().take(number_column(place))


def write_in_order(
    batches: Iterable[pa.RecordBatch],
    position: NDArray[np.int64],
    target: Path,
    schema: pa.Schema,
    *,
    scratch: Path,
    advance: Callable[[int], None],
) -> None:
    """Write each row at its place, in batches of `SEARCH_BATCH_ROWS` rows.

    Parameters
    ----------
    position
        Of every row of the batches: its place among those that are kept, -1 for none.
    scratch, advance
        A folder for what does not fit in memory, deleted in the end; and what is called with the
        number of rows written.
    """
    num_rows = int(position.max(initial=-1)) + 1
    with new_arrow(target, schema) as out:
        if num_rows == len(position) and np.array_equal(position, np.arange(num_rows)):
            for batch in _even(batches, schema):
                out.write_batch(batch)
                advance(batch.num_rows)
            return
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        bucket_rows = _bucket_rows(num_rows)
        for bucket in _distribute(batches, position, scratch, bucket_rows, num_rows, schema):
            rows = pa.Table.from_batches(read_batches(bucket))
            rows = rows.take(pc.sort_indices(rows["position"])).drop(["position"])
            for start in range(0, rows.num_rows, SEARCH_BATCH_ROWS):
                batch = _fresh(rows.slice(start, SEARCH_BATCH_ROWS))
                out.write_batch(batch)
                advance(batch.num_rows)
            del rows
            bucket.unlink()
        shutil.rmtree(scratch)


def _even(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of `SEARCH_BATCH_ROWS`, but the last."""
    waiting: list[pa.RecordBatch] = []
    num_waiting = 0
    for batch in batches:
        waiting.append(batch)
        num_waiting += batch.num_rows
        while num_waiting >= SEARCH_BATCH_ROWS:
            rows = pa.Table.from_batches(waiting, schema=schema)
            yield _fresh(rows.slice(0, SEARCH_BATCH_ROWS))
            waiting = rows.slice(SEARCH_BATCH_ROWS).to_batches()
            num_waiting -= SEARCH_BATCH_ROWS
    if num_waiting:
        yield _fresh(pa.Table.from_batches(waiting, schema=schema))


def _fresh(rows: pa.Table) -> pa.RecordBatch:
    """Return rows as one batch that is a slice of nothing: the same rows give the same bytes.

    What follows a slice would be written for padding.
    """
    batches = rows.to_batches()
    # of one batch alone, Arrow makes no copy
    return pa.concat_batches([batches[0].slice(0, 0), *batches])


def _bucket_rows(num_rows: int) -> int:
    least = -(-num_rows // _MAX_BUCKETS)
    return max(_BUCKET_ROWS, -(-least // SEARCH_BATCH_ROWS) * SEARCH_BATCH_ROWS)


def _distribute(
    batches: Iterable[pa.RecordBatch],
    position: NDArray[np.int64],
    scratch: Path,
    bucket_rows: int,
    num_rows: int,
    schema: pa.Schema,
) -> list[Path]:
    """Write each row, with its position, to the file of the bucket that it falls in."""
    paths = [scratch / f"{i:03}.arrow" for i in range(-(-num_rows // bucket_rows))]
    start = 0
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                pa.ipc.new_file(
                    stack.enter_context(pa.OSFile(str(path), "wb")), schema.append(_POSITION)
                )
            )
            for path in paths
        ]
        for batch in batches:
            places = position[start : start + batch.num_rows]
            start += batch.num_rows
            with_place = batch.append_column(_POSITION, pa.array(places))
            bucket = np.where(places >= 0, places // bucket_rows, -1)
            for i in np.unique(bucket[bucket >= 0]):
                files[i].write_batch(with_place.take(pa.array(np.flatnonzero(bucket == i))))
    return paths
