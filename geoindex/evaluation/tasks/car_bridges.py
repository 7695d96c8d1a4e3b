"""How many bridges carry cars? Hidden is what tells of any bridge."""

from geoindex.evaluation.tasks.bridges import NEVER, TELLING
from geoindex.evaluation.tasks.counting import Counted

CAR_ROADS = tuple(
    f"highway={value}{link}"
    for value in ("motorway", "trunk", "primary", "secondary", "tertiary")
    for link in ("", "_link")
) + tuple(
    f"highway={value}"
    for value in ("unclassified", "residential", "living_street", "service", "road")
)

TASKS = (
    Counted(
        "car_bridges",
        "Bridges for cars, how many",
        ("bridge",),
        TELLING,
        carries=CAR_ROADS,
        never=NEVER,
        is_long=True,
    ),
)
