import numpy as np
import pytest
from sklearn import linear_model

from geoindex.errors import MissingExtraError, UsageError
from geoindex.evaluation.heads import linear
from geoindex.evaluation.heads.features import Matrix
from geoindex.evaluation.heads.fit import HEADS, cross_val_predict, fit_predict
from geoindex.evaluation.heads.linear import PENALTIES, STRENGTHS
from geoindex.evaluation.metrics import auroc, macro_f1, r2
from geoindex.evaluation.splits import Fold, random_folds

REGRESSORS, CLASSIFIERS = ("knn", "ridge", "mlp"), ("knn", "logistic", "mlp")
N = 600
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(3, 8)) * 3
CODES = RNG.integers(0, 3, N)
VECTORS = (CENTRES[CODES] + RNG.normal(size=(N, 8)) * 0.5).astype(np.float32)
CLASSES = np.array(["bar", "cafe", "pub"])[CODES]
NUMBERS = VECTORS @ RNG.normal(size=8) * 5 + 100
FOLDS = random_folds(N, num_folds=4)
# float32 products may be summed in another order on another machine
NEAR = {"rtol": 1e-3, "atol": 1e-3}


def alike(one, other, rows=slice(None)):
    """Say whether two heads say the same, but for what rounding makes of 40 epochs."""
    told = [
        np.asarray(each.predicted if each.scores is None else each.scores[:, 0], float)[rows]
        for each in (one, other)
    ]
    return r2(*told) > 0.999


def regress(head, y, folds=FOLDS, vectors=VECTORS, **options):
    return cross_val_predict(head, Matrix(vectors), y, folds, task="regression", **options)


def classify(head, y, folds=FOLDS, vectors=VECTORS, **options):
    return cross_val_predict(head, Matrix(vectors), y, folds, task="classification", **options)


@pytest.mark.parametrize("head", REGRESSORS)
def test_planted_numbers_are_recovered(head):
    assert r2(NUMBERS, regress(head, NUMBERS).predicted) > 0.95


@pytest.mark.parametrize("head", HEADS)
def test_planted_classes_are_recovered(head):
    told = classify(head, CLASSES)
    assert macro_f1(CLASSES, told.predicted) > 0.97
    np.testing.assert_allclose(told.scores.sum(axis=1), 1, atol=1e-3)
    assert auroc(CLASSES, told.scores) > 0.98


@pytest.mark.parametrize("head", REGRESSORS)
def test_random_numbers_are_not_told(head):
    y = np.random.default_rng(1).normal(size=N)
    assert r2(y, regress(head, y).predicted) < 0.05


@pytest.mark.parametrize("head", HEADS)
def test_random_classes_are_told_by_chance(head):
    y = np.random.default_rng(1).choice(["a", "b"], N)
    assert auroc(y, classify(head, y).scores) == pytest.approx(0.5, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_one_seed_tells_the_same(head):
    run, y = (classify, CLASSES) if head == "logistic" else (regress, NUMBERS)
    first, again = (run(head, y, seed=3) for _ in range(2))
    assert alike(first, again)


@pytest.mark.parametrize("head", REGRESSORS)
def test_labels_of_the_test_rows_are_never_seen(head):
    spoiled = NUMBERS.copy()
    spoiled[FOLDS[0].test] = 1e6
    one, other = (regress(head, y, FOLDS[:1]) for y in (NUMBERS, spoiled))
    assert alike(one, other, FOLDS[0].test)


@pytest.mark.parametrize("head", REGRESSORS)
def test_validation_rows_are_told_too(head):
    fold = FOLDS[0]
    told = regress(head, NUMBERS, [fold]).validation[0][:, 0]
    assert r2(NUMBERS[fold.validation], told) > 0.9


def test_what_is_told_of_validation_rows_knows_training_rows_alone(monkeypatch):
    monkeypatch.setattr(linear, "PENALTIES", (0.03,))
    spoiled = NUMBERS.copy()
    spoiled[FOLDS[0].validation] = 1e6
    one, other = (regress("ridge", y, FOLDS[:1]).validation[0] for y in (NUMBERS, spoiled))
    np.testing.assert_allclose(one, other, **NEAR)


def test_ridge_is_that_of_scikit_learn_with_the_penalty_chosen():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((200, 30)) * rng.uniform(0.1, 9, 30)).astype(np.float32)
    y = vectors @ rng.standard_normal(30) + 30 * rng.standard_normal(200)
    folds = random_folds(200, seed=1)
    told, inputs = regress("ridge", y, folds, vectors), Matrix(vectors).standard
    for number, fold in enumerate(folds):

        def peer(penalty, rows, asked, inputs=inputs):
            model = linear_model.Ridge(penalty * len(rows)).fit(inputs[rows], y[rows])
            return model.predict(inputs[asked])

        losses = [
            ((peer(p, fold.train, fold.validation) - y[fold.validation]) ** 2).mean()
            for p in PENALTIES
        ]
        best = told.settings[number]
        assert losses[PENALTIES.index(best)] <= min(losses) * (1 + 1e-3)
        rows = np.concatenate([fold.train, fold.validation])
        wanted = peer(best, rows, fold.test)
        np.testing.assert_allclose(told.predicted[fold.test], wanted, rtol=1e-3, atol=1e-2)
        wanted = peer(best, fold.train, fold.validation)
        np.testing.assert_allclose(told.validation[number][:, 0], wanted, rtol=1e-3, atol=1e-2)


def test_ridge_chooses_the_penalty_by_the_validation_rows():
    rng = np.random.default_rng(2)
    wide, noise = rng.normal(size=(N, 200)), rng.normal(size=N)
    assert min(regress("ridge", noise, vectors=wide).settings) == max(PENALTIES)
    assert set(regress("ridge", NUMBERS).settings) == {min(PENALTIES)}


def test_logistic_is_that_of_scikit_learn():
    fold, inputs = FOLDS[0], Matrix(VECTORS).standard
    told = classify("logistic", CLASSES, [fold])
    rows = np.concatenate([fold.train, fold.validation])
    assert told.settings[0] in STRENGTHS
    model = linear_model.LogisticRegression(C=told.settings[0]).fit(inputs[rows], CLASSES[rows])
    wanted = model.predict_proba(inputs[fold.test])
    np.testing.assert_allclose(told.scores[fold.test], wanted, atol=5e-3)


@pytest.mark.parametrize("head", HEADS)
def test_a_class_that_training_lacks_gets_nothing(head):
    y = CLASSES.copy()
    y[FOLDS[0].test] = "zoo"
    y[np.setdiff1d(np.arange(N), FOLDS[0].test)] = "bar"
    told = classify(head, y, FOLDS[:1]).scores[FOLDS[0].test]
    np.testing.assert_allclose(told, [[1, 0]] * len(told), atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_columns_that_do_not_vary_do_no_harm(head):
    flat = np.hstack([VECTORS, np.full((N, 2), 7.0)])
    run, y = (classify, CLASSES) if head == "logistic" else (regress, NUMBERS)
    told = run(head, y, FOLDS[:1], flat).predicted[FOLDS[0].test]
    assert all(value is not None and value == value for value in told)  # noqa: PLR0124


@pytest.mark.parametrize("head", ["ridge", "mlp"])
def test_vectors_that_are_all_the_same_tell_the_mean(head):
    told = regress(head, NUMBERS, FOLDS[:1], np.ones((N, 3))).predicted[FOLDS[0].test]
    np.testing.assert_allclose(told, told[0], rtol=1e-5)
    assert told[0] == pytest.approx(NUMBERS.mean(), rel=0.1)


@pytest.mark.parametrize("head", ["ridge", "logistic", "mlp"])
def test_rows_without_a_label_are_told_from_all_that_have_one(head):
    task = "classification" if head == "logistic" else "regression"
    y = CLASSES if task == "classification" else NUMBERS
    seen, asked = np.arange(450), np.arange(450, N)
    # the gap of a spatial fold: rows that are in no part of it still teach
    fold = Fold(np.arange(100), np.arange(300, 450), np.arange(100, 200))
    told = fit_predict(head, VECTORS[seen], y[seen], VECTORS[asked], fold, task=task)
    if task == "classification":
        assert (told.predicted == y[asked]).mean() > 0.97
    else:
        assert r2(y[asked], told.predicted) > 0.95
    spoiled = y.copy()
    spoiled[200:300] = y[200:300][::-1]
    other = fit_predict(head, VECTORS[seen], spoiled[seen], VECTORS[asked], fold, task=task)
    one, two = ((t.scores if t.scores is not None else t.predicted) for t in (told, other))
    assert np.abs(np.asarray(one, float) - np.asarray(two, float)).max() > 1e-3


@pytest.mark.parametrize(
    ("head", "task", "word"),
    [
        ("tree", "regression", "knn, ridge, logistic, mlp"),
        ("logistic", "regression", "ridge"),
        ("knn", "ranking", "regression, classification"),
    ],
)
def test_a_head_that_cannot_do_it_says_which_can(head, task, word):
    with pytest.raises(UsageError, match=word):
        cross_val_predict(head, Matrix(VECTORS), NUMBERS, FOLDS, task=task)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    def refuse(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(MissingExtraError, match="evaluate"):
        classify("logistic", CLASSES)
    assert r2(NUMBERS, regress("ridge", NUMBERS).predicted) > 0.9
