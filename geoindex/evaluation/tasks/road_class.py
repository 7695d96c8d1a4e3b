"""Of which class is a road? Its links count with it.

Hidden on the roads: ``highway``, and what only one class has or what names it: numbers (``A 5``),
``tracktype``, ``service``, ``footway``, mountain scales, steps, motor roads, who may use it, signed
routes, speed. Names, surface, lanes, lighting and width stay.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.classes import ValueClass

ROADS = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential",
    "living_street", "service", "track", "path", "footway", "cycleway", "steps", "pedestrian",
    "bridleway",
)  # fmt: skip
_LINKED = ("motorway", "trunk", "primary", "secondary", "tertiary")

TASKS = (
    ValueClass(
        "road_class",
        "Class of a road",
        "highway",
        Telling(
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
        merged={f"{value}_link": value for value in _LINKED},
        of=tuple(f"highway={value}{link}" for value in ROADS for link in ("", "_link")),
        ways_only=True,
    ),
)  # fmt: skip
