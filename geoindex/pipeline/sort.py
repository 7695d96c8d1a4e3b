"""Sort rows: the second stage of a build, staged files to one file in cell order.

Rows are sorted by cell, then by `feature_id`, so that the entities of any coarser cell are one
run, and the order does not depend on the order of the sources. Where several sources hold the same
`feature_id`, the highest version stays; at equal versions the one with the later source timestamp,
then of the later source.

Memory: some 60 bytes a row; whole rows only a bucket at a time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.pipeline.read import Staged
from geoindex.storage.filesystem import read_batches
from geoindex.storage.layout import SEARCH_BATCH_ROWS
from geoindex.storage.row_store import write_in_order


def order_rows(
    staged: Sequence[Staged], target: Path, *, scratch: Path, advance: Callable[[int], None]
) -> tuple[int, int]:
    """Write the rows of all staged files to `target`, sorted, without duplicates.

    Parameters
    ----------
    target
        Arrow file of `ENTITY_SCHEMA` in batches of `SEARCH_BATCH_ROWS` rows.
    scratch
        A folder for what does not fit in memory; deleted in the end.
    advance
        Called with the number of rows written.

    Returns
    -------
    num_rows, num_duplicates
    """
    position, num_rows = _positions(staged)
    batches = (batch for source in staged for batch in read_batches(source.path))
    write_in_order(batches, position, target, ENTITY_SCHEMA, scratch=scratch, advance=advance)
    return num_rows, len(position) - num_rows


def _positions(staged: Sequence[Staged]) -> tuple[NDArray[np.int64], int]:
    """Return where each staged row goes in the sorted file, -1 for a duplicate."""
    names = ["cell", "feature_id", "osm_version"]
    # columns of mapped files: they take no memory
    batches = [batch.select(names) for source in staged for batch in read_batches(source.path)]
    schema = pa.schema([ENTITY_SCHEMA.field(name) for name in names])
    keys = pa.Table.from_batches(batches, schema=schema)
    losers = _losers(keys, staged)
    sort_keys = [("cell", "ascending"), ("feature_id", "ascending")]
    order = pc.sort_indices(keys, sort_keys=sort_keys).to_numpy()
    if len(losers):
        order = order[~np.isin(order, losers)]
    position = np.full(keys.num_rows, -1, np.int64)
    position[order] = np.arange(len(order))
    return position, len(order)


def _losers(keys: pa.Table, staged: Sequence[Staged]) -> NDArray[np.int64]:
    """Return the rows that give way to another of the same `feature_id`."""
    ids = keys["feature_id"]
    order = pc.sort_indices(ids).to_numpy()
    is_again = np.zeros(len(order) + 1, np.bool_)
    for start in range(1, len(order), SEARCH_BATCH_ROWS):
        some = ids.take(pa.array(order[start - 1 : start + SEARCH_BATCH_ROWS]))
        again = pc.equal(some[1:].combine_chunks(), some[:-1].combine_chunks())
        is_again[start : start + len(again)] = again.to_numpy(zero_copy_only=False)
    # those that are like the one before or the one after
    several = np.flatnonzero(is_again[1:] | is_again[:-1])
    rows = order[several].astype(np.int64)
    group = np.cumsum(~is_again[several])
    version = keys["osm_version"].take(pa.array(rows)).fill_null(-1).to_numpy()
    # at equal ranks, the last row of a source
    rank = np.lexsort((rows, _source_ranks(staged, rows), version, group))
    is_last = np.append(np.diff(group[rank]) > 0, True)[: len(rows)]
    return rows[rank[~is_last]]


def _source_ranks(staged: Sequence[Staged], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of the sources of staged rows: the later the timestamp, the higher."""
    by_time = sorted(range(len(staged)), key=lambda i: (staged[i].info.timestamp or "", i))
    rank = np.empty(len(staged), np.int64)
    rank[by_time] = np.arange(len(staged))
    sizes = [sum(batch.num_rows for batch in read_batches(source.path)) for source in staged]
    return rank[np.searchsorted(np.cumsum(sizes), rows, side="right")]
