"""Read the rows of an entities table as a map whose rows can be related."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.features.relations import MapRows, row_keys
from geoindex.storage.row_store import Rows


def stored_map_rows(entities: Rows, kept: NDArray[np.int64] | None = None) -> MapRows:
    """Return rows of the table as a map; geometries are read when they are needed.

    Parameters
    ----------
    kept
        The rows that are wanted, ascending; None for all.
    """
    rows = np.arange(len(entities)) if kept is None else kept

    def geometries(wanted: NDArray[np.int64]) -> NDArray[np.object_]:
        wkb = entities.take(rows[wanted], columns=["geometry"])["geometry"]
        found: NDArray[np.object_] = shapely.from_wkb(wkb.to_numpy())
        return found

    sides = [entities.column(side)[rows] for side in ("xmin", "ymin", "xmax", "ymax")]
    ids = entities.table["feature_id"]
    if kept is not None:
        ids = entities.take(rows, columns=["feature_id"])["feature_id"]
    return MapRows(
        entities.column("lon")[rows],
        entities.column("lat")[rows],
        np.stack(sides, axis=1),
        row_keys(ids),
        geometries,
    )
