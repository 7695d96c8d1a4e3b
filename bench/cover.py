"""Time the H3 cover of single geometries, from a street to a country; CPU milliseconds each.

    python bench/cover.py [--resolution 9] [--repeats 20]

Nothing timed uses more than one thread. The least of the repeats is printed, and how many cells
the geometry touches; what touches more than are kept has its home cell alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from geoindex.geo.cover import touching
from geoindex.geo.h3 import cells_at


def shapes() -> dict[str, shapely.Geometry]:
    """Return geometries by what they are."""
    lon = np.linspace(0, 15, 2000)
    frame = shapely.box(0, 45, 15, 55) - shapely.box(0.01, 45.01, 14.99, 54.99)
    return {
        "way, 0.2 degrees": shapely.LineString([(0, 50), (0.2, 50.05)]),
        "way, 1 degree": shapely.LineString([(0, 50), (1, 50.2)]),
        "way, 4 degrees": shapely.LineString([(0, 50), (4, 51)]),
        "way, 15 degrees": shapely.LineString([(0, 50), (15, 51)]),
        "way, 15 degrees, 2000 nodes": shapely.LineString(np.column_stack([lon, 50 + np.sin(lon)])),
        "area, 0.05 degrees": shapely.box(0, 45, 0.05, 45.05),
        "area, 0.2 degrees": shapely.box(0, 45, 0.2, 45.2),
        "area, 15 degrees": shapely.box(0, 45, 15, 55),
        "frame, 15 degrees": frame,
        "points, 15 degrees apart": shapely.MultiPoint([(0, 50), (15, 50)]),
        "the Earth": shapely.box(-180, -90, 180, 90),
    }


def main() -> None:
    """Print one line a geometry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    print(f"{'geometry':<30}{'CPU ms':>10}{'cells':>8}")
    for name, shape in shapes().items():
        point = shapely.point_on_surface(shape)
        home = cells_at([point.x], [point.y], resolution=options.resolution)
        milliseconds = []
        for _ in range(options.repeats):
            start = time.process_time()
            found = touching(np.array([shape]), home, resolution=options.resolution)
            milliseconds.append((time.process_time() - start) * 1000)
        cells = "too many" if found.too_wide.size else len(found.cell)
        print(f"{name:<30}{min(milliseconds):>10.2f}{cells:>9}")


if __name__ == "__main__":
    main()
