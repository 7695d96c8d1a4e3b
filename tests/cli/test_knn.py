import json

import pytest

from geoindex.errors import InvalidLabelsError, OutputError
from geoindex.geo.h3 import format_cell
from tests.support.command import run
from tests.support.labels import kinds_csv, write_csv


@pytest.fixture(scope="module")
def grid(label_index):
    return label_index


@pytest.fixture(scope="module")
def labels(grid, tmp_path_factory):
    return kinds_csv(grid, tmp_path_factory.mktemp("labels") / "kinds.csv", step=2)


def test_scores_go_to_stdout_and_words_to_stderr(grid, labels):
    found = run("knn", grid.path, labels, "--focus", "own")
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.stdout.splitlines()] == [
        "metric",
        "macro_f1",
        "accuracy",
        "auroc",
    ]
    assert "5 spatial folds" in found.stderr
    assert "head knn" in found.stderr


def test_a_random_split_says_so_loudly(grid, labels):
    assert "RANDOM" in run("knn", grid.path, labels, "--split", "random").stderr


def test_json_holds_the_whole_report(grid, labels):
    found = run(
        "knn", grid.path, labels, "--json", "-k", 3, "--unweighted", "--folds", 3, "--seed", 2
    )
    content = json.loads(found.stdout)
    assert (content["k"], content["weighted"], content["num_folds"], content["seed"]) == (
        3,
        False,
        3,
        2,
    )


def test_quiet_says_nothing(grid, labels):
    assert run("knn", grid.path, labels, "-q").stderr == ""


def test_predictions_are_written(grid, labels, tmp_path):
    output = tmp_path / "told.csv"
    found = run("knn", grid.path, labels, "--predict", output, "--head", "logistic")
    assert found.exit_code == 0, found.output
    assert len(output.read_text().splitlines()) == len(grid.entities) // 2 + 1
    assert isinstance(run("knn", grid.path, labels, "--predict", output).exception, OutputError)
    assert run("knn", grid.path, labels, "--predict", output, "--overwrite").exit_code == 0


def test_cells_are_regressed(grid, tmp_path):
    at = grid.cells.column("resolution") == 9
    rows = [(format_cell(cell), i % 7) for i, cell in enumerate(grid.cells.column("cell")[at])]
    path = write_csv(tmp_path / "cells.csv", ("cell", "people"), rows)
    found = run("knn", grid.path, path, "--head", "ridge")
    assert found.exit_code == 0, found.output
    assert "cells of resolution 9" in found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["metric", "r2", "mae"]


def test_labels_that_cannot_be_read_are_a_fault(grid, tmp_path):
    found = run("knn", grid.path, write_csv(tmp_path / "odd.csv", ("a", "b"), [(1, 2)]))
    assert isinstance(found.exception, InvalidLabelsError)


def test_help_starts_with_one_sentence_and_ends_with_an_example():
    lines = [line.strip() for line in run("knn", "--help").stdout.splitlines() if line.strip()]
    assert lines[1].startswith("Score how well")
    assert lines[-1].startswith("Example: geoindex knn monaco.geoindex labels.csv")
