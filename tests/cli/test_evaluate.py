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
    words = ["--tasks", "shops", "--methods", "constant,counts,tagpool", "--heads", "ridge"]
    files = ["-o", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    found = run("evaluate", grid.path, *words, "--seeds", 1, *files, "--cache", tmp_path / "cache")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("task")
    # each cell of this map holds one thing: without its shops no cell is left
    assert "note: shops masked: left out" in found.stderr
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["format"] == "geoindex-evaluation"
    assert "| shops | r2 |" in (tmp_path / "r.md").read_text()
    assert list((tmp_path / "cache").rglob("*.json"))


def test_the_old_name_of_methods_still_works(grid, tmp_path):
    found = run("evaluate", grid.path, "--rows", "counts,bert", "--cache", tmp_path)
    assert "no method 'bert'" in str(found.exception)
    assert "--rows" not in run("evaluate", "--help").output


def test_a_file_that_is_there_is_kept_before_any_work(grid, tmp_path):
    (tmp_path / "r.json").write_text("mine")
    found = run("evaluate", grid.path, "-o", tmp_path / "r.json")
    assert isinstance(found.exception, OutputError)
    assert (tmp_path / "r.json").read_text() == "mine"


def test_unknown_tasks_are_refused(grid, tmp_path):
    found = run("evaluate", grid.path, "--tasks", "cafes", "--cache", tmp_path)
    assert isinstance(found.exception, UsageError)
    assert "want some of signals_present" in str(found.exception)


def test_search_is_judged_in_place_of_tasks(grid, tmp_path):
    words = ["--search", "--measures", "kind_visible_same_place,own_cell", "--seeds", 1]
    files = ["-o", tmp_path / "s.json", "--markdown", tmp_path / "s.md"]
    found = run("evaluate", grid.path, *words, "--methods", "counts", *files, "--cache", tmp_path)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("measure")
    assert json.loads((tmp_path / "s.json").read_text())["format"] == "geoindex-search"
    assert "| own_cell (less) | 1 |" in (tmp_path / "s.md").read_text()


def test_options_of_the_other_kind_are_refused(grid, tmp_path):
    for words, wanted in (
        (["--search", "--tasks", "shops"], "want --measures with --search"),
        (["--search", "--report", tmp_path / "r.html"], "want --markdown or -o with --search"),
        (["--measures", "tall"], "--measures is of --search"),
        (["--search", "--measures", "speed"], "no measure speed"),
    ):
        found = run("evaluate", grid.path, *words)
        assert found.exit_code != 0
        assert wanted in (found.output + found.stderr + str(found.exception))
