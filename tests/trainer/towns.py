"""A map of many small quarters, each with a character of its own, written anew for each run."""

from pathlib import Path

import numpy as np

from tests.osm_files import OsmFile

_CHARACTERS = (
    {"building": "house", "highway": "residential", "amenity": "school"},
    {"building": "industrial", "highway": "service", "amenity": "fuel"},
    {"building": "retail", "highway": "pedestrian", "amenity": "cafe"},
    {"building": "barn", "highway": "track", "amenity": "bench"},
)


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
