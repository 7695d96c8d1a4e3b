"""Count the geometries a second that become tokens, by kind, on one core, for one OSM file.

    python bench/geometry.py FILE.osm.pbf [--repeats 5]

Reading the file is not timed. Nothing timed uses more than one thread. The median of the repeats
is printed, in thousands of geometries a second. Entities without tags are left out.
The file must be sorted, as extracts are; `osmium sort` mends one that is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import osmium
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from encoder.geometry.tokens import canonical_boxes, geometry_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def read_kinds(path: Path) -> dict[str, NDArray[np.object_]]:
    """Return the tagged nodes, open ways, buildings and other areas of an OSM file."""
    to_wkb = osmium.geom.WKBFactory()
    kinds: dict[str, list[str]] = {"node": [], "line": [], "building": [], "other area": []}
    tagged = osmium.filter.EmptyTagFilter()
    for entity in osmium.FileProcessor(str(path)).with_areas().with_filter(tagged):
        try:
            if isinstance(entity, osmium.osm.Node):
                kinds["node"].append(to_wkb.create_point(entity))
            elif isinstance(entity, osmium.osm.Area):
                kind = "building" if "building" in entity.tags else "other area"
                kinds[kind].append(to_wkb.create_multipolygon(entity))
            elif isinstance(entity, osmium.osm.Way) and not entity.is_closed():
                kinds["line"].append(to_wkb.create_linestring(entity))
        except (osmium.InvalidLocationError, RuntimeError):
            continue  # cut off at the extract's edge
    return {kind: shapely.from_wkb(np.array(wkb, dtype=object)) for kind, wkb in kinds.items()}


def per_second(
    measure: Callable[[NDArray[np.object_]], Any], geometries: NDArray[np.object_], repeats: int
) -> float:
    """Return geometries a second, the median of the repeats."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        measure(geometries)
        seconds.append(time.perf_counter() - start)
    return len(geometries) / statistics.median(seconds)


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    kinds = read_kinds(options.file)
    everything = np.concatenate(list(kinds.values()))
    kinds["all, mixed"] = np.random.default_rng(0).permutation(everything)
    geometry_tokens(everything[:1000])  # the first call pays for imports and buffers
    print(f"{'kind':<12}{'geometries':>12}{'vertices':>10}{'tokens k/s':>12}{'boxes k/s':>12}")
    for kind, geometries in kinds.items():
        if not len(geometries):
            continue
        vertices = shapely.get_num_coordinates(geometries).mean()
        tokens, boxes = (
            per_second(measure, geometries, options.repeats) / 1000
            for measure in (geometry_tokens, canonical_boxes)
        )
        print(f"{kind:<12}{len(geometries):>12,}{vertices:>10.1f}{tokens:>12,.0f}{boxes:>12,.0f}")


if __name__ == "__main__":
    main()
