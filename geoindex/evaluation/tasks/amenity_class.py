"""Of which class is an amenity?

Hidden on the amenities: every tag but those named here, which any class may have. Names go too:
"Apotheke" is an answer, not a clue, and so is the website of the city's bicycles.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.classes import ValueClass

COMMON = (
    "addr:*", "building", "building:levels", "roof:*", "wheelchair", "level", "layer", "indoor",
    "access", "fee", "lit", "covered", "opening_hours", "opening_hours:*", "surface",
)  # fmt: skip

TASKS = (
    ValueClass(
        "amenity_class",
        "Class of an amenity",
        "amenity",
        Telling(("*",), but=COMMON),
        others=("yes",),
    ),
)
