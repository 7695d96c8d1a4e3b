"""How many shops are there?

Hidden: ``shop`` in all its namespaces, and all but the main tags of an entity that was a shop: a
building with opening hours and a brand is a building with a shop. What was nothing else goes.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.counting import Counted

TASKS = (
    Counted(
        "shops",
        "Shops, how many",
        ("shop",),
        Telling(
            ("shop", "shop:*", "*:shop", "shop_*", "*_shop", "*=*shop*", "building=retail"),
            strips=True,
            outline=True,
        ),
        never=("shop=no", "shop=vacant"),
    ),
)
