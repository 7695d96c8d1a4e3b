"""Of which class is a building, where it says more than yes?

Hidden on the buildings: every tag but those named here, which say how it looks, not what it is:
any other key might repeat it (``amenity=school`` on a ``building=school``, a church's name).
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.classes import ValueClass

LOOKS = (
    "building:levels", "building:levels:*", "building:material", "building:colour",
    "building:cladding", "building:flats", "roof:*", "height", "min_height", "start_date",
    "addr:*", "layer", "ele", "wheelchair", "source", "source:*",
)  # fmt: skip

TASKS = (
    ValueClass(
        "building_class",
        "Class of a building",
        "building",
        Telling(("*",), but=LOOKS),
        others=("yes", "entrance"),
        ways_only=True,
    ),
)
