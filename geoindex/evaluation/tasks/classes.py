"""Tasks that ask for the class of an entity.

The tags that name the class are hidden on all units at once: the next piece of the same street
would give it away. The units stay in place, with their geometry, so that it and the surroundings
can answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from geoindex.evaluation.map_view import LeakageMask, MapView
from geoindex.evaluation.tasks.base import Labels, common_classes

SMALLEST_CLASS = 30
MOST_CLASSES = 15


@dataclass(frozen=True)
class ValueClass:
    """A task whose classes are the values of one key.

    Attributes
    ----------
    key
        The key.
    others
        Values that are no class, such as ``yes``.
    merged
        Values that count as another.
    of
        Only entities with one of these tags; empty for all.
    ways_only
        Leave nodes out.
    """

    name: str
    title: str
    key: str
    mask: LeakageMask
    others: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    of: tuple[str, ...] = ()
    ways_only: bool = False
    unit: str = "entity"
    kind: str = "classification"
    metric: str = "macro_f1"

    def labels(self, view: MapView) -> Labels:
        """Return the class of each entity of the commonest classes."""
        values = view.values(self.key)
        classes = np.array([self.merged.get(value, value) for value in values], object)
        keep = common_classes(
            classes, smallest=SMALLEST_CLASS, most=MOST_CLASSES, others=("no", *self.others)
        )
        if self.of:
            keep &= view.has(*self.of)
        if self.ways_only:
            keep &= view.osm_type != "node"
        units = np.flatnonzero(keep)
        return Labels(units.astype(np.int64), classes[units].astype(str))


# Links count with their road. Hidden: `highway`, and what only one class has or what names it:
# numbers (`A 5`), `tracktype`, `service`, `footway`, mountain scales, steps, motor roads, who may
# use it, signed routes, speed. Names, surface, lanes, lighting and width stay.
_ROADS = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential",
    "living_street", "service", "track", "path", "footway", "cycleway", "steps", "pedestrian",
    "bridleway",
)  # fmt: skip
ROAD_CLASS = ValueClass(
    "road_class",
    "Class of a road",
    "highway",
    LeakageMask(
        (
            "highway", "highway:*", "*:highway", "*highway*", "area:highway", "ref", "*_ref",
            "ref:*", "destination", "destination:*", "tracktype", "service", "service:*",
            "footway", "footway:*", "cycleway", "cycleway:*", "path", "path:*", "steps",
            "steps:*", "step_count", "ramp", "ramp:*", "handrail", "handrail:*", "sac_scale",
            "trail_visibility", "mtb:*", "motorroad", "expressway", "toll", "toll:*",
            "designation", "bridleway", "crossing", "crossing:*", "piste:*", "via_ferrata*",
            "*maxspeed*", "*speed*", "network", "route", "road", "is_sidepath", "is_sidepath:*",
            "sidewalk", "sidewalk:*", "hgv", "hgv:*", "tiger:*", "hfcs", "*:hfcs", "fixme",
            "motorcar", "motor_vehicle", "foot", "bicycle", "horse", "conveying",
            "official_*", "residential", "traffic_sign", "informal", "junction", "junction:*",
            "rcn*", "class:*", "segregated", "ski", "ski:*", "snowmobile", "oneway:bicycle",
            "*=*highway*", "*=*motorway*", "*=*footway*", "*=*cycleway*",
        )
    ),
    merged={
        f"{value}_link": value
        for value in ("motorway", "trunk", "primary", "secondary", "tertiary")
    },
    of=tuple(f"highway={value}{link}" for value in _ROADS for link in ("", "_link")),
    ways_only=True,
)  # fmt: skip

# Hidden: every tag but those named, which describe the building and not its use: any other key
# might repeat the class (`amenity=school` on a `building=school`, a church's name).
BUILDING_CLASS = ValueClass(
    "building_class",
    "Class of a building",
    "building",
    LeakageMask(
        ("*",),
        keep=(
            "building:levels", "building:levels:*", "building:material", "building:colour",
            "building:cladding", "building:flats", "roof:*", "height", "min_height", "start_date",
            "addr:*", "layer", "ele", "wheelchair", "source", "source:*",
        ),
    ),
    others=("yes", "entrance"),
    ways_only=True,
)  # fmt: skip

# Hidden: every tag but those named, which any class may have. Names go too: "Apotheke" is an
# answer, not a clue, and so is the website of the city's bicycles.
AMENITY_CLASS = ValueClass(
    "amenity_class",
    "Class of an amenity",
    "amenity",
    LeakageMask(
        ("*",),
        keep=(
            "addr:*", "building", "building:levels", "roof:*", "wheelchair", "level", "layer",
            "indoor", "access", "fee", "lit", "covered", "opening_hours", "opening_hours:*",
            "surface",
        ),
    ),
    others=("yes",),
)  # fmt: skip
