"""Find the rows that are others than in an earlier version of an index."""

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.index import IndexReader
from geoindex.storage.versions import find_version, read_columns


def rows_since(index: IndexReader, text: str, column: str) -> NDArray[np.int64]:
    """Return the rows that are new since a version, or whose column is another, ascending.

    Parameters
    ----------
    text
        As of `geoindex.storage.versions.find_version`.
    column
        Of the entities: ``content_hash`` or ``kind``.

    Raises
    ------
    UsageError
        If the index does not keep that version.
    """
    record = find_version(index.path, index.manifest, text)
    before = read_columns(index.path, record, ["feature_id", column])
    now = index.entities.table.select(["feature_id", column])
    place = pc.index_in(now["feature_id"], before["feature_id"].combine_chunks())
    is_same = pc.equal(before[column].take(place), now[column])
    # null where the row was not there
    return index.entities.where_true(pc.invert(is_same.fill_null(fill_value=False)))
