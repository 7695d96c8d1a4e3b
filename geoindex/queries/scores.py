"""Score every row of a table against a query: what a heat map shows.

The scores are the similarities that `geoindex.queries.execute` ranks by, of all rows that pass the
filters; neither k nor a rerank applies.
"""

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.index import IndexReader
from geoindex.queries.multi_index import multi_index_of
from geoindex.queries.query import Query
from geoindex.queries.resolve import resolve
from geoindex.queries.vector_field import open_field

_BLOCK_ROWS = 65_536


def score_all(index: IndexReader, query: Query) -> NDArray[np.float32]:
    """Return the similarity of every row of the query's table, -1 to 1; NaN where none is given.

    Rows that do not pass the filters have none; of cells, those of another resolution neither.

    Raises
    ------
    UsageError
        If a picture is asked about.
    NotInIndexError
        If the index does not hold an example.
    """
    if query.image is not None:
        msg = "pictures are not scored row by row; ask with --like or --at"
        raise UsageError(msg)
    field = open_field(
        index, table=query.table, focus=query.vector_field, own_weight=query.own_weight
    )
    resolved = resolve(query, index, field)
    passing = multi_index_of(index, None, table=query.table).passing(resolved)[0][0]
    found = np.full(len(index.rows_of(query.table)), np.nan, np.float32)
    rows = np.arange(len(found)) if passing is None else passing
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        found[block] = _similarity(field.matrices, field.weights, resolved.vectors, block)
    return found


def _similarity(
    matrices: tuple[NDArray[np.float32], ...],
    weights: tuple[float, ...],
    vectors: tuple[NDArray[np.float32], ...],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    total = np.zeros(len(rows), np.float32)
    for matrix, weight, vector in zip(matrices, weights, vectors, strict=True):
        # rows are unit or zero vectors
        total += weight * (matrix[rows].astype(np.float32) @ (vector / np.linalg.norm(vector)))
    return total
