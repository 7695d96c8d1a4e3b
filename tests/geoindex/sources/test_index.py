"""An index is a source: what was read once is read again, without the file it came from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import geoindex
from geoindex.api import GeoIndex
from geoindex.errors import SourceError
from geoindex.layout import ENTITIES, MANIFEST, search_files
from geoindex.reading import open_source


def columns(index: GeoIndex) -> dict[str, list[object]]:
    names = ("feature_id", "osm_type", "osm_id", "osm_version", "kind", "name", "content_hash")
    return {name: index.entities.table[name].to_pylist() for name in names}


def test_an_index_built_from_an_index_has_the_same_entities_and_vectors(
    small_index: GeoIndex, tmp_path: Path
) -> None:
    again = geoindex.build(small_index.path, tmp_path / "again.geoindex", resolution=(8, 9))
    assert columns(again) == columns(small_index)
    np.testing.assert_array_equal(
        again.vectors(ENTITIES, focus="context"), small_index.vectors(ENTITIES, focus="context")
    )
    assert again.manifest.sources[0]["format"] == "geoindex"
    assert again.manifest.licence == small_index.manifest.licence
    assert again.manifest.attribution == small_index.manifest.attribution


def test_its_vectors_are_no_part_of_what_a_source_is(
    small_index: GeoIndex, small_map: Path, tmp_path: Path
) -> None:
    other = geoindex.build(small_map, tmp_path / "pool", resolution=(8, 9), encoder="tagpool")
    ours, theirs = (open_source(index.path).describe() for index in (small_index, other))
    assert ours.blake2b == theirs.blake2b


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no index"):
        open_source(tmp_path)


@pytest.mark.parametrize("damage", ["rows", "manifest"])
def test_a_damaged_index_says_so(small_index: GeoIndex, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy.geoindex"
    shutil.copytree(small_index.path, copy)
    path = search_files(copy).rows(ENTITIES) if damage == "rows" else copy / MANIFEST
    path.write_bytes(path.read_bytes()[:100])
    words = {"rows": "geoindex check", "manifest": "no index"}
    with pytest.raises(SourceError, match=words[damage]):
        geoindex.build(copy, tmp_path / "new.geoindex")
    assert not (tmp_path / "new.geoindex").exists()
