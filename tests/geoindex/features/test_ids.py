"""Every way of writing an id is read, one is printed, and faults are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import InvalidIdError
from geoindex.features.ids import (
    MAX_OSM_ID,
    MIN_OSM_ID,
    OSM_TYPES,
    CellId,
    GersId,
    OsmId,
    parse_id,
    parse_reference,
)

osm_ids = st.integers(MIN_OSM_ID, MAX_OSM_ID)
osm_types = st.sampled_from(OSM_TYPES)


@pytest.mark.parametrize(
    "text",
    [
        "way/1234",
        "w1234",
        "W1234",
        "way 1234",
        "Way/1234",
        " w/1234 ",
        "way1234",
        "w01234",
        "https://www.openstreetmap.org/way/1234",
        "http://openstreetmap.org/way/1234#map=19/55.6/13.0",
        "https://osm.org/way/1234/history",
        "https://www.osm.org/way/1234?locale=sv",
        "openstreetmap.org/way/1234/",
    ],
)
def test_a_way_has_many_spellings(text):
    assert parse_id(text) == OsmId("way", 1234)
    assert str(parse_id(text)) == "way/1234"


@pytest.mark.parametrize("text", ["w1234@7", "https://osm.org/way/1234/history/7"])
def test_a_version_is_kept_but_not_printed(text):
    assert parse_id(text) == OsmId("way", 1234, 7)
    assert str(parse_id(text)) == "way/1234"


@given(osm_types, osm_ids)
def test_what_is_printed_reads_back(osm_type, osm_id):
    entity = OsmId(osm_type, osm_id)
    assert parse_id(str(entity)) == entity
    assert parse_id(entity.url) == entity
    assert parse_id(f"{osm_type[0]}{osm_id}") == entity


def test_a_gers_uuid_is_read_in_any_case():
    uuid = "08b2a100-d664-cfff-0200-c6b4f8a2a1b3"
    assert parse_reference(uuid.upper()) == GersId(uuid)
    plain = parse_reference(uuid.replace("-", "").upper())
    assert isinstance(plain, GersId)
    assert plain.dashed == uuid


@pytest.mark.parametrize("text", ["891f1d48177ffff", "0891f1d48177ffff", "891F1D48177FFFF"])
def test_a_cell_is_read(text):
    assert parse_reference(text) == CellId(0x891F1D48177FFFF)
    assert str(parse_reference(text)) == "891f1d48177ffff"


def test_a_cell_is_no_entity():
    with pytest.raises(InvalidIdError, match="an entity is wanted"):
        parse_id("891f1d48177ffff")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1234", "node/1234, way/1234 or relation/1234"),
        ("", "empty"),
        ("  \t", "empty"),
        (f"w{MAX_OSM_ID + 1}", "64 bits"),
        (f"w{MIN_OSM_ID - 1}", "64 bits"),
        ("w-" + "9" * 5000, "64 bits"),
        ("w" + "9" * 5000, "64 bits"),
        ("w1@0", "versions count from 1"),
        ("way/", "way/1234"),
        ("way/١٢٣", "ASCII"),
        ("w１２", "ASCII"),
        ("way/12 34", "no id"),
        ("cafe", "no id"),
        ("891f1d48177fff0", "no H3 cell"),
        ("fffffffffffffff", "no H3 cell"),
        ("1191f1d48177ffff", "not a cell"),
        ("https://example.org/way/1", "openstreetmap.org"),
        ("https://osm.org/user/1", "openstreetmap.org"),
        ("ftp://osm.org/way/1", "openstreetmap.org"),
    ],
)
def test_a_fault_says_what_was_wanted(text, said):
    with pytest.raises(InvalidIdError, match=said):
        parse_reference(text)


@given(st.text())
def test_any_text_is_an_id_or_a_clear_fault(text):
    try:
        reference = parse_reference(text)
    except InvalidIdError:
        return
    assert parse_reference(str(reference))[:2] == reference[:2]
