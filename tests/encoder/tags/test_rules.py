"""Which rule does a tag fall under, and what of it is read?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.tags.rules import (
    DROPPED,
    Rule,
    colour_word,
    key_rule,
    number_in,
    number_scale,
    read_tag,
    year_in,
)


@pytest.mark.parametrize(
    ("rule", "tags"),
    [
        (Rule.KIND, "amenity=cafe building=yes highway=residential shop=x power=tower"),
        (
            Rule.CATEGORY,
            "surface=asphalt cuisine=pizza generator:source=wind oneway=-1 frob=nicate",
        ),
        (Rule.CATEGORY, "crossing_ref=zebra operator:type=public maxspeed=none maxspeed=DE:urban"),
        (Rule.CATEGORY, "direction=forward traffic_sign=274 note_board=yes sourcery=yes"),
        (
            Rule.NUMBER,
            "maxspeed=50 building:levels=3 height=10 lanes=2;3 population=12000 width=2,5",
        ),
        (Rule.NUMBER, "start_date=1887 capacity=40 layer=-1 ele=2303.5 unheard_of=17"),
        (Rule.NAME, "name=Kiosk name:sv=Kiosk alt_name=K brand=Spar operator=DB piste:name=A"),
        (Rule.ADDRESS, "addr:street=A addr:housenumber=1 is_in:country=B postal_code=12345"),
        (Rule.PRESENCE, "opening_hours=24/7 collection_times=x description=y start_date=before"),
        (Rule.PRESENCE, "maxspeed:conditional=30@night inscription=z"),
        (Rule.ID, "wikidata=Q42 brand:wikidata=Q1 ref=A1 ref:bag=1 uic_ref=2 gnis:feature_id=3"),
        (Rule.ID, "phone=+1 contact:email=a@b website=x image=y surface=https://example.org"),
        (Rule.NOISE, "source=Bing source:name=x created_by=JOSM tiger:cfcc=A41 note=x fixme=y"),
        (Rule.NOISE, "FIXME=y name_1=Old type=multipolygon check_date=2020 maxspeed:source=sign"),
    ],
)
def test_rule_of_tags(rule, tags):
    assert {tag: read_tag(tag).rule for tag in tags.split()} == dict.fromkeys(tags.split(), rule)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50", 50), ("30 mph", 48.28032), ("30mph", 48.28032), ("10 m", 10), ("10 ft", 3.048),
        ("6'", 1.8288), ("10'6\"", 3.2004), ("2,5", 2.5), ("10-20", 15), ("-1", -1), ("~5", 5),
        ("7.5 t", 7.5), ("15 kV", 15000), ("12%", 12), ("5 knots", 9.26), ("1.2 km", 1200),
        ("none", None), ("", None), ("DE:274", None), ("1a", None), ("3x", None), ("up", None),
        ("5;6", None), ("1.2.3", None), ("١", 1), ("²", None),
    ],
)  # fmt: skip
def test_number_in_km_h_metres_tonnes_watts_volts(text, number):
    assert number_in(text) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("text", "year"),
    [("1887", 1887), ("1920s", 1920), ("~1900", 1900), ("2004-05-01", 2004), ("C19", None)],
)
def test_year_in_date(text, year):
    assert year_in(text) == year


def test_list_is_split_and_at_most_eight_parts_read():
    assert read_tag("cuisine=pizza; Italian;").values == ("pizza", "italian")
    assert read_tag("lanes=2;3").numbers == (number_scale(2), number_scale(3))
    assert len(read_tag("turn:lanes=" + "|".join("abcdefghijkl")).values) == 8


def test_angle_keeps_its_key_only():
    assert read_tag("direction=359") == (Rule.CATEGORY, "direction", (), ())


def test_hex_colour_becomes_a_word():
    assert [colour_word(c) for c in ("#ff0000", "#fff", "#123", "teal", "#12")] == [
        "red", "white", "black", "teal", "#12",
    ]  # fmt: skip


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_number_scale_keeps_order(a, b):
    assert (a <= b) == (number_scale(a) <= number_scale(b)) or number_scale(a) == number_scale(b)


@pytest.mark.slow
@given(st.text(max_size=300))
def test_any_text_is_a_tag(text):
    read = read_tag(text)
    assert not (read.values and read.numbers)
    assert all(len(value) > 0 for value in read.values)
    assert read.rule not in DROPPED or not (read.values or read.numbers)


@given(st.text(max_size=60), st.text(max_size=255))
def test_key_decides_what_is_dropped(key, value):
    key = key.replace("=", "").strip()
    if key_rule(key) in DROPPED:
        assert read_tag(f"{key}={value}") == (key_rule(key), key, (), ())
