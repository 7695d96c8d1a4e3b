"""Tasks that count entities of one sort in a cell, or say whether there are any.

What a task hides is written beside it: synonyms, namespaces, and the tags of what has no other
main key. docs/evaluation.md gives the reasons at length.
"""

from dataclasses import dataclass

import numpy as np

from geoindex.evaluation.map_view import LeakageMask, MapView
from geoindex.evaluation.tasks.base import CAR_ROADS, Labels, cell_labels, counts, touched


@dataclass(frozen=True)
class Counted:
    """A task that counts entities.

    Attributes
    ----------
    counted
        Patterns of tags; an entity with any of them counts.
    carries
        If not empty, it must also have one of these.
    never
        One with any of these does not count.
    is_long
        Count an entity in every cell that it touches, not only in its home cell.
    is_present
        The label is whether there is any, not how many.
    """

    name: str
    title: str
    counted: tuple[str, ...]
    mask: LeakageMask
    carries: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    is_long: bool = False
    is_present: bool = False
    unit: str = "cell"

    @property
    def kind(self) -> str:
        """Classification where the label is presence."""
        return "classification" if self.is_present else "regression"

    @property
    def metric(self) -> str:
        """AUROC of presence, R² of a count."""
        return "auroc" if self.is_present else "r2"

    def labels(self, view: MapView) -> Labels:
        """Return a number or a truth value for every cell."""
        is_counted = view.has(*self.counted)
        if self.carries:
            is_counted &= view.has(*self.carries)
        if self.never:
            is_counted &= ~view.has(*self.never)
        found = (touched if self.is_long else counts)(view, is_counted)
        return cell_labels(np.asarray(found > 0) if self.is_present else found)


# Nodes where traffic or people on foot are signalled. Hidden: every tag that says signals;
# `crossing` and what belongs to it as whole keys, since a crossing without `crossing=*` would be a
# signalled one; the British crossings, which are kinds of signals; what only signals have (buttons,
# turn on red).
_SIGNALS = ("highway=traffic_signals", "crossing=traffic_signals")
_SIGNALS_MASK = LeakageMask(
    (
        "*=*traffic_signals*", "*traffic_signals*", "*traffic_light*", "*=*traffic_light*",
        "crossing", "crossing:*", "crossing_ref", "*:crossing", "segregated_crossing",
        "button_operated", "red_turn:*", "*red_turn*", "vibrating_floor", "*:signals",
        "highway=stop_line", "*stop_line*", "traffic_sign", "traffic_sign:*",
    )
)  # fmt: skip
SIGNALS_PRESENT = Counted(
    "signals_present", "Traffic signals, any", _SIGNALS, _SIGNALS_MASK, is_present=True
)
SIGNALS_COUNT = Counted("signals_count", "Traffic signals, how many", _SIGNALS, _SIGNALS_MASK)

# Hidden: building tags, the relations that collect parts, entrances (they lie on outlines) and the
# words of roofs and storeys. An entity that was nothing but a building goes; one that is also a
# shop stays a shop, as a point, since the outline of a building is that of a building.
BUILDINGS = Counted(
    "buildings",
    "Buildings, how many",
    ("building",),
    LeakageMask(
        (
            "building", "building:*", "*:building", "*=*building*", "buildingpart", "roof:*",
            "height", "min_height", "est_height", "levels", "*:levels", "entrance", "entrance:*",
            "ruins:*", "house", "house:*", "construction:building", "*building*",
            "abandoned:building", "demolished:*", "residential",
        ),
        as_points=True,
    ),
    never=("building=no", "building=entrance"),
)  # fmt: skip

# Any entity on a bridge counts where it touches a cell. Hidden: `bridge`, its namespaces and the
# areas and relations of bridges; `layer`, since a road with `layer=1` is a bridge (and one with
# `layer=-1` a tunnel, whose absence would give the label away too); values and names that contain
# the word bridge in the languages of the maps that we test on. The road stays: what is left is
# that it was cut at the abutments, which every road is at some places.
_BRIDGES = ("bridge", "man_made=bridge")
_NO_BRIDGE = ("bridge=no",)
_BRIDGES_MASK = LeakageMask(
    (
        "bridge", "bridge:*", "bridge_*", "*:bridge", "*bridge*", "*=*bridge*", "layer", "layer:*",
        "*=*viaduct*", "*viaduct*", "*=*viadukt*", "*=*brück*", "*=*bruck*", "*=*brueck*",
        "*=*silta*", "*=*ponte *", "*=*ponte", "*=pont *", "*=* pont *", "*=*puente*",
        "*=*viadotto*", "*=*overpass*", "*=*aqueduct*", "*=*cavalcavia*", "*=*passerelle*",
        "*=*steg", "*=*pasarela*", "*=*passerella*", "*=*überführung*", "level", "maxweight*",
    )
)  # fmt: skip
BRIDGES_PRESENT = Counted(
    "bridges_present",
    "Bridges, any",
    _BRIDGES,
    _BRIDGES_MASK,
    never=_NO_BRIDGE,
    is_long=True,
    is_present=True,
)
BRIDGES_COUNT = Counted(
    "bridges_count", "Bridges, how many", _BRIDGES, _BRIDGES_MASK, never=_NO_BRIDGE, is_long=True
)
CAR_BRIDGES = Counted(
    "car_bridges",
    "Bridges for cars, how many",
    ("bridge",),
    _BRIDGES_MASK,
    carries=CAR_ROADS,
    never=_NO_BRIDGE,
    is_long=True,
)

# Hidden: `shop` in all its namespaces, and all but the main tags of an entity that was a shop: a
# building with opening hours and a brand is a building with a shop.
SHOPS = Counted(
    "shops",
    "Shops, how many",
    ("shop",),
    LeakageMask(
        ("shop", "shop:*", "*:shop", "shop_*", "*_shop", "*=*shop*", "building=retail"),
        main_tags_only=True,
        as_points=True,
    ),
    never=("shop=no", "shop=vacant"),
)

# Hidden: `amenity` in all its namespaces and the keys that repeat it (`healthcare` beside
# `amenity=pharmacy`), with all but the main tags of an entity that was one.
AMENITIES = Counted(
    "amenities",
    "Amenities, how many",
    ("amenity",),
    LeakageMask(
        (
            "amenity", "amenity:*", "*:amenity", "amenity_*", "*_amenity", "healthcare",
            "healthcare:*", "cuisine", "parking", "parking_space", "bicycle_parking",
            "recycling:*", "recycling_type", "social_facility", "social_facility:*", "vending",
            "shelter_type", "fuel:*", "atm", "religion", "denomination", "building=school",
            "building=church", "building=hospital", "building=kindergarten", "building=chapel",
            "building=university", "building=parking", "building=mosque",
        ),
        main_tags_only=True,
        as_points=True,
    ),
    never=("amenity=no",),
)  # fmt: skip
