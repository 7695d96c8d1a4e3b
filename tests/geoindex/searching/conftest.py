"""An index large enough to have an approximate one: places of ten kinds on a grid."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

import geoindex
from geoindex.searching import indexing

NUM_ROWS = 1600
KINDS = ("cafe", "school", "pub", "bank", "library", "pharmacy", "fuel", "cinema", "bench", "bar")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points with an amenity each, and a brand or a level that tells them apart."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(KINDS, NUM_ROWS)
    frame = geopandas.GeoDataFrame(
        {
            "feature_id": [f"node/{number}" for number in range(1, NUM_ROWS + 1)],
            "amenity": kinds,
            "brand": [f"brand {number}" for number in rng.integers(0, 80, NUM_ROWS)],
            "level": [str(number) for number in rng.integers(0, 5, NUM_ROWS)],
        },
        geometry=shapely.points(
            rng.uniform(24.9, 25.0, NUM_ROWS), rng.uniform(60.1, 60.2, NUM_ROWS)
        ),
        crs="OGC:CRS84",
    )
    path = tmp_path_factory.mktemp("places") / "places.parquet"
    frame.to_parquet(path)
    return path


@pytest.fixture(scope="session")
def plain(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The places, with codes though they are few, without an approximate index."""
    output = tmp_path_factory.mktemp("indexes") / "plain.geoindex"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "MIN_ROWS", 1000)
        geoindex.build(places, output, encoder="tagpool")
    return output
