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
from geoindex.search.similarity import unit_of

_BLOCK_ROWS = 16_384


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
    pairs = list(zip(field.weights, map(unit_of, resolved.vectors), strict=True))
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        units = field.units(block)
        found[block] = sum(
            weight * (side @ vector) for side, (weight, vector) in zip(units, pairs, strict=True)
        )
    return found
