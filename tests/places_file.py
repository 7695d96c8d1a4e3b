"""A map of many things: places of ten kinds, by chance, for indexes large enough to be fast."""

from pathlib import Path

import geopandas
import numpy as np
import shapely

NUM_ROWS = 1600
KINDS = ("cafe", "school", "pub", "bank", "library", "pharmacy", "fuel", "cinema", "bench", "bar")


def write_places(path: Path, *, seed: int = 0) -> Path:
    """Write points with an amenity each, and a brand and a level that tell them apart."""
    rng = np.random.default_rng(seed)
    frame = geopandas.GeoDataFrame(
        {
            "feature_id": [f"node/{number}" for number in range(1, NUM_ROWS + 1)],
            "amenity": rng.choice(KINDS, NUM_ROWS),
            "brand": [f"brand {number}" for number in rng.integers(0, 80, NUM_ROWS)],
            "level": [str(number) for number in rng.integers(0, 5, NUM_ROWS)],
        },
        geometry=shapely.points(
            rng.uniform(24.9, 25.0, NUM_ROWS), rng.uniform(60.1, 60.2, NUM_ROWS)
        ),
        crs="OGC:CRS84",
    )
    frame.to_parquet(path)
    return path
