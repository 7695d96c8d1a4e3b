"""Rows that an index inside the Lance table proposes: LanceDB's own, so every Lance user's.

The index is IVF_RQ: lists of rows coded by RaBitQ. It is part of the table: LanceDB, DuckDB and any
other reader of Lance search it without geoindex. Under a filter it returns k rows with few of the
nearest among them and no warning, so it is never asked under one.
"""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.search.base import RECALL_K

INDEX_TYPE = "IVF_RQ"
#: What is said where a GPU was asked for.
ON_CPU = "the lance index is made on the CPU: only k-means of ivf runs on a GPU"


def make(table: Path, column: str, n: int) -> None:
    """Make an index over a vector column of a table; one commit."""
    import lance

    lance.dataset(str(table)).create_index(
        column, INDEX_TYPE, metric="cosine", num_partitions=_lists(n), replace=True
    )


def drop(table: Path, column: str) -> None:
    """Drop what `make` made, and the versions of the table that had it."""
    import lance

    dataset = lance.dataset(str(table))
    for index in dataset.list_indices():
        if index["fields"] == [column]:
            dataset.drop_index(index["name"])
    dataset.cleanup_old_versions(older_than=dt.timedelta(0))


def settings_to_try(n: int) -> list[dict[str, int]]:
    """Return settings of a search of n rows, the quickest first."""
    lists = _lists(n)
    probes = [1 << power for power in range(3, 12) if 1 << power <= lists] or [lists]
    return [{"nprobes": nprobes, "refine_factor": 10} for nprobes in probes]


def _lists(n: int) -> int:
    return 1 << round(math.log2(max(math.sqrt(n), 1)))


class LanceRows:
    """The opened table.

    Parameters
    ----------
    table
        The folder of a table.
    column
        The vector column.
    settings
        One of `settings_to_try`, for the `RECALL_K` nearest; more are looked for farther.
    addresses
        Address in the table and row of ours, ascending, shape ``(n, 2)``; None where rows are
        numbered as they lie.
    """

    name = "lance"
    can_filter = False

    def __init__(
        self,
        table: Path,
        column: str,
        settings: dict[str, int],
        *,
        addresses: NDArray[np.uint64] | None = None,
    ) -> None:
        import lance

        self._dataset = lance.dataset(str(table))
        self._column = column
        self._dtype = self._dataset.schema.field(column).type.value_type.to_pandas_dtype()
        self.settings = settings
        self._addresses = addresses
        fragments = self._dataset.get_fragments()
        # a row's address is its fragment, then its place there
        self._fragment_ids = np.array([item.fragment_id for item in fragments], np.int64)
        counts = np.array([item.count_rows() for item in fragments], np.int64)
        self._starts = np.cumsum(counts) - counts

    def propose(
        self, query: NDArray[np.float32], *, k: int, passing: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return rows, in any order, among which the k nearest may be."""
        if passing is not None:
            msg = "an index of Lance loses answers under a filter, and is not asked"
            raise ValueError(msg)
        nearest: dict[str, Any] = {
            "column": self._column,
            "q": query.astype(self._dtype),
            "k": 2 * k,
            "nprobes": math.ceil(self.settings["nprobes"] * max(1, k / RECALL_K) ** 0.5),
            "refine_factor": self.settings["refine_factor"],
        }
        found = self._dataset.to_table(
            columns=["_distance"], nearest=nearest, with_row_address=True
        )
        addresses = found["_rowaddr"].to_numpy().astype(np.int64)
        if self._addresses is not None:
            found_at = np.searchsorted(self._addresses[:, 0], addresses.astype(np.uint64))
            return self._addresses[found_at, 1].astype(np.int64)
        # fragments are numbered as they were written
        place = np.searchsorted(self._fragment_ids, addresses >> 32)
        rows: NDArray[np.int64] = self._starts[place] + (addresses & 0xFFFFFFFF)
        return rows
