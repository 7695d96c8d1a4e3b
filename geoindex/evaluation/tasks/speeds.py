"""Tasks that ask for speed limits, of cells and of roads.

Limits are km/h. ``30 mph`` is 48.3. A word (``none``, ``walk``, ``DE:urban``) is no number here:
what it stands for depends on the country. Hidden is all that speaks of speeds, zones and signs;
the roads and their classes stay.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.map_view import LeakageMask, MapView
from geoindex.evaluation.tasks.base import CAR_ROADS, Labels, cell_labels

MPH_KM_H = 1.609344
#: Above any limit posted on Earth (160 km/h): a typing error.
_MOST_KM_H = 160
_NUMBER = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*(mph|km/h|kmh|kph)?", re.IGNORECASE)
_SPEED_MASK = LeakageMask(
    (
        "maxspeed", "maxspeed:*", "maxspeed_*", "*:maxspeed", "*:maxspeed:*", "*maxspeed*",
        "*=*maxspeed*", "minspeed", "*speed*", "*=*speed*", "zone:*", "*:zone", "traffic_zone",
        "traffic_sign", "traffic_sign:*", "*=zone*", "*=*:urban", "*=*:rural", "motorroad",
        "*=*:motorway",
    )
)  # fmt: skip


@dataclass(frozen=True)
class MaxSpeed:
    """The mean limit of the roads that touch a cell, of cells that have a limit."""

    name: str = "max_speed"
    title: str = "Mean max speed, km/h"
    unit: str = "cell"
    kind: str = "regression"
    metric: str = "r2"
    mask: LeakageMask = _SPEED_MASK

    def labels(self, view: MapView) -> Labels:
        """Return the mean of each cell with at least one limit."""
        speeds = road_speeds(view)
        is_known = ~np.isnan(speeds[view.pair_row])
        at = view.cell_index(view.pair_cell[is_known])
        size = len(view.cell_ids)
        num = np.bincount(at, minlength=size)
        total = np.bincount(at, weights=speeds[view.pair_row[is_known]], minlength=size)
        return cell_labels(total / np.maximum(num, 1), num > 0)


@dataclass(frozen=True)
class RoadSpeed:
    """The limit of one road."""

    name: str = "road_speed"
    title: str = "Max speed of a road, km/h"
    unit: str = "entity"
    kind: str = "regression"
    metric: str = "r2"
    mask: LeakageMask = _SPEED_MASK

    def labels(self, view: MapView) -> Labels:
        """Return the limit of each road that has one."""
        speeds = road_speeds(view)
        units = np.flatnonzero(~np.isnan(speeds))
        return Labels(units.astype(np.int64), speeds[units])


def speed_km_h(value: str) -> float:
    """Return the limit that a value of ``maxspeed`` states, in km/h; NaN for none.

    Examples
    --------
    >>> speed_km_h("50"), round(speed_km_h("30 mph"), 1), speed_km_h("none")
    (50.0, 48.3, nan)
    """
    found = _NUMBER.fullmatch(value.strip())
    if found is None:
        return float("nan")
    number = float(found[1]) * (MPH_KM_H if (found[2] or "").lower() == "mph" else 1)
    return number if 0 < number <= _MOST_KM_H else float("nan")


def road_speeds(view: MapView) -> NDArray[np.float64]:
    """Return the limit of each entity that is a road for cars, km/h; NaN for others, ``(n,)``."""
    speeds = np.full(len(view), np.nan)
    values = view.values("maxspeed")
    known = np.array([value is not None for value in values], np.bool_)
    for row in np.flatnonzero(known & view.has(*CAR_ROADS)).tolist():
        speeds[row] = speed_km_h(values[row])
    return speeds


MAX_SPEED = MaxSpeed()
ROAD_SPEED = RoadSpeed()
