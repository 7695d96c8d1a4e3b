"""How fast may one drive in a cell, on the mean of its roads? Only cells that have a limit.

Hidden: ``maxspeed`` and all that speaks of speeds, zones and signs; the roads stay.
"""

from dataclasses import dataclass

import numpy as np

from geoindex.evaluation.map_view import MapView, Telling
from geoindex.evaluation.tasks.base import Labels, cell_labels
from geoindex.evaluation.tasks.speeds import TELLING, road_speeds


@dataclass(frozen=True)
class MaxSpeed:
    """The mean limit of the roads that touch a cell."""

    name: str = "max_speed"
    title: str = "Mean max speed, km/h"
    unit: str = "cell"
    kind: str = "regression"
    metric: str = "r2"
    telling: Telling = TELLING

    def labels(self, view: MapView) -> Labels:
        """Return the mean of each cell with at least one limit."""
        speeds = road_speeds(view)
        is_known = ~np.isnan(speeds[view.pair_row])
        at = view.cell_index(view.pair_cell[is_known])
        size = len(view.cell_ids)
        num = np.bincount(at, minlength=size)
        total = np.bincount(at, weights=speeds[view.pair_row[is_known]], minlength=size)
        return cell_labels(total / np.maximum(num, 1), num > 0)


TASKS = (MaxSpeed(),)
