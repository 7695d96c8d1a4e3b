"""A town of houses, a road, a park and a border about a point, told in metres."""

from pathlib import Path

import numpy as np

from tests.osm_files import OsmFile

METRE_DEG = 1 / 111_320


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
        lon = self._lon + east * METRE_DEG / np.cos(np.radians(self._lat))
        return float((lon + 180) % 360 - 180), self._lat + north * METRE_DEG


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
