import json
from dataclasses import replace

import numpy as np
import pytest

from geoindex.errors import TooFewBlocksError, UsageError
from geoindex.evaluation.knn import evaluate_labels
from geoindex.evaluation.label_joins import JoinedLabels, join_labels
from geoindex.evaluation.labels import read_labels
from tests.support.labels import kinds_csv


@pytest.fixture(scope="module")
def grid(label_index):
    return label_index


@pytest.fixture(scope="module")
def kinds(grid, tmp_path_factory) -> JoinedLabels:
    path = kinds_csv(grid, tmp_path_factory.mktemp("labels") / "kinds.csv")
    return join_labels(grid, read_labels(path))


def numbers(labels, y) -> JoinedLabels:
    return replace(labels, y=np.asarray(y, float), task="regression", name="number")


def value(report, name):
    return {score.name: score for score in report.scores}[name].value


@pytest.mark.parametrize("head", ["knn", "logistic", "mlp"])
def test_kinds_are_told_from_vectors(grid, kinds, head):
    report = evaluate_labels(grid, kinds, head=head, focus="own")
    assert value(report, "macro_f1") > 0.98
    assert value(report, "auroc") > 0.98
    assert report.num_classes == 4
    assert report.constant[0].value < 0.3


@pytest.mark.parametrize("head", ["knn", "ridge", "mlp"])
def test_numbers_that_lie_in_the_vectors_are_told(grid, kinds, head):
    vectors = grid.vectors("entities", focus="own")[kinds.rows]
    y = vectors @ np.random.default_rng(0).normal(size=vectors.shape[1])
    report = evaluate_labels(grid, numbers(kinds, y), head=head, focus="own", num_folds=3)
    assert value(report, "r2") > 0.9
    assert abs(report.constant[0].value) < 0.2


@pytest.mark.parametrize("head", ["knn", "logistic"])
def test_random_labels_are_told_by_chance(grid, kinds, head):
    luck = replace(kinds, y=np.random.default_rng(0).choice(["a", "b"], len(kinds.rows)))
    assert value(evaluate_labels(grid, luck, head=head), "auroc") == pytest.approx(0.5, abs=0.1)


def test_one_seed_makes_the_same_report(grid, kinds):
    first, again = (evaluate_labels(grid, kinds, seed=4) for _ in range(2))
    # BLAS may round otherwise where an array lies otherwise in memory
    for one, other in zip(first.scores, again.scores, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-4)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-4)
    assert (first.notes, first.counts, first.split_words) == (
        again.notes, again.counts, again.split_words,
    )  # fmt: skip


def test_the_report_says_how_rows_were_split(grid, kinds):
    spatial, random = (evaluate_labels(grid, kinds, split=split) for split in ("spatial", "random"))
    assert "blocks" in spatial.split_words
    assert "RANDOM" in random.split_words
    assert len(spatial.scores[0].per_fold) == spatial.num_folds == 5


def test_the_report_is_plain_json(grid, kinds):
    content = json.loads(json.dumps(evaluate_labels(grid, kinds).as_dict(), allow_nan=False))
    assert content["counts"]["rows"] == len(kinds.rows)
    assert {score["name"] for score in content["scores"]} == {"macro_f1", "accuracy", "auroc"}
    assert content["index"]["licence"]


def test_k_is_the_one_given(grid, kinds):
    report = evaluate_labels(grid, kinds, k=7)
    assert (report.k, set(report.k_per_fold)) == (7, {7})


def test_notes_count_what_was_left_out(grid, kinds):
    counts = {**kinds.counts, "missing": 3, "unmatched": 2, "conflicting": 1}
    rare = kinds.y.copy()
    rare[0] = "zoo"
    odd = replace(kinds, y=rare, counts=counts, first_unmatched="way/9")
    notes = "\n".join(evaluate_labels(grid, odd).notes)
    assert "3 labels are empty" in notes
    assert "2 labels match nothing" in notes
    assert "way/9" in notes
    assert "1 entities have labels that differ" in notes
    assert "1 of 5 classes" in notes


def test_what_cannot_be_done_says_so(grid, kinds):
    with pytest.raises(UsageError, match="logistic"):
        evaluate_labels(grid, kinds, head="ridge")
    with pytest.raises(UsageError, match="-k"):
        evaluate_labels(grid, kinds, head="mlp", k=3)
    with pytest.raises(UsageError, match="--split spatial"):
        evaluate_labels(grid, kinds, split="time")
    near = replace(kinds, rows=kinds.rows[:30], y=kinds.y[:30])
    with pytest.raises(TooFewBlocksError):
        evaluate_labels(grid, replace(near, rows=np.repeat(near.rows[:1], 30)))
