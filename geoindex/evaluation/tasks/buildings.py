"""How many buildings are there?

Hidden: building tags, the relations that collect parts, entrances (they lie on outlines) and the
words of roofs and storeys. An entity that was nothing but a building goes; one that is also a shop
stays a shop, as a point, since the outline of a building is that of a building. Names and opening
hours stay with what they belong to.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.counting import Counted

_TELLING = Telling(
    (
        "building", "building:*", "*:building", "*=*building*", "buildingpart", "roof:*", "height",
        "min_height", "est_height", "levels", "*:levels", "entrance", "entrance:*", "ruins:*",
        "house", "house:*", "construction:building", "*building*", "abandoned:building",
        "demolished:*", "residential",
    ),
    outline=True,
)  # fmt: skip

TASKS = (
    Counted(
        "buildings",
        "Buildings, how many",
        ("building",),
        _TELLING,
        never=("building=no", "building=entrance"),
    ),
)
