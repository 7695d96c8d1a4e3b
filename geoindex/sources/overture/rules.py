"""Read the rules of `mapping.toml`, type by type of Overture's schema."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from geoindex.features.tag_mapping import TagMapping, parse_mapping

#: Theme of each type of the schema.
THEMES = {
    "address": "addresses",
    "bathymetry": "base",
    "infrastructure": "base",
    "land": "base",
    "land_cover": "base",
    "land_use": "base",
    "water": "base",
    "building": "buildings",
    "building_part": "buildings",
    "division": "divisions",
    "division_area": "divisions",
    "division_boundary": "divisions",
    "place": "places",
    "connector": "transportation",
    "segment": "transportation",
}
#: Types whose rows may bring the tags of OpenStreetMap.
WITH_SOURCE_TAGS = frozenset({"infrastructure", "land", "land_use", "water"})
_SHARED = {
    "building": ("common", "appearance"),
    "building_part": ("common", "appearance"),
    "infrastructure": ("common", "base"),
    "land": ("common", "base"),
    "land_use": ("common", "base"),
    "water": ("common", "base"),
}


@cache
def rules_of(kind: str) -> TagMapping:
    """Return what makes tags of the columns of a type."""
    content = _content()
    own = content.get(kind, {})
    rules = [rule for name in _SHARED.get(kind, ("common",)) for rule in content[name]["rules"]]
    # what is said of the type comes last: it counts more
    rules += own.get("rules", [])
    mapping = parse_mapping({"rules": rules, "tags": own.get("tags", {})}, f"Overture's {kind}")
    return replace(mapping, source=kind)


@cache
def skipped_types() -> frozenset[str]:
    """Return the types that are no places of their own."""
    return frozenset(_content()["skipped"]["types"])


@cache
def closed_values() -> Mapping[str, frozenset[str]]:
    """Return, by column, the values of what is no more."""
    return {column: frozenset(values) for column, values in _content()["closed"].items()}


@cache
def own_categories() -> Mapping[str, Mapping[str, str]]:
    """Return the tags of the categories of places that our own table has."""
    rule = {"column": "categories.primary", "values": _content()["categories"]}
    parsed = parse_mapping({"rules": [rule]}, "Overture's categories").rules[0]
    return {name: dict(tags) for name, tags in parsed.values.items()}


def rights(kind: str) -> tuple[str, str]:
    """Return licence and attribution of a type, where its rows name none."""
    content = _content()
    theme = THEMES[kind]
    licence = content["type_licences"].get(kind, content["licences"][theme])
    own = kind in content["type_licences"]
    attribution = content["attributions"]["places" if own else theme]
    return licence, attribution


@cache
def rules_hash() -> str:
    """Return the hash of all rules: other rules are other entities."""
    return hashlib.blake2b(_text().encode(), digest_size=8).hexdigest()


@cache
def _text() -> str:
    return (files("geoindex.sources.overture") / "mapping.toml").read_text("utf-8")


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads(_text())
