"""Write and read the Lance tables.

Tables are written and read with pylance: LanceDB opens the same folders, and takes three times as
long to import (docs/decisions/0002-lance-without-lancedb.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import IndexDamagedError
from geoindex.features.schema import ENTITY_FIELDS
from geoindex.storage.filesystem import release
from geoindex.storage.layout import table_path

CELL_FIELDS = (
    pa.field("cell", pa.uint64(), nullable=False),
    pa.field("resolution", pa.uint8(), nullable=False),
    # coarsest first: parents[r] is the cell of resolution r that holds this one
    pa.field("parents", pa.list_(pa.uint64()), nullable=False),
    pa.field("lon", pa.float64(), nullable=False),
    pa.field("lat", pa.float64(), nullable=False),
    pa.field("num_entities", pa.int32(), nullable=False),
    pa.field("num_nodes", pa.int32(), nullable=False),
    pa.field("num_ways", pa.int32(), nullable=False),
    pa.field("num_relations", pa.int32(), nullable=False),
)
CELL_SCHEMA = pa.schema(CELL_FIELDS)


_WRITTEN_ROWS = 2048
# a fragment has about two to the power of so many rows
_FRAGMENT_BITS = 11
# an odd number, of bits that look random
_ODD = np.uint64(0x9E3779B97F4A7C15)
_ARROW_TYPES = {"float32": pa.float32(), "float16": pa.float16()}


def vector_type(dtype: str, dim: int) -> pa.DataType:
    """Return the type of a vector column."""
    return pa.list_(_ARROW_TYPES[dtype], dim)


def vector_field(name: str, dim: int, dtype: str = "float32") -> pa.Field:
    """Return the field of a vector column."""
    return pa.field(name, vector_type(dtype, dim), nullable=False)


def entity_schema(
    dim: int,
    dtype: str = "float32",
    *,
    columns: Sequence[str] = ("embedding", "embedding_own"),
) -> pa.Schema:
    """Return the schema of the entities table, with these columns of vectors."""
    return pa.schema([*ENTITY_FIELDS, *(vector_field(name, dim, dtype) for name in columns)])


def cell_schema(region_dim: int, dtype: str = "float32") -> pa.Schema:
    """Return the schema of the cells table."""
    return pa.schema([*CELL_FIELDS, vector_field("embedding", region_dim, dtype)])


def vector_array(vectors: NDArray[np.floating], kind: pa.DataType) -> pa.FixedSizeListArray:
    """Return a matrix as an Arrow vector column, without a copy where rows are contiguous."""
    dtype = np.dtype(kind.value_type.to_pandas_dtype())
    flat = np.ascontiguousarray(vectors, dtype).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)


def vector_matrix(column: pa.FixedSizeListArray) -> NDArray[Any]:
    """Return an Arrow vector column as a matrix of its type."""
    dim = column.type.list_size
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dim)


def with_vectors(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, columns: dict[str, NDArray[np.float32]]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches with vector columns at their side; row i of a matrix is row i overall."""
    start = 0
    for batch in (part for whole in batches for part in _parts(whole)):
        rows = slice(start, start + batch.num_rows)
        vectors = [
            vector_array(matrix[rows], schema.field(name).type) for name, matrix in columns.items()
        ]
        yield pa.RecordBatch.from_arrays([*batch.columns, *vectors], schema=schema)
        start += batch.num_rows
        for matrix in columns.values():
            release(matrix)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch: with vectors, its rows are a hundred times as long."""
    for start in range(0, batch.num_rows, _WRITTEN_ROWS):
        yield batch.slice(start, _WRITTEN_ROWS)


def write_table(
    index: Path, table: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> None:
    """Write a Lance table from batches, one commit."""
    import lance

    reader = pa.RecordBatchReader.from_batches(schema, batches)
    lance.write_dataset(reader, str(table_path(index, table)), schema=schema, mode="create")


def cut_rows(osm_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where to cut rows into fragments: some 2,000 each, wherever other rows come and go.

    A row begins a fragment if its id says so, so that a change moves no cut but its own.

    Parameters
    ----------
    osm_ids
        Of all rows, in their order.

    Returns
    -------
    cuts
        First row of each fragment, and the number of rows.
    """
    hashes = osm_ids.astype(np.uint64) * _ODD
    begins = np.flatnonzero(hashes >> np.uint64(64 - _FRAGMENT_BITS) == 0)
    return np.unique(np.concatenate([[0], begins, [len(osm_ids)]])).astype(np.int64)


def write_fragments(
    index: Path,
    table: str,
    parts: Iterable[Iterator[pa.RecordBatch] | Any],
    schema: pa.Schema,
) -> None:
    """Write a version of a Lance table from fragments, one commit.

    Parameters
    ----------
    parts
        In the order of rows: the batches of a fragment to be written, or what `fragments` returned
        of one that is there.
    """
    import lance
    from lance.fragment import FragmentMetadata
    from lance.fragment import write_fragments as write

    place = str(table_path(index, table))
    mode = "append" if table_path(index, table).exists() else "create"
    found = []
    for part in parts:
        if isinstance(part, FragmentMetadata):
            found.append(part)
            continue
        reader = pa.RecordBatchReader.from_batches(schema, part)
        found += write(reader, place, schema=schema, mode=mode)
    lance.LanceDataset.commit(
        place,
        lance.LanceOperation.Overwrite(schema, found),
        read_version=None if mode == "create" else lance.dataset(place).version,
    )


def fragments(index: Path, table: str) -> list[tuple[int, Any]]:
    """Return how many rows each fragment of a table has, and what `write_fragments` takes it as.

    Those with deleted rows are None: they cannot be used again.
    """
    dataset = open_table(index, table)
    return [
        (item.count_rows(), None if item.num_deletions else item.metadata)
        for item in dataset.get_fragments()
    ]


def open_table(index: Path, table: str, version: int | None = None) -> Any:
    """Open a Lance table of an index, its newest version or another.

    Raises
    ------
    IndexDamagedError
        If it is missing or cannot be read.
    """
    import lance

    try:
        return lance.dataset(str(table_path(index, table)), version=version)
    except (OSError, ValueError) as error:
        msg = f"{index}: table {table!r} cannot be opened ({error}). Build the index again"
        raise IndexDamagedError(msg) from error
