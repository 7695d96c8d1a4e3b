"""How many amenities are there?

Hidden: ``amenity`` in all its namespaces and the keys that say the same again (``healthcare``
beside ``amenity=pharmacy``), with all but the main tags of an entity that was one.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.counting import Counted

TASKS = (
    Counted(
        "amenities",
        "Amenities, how many",
        ("amenity",),
        Telling(
            (
                "amenity", "amenity:*", "*:amenity", "amenity_*", "*_amenity", "healthcare",
                "healthcare:*", "cuisine", "parking", "parking_space", "bicycle_parking",
                "recycling:*", "recycling_type", "social_facility", "social_facility:*", "vending",
                "shelter_type", "fuel:*", "atm", "religion", "denomination", "building=school",
                "building=church", "building=hospital", "building=kindergarten", "building=chapel",
                "building=university", "building=parking", "building=mosque",
            ),
            strips=True,
            outline=True,
        ),
        never=("amenity=no",),
    ),
)  # fmt: skip
