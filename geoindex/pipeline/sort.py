"""In which order do the rows lie? The second stage: staged files to one file in cell order.

Rows are sorted by cell, then by `feature_id`, so that the entities of any coarser cell are one
run, and the order does not depend on the order of the sources. Where several sources hold the same
`feature_id`, the highest version stays; at equal versions the one with the later source timestamp,
then of the later source.

Memory: cell, id and version of every row, some 40 bytes; whole rows only `_BUCKET_ROWS` at a time.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.pipeline.read import Staged
from geoindex.storage.layout import SEARCH_BATCH_ROWS
from geoindex.storage.workspace import writing

# some 100 MB of rows; more where there would be more files than a process may open
_BUCKET_ROWS = 8 * SEARCH_BATCH_ROWS
_MAX_BUCKETS = 128
_POSITION = pa.field("position", pa.int64())


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an Arrow file, memory-mapped."""
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


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
    bucket_rows = _bucket_rows(num_rows)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    buckets = _distribute(staged, position, scratch, bucket_rows, num_rows)
    with (
        writing(target) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_file(sink, ENTITY_SCHEMA) as out,
    ):
        for bucket in buckets:
            rows = pa.Table.from_batches(read_batches(bucket))
            rows = rows.take(pc.sort_indices(rows["position"])).drop(["position"])
            for batch in rows.combine_chunks().to_batches(SEARCH_BATCH_ROWS):
                out.write_batch(batch)
                advance(batch.num_rows)
            del rows
            bucket.unlink()
    shutil.rmtree(scratch)
    return num_rows, len(position) - num_rows


def _bucket_rows(num_rows: int) -> int:
    least = -(-num_rows // _MAX_BUCKETS)
    return max(_BUCKET_ROWS, -(-least // SEARCH_BATCH_ROWS) * SEARCH_BATCH_ROWS)


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


def _distribute(
    staged: Sequence[Staged],
    position: NDArray[np.int64],
    scratch: Path,
    bucket_rows: int,
    num_rows: int,
) -> list[Path]:
    """Write each row, with its position, to the file of the bucket that it falls in."""
    paths = [scratch / f"{i:03}.arrow" for i in range(-(-num_rows // bucket_rows))]
    schema = ENTITY_SCHEMA.append(_POSITION)
    start = 0
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                pa.ipc.new_file(stack.enter_context(pa.OSFile(str(path), "wb")), schema)
            )
            for path in paths
        ]
        for source in staged:
            for batch in read_batches(source.path):
                places = position[start : start + batch.num_rows]
                start += batch.num_rows
                with_place = batch.append_column(_POSITION, pa.array(places))
                bucket = np.where(places >= 0, places // bucket_rows, -1)
                for i in np.unique(bucket[bucket >= 0]):
                    files[i].write_batch(with_place.take(pa.array(np.flatnonzero(bucket == i))))
    return paths
