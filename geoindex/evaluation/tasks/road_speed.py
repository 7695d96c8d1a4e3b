"""How fast may one drive on a road? Its class stays, all that speaks of speed goes."""

from dataclasses import dataclass

import numpy as np

from geoindex.evaluation.map_view import MapView, Telling
from geoindex.evaluation.tasks.base import Labels
from geoindex.evaluation.tasks.speeds import TELLING, road_speeds


@dataclass(frozen=True)
class RoadSpeed:
    """The limit of one road."""

    name: str = "road_speed"
    title: str = "Max speed of a road, km/h"
    unit: str = "entity"
    kind: str = "regression"
    metric: str = "r2"
    telling: Telling = TELLING

    def labels(self, view: MapView) -> Labels:
        """Return the limit of each road that has one."""
        speeds = road_speeds(view)
        units = np.flatnonzero(~np.isnan(speeds))
        return Labels(units.astype(np.int64), speeds[units])


TASKS = (RoadSpeed(),)
