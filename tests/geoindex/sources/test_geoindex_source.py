"""An index is a source: what was read once is read again, without the file it came from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import geoindex
from cli.app import app
from geoindex.api import Index
from geoindex.errors import IndexDamagedError, SourceError
from geoindex.pipeline.read import open_source
from geoindex.storage.layout import ENTITIES, MANIFEST, search_files


def columns(index: Index) -> dict[str, list[object]]:
    names = (
        "feature_id", "osm_type", "osm_id", "osm_version", "kind", "name", "content_hash",
        "tags", "geometry", "lon", "lat", "cell",
    )  # fmt: skip
    return {name: index.entities.table[name].to_pylist() for name in names}


def test_an_index_built_from_an_index_has_the_same_entities_and_vectors(
    small_index: Index, tmp_path: Path
) -> None:
    again = geoindex.build(
        small_index.path, tmp_path / "again.geoindex", resolution=(8, 9), encoder="geojepa"
    )
    assert columns(again) == columns(small_index)
    np.testing.assert_array_equal(
        again.vectors(ENTITIES, focus="context"), small_index.vectors(ENTITIES, focus="context")
    )
    assert again.manifest.sources[0]["format"] == "geoindex"
    assert again.manifest.licence == small_index.manifest.licence
    assert again.manifest.attribution == small_index.manifest.attribution


def test_a_cell_and_a_box_are_those_of_a_build_from_the_map(
    small_index: Index, small_map: Path, tmp_path: Path
) -> None:
    wanted = {"resolution": 7, "bbox": (24.9, 60.1, 24.943, 60.2), "encoder": "tagpool"}
    ours, theirs = (
        geoindex.build(source, tmp_path / name, **wanted)
        for source, name in ((small_index.path, "ours"), (small_map, "theirs"))
    )
    assert 0 < len(theirs.entities.table) < len(small_index.entities.table)
    assert columns(ours) == columns(theirs)
    np.testing.assert_array_equal(ours.vectors("cells"), theirs.vectors("cells"))


def test_its_entities_count_once_beside_the_map_they_came_from(
    small_index: Index, small_map: Path, tmp_path: Path
) -> None:
    both = geoindex.build(
        [small_index.path, small_map], tmp_path / "both", resolution=(8, 9), encoder="tagpool"
    )
    assert columns(both) == columns(small_index)
    assert both.manifest.notes["duplicates"] == len(small_index.entities.table)


def test_the_command_builds_from_an_index(small_index: Index, tmp_path: Path) -> None:
    output = tmp_path / "again.geoindex"
    command = ["build", str(small_index.path), "-o", str(output), "--encoder", "tagpool"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    again = geoindex.open(output)
    assert again.entities.table["feature_id"].to_pylist()
    assert len(again.entities.table) == len(small_index.entities.table)


def test_its_vectors_are_no_part_of_what_a_source_is(
    small_index: Index, small_map: Path, tmp_path: Path
) -> None:
    other = geoindex.build(small_map, tmp_path / "pool", resolution=(8, 9), encoder="tagpool")
    ours, theirs = (open_source(index.path).describe() for index in (small_index, other))
    assert ours.blake2b == theirs.blake2b


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no index"):
        open_source(tmp_path)


def test_an_index_without_its_rows_says_so(small_index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "copy.geoindex"
    shutil.copytree(small_index.path, copy)
    search_files(copy).rows(ENTITIES).unlink()
    with pytest.raises(SourceError, match=r"cannot read .*entities\.arrow"):
        geoindex.build(copy, tmp_path / "new.geoindex")


@pytest.mark.parametrize("damage", ["rows", "manifest"])
def test_a_damaged_index_says_so(small_index: Index, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy.geoindex"
    shutil.copytree(small_index.path, copy)
    path = search_files(copy).rows(ENTITIES) if damage == "rows" else copy / MANIFEST
    path.write_bytes(path.read_bytes()[:100])
    words = {"rows": "geoindex check", "manifest": "no index"}
    with pytest.raises(SourceError, match=words[damage]):
        geoindex.build(copy, tmp_path / "new.geoindex")
    assert not (tmp_path / "new.geoindex").exists()


def test_rubbish_inside_of_the_rows_is_told(small_index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "copy.geoindex"
    shutil.copytree(small_index.path, copy)
    path = search_files(copy).rows(ENTITIES)
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 2000] = b"\xff" * 2000
    path.write_bytes(bytes(content))
    with pytest.raises(SourceError, match="geoindex check"):
        geoindex.build(copy, tmp_path / "new.geoindex")


def test_an_index_of_another_version_is_refused(small_index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "copy.geoindex"
    shutil.copytree(small_index.path, copy)
    manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
    (copy / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 99}), "utf-8")
    with pytest.raises(IndexDamagedError, match="schema version 99"):
        open_source(copy).describe()
