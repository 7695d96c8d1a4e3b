import json
import shutil

import pytest

import geoindex
from geoindex.errors import NotInIndexError, OutputError, UsageError
from tests.support.command import run


@pytest.fixture(scope="module")
def grid(label_index):
    return label_index


def test_guesses_are_printed_with_those_who_say_so(grid):
    found = run("guess", grid.path, "--where", "shop=*", "-k", 1, "-q")
    assert found.exit_code == 0, found.output
    first, guess, *_ = found.stdout.splitlines()
    assert first.startswith("node/")
    assert "%" in guess


def test_files_take_their_form_from_their_name(grid, tmp_path):
    words = ["guess", grid.path, "--where", "shop=*", "-q", "-o"]
    assert run(*words, tmp_path / "g.json").exit_code == 0
    entities = json.loads((tmp_path / "g.json").read_text())["entities"]
    assert {"feature_id", "kind", "guesses"} <= set(entities[0])
    assert isinstance(run(*words, tmp_path / "g.json").exception, OutputError)
    assert "want one of .json, .csv, .txt" in run(*words, tmp_path / "g.pdf").stderr


def test_what_cannot_be_guessed_is_said(grid):
    with pytest.raises(UsageError, match="which entities"):
        geoindex.open(grid.path).guess()
    with pytest.raises(UsageError, match="measured from examples"):
        geoindex.open(grid.path).guess(not_within="1km")
    with pytest.raises(NotInIndexError, match="node/999999; no entity of"):
        geoindex.open(grid.path).guess(ids=["node/999999"])


def test_another_map_may_answer(grid, tmp_path):
    other = tmp_path / "other.geoindex"
    shutil.copytree(grid.path, other)
    found = geoindex.open(grid.path).guess(where="shop=*", learn_from=[other], k=1)
    assert found[0].guesses[0].probability > 0
