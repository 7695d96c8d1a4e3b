"""Sort rows: the second stage of a build, staged files to one file in cell order.

Rows are sorted by cell, then by `feature_id`, so that the entities of any coarser cell are one
run, and the order does not depend on the order of the sources. Where several sources hold the same
`feature_id`, the highest version stays; at equal versions the one with the later source timestamp,
then of the later source.

Memory: cell, id and version of every row, some 40 bytes; whole rows only a bucket at a time.
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
    batches = [batch.select(names) for source in staged for batch in read_batches(source.path)]
    schema = pa.schema([ENTITY_SCHEMA.field(name) for name in names])
    keys = pa.Table.from_batches(batches, schema=schema)
    source_rank = _source_ranks(staged)
    winners = _winners(keys, source_rank)
    kept = keys.take(pa.array(winners))
    order = pc.sort_indices(kept, sort_keys=[("cell", "ascending"), ("feature_id", "ascending")])
    position = np.full(keys.num_rows, -1, np.int64)
    position[winners[order.to_numpy()]] = np.arange(len(winners))
    return position, len(winners)


def _source_ranks(staged: Sequence[Staged]) -> NDArray[np.int64]:
    """Return the rank of each staged row's source: the later the timestamp, the higher."""
    by_time = sorted(range(len(staged)), key=lambda i: (staged[i].info.timestamp or "", i))
    rank = np.empty(len(staged), np.int64)
    rank[by_time] = np.arange(len(staged))
    sizes = [sum(batch.num_rows for batch in read_batches(source.path)) for source in staged]
    return np.repeat(rank, sizes)


def _winners(keys: pa.Table, source_rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows to keep, one for each `feature_id`, ascending."""
    ids = keys["feature_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    version = keys["osm_version"].fill_null(-1).to_numpy()
    order = np.lexsort((source_rank, version, ids))
    last = np.append(ids[order][1:] != ids[order][:-1], True) if len(order) else np.zeros(0, bool)
    return np.sort(order[last]).astype(np.int64)
