"""How is a speed limit read, and what tells of it? Shared by the tasks about speed.

Limits are km/h. ``30 mph`` is 48.3. A word (``none``, ``walk``, ``DE:urban``) is no number here:
what it stands for depends on the country.
"""

import re

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.map_view import MapView, Telling
from geoindex.evaluation.tasks.car_bridges import CAR_ROADS

MPH_KM_H = 1.609344
#: Above any limit posted on Earth (160 km/h): a typing error.
_MOST_KM_H = 160
_NUMBER = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*(mph|km/h|kmh|kph)?", re.IGNORECASE)

TELLING = Telling(
    (
        "maxspeed", "maxspeed:*", "maxspeed_*", "*:maxspeed", "*:maxspeed:*", "*maxspeed*",
        "*=*maxspeed*", "minspeed", "*speed*", "*=*speed*", "zone:*", "*:zone", "traffic_zone",
        "traffic_sign", "traffic_sign:*", "*=zone*", "*=*:urban", "*=*:rural", "motorroad",
        "*=*:motorway",
    )
)  # fmt: skip


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
