"""What is written appears whole or not at all, through no link, and leaves nothing behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import geoindex
from geoindex.errors import UsageError
from geoindex.storage.filesystem import (
    exchange,
    local_path,
    map_matrix,
    new_folder,
    new_matrix,
    write_json,
    writing,
)


@pytest.mark.parametrize("address", ["s3://bucket/a.geoindex", "https://host/a.geoindex"])
def test_an_address_is_refused_in_words(address, small_map, tmp_path):
    for use in (
        lambda: local_path(address),
        lambda: geoindex.open(address),
        lambda: geoindex.build(small_map, address),
    ):
        with pytest.raises(UsageError, match=f"{address} is not on this machine"):
            use()


@pytest.mark.parametrize("path", ["a.geoindex", "/s3/a", "C:/maps/a.geoindex", "a:b/c", "s3:a"])
def test_a_path_is_a_path(path):
    assert local_path(path) == Path(path)


def test_nobody_can_guess_the_name_that_grows(tmp_path):
    names = set()
    for _ in range(3):
        with writing(tmp_path / "a.json") as unfinished:
            names.add(unfinished.name)
    assert len(names) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(UnicodeEncodeError), writing(path) as unfinished:
        unfinished.write_text("half \udcff", "utf-8")
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from geoindex.storage.filesystem import new_folder, writing
with writing(Path(sys.argv[1])) as path, new_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_writers_left_is_deleted_and_what_is_being_written_is_not(tmp_path):
    path = tmp_path / "a.json"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    left = list(tmp_path.iterdir())
    assert len(left) == 2
    other = tmp_path / ".b.json.0123456789abcdef.unfinished"
    other.write_text("of another file")
    with writing(path) as unfinished:
        old = time.time() - 3600
        for each in (*left, other, unfinished):
            os.utime(each, (old, old))
        write_json(path, 2)
        assert not any(each.exists() for each in left)
        assert other.exists()
        assert unfinished.exists()


def test_a_full_disk_is_an_error_where_the_matrix_is_made(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        new_matrix(tmp_path / "a.npy", np.float32, (10, 4))


def test_a_matrix_has_its_room_on_the_disk(tmp_path):
    path = tmp_path / "a.npy"
    matrix = new_matrix(path, np.float16, (100_000, 4))
    assert path.stat().st_blocks * 512 >= 800_000
    matrix[:] = 3
    assert np.array_equal(map_matrix(path), np.full((100_000, 4), 3, np.float16))
    new_matrix(path, np.int32, (0, 4))
    assert map_matrix(path).shape == (0, 4)


@pytest.mark.parametrize("in_one_step", [True, False])
def test_folders_change_places(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr("geoindex.storage.filesystem._exchanged", lambda *_paths: False)
    place = tmp_path / "place"
    for text in ("first", "second"):
        with new_folder(place) as folder:
            (folder / "content").write_text(text)
            exchange(folder, place)
    assert (place / "content").read_text() == "second"
    assert list(tmp_path.iterdir()) == [place]
