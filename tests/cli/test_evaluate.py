import json

import pytest

from geoindex.errors import OutputError, UsageError
from tests.support.command import run


@pytest.fixture(scope="module")
def grid(label_index):
    return label_index


def test_help_starts_with_a_sentence_and_ends_with_an_example():
    text = run("evaluate", "--help").output
    assert "Evaluate vectors on tasks read from the map itself, beside every baseline." in text
    assert "Example: geoindex evaluate monaco.geoindex" in text


def test_tables_go_to_stdout_and_files_are_written(grid, tmp_path):
    words = ["--tasks", "shops", "--rows", "constant,counts,tagpool", "--heads", "ridge"]
    files = ["-o", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    found = run("evaluate", grid.path, *words, "--seeds", 1, *files, "--cache", tmp_path / "cache")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("task")
    # each cell of this map holds one thing: without its shops nothing is left to ask about
    assert "note: shops masked: left out" in found.stderr
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["format"] == "geoindex-evaluation"
    assert "| shops | r2 |" in (tmp_path / "r.md").read_text()
    assert list((tmp_path / "cache").rglob("*.json"))


def test_a_file_that_is_there_is_kept_before_any_work(grid, tmp_path):
    (tmp_path / "r.json").write_text("mine")
    found = run("evaluate", grid.path, "-o", tmp_path / "r.json")
    assert isinstance(found.exception, OutputError)
    assert (tmp_path / "r.json").read_text() == "mine"


def test_unknown_tasks_are_refused(grid, tmp_path):
    found = run("evaluate", grid.path, "--tasks", "cafes", "--cache", tmp_path)
    assert isinstance(found.exception, UsageError)
    assert "want some of signals_present" in str(found.exception)
