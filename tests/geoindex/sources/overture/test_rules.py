"""Every value that the published schema allows becomes a tag, or is left out on purpose."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from geoindex.features.kinds import kind_of, kinds_of
from geoindex.sources.overture.rules import THEMES, rights, rules_of, skipped_types
from tests.support.overture import COLUMNS

SCHEMA = tomllib.loads((Path(__file__).parent / "schema.toml").read_text("utf-8"))


def tags_of(kind: str, **row: Any) -> dict[str, str]:
    counted: Counter[str] = Counter()
    fields = [pa.field(name, type_) for name, type_ in COLUMNS[kind].items() if name in row]
    batch = pa.RecordBatch.from_pylist([row], schema=pa.schema(fields))
    found = rules_of(kind).apply(batch, counted)
    assert not +counted, f"{kind} {row} is not mapped"
    return dict(found.to_pylist()[0])


def values(name: str) -> list[Any]:
    return [pytest.param(value, id=value) for value in SCHEMA[name]]


@pytest.mark.parametrize("value", values("building.class"))
def test_classes_of_buildings_are_values_of_openstreetmap(value: str) -> None:
    tags = tags_of("building", **{"subtype": "residential", "class": value})
    assert tags == {"building": value}


@pytest.mark.parametrize("value", values("building.subtype"))
def test_a_building_has_its_subtype_where_there_is_no_class(value: str) -> None:
    tags = tags_of("building", **{"subtype": value, "class": None})
    assert set(tags) == {"building"}
    assert tags["building"] not in {"yes", ""}


def test_a_building_is_one_without_subtype_and_class() -> None:
    assert tags_of("building", **{"subtype": None, "class": None}) == {"building": "yes"}
    assert tags_of("building_part", names=None) == {"building:part": "yes"}


def test_a_building_keeps_its_size_and_looks() -> None:
    tags = tags_of(
        "building", num_floors=3, height=9.4567, roof_shape="half_hipped", is_underground=True,
        level=-1, roof_material="slate", facade_material="brick",
    )  # fmt: skip
    assert tags == {
        "building": "yes", "building:levels": "3", "height": "9.5", "roof:shape": "half-hipped",
        "location": "underground", "layer": "-1", "roof:material": "slate",
        "building:material": "brick",
    }  # fmt: skip


@pytest.mark.parametrize("value", values("segment.road_class"))
def test_classes_of_roads_are_values_of_highway(value: str) -> None:
    tags = tags_of("segment", **{"subtype": "road", "class": value})
    assert tags == {"highway": "road" if value == "unknown" else value}


@pytest.mark.parametrize("value", values("segment.rail_class"))
def test_classes_of_rails_are_values_of_railway(value: str) -> None:
    tags = tags_of("segment", **{"subtype": "rail", "class": value})
    plain = {"standard_gauge": "rail", "unknown": "rail"}
    assert tags == {"railway": plain.get(value, value)}


def test_a_segment_of_water_is_a_ferry() -> None:
    assert tags_of("segment", subtype="water") == {"route": "ferry"}
    assert set(SCHEMA["segment.subtype"]) == {"road", "rail", "water"}


ROADS_OF = {
    "link": ["motorway", "trunk", "primary", "secondary", "tertiary"],
    "sidewalk": ["footway"],
    "crosswalk": ["footway"],
    "parking_aisle": ["service"],
    "driveway": ["service"],
    "alley": ["service"],
    "cycle_crossing": ["cycleway"],
}


@pytest.mark.parametrize("value", values("segment.road_subclass"))
def test_subclasses_of_roads_say_more(value: str) -> None:
    for road in ROADS_OF[value]:
        plain = tags_of("segment", **{"subtype": "road", "class": road})
        assert tags_of("segment", **{"subtype": "road", "class": road, "subclass": value}) != plain


@pytest.mark.parametrize("value", values("segment.road_flag"))
def test_flags_of_roads_are_tags(value: str) -> None:
    road = {"subtype": "road", "class": "primary", "road_flags": [{"values": [value]}]}
    plain = {"highway": "primary"}
    assert tags_of("segment", **road) != plain
    assert kind_of(tags_of("segment", **road)).startswith("highway=")  # type: ignore[union-attr]


def test_a_road_under_construction_is_none_yet() -> None:
    for road in SCHEMA["segment.road_class"]:
        flags = [{"values": ["is_bridge", "is_under_construction"]}]
        tags = tags_of("segment", **{"subtype": "road", "class": road, "road_flags": flags})
        assert tags["highway"] == "construction"
        assert tags.get("construction", "unknown") == road


@pytest.mark.parametrize("value", values("segment.rail_flag"))
def test_flags_of_rails_are_tags(value: str) -> None:
    rail = {"subtype": "rail", "class": "tram", "rail_flags": [{"values": [value]}]}
    assert (tags_of("segment", **rail) == {"railway": "tram"}) == (value == "is_passenger")


@pytest.mark.parametrize("value", values("segment.road_surface"))
def test_surfaces_are_kept(value: str) -> None:
    tags = tags_of("segment", road_surface=[{"value": value}, {"value": "other"}])
    assert tags == ({} if value == "unknown" else {"surface": value}) or value == "unknown"


@pytest.mark.parametrize("mode", values("segment.travel_mode"))
@pytest.mark.parametrize("access", values("segment.access_type"))
def test_access_of_a_mode_is_a_tag(access: str, mode: str) -> None:
    rule = {"access_type": access, "when": {"mode": [mode]}}
    tags = tags_of("segment", access_restrictions=[rule])
    said = {"allowed": "yes", "denied": "no", "designated": "designated"}[access]
    assert list(tags.values()) == [said]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"heading": "backward"}, {"oneway": "yes"}),
        ({"heading": "forward"}, {"oneway": "-1"}),
        ({"heading": "backward", "mode": ["bicycle"]}, {}),
        ({"heading": "backward", "during": "Mo-Fr"}, {}),
        ({}, {"access": "no"}),
        (None, {"access": "no"}),
        ({"vehicle": [{"dimension": "height"}]}, {}),
        ({"during": "Mo-Fr 08:00-10:00", "mode": ["hgv"]}, {}),
    ],
)
def test_what_is_denied_to_some_is_not_denied_to_all(when: Any, expected: dict[str, str]) -> None:
    rule = {"access_type": "denied", "when": when}
    assert tags_of("segment", access_restrictions=[rule]) == expected


def test_a_segment_keeps_what_a_way_has() -> None:
    tags = tags_of(
        "segment",
        **{"subtype": "road", "class": "tertiary"},
        speed_limits=[{"max_speed": {"value": 50, "unit": "km/h"}}],
        width_rules=[{"value": 6.096}],
        level_rules=[{"value": 0}, {"value": 1}],
        routes=[{"ref": "36", "network": "US:US"}],
        names={"primary": "Hill Road", "common": [("de", "Bergstraße")],
               "rules": [{"variant": "alternate", "value": "The Hill"}]},
    )  # fmt: skip
    assert tags == {
        "highway": "tertiary", "maxspeed": "50", "width": "6.1", "layer": "1", "ref": "36",
        "name": "Hill Road", "name:de": "Bergstraße", "alt_name": "The Hill",
    }  # fmt: skip
    mph = [{"max_speed": {"value": 25, "unit": "mph"}}]
    assert tags_of("segment", speed_limits=mph) == {"maxspeed": "25 mph"}


@pytest.mark.parametrize("kind", ["infrastructure", "land", "land_use", "water"])
def test_classes_of_the_base_have_a_kind(kind: str) -> None:
    for value in SCHEMA[f"{kind}.class"]:
        tags = tags_of(kind, **{"class": value})
        assert kind_of(tags) is not None, value


def test_subtypes_of_land_cover_have_a_kind() -> None:
    for value in SCHEMA["land_cover.subtype"]:
        assert kind_of(tags_of("land_cover", subtype=value)) is not None, value


@pytest.mark.parametrize("kind", ["division", "division_area"])
def test_divisions_are_places(kind: str) -> None:
    for value in SCHEMA["division.subtype"]:
        assert tags_of(kind, subtype=value)["place"], value


def test_divisions_say_how_large_they_are() -> None:
    for value in SCHEMA["division.class"]:
        tags = tags_of("division", **{"subtype": "locality", "class": value, "population": 12})
        assert tags["place"] == ("city" if value == "megacity" else value)
        assert tags["population"] == "12"


def test_boundaries_are_administrative() -> None:
    for subtype in SCHEMA["division.subtype"]:
        for value in SCHEMA["division_boundary.class"]:
            row = {"subtype": subtype, "class": value, "is_disputed": True}
            tags = tags_of("division_boundary", **row)
            assert (tags["boundary"], tags["disputed"]) == ("administrative", "yes")
            assert ("maritime" in tags) == (value == "maritime")
    for value in SCHEMA["division_area.class"]:
        assert tags_of("division_area", **{"class": value})["boundary"] == "administrative"


def test_an_address_is_no_place() -> None:
    assert tags_of("address", number="5", street="Hill Road") == {
        "addr:housenumber": "5", "addr:street": "Hill Road",
    }  # fmt: skip


def test_a_value_of_a_newer_schema_is_counted() -> None:
    counted: Counter[str] = Counter()
    batch = pa.RecordBatch.from_pylist([{"class": "moonbase"}, {"class": "pier"}])
    tags = rules_of("infrastructure").apply(batch, counted)
    assert counted == {"unmapped_value": 1}
    assert kinds_of(tags).to_pylist() == [None, "man_made=pier"]


def test_every_type_has_rules_and_a_licence() -> None:
    for kind in set(THEMES) - skipped_types():
        assert rules_of(kind).rules
        licence, attribution = rights(kind)
        assert licence
        assert "Overture" in attribution
        assert ("OpenStreetMap" in attribution) == (licence == "ODbL-1.0")
