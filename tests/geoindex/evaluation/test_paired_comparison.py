import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.evaluation.metrics import resampled_metric
from geoindex.evaluation.paired_comparison import (
    LOSES,
    TIES,
    WINS,
    both_ways,
    flipped,
    paired_difference,
    verdict_of,
)
from geoindex.evaluation.report.markdown import (
    comparison_tables,
    tally_lines,
    trial_lines,
    with_head,
)
from geoindex.evaluation.results import Results
from geoindex.evaluation.splits import random_folds

N, BLOCKS = 600, np.arange(600) // 20
FOLDS = random_folds(N)


def raced(one, other, y, seeds=3):
    draws = [
        np.stack([resampled_metric("r2", y, told, FOLDS, blocks=BLOCKS, num=300)] * seeds)
        for told in (one, other)
    ]
    values = [1 - np.mean((y - told) ** 2) / y.var() for told in (one, other)]
    return paired_difference([values[0]] * seeds, [values[1]] * seeds, *draws)


@pytest.fixture(scope="module")
def labels():
    """Labels of which some blocks are far harder than others."""
    rng = np.random.default_rng(0)
    return rng.normal(size=N), rng.normal(size=N) * np.repeat(rng.uniform(0, 2, N // 20), 20)


def test_a_small_but_steady_lead_wins_where_single_intervals_meet(labels):
    y, noise = labels
    difference, low, high = raced(y + noise, y + 1.1 * noise, y)
    assert verdict_of(low, high) == WINS
    assert low <= difference <= high
    single = resampled_metric("r2", y, y + noise, FOLDS, blocks=BLOCKS, num=300)
    assert np.ptp(np.percentile(single, [2.5, 97.5])) > difference


def test_rows_that_err_alike_tie(labels):
    y, noise = labels
    other = np.random.default_rng(1).permutation(noise.reshape(-1, 20), axis=1).ravel()
    _, low, high = raced(y + noise, y + other, y)
    assert verdict_of(low, high) == TIES


def test_a_row_ties_with_itself(labels):
    y, noise = labels
    assert raced(y + noise, y + noise, y) == pytest.approx((0, 0, 0), abs=1e-9)


def test_seeds_that_disagree_make_a_tie():
    draws = np.array([[0.1] * 200, [0.1] * 200, [-0.3] * 200])
    difference, low, high = paired_difference([0.1, 0.1, -0.3], [0, 0, 0], draws, 0 * draws)
    assert difference == pytest.approx(-1 / 30)
    assert verdict_of(low, high) == TIES


def test_less_is_better_turns_the_sign():
    draws = np.full((1, 50), 2.0)
    assert paired_difference([2.0], [3.0], draws, draws + 1, sign=-1) == pytest.approx((1, 1, 1))


def test_draws_that_are_not_defined_are_left_out():
    draws = np.array([[1.0, np.nan, 1.0]])
    assert paired_difference([1.0], [0.0], draws, draws - 1)[1:] == (1, 1)
    assert verdict_of(*paired_difference([1.0], [0.0], draws * np.nan, draws)[1:]) == TIES


def item(row, other, task, difference, **changes):
    known = {
        "split": "spatial", "task": task, "unit": "cell", "masked": True, "metric": "r2",
        "row": row, "focus": None, "other": other, "other_focus": None, "head": "chosen",
        "difference": difference, "low": difference - 0.1, "high": difference + 0.1,
    }  # fmt: skip
    return {**known, "verdict": verdict_of(known["low"], known["high"]), **changes}


@given(st.floats(-1, 1))
def test_a_comparison_turned_twice_is_itself(difference):
    one = item("a", "b", "t", difference)
    assert flipped(flipped(one)) == one
    assert {one["verdict"], flipped(one)["verdict"]} in ({WINS, LOSES}, {TIES})
    assert [side["row"] for side in both_ways([one])] == ["a", "b"]


def test_heads_are_compared_apart():
    items = [item("a", "b", "t1", 0.5), item("a", "b", "t1", -0.5, head="knn")]
    assert [i["difference"] for i in with_head(items, "knn")] == [-0.5]
    chosen, chosen_tally, _, knn, knn_tally, _ = comparison_tables(
        Results(meta={"rows": [{"name": "b"}]}, comparisons=items)
    )
    assert "chose" in chosen
    assert "k-NN" in knn
    assert "1 / 0 / 0" in chosen_tally.splitlines()[2]
    assert "0 / 0 / 1" in knn_tally.splitlines()[2]


def test_tables_count_wins_and_tell_the_row_on_trial():
    items = [
        item("a", "b", "t1", 0.5), item("a", "b", "t2", 0.05), item("a", "b", "t3", -0.5),
        item("a", "b", "t4", -0.5), item("a", "b", "t5", 0.5, unit="entity"),
    ]  # fmt: skip
    assert tally_lines(items, "spatial", "cell") == [
        ["spatial, cell", "a", "b"], ["a", "", "1 / 1 / 2"], ["b", "2 / 1 / 1", ""],
    ]  # fmt: skip
    lines = trial_lines(items, "b", "spatial", "cell")
    assert lines[0] == ["task", "metric", "b against a"]
    assert lines[1] == ["t1 (masked)", "r2", "*loses* -0.500 [-0.600, -0.400]"]
    assert [line[2].split()[0] for line in lines[1:]] == ["*loses*", "ties", "**wins**", "**wins**"]
