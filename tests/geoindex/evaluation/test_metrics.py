import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from geoindex.errors import UsageError
from geoindex.evaluation import metrics as scores
from geoindex.evaluation.splits import random_folds

seeds = st.integers(0, 9999)


def plain_interval(rows, statistic, *, num, seed=0, blocks):
    """Return a percentile interval the slow way: rows of drawn blocks, repeated and scored."""
    codes = np.unique(blocks, return_inverse=True)[1]
    rng, num_blocks, found = np.random.default_rng(seed), codes.max() + 1, []
    for start in range(0, num, 64):
        for picks in rng.integers(0, num_blocks, (min(64, num - start), num_blocks)):
            times = np.bincount(picks, minlength=num_blocks)
            found.append(statistic(np.repeat(rows, times[codes], axis=0)))
    return tuple(np.percentile(found, [2.5, 97.5]))


def mae_interval(errors, **options):
    """Return the interval of the mean absolute error of errors."""
    folds = random_folds(len(errors))
    _, mae = scores.score_predictions(0 * errors, errors, folds, task="regression", **options)
    return mae.low, mae.high


@given(seed=seeds, n=st.integers(2, 200), level=st.sampled_from([0.0, 1e6]))
def test_regression_agrees_with_scikit_learn(seed, n, level):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) + level
    predicted = y + rng.normal(size=n)
    assert scores.r2(y, predicted) == pytest.approx(metrics.r2_score(y, predicted), abs=1e-6)
    wanted = metrics.mean_absolute_error(y, predicted)
    assert scores.mean_absolute_error(y, predicted) == pytest.approx(wanted)


@pytest.mark.slow
@given(seed=seeds, n=st.integers(1, 200), num_classes=st.integers(1, 6))
def test_classification_agrees_with_scikit_learn(seed, n, num_classes):
    rng = np.random.default_rng(seed)
    names = np.array(["bar", "cafe", "école", "pub", "shop", "zoo"])[:num_classes]
    y, predicted = rng.choice(names, n), rng.choice(names, n)
    assert scores.accuracy(y, predicted) == metrics.accuracy_score(y, predicted)
    wanted = metrics.f1_score(y, predicted, average="macro")
    assert scores.macro_f1(y, predicted) == pytest.approx(wanted)


@pytest.mark.slow
@given(seed=seeds, n=st.integers(4, 200), digits=st.sampled_from([1, 8]))
def test_auroc_agrees_with_scikit_learn_ties_included(seed, n, digits):
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(0, 2, n - 2), [0, 1])
    told = np.round(rng.random(n), digits)
    assert scores.auroc(y, told) == pytest.approx(metrics.roc_auc_score(y, told))


@pytest.mark.slow
@given(seed=seeds)
def test_auroc_of_several_classes_is_the_mean_against_the_rest(seed):
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(0, 4, 60), [0, 1, 2, 3])
    told = rng.dirichlet(np.ones(4), 64)
    wanted = metrics.roc_auc_score(y, told, multi_class="ovr")
    assert scores.auroc(y, told) == pytest.approx(wanted)


def test_what_is_not_defined_is_nan():
    assert np.isnan(scores.r2([2, 2, 2], [1, 2, 3]))
    assert np.isnan(scores.auroc([1, 1], [0.2, 0.3], classes=[0, 1]))


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(seed=seeds, block_rows=st.integers(1, 20))
def test_fast_intervals_are_those_of_the_plain_bootstrap(seed, block_rows):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=120)
    predicted = y + rng.normal(size=120)
    blocks = np.arange(120) // block_rows
    folds = random_folds(120, seed=seed)
    found = scores.score_predictions(
        y, predicted, folds, task="regression", blocks=blocks, num=100, seed=seed
    )
    pairs = np.stack([y, predicted], axis=1)
    judges = (metrics.r2_score, metrics.mean_absolute_error)
    for score, judge in zip(found, judges, strict=True):
        wanted = plain_interval(
            pairs, lambda drawn, judge=judge: judge(*drawn.T), num=100, seed=seed, blocks=blocks
        )
        assert (score.low, score.high) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.slow
def test_intervals_of_classes_are_those_of_the_plain_bootstrap():
    rng = np.random.default_rng(1)
    y, folds, blocks = rng.integers(0, 2, 200), random_folds(200), np.arange(200) // 10
    told = np.clip(0.3 * y + 0.7 * rng.random(200), 0, 1)
    both = np.stack([1 - told, told], axis=1)
    found = scores.score_predictions(
        y, told > 0.5, folds, task="classification", probabilities=both, blocks=blocks, num=200
    )
    judges = {
        "macro_f1": lambda drawn: metrics.f1_score(drawn[:, 0], drawn[:, 1] > 0.5, average="macro"),
        "accuracy": lambda drawn: metrics.accuracy_score(drawn[:, 0], drawn[:, 1] > 0.5),
        "auroc": lambda drawn: metrics.roc_auc_score(drawn[:, 0], drawn[:, 1]),
    }
    pairs = np.stack([y, told], axis=1)
    for score in found:
        wanted = plain_interval(pairs, judges[score.name], num=200, blocks=blocks)
        assert (score.low, score.high) == pytest.approx(wanted)


@pytest.mark.slow
def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mae_interval(rng.normal(size=80), seed=i) for i in range(200)]
    expected = np.sqrt(2 / np.pi)
    covered = np.mean([low <= expected <= high for low, high in intervals])
    assert 0.88 < covered < 0.99


def test_rows_that_go_together_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 30)
    alone = np.diff(mae_interval(values))[0]
    together = np.diff(mae_interval(values, blocks=np.arange(600) // 30))[0]
    assert together > 3 * alone


def test_scores_are_told_for_each_fold_and_all_together():
    y = np.arange(40.0)
    folds = random_folds(40, num_folds=4)
    r2, mae = scores.score_predictions(y, y + 1, folds, task="regression")
    assert mae.per_fold == (1.0,) * 4
    assert (mae.value, mae.low, mae.high, mae.spread) == (1, 1, 1, 0)
    assert len(r2.per_fold) == 4
    assert r2.low <= r2.value <= r2.high


def test_one_seed_draws_the_same_interval():
    values = np.random.default_rng(0).normal(size=100)
    first, again, other = (mae_interval(values, seed=seed) for seed in (1, 1, 2))
    assert first == pytest.approx(again)
    assert first != pytest.approx(other)


def test_many_classes_have_no_auroc():
    y = np.arange(400) % 20
    told = np.full((400, 20), 0.05)
    found = scores.score_predictions(
        y, y, random_folds(400), task="classification", probabilities=told, num=10
    )
    assert [score.name for score in found] == ["macro_f1", "accuracy"]


def test_an_unknown_task_says_which_there_are():
    with pytest.raises(UsageError, match="regression, classification"):
        scores.metrics_of("ranking")
