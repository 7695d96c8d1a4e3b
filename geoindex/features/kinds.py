"""Rules of tags: what is an entity, which tag is its kind, and when a closed way is an area.

An entity is kept when at least one of its keys is a main key (`MAIN_KEYS`) whose value is not
``no``. What is left out so has an address, a note or a survey mark, but is no place of its own;
it is counted in the manifest as ``no_main_key``.

Rules are written for one entity (`kind_of`, `is_area`) and applied to batches (`kinds_of`,
`are_areas`); the tests hold the two to be the same.

`MAIN_KEYS` is the OpenStreetMap wiki's "Map features" list, ordered: where an entity has several,
the first names it (a shop in a building is a shop). ``yes`` means less than any other value, so
a key whose value is ``yes`` names the entity only when no other main key does.

Closed ways follow the wiki's "Polygon features" table: `AREA_KEYS`, with the exceptions it lists.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.features.tags import pairs

MAIN_KEYS = (
    "amenity", "shop", "tourism", "leisure", "healthcare", "office", "craft", "club",
    "aeroway", "railway", "aerialway", "highway", "public_transport", "waterway",
    "historic", "military", "man_made", "telecom", "power", "emergency",
    "natural", "water", "wetland", "landuse", "landcover", "place", "boundary",
    "golf", "playground", "attraction", "piste:type", "geological",
    "building", "building:part", "area:highway", "entrance", "indoor",
    "advertising", "traffic_calming", "traffic_sign", "barrier", "cemetery", "sport",
)  # fmt: skip

_RANK = {key: rank for rank, key in enumerate(MAIN_KEYS)}
_YES_COMES_LATER = len(MAIN_KEYS)
_NO_RANK = 2 * len(MAIN_KEYS)

_ALL: frozenset[str] = frozenset()
# key -> (only these values make an area, or these never do); an empty first set means every value
AREA_KEYS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    **dict.fromkeys(
        (
            "amenity", "area:highway", "boundary", "building", "building:part", "cemetery", "club",
            "craft", "golf", "healthcare", "historic", "indoor", "landcover", "landuse", "leisure",
            "military", "office", "place", "public_transport", "ruins", "shop", "tourism", "water",
            "wetland",
        ),
        (_ALL, _ALL),
    ),
    "aeroway": (_ALL, frozenset({"taxiway", "jet_bridge", "parking_position"})),
    "attraction": (_ALL, frozenset({"dark_ride", "river_rafting", "train", "water_slide"})),
    "barrier": (frozenset({"city_wall", "ditch", "hedge", "retaining_wall", "spikes"}), _ALL),
    "highway": (frozenset({"services", "rest_area", "escape", "elevator"}), _ALL),
    "man_made": (_ALL, frozenset({"cutline", "embankment", "pipeline"})),
    "natural": (_ALL, frozenset({"coastline", "cliff", "ridge", "arete", "tree_row"})),
    "playground": (_ALL, frozenset({"zipwire", "balancebeam"})),
    "power": (frozenset({"plant", "substation", "generator", "transformer"}), _ALL),
    "railway": (frozenset({"station", "turntable", "roundhouse", "platform"}), _ALL),
    "waterway": (frozenset({"riverbank", "dock", "boatyard", "dam"}), _ALL),
}  # fmt: skip
# with these a closed leisure way is a course to run on, unless it has area=yes
_LINEAR_LEISURE = frozenset({"track", "slipway"})


def kind_of(tags: Mapping[str, str]) -> str | None:
    """Return the tag that names an entity, ``"amenity=cafe"``, or None if it is not kept.

    Examples
    --------
    >>> kind_of({"building": "yes", "shop": "bakery"})
    'shop=bakery'
    >>> kind_of({"highway": "path", "emergency": "yes"})
    'highway=path'
    >>> kind_of({"addr:housenumber": "5"}) is None
    True
    """
    best = _NO_RANK
    found = ""
    for key, value in tags.items():
        rank = _RANK.get(key)
        if rank is None or value == "no":
            continue
        if value == "yes":
            rank += _YES_COMES_LATER
        if rank < best:
            best, found = rank, key
    return f"{found}={tags[found]}" if found else None


def is_area(tags: Mapping[str, str]) -> bool:
    """Tell whether a closed way with these tags is an area rather than a line.

    Source: https://wiki.openstreetmap.org/wiki/Overpass_turbo/Polygon_Features

    Examples
    --------
    >>> is_area({"building": "yes"}), is_area({"highway": "residential"})
    (True, False)
    >>> is_area({"highway": "pedestrian", "area": "yes"})
    True
    """
    area = tags.get("area")
    if area is not None:
        return area != "no"
    return any(_implies_area(key, value) for key, value in tags.items())


def _implies_area(key: str, value: str) -> bool:
    rule = AREA_KEYS.get(key)
    if rule is None or value == "no" or (key == "leisure" and value in _LINEAR_LEISURE):
        return False
    only, never = rule
    return value not in never and (not only or value in only)


def kinds_of(tags: pa.MapArray) -> pa.StringArray:
    """Return `kind_of` for every row, null where it is None."""
    counts, keys, values = pairs(tags)
    rank = pc.index_in(keys, pa.array(MAIN_KEYS)).fill_null(_NO_RANK).to_numpy().astype(np.int64)
    rank[pc.equal(values, "yes").to_numpy(zero_copy_only=False)] += _YES_COMES_LATER
    rank[pc.equal(values, "no").to_numpy(zero_copy_only=False)] = _NO_RANK
    # the least of a row, and its place with it
    place = rank * (len(rank) + 1) + np.arange(len(rank))
    best = np.full(len(counts), -1, np.int64)
    if len(rank):
        starts = (np.cumsum(counts) - counts)[counts > 0]
        best[counts > 0] = np.minimum.reduceat(place, starts)
    found = (best >= 0) & (best < _NO_RANK * (len(rank) + 1))
    named = pa.array(best % (len(rank) + 1), mask=~found)
    return pc.binary_join_element_wise(keys.take(named), values.take(named), "=")


def are_areas(tags: pa.MapArray) -> NDArray[np.bool_]:
    """Return `is_area` for every row."""
    counts, keys, values = pairs(tags)
    row = np.repeat(np.arange(len(counts)), counts)
    areas = np.zeros(len(counts), bool)
    at = np.flatnonzero(pc.is_in(keys, pa.array([*AREA_KEYS])).to_numpy(zero_copy_only=False))
    # a batch has few different tags: apply the rule once to each
    texts = pc.binary_join_element_wise(keys.take(pa.array(at)), values.take(pa.array(at)), "=")
    coded = texts.dictionary_encode()
    implied = np.array(
        [_implies_area(*text.split("=", 1)) for text in coded.dictionary.to_pylist()], bool
    )
    areas[row[at[implied[coded.indices.to_numpy()]]]] = True
    explicit = np.flatnonzero(pc.equal(keys, "area").to_numpy(zero_copy_only=False))
    areas[row[explicit]] = pc.not_equal(values.take(pa.array(explicit)), "no").to_numpy(
        zero_copy_only=False
    )
    return areas
