"""A map of a few hundred entities on a grid, large enough for spatial folds.

Four kinds take turns at random, one node every 500 m or so; its index has about as many cells of
resolution 9.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import geoindex
from geoindex.api import Index
from tests.support.osm_files import OsmFile

COLUMNS, ROWS = 24, 18
CORNER = (13.0, 55.5)
STEP = (0.008, 0.0045)  # degrees, about 500 m
TAGS = (
    {"amenity": "cafe", "cuisine": "coffee_shop"},
    {"natural": "tree", "leaf_type": "broadleaved"},
    {"shop": "bakery"},
    {"highway": "bus_stop", "shelter": "yes"},
)


def build_label_index(folder: Path) -> Index:
    osm = OsmFile()
    rng = np.random.default_rng(0)
    for column in range(COLUMNS):
        for row in range(ROWS):
            lon, lat = CORNER[0] + column * STEP[0], CORNER[1] + row * STEP[1]
            osm.node(lon, lat, **TAGS[rng.integers(len(TAGS))])
    source = osm.write(folder / "grid.osm")
    return geoindex.build(source, folder / "grid.geoindex", resolution=(8, 9), encoder="geojepa")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def kinds_csv(index: Index, path: Path, *, step: int = 1) -> Path:
    """Write every `step`-th entity's kind, by feature_id."""
    table = index.entities.table.select(["feature_id", "kind"])
    pairs = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    return write_csv(path, ("feature_id", "kind"), list(pairs)[::step])
