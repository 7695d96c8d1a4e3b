import datetime as dt
import shutil
import subprocess

import lance
import pytest

import geoindex
from geoindex.errors import IndexDamagedError
from geoindex.search.build_ann import reindex
from geoindex.storage.checksums import damaged_files
from geoindex.storage.layout import search_files


@pytest.fixture
def copy(small_index, tmp_path):
    return shutil.copytree(small_index.path, tmp_path / "copy.geoindex")


def flip(path):
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def test_every_file_is_as_recorded(copy):
    assert damaged_files(copy, search_files(copy)) == {}
    if shutil.which("b2sum"):
        subprocess.run(["b2sum", "--quiet", "-c", "search/checksums.txt"], cwd=copy, check=True)


def test_what_is_wrong_with_a_file_is_named(copy):
    flip(copy / "manifest.json")
    (copy / "search/tags.arrow").unlink()
    (copy / "search/more.npy").touch()
    assert damaged_files(copy, search_files(copy)) == {
        "manifest.json": "differs from its checksum",
        "search/tags.arrow": "is missing",
        "search/more.npy": "has no checksum",
    }


def test_a_changed_record_is_damaged(copy):
    record = search_files(copy).checksums
    record.write_bytes(record.read_bytes() + b"\n")
    assert damaged_files(copy, search_files(copy)) == {"search/checksums.txt": "is damaged"}


def test_a_damaged_table_is_no_changed_one(copy):
    (version,) = (copy / "entities.lance/_versions").glob("*.manifest")
    flip(version)
    with pytest.raises(IndexDamagedError, match="manifest differs from its checksum"):
        geoindex.open(copy)


def test_old_versions_may_be_deleted(copy):
    table = lance.dataset(str(copy / "entities.lance"))
    table.delete("osm_id = 3")
    with pytest.warns(UserWarning, match="made anew"):
        index = geoindex.open(copy)
    lance.dataset(table.uri).cleanup_old_versions(
        older_than=dt.timedelta(0), delete_unverified=True
    )
    assert damaged_files(copy, index.files) == {}


def test_a_table_made_again_under_its_name_is_a_changed_one(copy):
    place = copy / "entities.lance"
    rows = lance.dataset(str(place)).to_table().slice(0, 40)
    shutil.rmtree(place)
    lance.write_dataset(rows, str(place))
    with pytest.warns(UserWarning, match="made anew"):
        assert len(geoindex.open(copy).entities) == 40


def test_what_is_damaged_gets_no_new_checksum(copy):
    flip(copy / "search/entities.own.npy")
    with pytest.raises(IndexDamagedError, match=r"own\.npy differs from its checksum"):
        reindex(copy, "none")
