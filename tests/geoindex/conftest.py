"""A town with a picture of its ground, and its index."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import geoindex
from geoindex.api import Index
from tests.support.imagery_files import (
    CENTRE,
    RESOLUTION,
    request_for,
    transform_about,
    write_raster,
)
from tests.support.maps import mixed_town
from tests.support.osm_files import OsmFile


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster of 300 m: each piece of it has a colour of its own, and more grain to the east."""
    size = 600
    rng = np.random.default_rng(0)
    east = np.linspace(0, 1, size)[None, None, :]
    north = np.linspace(1, 0, size)[:, None]
    colour = np.stack([np.tile(40 + 160 * north, (1, size)), np.tile(60 + 120 * east[0], (size, 1)),
                       np.tile(200 - 150 * east[0], (size, 1))])  # fmt: skip
    # as a camera sees it: no grain is as fine as a pixel
    grain = gaussian_filter(rng.normal(size=(1, size, size)), (0, 1.5, 1.5))
    grain *= (2 + 20 * east) / grain.std()
    bands = (colour + grain).clip(1, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("ground") / "ground.tif"
    return write_raster(path, bands, "EPSG:32737", transform_about("EPSG:32737", 0.5, size, size))


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cafés every 40 m over 440 m: some lie where the raster ends."""
    osm = OsmFile()
    for i in range(11):
        for j in range(11):
            lon, lat = CENTRE[0] + (i - 5) * 3.6e-4, CENTRE[1] + (j - 5) * 3.6e-4
            osm.node(lon, lat, amenity="cafe", name=f"<script> {i}&{j}")
    return osm.write(tmp_path_factory.mktemp("town") / "town.osm")


@pytest.fixture(scope="session")
def index(town: Path, ground: Path) -> Index:
    # a page of hits opens imagery that lies beside the index
    output = ground.parent / "town.geoindex"
    return geoindex.build(
        town, output, resolution=(9, RESOLUTION), encoder="tagpool", imagery=request_for(ground)
    )


@pytest.fixture(scope="session")
def mixed(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A town of houses, trees, a road and a park, 350 m wide: its rim is unseen."""
    folder = tmp_path_factory.mktemp("mixed")
    source = mixed_town(*CENTRE).write(folder / "mixed.osm")
    return geoindex.build(
        source, folder / "mixed.geoindex", resolution=(9, RESOLUTION), encoder="tagpool",
        imagery=request_for(ground),
    )  # fmt: skip
