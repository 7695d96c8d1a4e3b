"""Assemble areas of relations that cross the antimeridian.

osmium's assembler takes degrees as a plane: a side over the antimeridian runs round the Earth to
it, and crosses the relation's other sides. Here longitudes west of it are moved a full turn east
first, and the rest is as osmium has it: rings of whatever way, holes by how they lie in each other,
sides that are there twice in neither ring. A relation that has no such side, lacks a way or a
place, or does not close, is left to osmium.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import osmium
import shapely

from geoindex.geo.antimeridian import unwrapped, wrapped

#: Where no entity is closer to the antimeridian, degrees, no relation is thought to cross it.
NEAR_DEG = 10.0
_HALF_TURN = 180.0
# of ways: 3 s for so many rings
_MOST_WAYS = 10_000
# the beginning of WKB: where the first longitude stands, by the kind of geometry
_LON_AT = {1: 5, 2: 9, 3: 13}

_Place = tuple[float, float]


class Relation(NamedTuple):
    """A relation that became an area."""

    version: int
    tags: dict[str, str]
    wkb: bytes


def is_near(wkb: Iterable[bytes]) -> bool:
    """Tell whether a geometry, as osmium writes it, begins near the antimeridian."""
    starts = [(item, _LON_AT.get(item[1], 5)) for item in wkb]
    lon = np.frombuffer(b"".join([item[at : at + 8] for item, at in starts]), "<f8")
    return bool((np.abs(lon) > _HALF_TURN - NEAR_DEG).any())


def is_wide(wkb: bytes) -> bool:
    """Tell whether an area is wider than half the Earth, or is written as if it were."""
    west, _, east, _ = shapely.bounds(shapely.from_wkb(wkb)).tolist()
    return bool(east - west > _HALF_TURN)


def areas_across(
    file: osmium.io.File, relation_ids: Iterable[int], *, has_places: bool
) -> dict[int, Relation]:
    """Return those of some relations that cross the antimeridian, as areas.

    Parameters
    ----------
    has_places
        Whether ways have the places of their nodes.
    """
    ids = list(relation_ids)
    relations: Any = osmium.FileProcessor(file, osmium.osm.RELATION)
    relations.with_filter(_only(ids, osmium.osm.RELATION))
    found = {}
    ways_of: dict[int, list[int]] = {}
    for relation in relations:
        if len(relation.members) > _MOST_WAYS:
            continue
        ways_of[relation.id] = [member.ref for member in relation.members if member.type == "w"]
        found[relation.id] = (relation.version, dict(relation.tags))
    ways = _ways(file, {ref for refs in ways_of.values() for ref in refs}, has_places=has_places)
    areas = {}
    for osm_id, refs in ways_of.items():
        lines = [ways.get(ref) for ref in refs]
        area = _area([line for line in lines if line is not None]) if None not in lines else None
        if area is not None:
            areas[osm_id] = Relation(*found[osm_id], shapely.to_wkb(area, byte_order=1))
    return areas


def _only(ids: Iterable[int], kind: osmium.osm.osm_entity_bits) -> Any:
    keep: Any = osmium.filter.IdFilter(ids)
    return keep.enable_for(kind)


def _ways(
    file: osmium.io.File, way_ids: set[int], *, has_places: bool
) -> dict[int, list[_Place] | None]:
    """Return the places of some ways; None for one that lacks a place."""
    stream: Any = osmium.FileProcessor(file, osmium.osm.NODE | osmium.osm.WAY)
    if not has_places:
        stream.with_locations()
    stream.with_filter(_only(way_ids, osmium.osm.WAY))
    stream.with_filter(_only([], osmium.osm.NODE))
    found: dict[int, list[_Place] | None] = {}
    for way in stream:
        places = [node.location for node in way.nodes]
        is_whole = all(place.valid() for place in places)
        found[way.id] = [(place.lon, place.lat) for place in places] if is_whole else None
    return found


def _area(lines: list[list[_Place]]) -> Any:
    """Return the area between some lines, None if they do not cross the antimeridian or close."""
    crosses = any(
        abs(x - other) > _HALF_TURN for line in lines for (x, _), (other, _) in _steps(line)
    )
    if not crosses:
        return None
    sides: Counter[tuple[_Place, _Place]] = Counter()
    for line in lines:
        moved = _moved(line)
        sides.update((min(side), max(side)) for side in _steps(moved) if side[0] != side[1])
    # a side of two rings is between them, and in neither
    once = [side for side, times in sides.items() if times % 2]
    ends: dict[_Place, int] = defaultdict(int)
    for side in once:
        for place in side:
            ends[place] += 1
    if not once or any(number % 2 for number in ends.values()):
        return None
    outline = shapely.multilinestrings([shapely.linestrings(np.array(once))])[0]
    area = shapely.build_area(outline)
    west, _, east, _ = shapely.bounds(area).tolist()
    is_whole = np.isclose(shapely.length(area), shapely.length(outline))
    if not (is_whole and east - west <= _HALF_TURN and shapely.is_valid(area)):
        return None
    return wrapped(np.array([area], object))[0]


def _steps(line: list[_Place]) -> Iterable[tuple[_Place, _Place]]:
    return pairwise(line)


def _moved(line: list[_Place]) -> list[_Place]:
    places = shapely.get_coordinates(unwrapped(np.array([shapely.multipoints(line)], object)))
    return [(x, y) for x, y in places.tolist()]
