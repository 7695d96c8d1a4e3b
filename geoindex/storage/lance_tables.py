"""What do the Lance tables hold, and how are they written and read?

Tables are written and read with pylance: LanceDB opens the same folders, and takes three times as
long to import (docs/decisions/0002-lance-without-lancedb.md).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import IndexDamagedError
from geoindex.features.schema import ENTITY_FIELDS
from geoindex.storage.layout import table_path
from geoindex.storage.workspace import release

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


def vector_field(name: str, dim: int) -> pa.Field:
    """Return the field of a vector column."""
    return pa.field(name, pa.list_(pa.float32(), dim), nullable=False)


def entity_schema(dim: int) -> pa.Schema:
    """Return the schema of the entities table."""
    return pa.schema(
        [*ENTITY_FIELDS, vector_field("embedding", dim), vector_field("embedding_own", dim)]
    )


def cell_schema(region_dim: int) -> pa.Schema:
    """Return the schema of the cells table."""
    return pa.schema([*CELL_FIELDS, vector_field("embedding", region_dim)])


def vector_array(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Return a matrix as an Arrow vector column, without a copy where rows are contiguous."""
    flat = np.ascontiguousarray(vectors, np.float32).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), vectors.shape[1])


def vector_matrix(column: pa.FixedSizeListArray) -> NDArray[np.float32]:
    """Return an Arrow vector column as a matrix of float32."""
    dim = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(-1, dim)


def with_vectors(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, columns: dict[str, NDArray[np.float32]]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches with vector columns at their side; row i of a matrix is row i overall."""
    start = 0
    for batch in batches:
        rows = slice(start, start + batch.num_rows)
        vectors = [vector_array(matrix[rows]) for matrix in columns.values()]
        yield pa.RecordBatch.from_arrays([*batch.columns, *vectors], schema=schema)
        start += batch.num_rows
        for matrix in columns.values():
            release(matrix)


def write_table(
    index: Path, table: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> None:
    """Write a Lance table from batches, one commit."""
    import lance

    reader = pa.RecordBatchReader.from_batches(schema, batches)
    lance.write_dataset(reader, str(table_path(index, table)), schema=schema, mode="create")


def open_table(index: Path, table: str) -> Any:
    """Open a Lance table of an index.

    Raises
    ------
    IndexDamagedError
        If it is missing or cannot be read.
    """
    import lance

    try:
        return lance.dataset(str(table_path(index, table)))
    except (OSError, ValueError) as error:
        msg = f"{index}: table {table!r} cannot be opened ({error}). Build the index again"
        raise IndexDamagedError(msg) from error
