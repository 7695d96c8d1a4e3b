r"""Say which rule a tag falls under, and what of it is read.

A tag is the text ``key=value``. Its key alone decides the rule, but for two looks at the value: a
number makes NUMBER of a plain key, and a web address makes ID of any key. Rows are tried in this
order; ``*`` is any run of characters, and keys are compared in lower case.

========  ============================================================  =======================
rule      keys                                                          what is read
========  ============================================================  =======================
NOISE     source, source:*, *:source (but generator: plant: heating:    nothing
          water_), created_by, attribution, note, note:*, *:note,
          fixme, todo, comment, check_date*, survey:date, lastcheck,
          odbl*, name_1 and other *_1 *_2 leftovers, the versions of
          schemes (public_transport:version), and the namespaces of
          imports (tiger: nhd: canvec: kms: gns: ...); and the tag
          type=multipolygon: how an area is drawn, not what it is
ID        wikidata, wikipedia, wikimedia_commons, and as last part of   nothing
          a key; ref, ref:*, *:ref, *_ref (but crossing_ref), id,
          *:id, *_id, uuid, guid, gtfs:*, gnis:*, phone, fax, email,
          website, url, image, mapillary, contact:*; any value that
          starts with http:// or https://
ADDRESS   addr:*, is_in, is_in:*, postal_code                           that there is one
PRESENCE  opening_hours*, *_hours, *_times, *:conditional,              the key
          *:time_interval, *_date, *:date, description, inscription,
          and other free text
NAME      name, name:*, *:name, *_name, brand, operator, network,       words of the value
          owner, artist, architect, destination, from, to, via
NUMBER    any key not named above whose value is a number or a list     the key, and the number
          of numbers ("50", "30 mph", "10'6"", "2;3", "1,5", "10-20");   on a smooth scale
          start_date and end_date with a year; an angle (direction,
          *:direction) keeps its key only, and oneway=-1 is a word
KIND      what an entity is: amenity, shop, highway, building ...       key and value as words
CATEGORY  every other key, known or not                                 key and value as words
========  ============================================================  =======================

A value with ``;`` or ``|`` is a list: each part is read, and the reader averages them. A tag
without ``=`` is a key with no value. Numbers come back in one unit per dimension: km/h, metres,
tonnes, watts, volts; a bare number has the unit that OSM gives its key, so ``maxspeed=30 mph`` is
48.28 and ``maxspeed=50`` is 50. Years are kept as years; `number_scale` bends both.
"""

import math
import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Rule(Enum):
    """How a tag is read; see the table of this module."""

    NOISE = "noise"
    ID = "id"
    ADDRESS = "address"
    PRESENCE = "presence"
    NAME = "name"
    NUMBER = "number"
    KIND = "kind"
    CATEGORY = "category"


DROPPED = frozenset({Rule.NOISE, Rule.ID})
_KEY_ALONE = DROPPED | {Rule.ADDRESS, Rule.PRESENCE}

# the keys that OSM's map features list as features of their own; other keys describe these
KIND_KEYS = frozenset({
    "aerialway", "aeroway", "amenity", "attraction", "barrier", "boundary", "bridge:support",
    "building", "building:part", "club", "craft", "cycleway", "emergency", "footway", "geological",
    "golf", "healthcare", "highway", "historic", "industrial", "junction", "landcover", "landuse",
    "leisure", "man_made", "military", "mountain_pass", "natural", "office", "piste:type", "place",
    "playground", "power", "public_transport", "railway", "route", "route_master", "shop", "sport",
    "telecom", "tourism", "traffic_calming", "type", "water", "waterway", "wetland",
})  # fmt: skip

_NOISE = re.compile(
    r"""
      source(:.*|_ref.*)? | (?!generator:|plant:|heating:|water_).*:source
    | created_by | attribution
    | note(:.*|_\d)? | .*:note(:.*)? | fixme(:.*)? | .*:fixme | todo(:.*)? | comment(:.*)?
    | check_date(:.*)? | survey:.* | survey_date | lastcheck | last_checked? | odbl(:.*)?
    | import(:.*|_.*)? | converted_by | mapper | upload.* | history | review(ed)?(:.*)?
    | .*_\d(:.*)? | .*:version
    | (tiger|nhd|nhd-shp|canvec|geobase|statscan|kms|osak|ksj2|massgis|lacounty|nysgissam|dcgis
      |ngbe|clc|naptan|and|linz|at_bev|uir_adr|ibge|teryt|3dshapes|raba|yh|it:fvg|gst|project
      |ruian|building:ruian|sby|object|nycdoitt|lojic|dibavod|hgis|csp|bak|umn|catmp-roadid
      |opengeodb|metcouncil|ngd|gns|pe|tmc|fresno|fdot|maaamet|dfg|esri|garmin|osmsync)[:_-].*
    """,
    re.VERBOSE,
)
_ID = re.compile(
    r"""
      (.*[:_])?(wikidata|wikipedia|wikimedia_commons|commons|mapillary|panoramax|uuid|guid|id|ids)
      (:.*)?
    | (?!crossing_ref$)(.*[:_])?refs?([:_].*)? | (gtfs|gnis|contact|fhrs|isil|iata|icao)(:.*)?
    | (.*:)?(phone|mobile|fax|email|website|url|image|photo|facebook|instagram|twitter|webcam)
      ([:_].*)?
    | internet_access:(ssid|password) | .*:serial | serial_number | railway:position(:.*)?
    | osm_.* | way_id
    """,
    re.VERBOSE,
)
_ADDRESS = re.compile(r"(.*:)?addr(:.*)? | is_in(:.*)? | postal_code | postcode", re.VERBOSE)
_NAME = re.compile(
    r"""
      name(:.*)? | .*:name(:.*)? | .*_name(:.*)? | (brand|operator|network|owner)(?!:type)(:.*)?
    | .*:(brand|operator|network) | .*_operator | artist | architect | manufacturer | model
    | destination(:.*)? | from | to | via | subject(:.*)? | nickname
    """,
    re.VERBOSE,
)
# a number here is an angle or a code: 359 is next to 1, and -1 is a word
_NOT_QUANTITIES = re.compile(r"(.*[:_])?(direction|bearing|azimuth|rotation|orientation)")
_NUMBERS_AS_WORDS = frozenset({"oneway", "oneway:bicycle", "traffic_sign", "hazard", "type"})
_YEAR_KEYS = frozenset({"start_date", "end_date", "opening_date", "year_built", "year"})
_PRESENCE = re.compile(
    r"""
      opening_hours(:.*)? | (.*[:_])?hours(:.*)? | .*_times(:.*)? | .*:conditional
    | .*:time_interval | .*_date(:.*)? | .*:date(:.*)? | date | (.*[:_])?description(:.*)?
    | inscription(:.*)? | (.*:)?text(:.*)? | .*:signed_text | website:.* | keywords | label
    | charge | .*:charge | long_description | access:.*_hours | wkt | reception_desk:.*
    """,
    re.VERBOSE,
)

# factor to km/h, metre, tonne, watt, volt; the units that OSM's wiki names for values
_UNITS = {
    "": 1.0, "km/h": 1.0, "kmh": 1.0, "kph": 1.0, "mph": 1.609344, "knots": 1.852, "kn": 1.852,
    "m": 1.0, "metres": 1.0, "meters": 1.0, "km": 1000.0, "cm": 0.01, "mm": 0.001, "mi": 1609.344,
    "nmi": 1852.0, "ft": 0.3048, "feet": 0.3048, "'": 0.3048, "in": 0.0254, '"': 0.0254,
    "yd": 0.9144, "t": 1.0, "kg": 0.001, "st": 0.907185, "lbs": 0.000453592, "w": 1.0, "kw": 1e3,
    "mw": 1e6, "gw": 1e9, "wp": 1.0, "kwp": 1e3, "v": 1.0, "kv": 1e3, "hz": 1.0,
    "%": 1.0, "°": 1.0, "min": 1.0, "m²": 1.0, "m2": 1.0, "m³": 1.0, "l": 1.0,
}  # fmt: skip
# the number comes first, at most 15 digits, so that no value can make the pattern slow
_NUMBER = re.compile(
    r"[~<>≈]?\s*([+-]?\d{1,15}(?:[.,]\d{1,9})?)"
    r"(?:\s*-\s*(\d{1,15}(?:[.,]\d{1,9})?))?\s*([a-z/%°'\"²³]{0,6}2?)"
)
_FEET_INCHES = re.compile(r"(\d{1,5})\s*(?:'|ft)\s*(\d{1,2}(?:\.\d{1,3})?)\s*(?:\"|''|in)?")
_YEAR = re.compile(r"~?(?:[a-z]+ )?([12]\d{3})s?\b.*")
_LIST = re.compile(r"[;|]")

_COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "silver": (192,) * 3,
    "red": (220, 30, 30), "maroon": (128, 0, 0), "brown": (140, 80, 40), "orange": (255, 150, 0),
    "yellow": (255, 240, 0), "beige": (235, 220, 185), "olive": (128, 128, 0), "green": (0, 128, 0),
    "blue": (0, 80, 220), "navy": (0, 0, 128), "purple": (128, 0, 128), "pink": (255, 170, 190),
}  # fmt: skip
_HEX_COLOUR = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})")

_MAX_PARTS = 8  # a list of fifty turn lanes says no more than its first eight
_MAX_VALUE = 255  # OSM allows no longer value; a longer one comes from elsewhere


class ReadTag(NamedTuple):
    """What a rule leaves of a tag.

    `values` are the parts of the value in lower case (KIND, CATEGORY, NAME), empty where only the
    key is read. `numbers` are the parts on `number_scale` (NUMBER), empty otherwise.
    """

    rule: Rule
    key: str
    values: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


@lru_cache(maxsize=65_536)
def key_rule(key: str) -> Rule:
    """Return the rule of a key before its value is seen; NUMBER only for the keys of years."""
    key = key.lower()
    if not key:
        return Rule.NOISE
    if key in KIND_KEYS:
        return Rule.KIND
    if key in _YEAR_KEYS:
        return Rule.NUMBER
    for rule, pattern in (
        (Rule.NOISE, _NOISE),
        (Rule.ID, _ID),
        (Rule.ADDRESS, _ADDRESS),
        (Rule.PRESENCE, _PRESENCE),
        (Rule.NAME, _NAME),
    ):
        if pattern.fullmatch(key):
            return rule
    return Rule.CATEGORY


def number_in(text: str) -> float | None:
    """Return the number that a value states, in km/h, m, t, W or V; None if it states none.

    A range "10-20" counts as its middle. Direction words, ``none`` and codes ("DE:274") are none.
    """
    text = text.strip().lower()
    # nearly every value that is no number is seen to be none by its first character
    if not text or not (text[0].isdecimal() or text[0] in "+-~<>≈"):
        return None
    if feet := _FEET_INCHES.fullmatch(text):
        return (float(feet[1]) + float(feet[2]) / 12) * 0.3048
    found = _NUMBER.fullmatch(text)
    if found is None or found[3] not in _UNITS:
        return None
    number = float(found[1].replace(",", "."))
    if found[2] is not None:
        number = (number + float(found[2].replace(",", "."))) / 2
    return number * _UNITS[found[3]]


def year_in(text: str) -> float | None:
    """Return the year that a date states ("1887", "1920s", "~1900", "2004-05-01"), else None."""
    found = _YEAR.fullmatch(text.strip().lower())
    return float(found[1]) if found else None


def number_scale(number: float, *, is_year: bool = False) -> float:
    """Bend a number to the scale on which equal steps look equally far.

    asinh: linear near 0 (storeys, layers below ground), logarithmic far out (population), so 50
    and 60 km/h are .18 apart, 50 and 120 .88. Years count from 2000, in decades, bent alike.
    """
    return math.asinh((number - 2000) / 10 if is_year else number)


def colour_word(value: str) -> str:
    """Return the name of the nearest plain colour for "#aabbcc" or "#abc"; else the value."""
    found = _HEX_COLOUR.fullmatch(value)
    if found is None:
        return value
    digits = found[1] if len(found[1]) == 6 else "".join(c * 2 for c in found[1])
    rgb = [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
    return min(
        _COLOURS,
        key=lambda name: sum((a - b) ** 2 for a, b in zip(rgb, _COLOURS[name], strict=True)),
    )


@lru_cache(maxsize=65_536)  # vectors and weights of a batch read the same tags
def read_tag(tag: str) -> ReadTag:
    """Return the rule of ``key=value`` and what is left of the tag under it.

    Any text is a tag: without ``=`` it is a key with no value, and an empty one is NOISE.
    """
    key, _, value = tag.partition("=")
    key, value = key.strip(), value[:_MAX_VALUE].strip().lower()
    rule = key_rule(key)
    if rule not in DROPPED and value.startswith(("http://", "https://")):
        rule = Rule.ID
    elif tag == "type=multipolygon":
        rule = Rule.NOISE
    if rule in _KEY_ALONE or not value:
        return ReadTag(Rule.PRESENCE if rule is Rule.NUMBER else rule, key)
    if rule is Rule.NAME:
        return ReadTag(rule, key, (value,))
    return _read_date(key, value) if rule is Rule.NUMBER else _read_value(rule, key, value)


def _read_date(key: str, value: str) -> ReadTag:
    year = year_in(value)
    if year is None:
        return ReadTag(Rule.PRESENCE, key)
    return ReadTag(Rule.NUMBER, key, numbers=(number_scale(year, is_year=True),))


def _read_value(rule: Rule, key: str, value: str) -> ReadTag:
    if ";" in value or "|" in value:
        parts = tuple(part for p in _LIST.split(value) if (part := p.strip()))[:_MAX_PARTS]
    else:
        parts = (value,)
    numbers = [number for part in parts if (number := number_in(part)) is not None]
    if numbers and len(numbers) == len(parts) and key not in _NUMBERS_AS_WORDS:
        if _NOT_QUANTITIES.fullmatch(key):
            return ReadTag(rule, key)
        return ReadTag(Rule.NUMBER, key, numbers=tuple(number_scale(n) for n in numbers))
    return ReadTag(rule, key, tuple(colour_word(p) if p[0] == "#" else p for p in parts))
