"""Maps and indexes that many tests read; none may change them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import geoindex
from geoindex.api import Index
from tests.support.labels import build_label_index
from tests.support.maps import write_small_map
from tests.support.osm_files import real_maps

# a test that shares its processor with others may be slow; --timeout ends what hangs. The same
# examples every time: a run that fails fails again. `make fuzz` looks for new ones
_UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("unhurried", derandomize=True, **_UNHURRIED)
settings.register_profile("fuzz", max_examples=1000, **_UNHURRIED)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu:
        import torch

        if not torch.cuda.is_available():
            for item in on_gpu:
                item.add_marker(pytest.mark.skip("no CUDA device"))


@pytest.fixture(scope="session")
def small_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seventy entities: two towns, islands at the antimeridian, a station at the pole."""
    return write_small_map(tmp_path_factory.mktemp("maps") / "small.osm")


@pytest.fixture(scope="session")
def small_index(small_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The small map with cells of resolutions 8 and 9."""
    output = tmp_path_factory.mktemp("indexes") / "small.geoindex"
    return geoindex.build(small_map, output, resolution=(8, 9), encoder="geojepa")


@pytest.fixture(scope="session")
def real_index(small_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Monaco as it is, where a checkout has it; else the small map."""
    source = next(iter(real_maps("monaco")), small_map)
    output = tmp_path_factory.mktemp("indexes") / "real.geoindex"
    return geoindex.build(source, output, resolution=(7, 9), encoder="geojepa")


@pytest.fixture(scope="session")
def label_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A few hundred entities of four kinds on a grid: enough for spatial folds."""
    return build_label_index(tmp_path_factory.mktemp("grid"))
