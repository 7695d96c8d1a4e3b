import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from geoindex.errors import UsageError
from geoindex.evaluation.heads.knn import knn_folds
from geoindex.evaluation.metrics import r2
from geoindex.evaluation.splits import place_folds, random_folds, spatial_folds
from geoindex.geo.h3 import cells_at

PEERS = {"regression": KNeighborsRegressor, "classification": KNeighborsClassifier}


def peer(task, k, weighted):
    weights = "distance" if weighted else "uniform"
    return PEERS[task](k, metric="cosine", algorithm="brute", weights=weights)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    k=st.integers(1, 12),
    weighted=st.booleans(),
    task=st.sampled_from(list(PEERS)),
)
def test_folds_agree_with_brute_force_neighbours(seed, k, weighted, task):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(150, 6))
    y = rng.normal(size=150) if task == "regression" else rng.choice(["a", "b", "c"], 150)
    folds = random_folds(150, num_folds=4, seed=seed)
    told = knn_folds(vectors, y, folds, ks=(k,), weighted=weighted, task=task)
    for fold in folds:
        seen = np.concatenate([fold.train, fold.validation])
        fitted = peer(task, k, weighted).fit(vectors[seen], y[seen])
        if task == "regression":
            wanted = fitted.predict(vectors[fold.test])
            np.testing.assert_allclose(told.predicted[fold.test], wanted, rtol=1e-3, atol=1e-4)
        else:
            wanted = fitted.predict_proba(vectors[fold.test])
            np.testing.assert_allclose(told.scores[fold.test], wanted, atol=1e-3)


def test_k_is_the_best_on_validation_rows():
    rng = np.random.default_rng(0)
    vectors, y = rng.normal(size=(300, 4)), rng.normal(size=300)
    ks, folds = (1, 4, 16), random_folds(300, num_folds=3)
    told = knn_folds(vectors, y, folds, ks=ks, task="regression")
    for fold, chosen in zip(folds, told.settings, strict=True):
        losses = []
        for k in ks:
            fitted = peer("regression", k, weighted=True).fit(vectors[fold.train], y[fold.train])
            losses.append(
                np.mean((fitted.predict(vectors[fold.validation]) - y[fold.validation]) ** 2)
            )
        # products are summed in another order: a loss within rounding of the best will do
        assert losses[ks.index(chosen)] <= min(losses) * (1 + 1e-4)


def test_rows_that_are_never_tested_have_no_prediction():
    vectors = np.random.default_rng(0).normal(size=(30, 3))
    folds = place_folds(np.repeat([0, 1, 2], 10))[:1]
    numbers = knn_folds(vectors, np.arange(30.0), folds, task="regression").predicted
    assert np.isnan(numbers[10:]).all()
    assert np.isfinite(numbers[:10]).all()
    classes = knn_folds(vectors, np.array(["a", "b"] * 15), folds, task="classification").predicted
    assert set(classes[10:]) == {None}


def test_more_neighbours_than_rows_are_all_rows():
    folds = random_folds(12, num_folds=3)
    y = np.arange(12.0)
    told = knn_folds(np.ones((12, 2)), y, folds, ks=(99,), task="regression")
    for fold in folds:
        seen = np.concatenate([fold.train, fold.validation])
        np.testing.assert_allclose(told.predicted[fold.test], y[seen].mean())


def test_k_below_one_says_what_works():
    with pytest.raises(UsageError, match="-k 10"):
        knn_folds(
            np.ones((9, 2)), np.ones(9), random_folds(9, num_folds=2), ks=(0,), task="regression"
        )


def test_a_leak_shows_under_random_folds_and_not_under_spatial_ones():
    """Vectors know where they are and nothing else; labels are the luck of a neighbourhood."""
    rng = np.random.default_rng(0)
    lon, lat = 13 + rng.random(2000) * 0.4, 55 + rng.random(2000) * 0.25
    cells = cells_at(lon, lat, resolution=8)
    directions, phases = rng.normal(size=(2, 256)) * 100, rng.random(256) * 6
    vectors = np.cos(np.stack([lon, lat], 1) @ directions + phases)
    luck = rng.normal(size=2**12)
    y = luck[cells_at(lon, lat, resolution=7).astype(np.int64) // 2**24 % 2**12]
    scores = {}
    for name, folds in (("random", random_folds(2000)), ("spatial", spatial_folds(cells, gap=1))):
        predicted = knn_folds(vectors, y, folds, task="regression").predicted
        scores[name] = r2(y, predicted)
    assert scores["random"] > 0.5
    assert scores["spatial"] < 0.1
