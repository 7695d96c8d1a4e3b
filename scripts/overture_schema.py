r"""Print the values that Overture's schema allows, for tests/geoindex/sources/overture/schema.toml.

Needs the packages of the published schema, which nothing else does::

    pip install overture-schema overture-schema-theme-base overture-schema-theme-buildings \
        overture-schema-theme-divisions overture-schema-theme-places \
        overture-schema-theme-transportation
    python scripts/overture_schema.py > tests/geoindex/sources/overture/schema.toml
"""

import importlib
from importlib.metadata import version

ENUMS = {
    "building.subtype": ("buildings", "BuildingSubtype"),
    "building.class": ("buildings", "BuildingClass"),
    "building.roof_shape": ("buildings", "RoofShape"),
    "building.roof_material": ("buildings", "RoofMaterial"),
    "building.facade_material": ("buildings", "FacadeMaterial"),
    "segment.subtype": ("transportation.segment._common", "SegmentSubtype"),
    "segment.road_class": ("transportation.segment.road", "RoadClass"),
    "segment.road_subclass": ("transportation.segment.road", "RoadSubclass"),
    "segment.road_flag": ("transportation.segment.road", "RoadFlag"),
    "segment.road_surface": ("transportation.segment.road", "RoadSurface"),
    "segment.rail_class": ("transportation.segment.rail", "RailClass"),
    "segment.rail_flag": ("transportation.segment.rail", "RailFlag"),
    "segment.access_type": ("transportation.segment._common", "AccessType"),
    "segment.travel_mode": ("common.scoping.travel_mode", "TravelMode"),
    "division.subtype": ("divisions._common", "DivisionSubtype"),
    "division.class": ("divisions.division", "DivisionClass"),
    "division_area.class": ("divisions.division_area", "AreaClass"),
    "division_boundary.class": ("divisions.division_boundary", "BoundaryClass"),
    "infrastructure.class": ("base.infrastructure", "InfrastructureClass"),
    "land.class": ("base.land", "LandClass"),
    "land_use.class": ("base.land_use", "LandUseClass"),
    "land_cover.subtype": ("base.land_cover", "LandCoverSubtype"),
    "water.class": ("base.water", "WaterClass"),
    "place.operating_status": ("places.place", "OperatingStatus"),
}


def main() -> None:
    """Print one line an enumeration."""
    print(f"# Of overture-schema {version('overture-schema')} (MIT): scripts/overture_schema.py")
    for name, (module, enum) in ENUMS.items():
        values = [
            item.value
            for item in getattr(importlib.import_module(f"overture.schema.{module}"), enum)
        ]
        print(f'"{name}" = [{", ".join(chr(34) + value + chr(34) for value in values)}]')


if __name__ == "__main__":
    main()
