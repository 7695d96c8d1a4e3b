"""Filter entities by their geodesic area and length, measured when asked for."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.geo.measure import Range, areas_m2, lengths_m
from geoindex.storage.row_store import Rows

_CHUNK_ROWS = 8192


def rows_in_ranges(
    rows: Rows, among: NDArray[np.int64] | None, *, area: Range, length: Range
) -> NDArray[np.int64]:
    """Keep the entities whose area and length lie in both ranges.

    Parameters
    ----------
    among
        The rows to measure, ascending; None for all.
    area, length
        m² and metres; at least one has an end.
    """
    column = rows.column
    left = np.arange(len(rows)) if among is None else among
    is_point = (column("xmin")[left] == column("xmax")[left]) & (
        column("ymin")[left] == column("ymax")[left]
    )
    left = left[~is_point]
    parts = [np.zeros(0, np.int64)]
    for start in range(0, len(left), _CHUNK_ROWS):
        chunk = left[start : start + _CHUNK_ROWS]
        geometries = shapely.from_wkb(np.array(rows.take(chunk)["geometry"].to_pylist(), object))
        keep = np.ones(len(chunk), np.bool_)
        if not area.is_open:
            keep &= area.holds(areas_m2(geometries))
        if not length.is_open:
            keep[keep] = length.holds(lengths_m(geometries[keep]))
        parts.append(chunk[keep])
    return np.concatenate(parts)
