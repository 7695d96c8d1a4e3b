"""An index large enough to have an approximate one: places of ten kinds."""

from pathlib import Path

import pytest

import geoindex
from geoindex.search import build_ann
from tests.support.maps import write_places


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The places, with codes though they are few, without an approximate index."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_ann, "MIN_ROWS", 1000)
        geoindex.build(
            write_places(folder / "places.parquet"), folder / "plain.geoindex", encoder="tagpool"
        )
    return folder / "plain.geoindex"
