import json

import numpy as np
import pytest

from geoindex.errors import UsageError
from geoindex.evaluation import comparisons, run
from geoindex.evaluation.baselines.base import NoVarianceError
from geoindex.evaluation.report.markdown import markdown, plain, score_lines
from geoindex.evaluation.results import Record, chosen_heads, ranks_of, read_results
from geoindex.evaluation.run import evaluate
from geoindex.evaluation.score_heads import CHOSEN, HEADS
from geoindex.evaluation.settings import Settings
from tests.support.map_views import grid_view

OPTIONS = {"tasks": ["shops"], "rows": ["constant", "counts"], "seeds": 2, "retrieval": False}


@pytest.fixture
def grid(small_index, monkeypatch):
    """Let the runner read a planted map whatever index it is given."""
    view = grid_view(places=4)
    monkeypatch.setattr(run, "load_view", lambda *_, **__: view)
    monkeypatch.setattr(run, "_opened", lambda _: [small_index] * 4)
    return view


def found(results, **wanted):
    return [
        record
        for record in results.records
        if all(getattr(record, name) == value for name, value in wanted.items())
    ]


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
    assert heads == {*HEADS, CHOSEN}
    folds = found(results, split=split)[0].per_fold
    assert len(folds[0]) == (4 if split == "places" else 5)


def test_the_cache_is_used_and_a_stopped_run_goes_on(grid, tmp_path, monkeypatch):
    judged = []
    real = comparisons.judge

    def counting(*args, **options):
        judged.append(1)
        return real(*args, **options)

    monkeypatch.setattr(comparisons, "judge", counting)
    first = evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert len(judged) == 2 * 2 * 2  # maskings, rows, seeds
    judged.clear()
    again = evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert not judged
    assert again.records == first.records
    assert again.comparisons == first.comparisons
    next(tmp_path.rglob("*.json")).unlink()
    evaluate("any", **{**OPTIONS, "heads": ["ridge"], "cache": tmp_path})
    assert len(judged) == 1
    judged.clear()
    rows = [*OPTIONS["rows"], "svd"]
    evaluate("any", **{**OPTIONS, "rows": rows, "heads": ["ridge"], "cache": tmp_path})
    assert len(judged) == 2 * 1 * 2  # one row more costs that row


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
    assert ranks["z", "ridge"] == pytest.approx(2.5)


def test_only_validation_rows_choose_the_head(grid):
    """The chosen head of every fold has the best validation score, whatever the test says."""
    results = evaluate("any", **{**OPTIONS, "rows": ["counts", "svd"]})
    for row in ("counts", "svd"):
        for masked in (False, True):
            records = {r.head: r for r in found(results, row=row, masked=masked, metric="r2")}
            chosen = records.pop(CHOSEN)
            for seed, folds in enumerate(chosen.validation):
                for fold, value in enumerate(folds):
                    heads = {head: r.validation[seed][fold] for head, r in records.items()}
                    assert value == max(heads.values())
                    best = max(heads, key=heads.get)
                    wanted = records[best].per_fold[seed][fold]
                    assert chosen.per_fold[seed][fold] == pytest.approx(wanted)
            assert sum(chosen.picked.values()) == 2 * 5


def test_ranks_and_tables_take_the_chosen_heads(grid):
    results = evaluate("any", **{**OPTIONS, "rows": ["counts", "tagpool"]})
    assert {rank.head for rank in results.ranks} == {*HEADS, CHOSEN}
    assert {r.head for r in chosen_heads(results.records)} == {CHOSEN}
    line = next(line for line in score_lines(results, "spatial", "cell") if "(masked)" in line[0])
    for label, cell in zip(("counts", "tagpool"), line[3:], strict=True):
        chosen = found(results, row=label, masked=True, metric="r2", head=CHOSEN)[0]
        assert f"{chosen.value:.3f}" in cell


def test_all_that_tells_can_be_hidden_at_once(grid):
    options = {**OPTIONS, "split": Settings(hide="all")}
    alone = evaluate("any", **{**options, "rows": ["counts"]})
    # benches are as many as shops
    assert found(alone, task="shops", metric="r2", head=CHOSEN)[0].value > 0.9
    assert all(record.masked for record in alone.records)
    # they are amenities: hidden too, nothing is left but a bus stop in each cell
    with pytest.raises(NoVarianceError, match="counts"):
        evaluate("any", **{**options, "rows": ["counts"], "tasks": ["shops", "amenities"]})


def test_what_tells_of_entities_is_not_hidden_for_all(grid):
    options = {**OPTIONS, "tasks": ["shops", "road_class"], "split": Settings(hide="all")}
    with pytest.raises(UsageError, match="want tasks: shops"):
        evaluate("any", **options)


def test_a_row_of_cells_alone_is_said_to_miss_the_entities(grid):
    class Cells:
        name, title, fingerprint, focuses = "mine", "number of the cell", "0", ()

        def fit(self, view):
            return self

        def cell_vectors(self, view):
            return np.arange(len(view.cell_ids), dtype=np.float32)[:, None]

    results = evaluate("any", **{**OPTIONS, "tasks": ["road_class", "shops"], "rows": [Cells()]})
    assert any("mine: embeds cells only" in note for note in results.notes)
