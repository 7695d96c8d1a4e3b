"""Measure the relations between entities: CPU µs an entity, by map.

    python bench/relations.py FILE.osm.pbf ... [--block-rows 32768]

Files are read by the product's own reader, which is not timed; rows come in the order of their
cells, as in an index. Nothing timed uses more than one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from geoindex.features.relations import MapRows, relate
from scripts.train_relational import read_rows


def main() -> None:
    """Print one line a map, and how long the lists are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--block-rows", type=int, default=32_768)
    options = parser.parse_args()
    for path in options.files:
        table = read_rows(path)
        start = time.process_time()
        rows = MapRows.of_table(table)
        found = relate(rows, block_rows=options.block_rows)
        seconds = time.process_time() - start
        each = {name: len(lists.rows) / len(rows) for name, lists in found.items()}
        print(
            f"{path.name}: {len(rows):,} entities, {1e6 * seconds / len(rows):.0f} µs each, "
            f"{sum(each.values()):.1f} edges each: "
            + ", ".join(f"{name} {count:.2f}" for name, count in each.items())
        )
        alone = np.diff(sum(lists.offsets for lists in found.values())) == 0
        print(f"  without any: {alone.mean():.1%}")


if __name__ == "__main__":
    main()
