"""What stands in row i? The rows of one table, all columns but the vectors, memory-mapped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.storage.arrow_buffers import number_column, numbers_from, text_column
from geoindex.storage.layout import SEARCH_BATCH_ROWS


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
        self.table: pa.Table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
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

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> pa.Table:
        """Return some rows, in the order asked for; about 2 µs a row where they are many."""
        wanted = np.asarray(rows, np.int64)
        # in pieces, so that no column of text grows beyond Arrow's 2 GB
        starts = range(0, len(wanted), SEARCH_BATCH_ROWS)
        pieces = [self._take(wanted[start : start + SEARCH_BATCH_ROWS]) for start in starts]
        return pa.concat_tables(pieces) if pieces else self.table.slice(0, 0)

    def record(self, row: int) -> dict[str, Any]:
        """Return one row as plain values, its tags as a dict."""
        found: dict[str, Any] = self.take([row]).to_pylist()[0]
        if "tags" in found:
            found["tags"] = dict(found["tags"])
        return found

    def _take(self, wanted: NDArray[np.int64]) -> pa.Table:
        """Take batch by batch, then restore the order: a take of the table would scan all of it."""
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        batch_of = np.searchsorted(self._starts, ascending, side="right") - 1
        cuts = np.flatnonzero(np.diff(batch_of)) + 1
        picked = [
            self._batches[i].take(number_column(part - self._starts[i]))
            for i, part in zip(
                batch_of[np.append(0, cuts)].tolist(), np.split(ascending, cuts), strict=True
            )
        ]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return pa.Table.from_batches(picked).combine_chunks().take(number_column(place))
