"""An index that is not whole says so; it never answers wrongly or with another fault."""

import json
import os
import shutil
from pathlib import Path

import lance
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geoindex
from geoindex.errors import IndexDamagedError, InvalidIdError, NotInIndexError, UsageError
from geoindex.index import IndexReader
from geoindex.storage.consistency import TablesChangedError
from geoindex.storage.layout import SCHEMA_VERSION, search_files, table_path


@pytest.fixture
def copy(small_index, tmp_path):
    """Return a copy of the small index that a test may spoil."""
    return Path(shutil.copytree(small_index.path, tmp_path / "copy.geoindex"))


def ask_everything(path):
    """Open an index and touch each of its files."""
    index = geoindex.open(path)
    name = index.entities.record(1)["feature_id"]
    for focus in ("own", "context"):
        index.query(name, focus=focus, where="amenity", k=3).to_text("geojson")
    index.query(name, cells=True)


def assert_damaged(path, match):
    with pytest.raises(IndexDamagedError, match=match) as caught:
        ask_everything(path)
    assert caught.value.exit_code == 4
    assert str(path) in str(caught.value)


def search_names(index: IndexReader) -> list[str]:
    names = {path.name for path in search_files(index.path).folder.iterdir()}
    # opening reads no checksums
    return sorted(names - {"checksums.txt"})


def test_a_whole_index_answers(copy):
    ask_everything(copy)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_search_file_that_was_cut(small_index, copy, share):
    for name in search_names(small_index):
        path = copy / "search" / name
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        assert_damaged(copy, name)
        path.write_bytes(whole)
    ask_everything(copy)


def test_a_search_file_that_is_missing(small_index, copy):
    for name in search_names(small_index):
        path = copy / "search" / name
        aside = path.rename(copy / "aside")
        assert_damaged(copy, name)
        aside.rename(path)
    shutil.rmtree(copy / "search")
    assert_damaged(copy, "sidecar.json cannot be read")


@pytest.mark.parametrize("name", ["entities.arrow", "tags.arrow", "own", "tag_offsets"])
def test_a_search_file_of_the_same_size_that_holds_nothing(copy, name):
    path = min((copy / "search").glob(f"*{name}*"), key=lambda each: len(each.name))
    path.write_bytes(bytes(path.stat().st_size))
    assert_damaged(copy, "a search file is damaged")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"tables": {}, "files": 3, "changed": {}}', "[" * 100_000]
)
def test_a_record_that_is_none(copy, text):
    search_files(copy).record.write_text(text)
    assert_damaged(copy, "sidecar.json")


@pytest.mark.parametrize("table", ["entities", "cells"])
@pytest.mark.parametrize("change", ["append", "delete", "overwrite"])
def test_a_table_that_somebody_changed(copy, table, change):
    dataset = lance.dataset(str(table_path(copy, table)))
    rows = dataset.to_table()
    if change == "append":
        lance.write_dataset(rows.slice(0, 1), dataset.uri, mode="append")
    elif change == "delete":
        dataset.delete(f"cell = {rows['cell'][0].as_py()}")
    else:
        lance.write_dataset(rows, dataset.uri, mode="overwrite")
    with pytest.raises(TablesChangedError, match="tables were changed"):
        IndexReader(copy)


def test_a_table_that_is_missing(copy):
    shutil.rmtree(table_path(copy, "cells"))
    assert_damaged(copy, "'cells' is missing")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "install the geoindex that made it"),
        ({"schema_version": SCHEMA_VERSION - 1}, "build it again"),
        ({"schema_version": "1"}, "of another kind"),
        ({"format": "shapefile"}, "of another kind"),
        ({"counts": None}, "is damaged"),
        ({"counts": {}}, "is damaged"),
        ({"encoder": {"name": "tagpool"}}, "is damaged"),
        ({"settings": {"resolutions": []}}, "is damaged"),
        ({"settings": {"resolutions": ["9"]}}, "is damaged"),
        ({"skipped": []}, "is damaged"),
        ({"unknown": 1}, "is damaged"),
    ],
)
def test_a_manifest_of_another_kind(copy, change, match):
    path = copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change))
    assert_damaged(copy, match)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_manifest_that_is_none(copy, content):
    (copy / "manifest.json").write_bytes(content)
    assert_damaged(copy, "is no geoindex")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
@given(data=st.data())
def test_a_manifest_with_any_member_changed_opens_or_is_damaged(copy, data):
    path = copy / "manifest.json"
    whole = path.read_text("utf-8")
    content = json.loads(whole)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=4,
    )
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(anything)
    path.write_text(json.dumps(content))
    try:
        repr(geoindex.open(copy))
        ask_everything(copy)
    except IndexDamagedError:
        pass
    finally:
        path.write_text(whole, "utf-8")


def test_a_folder_that_is_none(tmp_path, small_map):
    assert_damaged(tmp_path / "nowhere.geoindex", "there is no index")
    assert_damaged(tmp_path, "is no geoindex")
    assert_damaged(small_map, "is no geoindex")


def test_vectors_of_another_encoder_are_not_compared(copy):
    path = copy / "manifest.json"
    content = json.loads(path.read_text("utf-8"))
    content["encoder"]["fingerprint"] = "0" * 32
    path.write_text(json.dumps(content))
    index = geoindex.open(copy)
    assert len(index.query(index.entities.record(0)["feature_id"], k=2)) == 2
    with pytest.raises(IndexDamagedError, match="cannot be compared"):
        index.query(tags="amenity=cafe")


def test_an_index_may_lie_elsewhere(copy, small_index, monkeypatch):
    monkeypatch.chdir(copy.parent)
    name = small_index.entities.record(0)["feature_id"]
    moved = Path(shutil.move(copy, copy.with_name("über uns.geoindex"))).name
    assert geoindex.query(moved, name).ids == small_index.query(name).ids


def test_reading_needs_no_right_to_write(copy):
    for folder, _, names in os.walk(copy):
        for name in names:
            (Path(folder) / name).chmod(0o444)
    ask_everything(copy)
    assert not geoindex.open(copy).vectors("entities").flags.writeable


def test_every_id_finds_its_row_in_every_form(small_index):
    for row, name in enumerate(small_index.entities.table["feature_id"].to_pylist()):
        short = f"{name[0]}{name.split('/')[1]}"
        version = small_index.entities.record(row)["osm_version"]
        forms = [name, short, short.upper(), f"{short}@{version}", f" {name} "]
        forms.append(f"https://www.openstreetmap.org/{name}")
        assert [small_index.row_of(form) for form in forms] == [row] * len(forms)


def test_every_row_is_taken_as_it_stands(real_index):
    rng = np.random.default_rng(0)
    for held in (real_index.entities, real_index.cells):
        rows = np.append(rng.integers(0, len(held), 50), [0, len(held) - 1, 0])
        plain = [held.table.slice(row, 1).to_pylist()[0] for row in rows.tolist()]
        assert held.take(rows).to_pylist() == plain
        assert held.take([]).num_rows == 0


def test_what_is_not_there_names_what_is_near(small_index):
    held = small_index.entities.where_equal("osm_type", "way")
    number = int(small_index.entities.column("osm_id")[held[0]])
    with pytest.raises(NotInIndexError, match=f"nearest ids: way/{number}"):
        small_index.row_of(f"node/{number}")
    with pytest.raises(NotInIndexError, match="nearest ids: way/"):
        small_index.row_of("way/999999999999")
    with pytest.raises(NotInIndexError, match=f"holds version 2 of way/{number}, not 7"):
        small_index.row_of(f"way/{number}@7")
    with pytest.raises(NotInIndexError, match="is not among the"):
        small_index.row_of("08b2a100-d0d6-5fff-0200-8f5aaf2b2b2b")
    with pytest.raises(InvalidIdError, match="may be a node, a way or a relation"):
        small_index.row_of(str(number))


def test_a_cell_is_found_in_every_resolution(small_index):
    cells = small_index.cells.column("cell").tolist()
    assert [small_index.cell_row(cell) for cell in cells] == list(range(len(cells)))
    with pytest.raises(NotInIndexError, match="not of resolution 8, 9"):
        small_index.cell_row(0x8009FFFFFFFFFFF)


def test_vectors_have_the_shapes_that_the_manifest_says(small_index):
    made_by = small_index.manifest.encoder
    for focus in ("own", "context"):
        shape = small_index.vectors("entities", focus=focus).shape
        assert shape == (len(small_index.entities), made_by["dim"])
    assert small_index.vectors("cells").shape == (len(small_index.cells), made_by["region_dim"])
    with pytest.raises(UsageError, match="no focus 'image'"):
        small_index.vectors("entities", focus="image")
