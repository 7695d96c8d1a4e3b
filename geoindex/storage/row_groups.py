"""Choose the row groups of a Parquet file whose rows may meet a box, by the statistics of a column.

Files with a box in each row (GeoParquet's covering, Overture's `bbox`) have in their footer the
least and the greatest side of each row group: what lies elsewhere need not be read.
"""

from collections.abc import Mapping
from typing import Any

from geoindex.geo.distance import BBox

#: Where Overture, and most others, keep the sides.
BBOX_COLUMNS = {side: f"bbox.{side}" for side in ("xmin", "ymin", "xmax", "ymax")}
# sides may be kept as float32, rounded to either side
_SLACK_DEG = 1e-4


def groups_meeting(
    metadata: Any, bbox: BBox | None, columns: Mapping[str, str] | None = None
) -> list[int]:
    """Return the row groups that may hold rows that meet a box, ascending.

    Parameters
    ----------
    metadata
        Of a Parquet file.
    bbox
        None for all row groups.
    columns
        The columns of the sides `xmin`, `ymin`, `xmax` and `ymax` of each row; without, all.
    """
    groups = list(range(metadata.num_row_groups))
    if bbox is None or columns is None:
        return groups
    return [i for i in groups if _may_meet(_extent(metadata.row_group(i), columns), bbox)]


def _extent(group: Any, columns: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    """Return the sides of all rows of a row group; None where the file does not tell.

    West is beyond east where a row crosses the antimeridian: then its longitudes tell nothing.
    """
    places = {path: side for side, path in columns.items()}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for i in range(group.num_columns):
        column = group.column(i)
        side = places.get(column.path_in_schema)
        found = column.statistics if side and column.is_stats_set else None
        if side is not None and found is not None and found.has_min_max:
            low[side], high[side] = float(found.min), float(found.max)
    if len(low) < len(columns):
        return None
    # a row that crosses has its xmin beyond its xmax; in others neither can be beyond the other
    if high["xmin"] > high["xmax"] or low["xmax"] < low["xmin"]:
        return 180.0, low["ymin"], -180.0, high["ymax"]
    return low["xmin"], low["ymin"], high["xmax"], high["ymax"]


def _may_meet(extent: tuple[float, float, float, float] | None, bbox: BBox) -> bool:
    if extent is None:
        return True
    xmin, ymin, xmax, ymax = extent
    west, south, east, north = bbox
    if ymin > north + _SLACK_DEG or ymax < south - _SLACK_DEG:
        return False
    spans = [(west, 180.0), (-180.0, east)] if bbox.crosses_antimeridian else [(west, east)]
    return xmin > xmax or any(
        xmin <= right + _SLACK_DEG and xmax >= left - _SLACK_DEG for left, right in spans
    )
