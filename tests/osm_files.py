"""Small OpenStreetMap files, written anew for each run.

`write_small_map` has four places: a town, a second one far away, islands on both sides of the
antimeridian, and a station at the North Pole.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

TOWN, OTHER_TOWN = (24.94, 60.17), (7.42, 43.73)
ISLAND_LAT = -16.8
_AMENITIES = ("cafe", "school", "bench", "bar", "fuel", "pharmacy", "fountain", "cafe")
_SHOPS = ("bakery", "supermarket", "books;music", "bicycle")
_BUILDINGS = ("yes", "house", "church", "yes", "garage", "yes")
_STEP = 0.0006  # degrees between the entities of a town


class OsmFile:
    """Collects nodes, ways and relations, then writes them in the order that OSM files have.

    Parameters
    ----------
    first_id
        Of all that is added; files that are read together must not give one id to two things.
    """

    def __init__(self, first_id: int = 1) -> None:
        self._ids = itertools.count(first_id)
        self._nodes: list[str] = []
        self._ways: list[str] = []
        self._relations: list[str] = []

    def node(self, lon: float, lat: float, **tags: str) -> int:
        osm_id = next(self._ids)
        self._nodes.append(
            f'<node id="{osm_id}" version="1" lon="{lon:.7f}" lat="{lat:.7f}">{_tags(tags)}</node>'
        )
        return osm_id

    def way(self, points: Sequence[tuple[float, float]], **tags: str) -> int:
        """Add a line; closed where the last point is the first."""
        known = {point: self.node(*point) for point in dict.fromkeys(points)}
        osm_id = next(self._ids)
        refs = "".join(f'<nd ref="{known[point]}"/>' for point in points)
        self._ways.append(f'<way id="{osm_id}" version="2">{refs}{_tags(tags)}</way>')
        return osm_id

    def square(self, lon: float, lat: float, side: float, **tags: str) -> int:
        """Add a closed way round a point, sides in degrees."""
        west, east, south, north = (centre + sign * side / 2
                                    for centre in (lon, lat) for sign in (-1, 1))  # fmt: skip
        corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
        return self.way([(_on_earth(x), y) for x, y in corners], **tags)

    def multipolygon(self, outer: int, inner: int, **tags: str) -> int:
        osm_id = next(self._ids)
        members = "".join(
            f'<member type="way" ref="{way}" role="{role}"/>'
            for way, role in ((outer, "outer"), (inner, "inner"))
        )
        text = f'<relation id="{osm_id}" version="3">{members}'
        self._relations.append(f"{text}{_tags(tags)}</relation>")
        return osm_id

    def write(self, path: Path) -> Path:
        parts = [*self._nodes, *self._ways, *self._relations]
        head = "<?xml version='1.0' encoding='UTF-8'?>\n<osm version=\"0.6\">"
        path.write_text("\n".join([head, *parts, "</osm>\n"]), "utf-8")
        return path


def write_small_map(path: Path) -> Path:
    """Write some seventy entities of all types."""
    osm = OsmFile()
    for number, corner in enumerate((TOWN, OTHER_TOWN)):
        _add_town(osm, *corner, number)
    for i, lon in enumerate((179.9990, 179.9999, -179.9999, -179.9980, 180.0)):
        osm.node(lon, ISLAND_LAT + i * 1e-4, amenity=_AMENITIES[i], name=f"Island {i}")
    osm.square(180.0, ISLAND_LAT - 0.002, 0.001, building="yes", name="On the line")
    osm.node(179.9999, ISLAND_LAT - 0.002, amenity="bench", name="In the house")
    osm.way([(179.9985, ISLAND_LAT), (-179.9985, ISLAND_LAT)], highway="ferry", name="Over")
    for i, lon in enumerate((0.0, 90.0, 180.0, -90.0, 45.0)):
        osm.node(lon, 89.9995 - i * 0.0003, man_made="monitoring_station", ref=str(i))
    return osm.write(path)


def _add_town(osm: OsmFile, lon: float, lat: float, number: int) -> None:
    for i, amenity in enumerate(_AMENITIES):
        osm.node(
            lon + i * _STEP, lat, amenity=amenity, name=f"{amenity.title()} {i}, “Nr {number}”"
        )
    for i, shop in enumerate(_SHOPS):
        osm.node(lon + i * _STEP, lat + _STEP, shop=shop, opening_hours="Mo-Fr 08:00-18:00; Sa off")
    for i, building in enumerate(_BUILDINGS):
        levels = {"building:levels": str(i + 1)}
        osm.square(lon + i * _STEP, lat - _STEP, _STEP / 3, building=building, **levels)
    for i, speed in enumerate(("50", "30 mph", "walk")):
        ends = [(lon, lat + (i + 2) * _STEP), (lon + 8 * _STEP, lat + (i + 2.5) * _STEP)]
        osm.way(ends, highway="residential", maxspeed=speed)
    osm.way([(lon - 0.003, lat - 0.003), (lon - 0.0005, lat + 0.002)], highway="path")
    park = (lon + 0.02, lat + 0.01)
    outer = osm.square(*park, 0.01)
    inner = osm.square(*park, 0.004)
    osm.multipolygon(outer, inner, leisure="park", type="multipolygon", name="Ring park")
    osm.square(*park, 0.001, natural="water", note='two\nlines, "quoted"')
    osm.square(lon, lat + 0.2, 0.02, landuse="forest")


def _tags(tags: Mapping[str, str]) -> str:
    entities = {"\n": "&#10;"}
    return "".join(
        f"<tag k={quoteattr(key)} v={quoteattr(value, entities)}/>" for key, value in tags.items()
    )


def _on_earth(lon: float) -> float:
    return lon - 360 if lon > 180 else lon
