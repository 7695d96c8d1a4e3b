"""The rules for one entity and for a batch are the same, and are the wiki's."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.features.kinds import AREA_KEYS, MAIN_KEYS, are_areas, is_area, kind_of, kinds_of
from geoindex.features.tags import tag_map_of

KEYS = st.sampled_from([*MAIN_KEYS[::4], *AREA_KEYS, "area", "name", "addr:street"])
VALUES = st.sampled_from(
    ["yes", "no", "a=b", "", "track", "services", "coastline", "dam", "station", "taxiway"]
)
TAGS = st.dictionaries(KEYS, VALUES, max_size=6)


@given(st.lists(TAGS, max_size=8))
def test_a_batch_is_judged_as_its_entities_are(rows: list[dict[str, str]]) -> None:
    tags = tag_map_of(rows)
    assert kinds_of(tags).to_pylist() == [kind_of(row) for row in rows]
    assert are_areas(tags).tolist() == [is_area(row) for row in rows]


@given(TAGS)
def test_an_entity_is_kept_when_a_main_key_is_not_no(tags: dict[str, str]) -> None:
    assert (kind_of(tags) is not None) == any(tags.get(key, "no") != "no" for key in MAIN_KEYS)


@given(TAGS)
def test_a_kind_is_one_of_the_tags(tags: dict[str, str]) -> None:
    kind = kind_of(tags)
    assert kind is None or kind in {f"{key}={value}" for key, value in tags.items()}


def test_a_slice_of_a_batch_is_judged_by_its_own_tags() -> None:
    tags = tag_map_of([{"shop": "books"}, {}, {"building": "yes"}, {"highway": "path"}])[1:]
    assert kinds_of(tags).to_pylist() == [None, "building=yes", "highway=path"]
    assert are_areas(tags).tolist() == [False, True, False]


# https://wiki.openstreetmap.org/wiki/Overpass_turbo/Polygon_Features
@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("building=house", True),
        ("building=no", False),
        ("landuse=forest", True),
        ("highway=residential", False),
        ("highway=rest_area", True),
        ("natural=water", True),
        ("natural=coastline", False),
        ("natural=tree_row", False),
        ("waterway=river", False),
        ("waterway=riverbank", True),
        ("barrier=fence", False),
        ("barrier=hedge", True),
        ("railway=rail", False),
        ("railway=platform", True),
        ("man_made=pipeline", False),
        ("man_made=pier", True),
        ("power=line", False),
        ("power=substation", True),
        ("aeroway=taxiway", False),
        ("aeroway=apron", True),
        ("area=yes", True),
        ("area=no", False),
        # more narrowly than the wiki: most closed ones are courses
        ("leisure=track", False),
        ("leisure=park", True),
    ],
)
def test_closed_ways_follow_the_wikis_table(tag: str, *, wanted: bool) -> None:
    key, value = tag.split("=")
    assert is_area({key: value}) == wanted


@given(TAGS)
def test_area_decides_where_it_is_said(tags: dict[str, str]) -> None:
    assert is_area({**tags, "area": "yes"})
    assert not is_area({**tags, "area": "no"})


def test_the_document_has_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "entities.md").read_text("utf-8")
    assert ", ".join(f"`{key}`" for key in MAIN_KEYS) in text
    listed = re.findall(r"^\| `([\w:]+)` \| (every value.*|`.*) \|$", text, re.MULTILINE)
    assert [key for key, _ in listed] == sorted(AREA_KEYS)
    for key, values in listed:
        named = re.findall(r"`([^`]+)`", values)
        assert all(is_area({key: value}) == (not values.startswith("every")) for value in named)
        assert is_area({key: "anything else"}) == values.startswith("every")
