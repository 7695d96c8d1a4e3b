"""May two indexes be compared, and which rows of one are named in the other? Twin search."""

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.index import Index
from geoindex.layout import CELLS


def check_same_encoder(first: Index, second: Index) -> None:
    """Check that the vectors of two indexes lie in one space.

    Raises
    ------
    UsageError
        If they were made by different encoders.
    """
    ours, theirs = first.manifest.encoder, second.manifest.encoder
    if ours["fingerprint"] != theirs["fingerprint"]:
        msg = (
            f"{first.path} was made by {ours['name']} {ours['fingerprint'][:8]}, {second.path} by "
            f"{theirs['name']} {theirs['fingerprint'][:8]}: their vectors cannot be compared. "
            f"Build one of them again with the encoder of the other: geoindex build ... --encoder "
            f"{ours['name']} -o {second.path} --overwrite"
        )
        raise UsageError(msg)


def same_rows(
    source: Index, target: Index, rows: NDArray[np.int64], *, table: str
) -> NDArray[np.int64]:
    """Return the rows of another index that are the same entities or cells, ascending."""
    if not rows.size:
        return np.zeros(0, np.int64)
    if table == CELLS:
        cells = source.cells.column("cell")[rows]
        return np.flatnonzero(np.isin(target.cells.column("cell"), cells))
    names = source.entities.take(rows)["feature_id"].combine_chunks()
    return target.entities.where_true(pc.is_in(target.entities.table["feature_id"], names))
