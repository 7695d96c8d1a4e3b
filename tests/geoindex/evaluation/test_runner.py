import dataclasses
import json

import numpy as np
import pytest

from geoindex.errors import UsageError
from geoindex.evaluation import races, runner
from geoindex.evaluation.baselines.base import NoVarianceError
from geoindex.evaluation.markdown import markdown, plain, score_lines
from geoindex.evaluation.quick_heads import HEADS, Matrix, predict
from geoindex.evaluation.results import Record, best_heads, ranks_of, read_results
from geoindex.evaluation.runner import evaluate
from geoindex.evaluation.settings import Settings
from geoindex.evaluation.splits import random_folds
from tests.geoindex.evaluation.planted_maps import grid_view

OPTIONS = {"tasks": ["shops"], "rows": ["constant", "counts"], "seeds": 2, "retrieval": False}


@pytest.fixture
def grid(small_index, monkeypatch):
    """Let the runner read a planted map whatever index it is given."""
    view = grid_view(places=4)
    monkeypatch.setattr(runner, "load_view", lambda *_, **__: view)
    monkeypatch.setattr(runner, "_opened", lambda _: [small_index] * 4)
    return view


def found(results, **wanted):
    return [
        record
        for record in results.records
        if all(getattr(record, name) == value for name, value in wanted.items())
    ]


@pytest.mark.parametrize("head", HEADS)
def test_heads_learn_a_line_and_a_class(head):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((600, 4)).astype(np.float32)
    y = vectors @ np.array([3.0, 0, 0, 0]) + 10
    folds = random_folds(600)
    told = predict(head, Matrix(vectors), y, folds, kind="regression", seed=0)
    assert np.corrcoef(told.predicted, y)[0, 1] > 0.9
    told = predict(head, Matrix(vectors), y > 10, folds, kind="classification", seed=0)
    assert (told.predicted == (y > 10)).mean() > 0.85
    assert told.scores.shape == (600, 2)


def test_ridge_agrees_with_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((200, 30)) * rng.uniform(0.1, 9, 30)).astype(np.float32)
    y = vectors @ rng.standard_normal(30) + rng.standard_normal(200)
    folds = random_folds(200, seed=1)
    told = predict("ridge", Matrix(vectors), y, folds, kind="regression", seed=0)
    fold = folds[0]
    scaled = Matrix(vectors).standard
    rows = np.concatenate([fold.train, fold.validation])
    answers = [
        Ridge(penalty).fit(scaled[rows], y[rows]).predict(scaled[fold.test])
        for penalty in (10.0, 100.0, 1000.0, 10000.0)
    ]
    assert min(np.abs(answer - told.predicted[fold.test]).max() for answer in answers) < 1e-3


@pytest.mark.parametrize("head", HEADS)
def test_one_seed_gives_the_same_predictions(head):
    rng = np.random.default_rng(0)
    vectors, y = rng.standard_normal((100, 5)).astype(np.float32), rng.standard_normal(100)
    folds = random_folds(100)
    first, again = (
        predict(head, Matrix(vectors), y, folds, kind="regression", seed=3).predicted
        for _ in range(2)
    )
    assert np.array_equal(first, again)


def test_planted_labels_are_recovered(grid):
    results = evaluate("any", **OPTIONS)
    for masked in (False, True):
        best = max(
            record.value for record in found(results, row="counts", masked=masked, metric="r2")
        )
        constant = found(results, row="constant", masked=masked, metric="r2", head="ridge")[0]
        # benches are as many as shops, so even masked nothing is hidden from counts
        assert best > 0.9
        assert constant.value < 0.05
        assert constant.low <= constant.value <= constant.high


@pytest.mark.parametrize("split", ["spatial", "random", "places"])
def test_every_split_gives_a_score_for_every_head(grid, split):
    results = evaluate("any", **{**OPTIONS, "split": split, "seeds": 1})
    heads = {record.head for record in found(results, split=split, row="counts", masked=True)}
    assert heads == set(HEADS)
    folds = found(results, split=split)[0].per_fold
    assert len(folds[0]) == (4 if split == "places" else 5)


def test_the_cache_is_used_and_a_stopped_run_goes_on(grid, tmp_path, monkeypatch):
    judged = []
    real = races.judge

    def counting(*args, **options):
        judged.append(1)
        return real(*args, **options)

    monkeypatch.setattr(races, "judge", counting)
    first = evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert len(judged) == 2 * 2 * 2  # maskings, rows, seeds
    judged.clear()
    again = evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert not judged
    assert again.records == first.records
    next(tmp_path.rglob("*.json")).unlink()
    evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert len(judged) == 1


def test_results_survive_the_file(grid, tmp_path):
    results = evaluate("any", **OPTIONS)
    results.write(tmp_path / "results.json")
    read = read_results(tmp_path / "results.json")
    assert read.as_dict() == results.as_dict()
    assert "NaN" not in (tmp_path / "results.json").read_text()
    meta = json.loads((tmp_path / "results.json").read_text())["meta"]
    assert meta["tasks"][0]["n"]["visible"] == len(grid.cell_ids)
    assert results.errors[0]["task"] == "shops"


def test_a_row_of_zeros_stops_the_run_by_its_name(grid):
    class Zeros:
        name, title, fingerprint, focuses = "zeros", "nothing", "0", ()

        def fit(self, view):
            return self

        def cell_vectors(self, view):
            return np.zeros((len(view.cell_ids), 3), np.float32)

    with pytest.raises(NoVarianceError, match="zeros"):
        evaluate("any", **{**OPTIONS, "rows": [Zeros()]})


def test_a_task_with_too_few_labels_is_left_out_and_said(grid):
    results = evaluate("any", **{**OPTIONS, "tasks": ["bridges_count", "shops"]})
    assert any("bridges_count" in note and "left out" in note for note in results.notes)
    assert not found(results, task="bridges_count")


def test_tables_say_the_numbers(grid):
    results = evaluate("any", **{**OPTIONS, "retrieval": True, "rows": ["counts", "tagpool"]})
    text = markdown(results)
    assert "| shops (masked) | r2 |" in text
    assert "half_to_half_mrr" in text
    assert plain(score_lines(results, "spatial", "cell")).startswith("task")
    assert {item["row"] for item in results.examples} <= {"counts", "tagpool"}
    assert len(results.maps["tagpool"]["points"][0]) == 3


def test_unknown_words_are_refused(grid):
    with pytest.raises(UsageError, match="no split 'random_forest'"):
        Settings(split="random_forest")
    with pytest.raises(UsageError, match="no head 'svm'"):
        evaluate("any", **{**OPTIONS, "heads": ["svm"]})


def record(row, value, *, task="a", higher=True, head="ridge", focus=None):
    return Record(
        "spatial", task, task, "cell", False, row, focus, head, "m", higher,
        value, value, value, [value], [[value]], 10, True,
    )  # fmt: skip


def test_ranks_by_hand():
    records = [
        record("x", 0.9), record("y", 0.5), record("z", 0.5),
        record("x", 3.0, task="b", higher=False), record("y", 1.0, task="b", higher=False),
    ]  # fmt: skip
    ranks = {(rank.row, rank.head): rank.mean_rank for rank in ranks_of(records)}
    assert ranks["x", "ridge"] == pytest.approx((1 + 2) / 2)
    assert ranks["y", "ridge"] == pytest.approx((2.5 + 1) / 2)
    assert ranks["z", "best"] == pytest.approx(2.5)


def test_the_best_head_is_the_one_with_the_better_score():
    records = [record("x", 0.2), dataclasses.replace(record("x", 0.4), head="mlp")]
    assert [item.head for item in best_heads(records)] == ["mlp"]
