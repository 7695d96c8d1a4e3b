"""Are there bridges, and how many? Any entity on a bridge counts where it touches a cell.

Hidden: ``bridge``, its namespaces and the areas and relations of bridges; ``layer``, since a road
with ``layer=1`` is a bridge (and one with ``layer=-1`` a tunnel, whose absence would tell too);
values and names that say bridge in the languages of the maps that we test on. The road stays: what
is left is that it was cut at the abutments, which every road is at some places.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.counting import Counted

TELLING = Telling(
    (
        "bridge", "bridge:*", "bridge_*", "*:bridge", "*bridge*", "*=*bridge*", "layer", "layer:*",
        "*=*viaduct*", "*viaduct*", "*=*viadukt*", "*=*brück*", "*=*bruck*", "*=*brueck*",
        "*=*silta*", "*=*ponte *", "*=*ponte", "*=pont *", "*=* pont *", "*=*puente*",
        "*=*viadotto*", "*=*overpass*", "*=*aqueduct*", "*=*cavalcavia*", "*=*passerelle*",
        "*=*steg", "*=*pasarela*", "*=*passerella*", "*=*überführung*", "level", "maxweight*",
    )
)  # fmt: skip
COUNTED = ("bridge", "man_made=bridge")
NEVER = ("bridge=no",)

TASKS = (
    Counted(
        "bridges_present",
        "Bridges, any",
        COUNTED,
        TELLING,
        never=NEVER,
        is_long=True,
        is_present=True,
    ),
    Counted("bridges_count", "Bridges, how many", COUNTED, TELLING, never=NEVER, is_long=True),
)
