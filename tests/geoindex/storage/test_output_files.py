"""A place that cannot be written to is refused before any work is done for it."""

import errno
import os
from pathlib import Path

import pytest

from geoindex.errors import GeoindexError, OutputError
from geoindex.storage.output_files import check_output_file, explained

SUFFIXES = (".parquet", ".geoparquet")


def check(path, *, overwrite=False):
    check_output_file(path, suffixes=SUFFIXES, overwrite=overwrite)


@pytest.mark.parametrize("name", ["a.parquet", "a.geoparquet", "a.PARQUET"])
def test_a_new_file_of_a_known_suffix_is_allowed(tmp_path, name):
    check(tmp_path / name)


def test_a_file_that_is_there_takes_overwrite(tmp_path):
    path = tmp_path / "a.parquet"
    path.touch()
    with pytest.raises(OutputError, match=r"there already\. Replace it with --overwrite"):
        check(path)
    check(path, overwrite=True)


@pytest.mark.parametrize("name", ["a.csv", "a", "a.parquet.gz"])
def test_another_suffix_is_refused_with_an_example(tmp_path, name):
    with pytest.raises(
        OutputError, match=r"end in \.parquet or \.geoparquet\. Example: .*\.parquet"
    ):
        check(tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    folder = tmp_path / "a.parquet"
    folder.mkdir()
    with pytest.raises(OutputError, match="is a folder; want a file such as"):
        check(folder, overwrite=True)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="nowhere is not there; make it first"):
        check(tmp_path / "nowhere" / "a.parquet")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file"):
        check(tmp_path / "file" / "a.parquet")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_device_is_refused(tmp_path):
    pipe = tmp_path / "pipe.parquet"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="no plain file"):
        check(pipe, overwrite=True)


def test_a_closed_folder_is_refused(tmp_path, monkeypatch):
    # root may write everywhere: the system's answer is played
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="permission denied"):
        check(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, GeoindexError), (errno.EDQUOT, GeoindexError), (errno.EROFS, OutputError)],
)
def test_what_the_system_says_is_explained(number, error):
    with pytest.raises(error) as caught, explained(Path("a.parquet")):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is error
    assert os.strerror(number) in str(caught.value)
