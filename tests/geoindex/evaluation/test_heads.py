import builtins

import numpy as np
import pytest

from geoindex.errors import MissingExtraError, UsageError
from geoindex.evaluation.heads import HEADS, fit_predict, make_head
from geoindex.evaluation.linear import PENALTIES, Ridge
from geoindex.evaluation.scores import auroc, macro_f1, r2
from geoindex.evaluation.splits import random_folds
from geoindex.evaluation.standard import Standard, brier

REGRESSORS, CLASSIFIERS = ("knn", "ridge", "mlp"), ("knn", "logistic", "mlp")
N = 600
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(3, 8)) * 3
CODES = RNG.integers(0, 3, N)
VECTORS = (CENTRES[CODES] + RNG.normal(size=(N, 8)) * 0.5).astype(np.float32)
CLASSES = np.array(["bar", "cafe", "pub"])[CODES]
NUMBERS = VECTORS @ RNG.normal(size=8) * 5 + 100
FOLDS = random_folds(N, num_folds=4)


@pytest.mark.parametrize("head", REGRESSORS)
def test_planted_numbers_are_recovered(head):
    predicted = fit_predict(head, VECTORS, NUMBERS, FOLDS, task="regression")
    assert r2(NUMBERS, predicted) > 0.95


@pytest.mark.parametrize("head", CLASSIFIERS)
def test_planted_classes_are_recovered(head):
    predicted, told = fit_predict(
        head, VECTORS, CLASSES, FOLDS, task="classification", with_probabilities=True
    )
    assert macro_f1(CLASSES, predicted) > 0.97
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert auroc(CLASSES, told) > 0.98


@pytest.mark.parametrize("head", REGRESSORS)
def test_random_numbers_are_not_told(head):
    y = np.random.default_rng(1).normal(size=N)
    assert r2(y, fit_predict(head, VECTORS, y, FOLDS, task="regression")) < 0.05


@pytest.mark.parametrize("head", CLASSIFIERS)
def test_random_classes_are_told_by_chance(head):
    y = np.random.default_rng(1).choice(["a", "b"], N)
    _, told = fit_predict(head, VECTORS, y, FOLDS, task="classification", with_probabilities=True)
    assert auroc(y, told) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("head", HEADS)
def test_one_seed_tells_the_same(head):
    task = "classification" if head == "logistic" else "regression"
    y = CLASSES if task == "classification" else NUMBERS
    first, again = (fit_predict(head, VECTORS, y, FOLDS, task=task, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("head", ["knn", "ridge", "mlp"])
def test_labels_of_the_test_rows_are_never_seen(head):
    spoiled = NUMBERS.copy()
    spoiled[FOLDS[0].test] = 1e6
    one, other = (
        fit_predict(head, VECTORS, y, FOLDS[:1], task="regression") for y in (NUMBERS, spoiled)
    )
    np.testing.assert_array_equal(one, other)


def test_ridge_agrees_with_scikit_learn():
    from sklearn.linear_model import Ridge as Peer

    inputs = Standard(VECTORS)(VECTORS)
    ours = Ridge(penalties=(0.01,)).fit(VECTORS, NUMBERS).predict(VECTORS)
    wanted = Peer(alpha=0.01 * N).fit(inputs, NUMBERS).predict(inputs)
    np.testing.assert_allclose(ours, wanted, rtol=1e-6)


def test_ridge_chooses_the_penalty_by_the_validation_rows():
    rng, rows, rest = np.random.default_rng(2), np.arange(300), np.arange(300, N)
    wide, noise = rng.normal(size=(N, 200)), rng.normal(size=N)
    assert Ridge().fit(wide[rows], noise[rows], (wide[rest], noise[rest])).penalty >= 1
    chosen = Ridge().fit(VECTORS[rows], NUMBERS[rows], (VECTORS[rest], NUMBERS[rest])).penalty
    assert chosen == PENALTIES[0]


@pytest.mark.parametrize("head", CLASSIFIERS)
def test_a_class_that_training_lacks_gets_nothing(head):
    y = CLASSES.copy()
    y[FOLDS[0].test] = "zoo"
    y[np.setdiff1d(np.arange(N), FOLDS[0].test)] = "bar"
    _, told = fit_predict(
        head, VECTORS, y, FOLDS[:1], task="classification", with_probabilities=True
    )
    np.testing.assert_allclose(told[FOLDS[0].test], [[1, 0]] * FOLDS[0].test.size)


@pytest.mark.parametrize("head", HEADS)
def test_columns_that_do_not_vary_do_no_harm(head):
    flat = np.hstack([VECTORS, np.full((N, 2), 7.0)])
    task = "classification" if head == "logistic" else "regression"
    y = CLASSES if task == "classification" else NUMBERS
    told = fit_predict(head, flat, y, FOLDS[:1], task=task)
    assert all(value == value for value in told[FOLDS[0].test])  # noqa: PLR0124


def test_brier_is_zero_where_all_is_told_and_two_where_all_is_wrong():
    names = np.array(["a", "b"])
    assert brier(np.array([[1.0, 0.0]]), names, np.array(["a"])) == 0
    assert brier(np.array([[1.0, 0.0]]), names, np.array(["b"])) == 2
    assert brier(np.array([[1.0, 0.0]]), names, np.array(["z"])) == 2


@pytest.mark.parametrize(
    ("head", "task", "word"),
    [
        ("tree", "regression", "knn, ridge, logistic, mlp"),
        ("ridge", "classification", "logistic"),
        ("logistic", "regression", "ridge"),
        ("knn", "ranking", "regression, classification"),
    ],
)
def test_a_head_that_cannot_do_it_says_which_can(head, task, word):
    with pytest.raises(UsageError, match=word):
        make_head(head, task=task)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    plain = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(MissingExtraError, match="evaluate"):
        fit_predict("logistic", VECTORS, CLASSES, FOLDS, task="classification")
    assert r2(NUMBERS, fit_predict("ridge", VECTORS, NUMBERS, FOLDS, task="regression")) > 0.9
