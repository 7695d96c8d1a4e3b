"""Indexes that are served, built once, and a client of the application in this process."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import geoindex
from tests.support.osm_files import OsmFile, real_maps

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from geoindex.serve.app import make_app

BASE = "http://127.0.0.1:8642"
#: Names that a page must show as text.
HOSTILE_NAMES = (
    "<img src=x onerror=\"window.hacked='img'\">",
    "<script>window.hacked='script'</script>",
    "\"><svg onload=window.hacked='svg'>",
    "{{constructor.constructor('window.hacked=1')()}}",
    "javascript:window.hacked='link'",
)


def write_town(path: Path) -> Path:
    """Write a town of some 300 entities about 24.94, 60.17, with hostile names among them."""
    osm = OsmFile()
    lon, lat = 24.94, 60.17
    for i in range(12):
        for j in range(8):
            x, y = lon + i * 0.0009, lat + j * 0.0005
            kind = ("cafe", "restaurant", "school", "bank")[(i + j) % 4]
            osm.node(x, y, amenity=kind, name=f"{kind.title()} {i}-{j}")
            osm.square(x + 0.0003, y + 0.0002, 0.0002 + 0.00002 * (i % 5), building="house")
        ends = [(lon + i * 0.0009 - 0.0002, lat - 0.001), (lon + i * 0.0009 - 0.0002, lat + 0.004)]
        osm.way(ends, highway="residential", name=f"Street {i}")
    for number, name in enumerate(HOSTILE_NAMES):
        osm.node(lon + 0.0002 + number * 0.001, lat - 0.0008, amenity="cafe", name=name)
    osm.square(lon + 0.005, lat + 0.007, 0.004, leisure="park", name="Town Park", wikidata="Q1")
    osm.square(lon + 0.005, lat + 0.007, 0.001, natural="water", name="Pond")
    osm.square(lon - 0.004, lat, 0.0006, tourism="museum", building="yes", name="Old Museum",
               wikidata="Q2", **{"addr:street": "Street 1", "addr:housenumber": "4"})  # fmt: skip
    return osm.write(path)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town")
    output = folder / "town.geoindex"
    geoindex.build(write_town(folder / "town.osm"), output, resolution=9, encoder="tagpool")
    return output


@pytest.fixture(scope="session")
def islands(small_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two towns, islands at the antimeridian, a station at the pole."""
    output = tmp_path_factory.mktemp("islands") / "islands.geoindex"
    geoindex.build(small_map, output, resolution=(8, 9), encoder="tagpool")
    return output


@pytest.fixture(scope="session")
def real(islands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monaco as it is, where a checkout has it; else the islands."""
    source = next(iter(real_maps("monaco")), None)
    output = tmp_path_factory.mktemp("real") / "real.geoindex"
    if source is None:
        shutil.copytree(islands, output)
    else:
        geoindex.build(source, output, resolution=(8, 9), encoder="tagpool")
    return output


@pytest.fixture(scope="session")
def client(town: Path, real: Path) -> Iterator[TestClient]:
    app = make_app([town, real])
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as found:
        yield found
