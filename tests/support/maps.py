"""Maps whose content is known, written anew for each run."""

from pathlib import Path

import geopandas
import numpy as np
import shapely

from tests.support.osm_files import OsmFile, node, way, write_osm

TOWN, OTHER_TOWN = (24.94, 60.17), (7.42, 43.73)
ISLAND_LAT = -16.8
_AMENITIES = ("cafe", "school", "bench", "bar", "fuel", "pharmacy", "fountain", "cafe")
_SHOPS = ("bakery", "supermarket", "books;music", "bicycle")
_BUILDINGS = ("yes", "house", "church", "yes", "garage", "yes")
_STEP = 0.0006  # degrees between the entities of a town
_NUM_PLACES = 1600
_KINDS = ("cafe", "school", "pub", "bank", "library", "pharmacy", "fuel", "cinema", "bench", "bar")
_CHARACTERS = (
    {"building": "house", "highway": "residential", "amenity": "school"},
    {"building": "industrial", "highway": "service", "amenity": "fuel"},
    {"building": "retail", "highway": "pedestrian", "amenity": "cafe"},
    {"building": "barn", "highway": "track", "amenity": "bench"},
)
_METRE_DEG = 1 / 111_320


def write_small_map(path: Path) -> Path:
    """Write some seventy entities of all types.

    They lie in a town, a second one far away, on islands on both sides of the antimeridian, and
    at the North Pole.
    """
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


def write_street(path: Path, *, more: str = "") -> Path:
    """Write nine places, a house and a path; `more` stands behind them as it is."""
    values = ["cafe", "bar", "pub", "school", "bank", "cafe", "clinic", "bench", "fuel"]
    nodes = [
        node(i, 24.9 + i * 0.003, 60.1 + i * 0.001, {"amenity": value})
        for i, value in enumerate(values, 1)
    ]
    house = way(100, [1, 2, 3, 1], {"building": "house"}, version=2)
    footpath = way(101, [1, 9], {"highway": "path"})
    return write_osm(path, *nodes, house, footpath, more)


def write_places(path: Path, *, seed: int = 0) -> Path:
    """Write 1600 points with an amenity each, of ten kinds, and a brand and a level."""
    rng = np.random.default_rng(seed)
    frame = geopandas.GeoDataFrame(
        {
            "feature_id": [f"node/{number}" for number in range(1, _NUM_PLACES + 1)],
            "amenity": rng.choice(_KINDS, _NUM_PLACES),
            "brand": [f"brand {number}" for number in rng.integers(0, 80, _NUM_PLACES)],
            "level": [str(number) for number in rng.integers(0, 5, _NUM_PLACES)],
        },
        geometry=shapely.points(
            rng.uniform(24.9, 25.0, _NUM_PLACES), rng.uniform(60.1, 60.2, _NUM_PLACES)
        ),
        crs="OGC:CRS84",
    )
    frame.to_parquet(path)
    return path


def write_towns(path: Path, *, quarters: int = 8, seed: int = 0) -> Path:
    """Write ``quarters ** 2`` quarters about 350 m apart, of four characters."""
    rng = np.random.default_rng(seed)
    osm = OsmFile()
    for row in range(quarters):
        for column in range(quarters):
            tags = _CHARACTERS[int(rng.integers(len(_CHARACTERS)))]
            _add_quarter(osm, 11.0 + column * 0.0045, 48.0 + row * 0.0032, tags, rng)
    return osm.write(path)


def _add_quarter(
    osm: OsmFile, lon: float, lat: float, tags: dict[str, str], rng: np.random.Generator
) -> None:
    for _ in range(int(rng.integers(4, 9))):
        x, y = rng.uniform(-0.0015, 0.0015, 2)
        osm.square(lon + x, lat + y, float(rng.uniform(1e-4, 3e-4)), building=tags["building"])
    for _ in range(2):
        x, y = rng.uniform(-0.001, 0.001, 2)
        osm.node(lon + x, lat + y, amenity=tags["amenity"])
    ends = [(lon - 0.0015, lat), (lon, lat + 0.0002)]
    osm.way(ends, highway=tags["highway"], name=f"Street {lon:.4f} {lat:.4f}")


class Town:
    """Collects nodes, lines and boxes, in metres east and north of a point."""

    def __init__(self, lon: float, lat: float) -> None:
        self._lon, self._lat = lon, lat
        self._osm = OsmFile()

    def node(self, east: float, north: float, **tags: str) -> None:
        """Add a node."""
        self._osm.node(*self._degrees(east, north), **tags)

    def way(self, places: list[tuple[float, float]], **tags: str) -> None:
        """Add a line; an area, where it ends as it began."""
        self._osm.way([self._degrees(*place) for place in places], **tags)

    def box(self, east: float, north: float, wide: float, high: float, **tags: str) -> None:
        """Add an area about a place."""
        x, y = wide / 2, high / 2
        corners = [(-x, -y), (x, -y), (x, y), (-x, y), (-x, -y)]
        self.way([(east + i, north + j) for i, j in corners], **tags)

    def write(self, path: Path) -> Path:
        """Write the town."""
        return self._osm.write(path)

    def _degrees(self, east: float, north: float) -> tuple[float, float]:
        lon = self._lon + east * _METRE_DEG / np.cos(np.radians(self._lat))
        return float((lon + 180) % 360 - 180), self._lat + north * _METRE_DEG


def mixed_town(lon: float, lat: float) -> Town:
    """Houses every 25 m over 350 m, trees between, a road, a park, a border round all."""
    town = Town(lon, lat)
    for i in range(-7, 8):
        for j in range(-7, 8, 2):
            size = 6 + (i + j) % 5
            town.box(25 * i, 25 * j, size, size + 3, building="house", name=f"House {i} {j}")
            if i % 3 == 0:
                town.node(25 * i + 12, 25 * j + 12, natural="tree")
    road = [(-170, -90), (-20, -80), (30, 60), (165, 75)]
    town.way([(float(x), float(y)) for x, y in road], highway="residential", name="Bent Road")
    town.box(-40, 40, 120, 90, leisure="park", name="Wide Park")
    town.box(10, 0, 420, 420, boundary="administrative", admin_level="8", name="Town")
    return town
