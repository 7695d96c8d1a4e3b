"""One thread for torch: these models are so small that more only wait for each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import geoindex
from tests.support.imagery_files import CENTRE, noise_raster, request_for
from tests.support.maps import write_towns
from tests.support.osm_files import OsmFile

STEP_DEG = 3.6e-4
SIDE_DEG = 1.5e-4


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seven hundred entities in streets, parks and shops, over a few square kilometres."""
    return write_towns(tmp_path_factory.mktemp("maps") / "towns.osm")


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of houses every 40 m with a picture of their ground."""
    folder = tmp_path_factory.mktemp("seen")
    osm = OsmFile(first_id=1_000_000)  # none of those of `towns`
    for i in range(10):
        for j in range(10):
            lon, lat = CENTRE[0] + (i - 5) * STEP_DEG, CENTRE[1] + (j - 5) * STEP_DEG
            osm.square(lon, lat, SIDE_DEG, building="yes" if i % 2 else "house")
    source = osm.write(folder / "houses.osm")
    ground = noise_raster(folder / "ground.tif", 700)
    return geoindex.build(
        source,
        folder / "houses.geoindex",
        resolution=11,
        encoder="tagpool",
        imagery=request_for(ground),
    ).path
