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


def same_row_of(
    source: Index, target: Index, rows: NDArray[np.int64], *, table: str
) -> dict[int, int]:
    """Return, of each of some rows, the row of another index that is the same entity or cell.

    Rows that the other does not hold are left out.
    """
    if not rows.size:
        return {}
    if table == CELLS:
        cells = source.cells.column("cell")[rows].tolist()
        held = target.cells.column("cell")
        there = np.flatnonzero(np.isin(held, np.array(cells, np.uint64)))
        row_of = dict(zip(held[there].tolist(), there.tolist(), strict=True))
        pairs = zip(rows.tolist(), cells, strict=True)
        return {row: row_of[cell] for row, cell in pairs if cell in row_of}
    names = source.entities.take(rows)["feature_id"].combine_chunks()
    there = target.entities.where_true(pc.is_in(target.entities.table["feature_id"], names))
    found = target.entities.take(there)["feature_id"].to_pylist()
    row_by_name = dict(zip(found, there.tolist(), strict=True))
    pairs = zip(rows.tolist(), names.to_pylist(), strict=True)
    return {row: row_by_name[name] for row, name in pairs if name in row_by_name}
