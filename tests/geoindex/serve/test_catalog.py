import shutil
from pathlib import Path

import pytest

import geoindex
from geoindex.errors import IndexDamagedError, UsageError
from geoindex.serve.catalog import Catalog, UnknownIndexError
from tests.support.osm_files import node, write_osm


def test_names_are_those_of_folders_and_differ(town: Path, tmp_path: Path) -> None:
    other = tmp_path / "x" / "town.geoindex"
    odd = tmp_path / "a b&c.geoindex"
    for copy in (other, odd):
        shutil.copytree(town, copy)
    assert Catalog([town, other, odd]).names == ["town", "town-2", "a-b-c"]


def test_an_index_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "places.geoindex"
    source = write_osm(tmp_path / "one.osm", node(1, 24.9, 60.1, {"amenity": "cafe"}))
    geoindex.build(source, path, encoder="tagpool")
    catalog = Catalog([path])
    before = catalog.get("places")
    # of one unnamed entity there is little to say, and no landmark
    assert (before.landmarks, before.kinds) == ([], {"amenity=cafe": 1})
    assert catalog.get("places") is before
    two = [node(i, 24.9 + i * 1e-3, 60.1, {"amenity": "bar"}) for i in (1, 2)]
    source = write_osm(tmp_path / "two.osm", *two)
    geoindex.build(source, path, encoder="tagpool", overwrite=True)
    after = catalog.get("places")
    assert len(after.index.entities) == 2
    assert after.version != before.version


def test_what_is_not_served(town: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownIndexError, match="want one of town"):
        Catalog([town]).get("mars")
    with pytest.raises(UsageError, match="no index to serve"):
        Catalog([])
    with pytest.raises(IndexDamagedError):
        Catalog([tmp_path / "nothing.geoindex"])
