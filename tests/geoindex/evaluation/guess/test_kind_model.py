import numpy as np
import pytest

from geoindex.evaluation.guess.kind_model import KindModel


def clusters(num, *, seed=0, spread=0.2):
    """Two kinds about two directions; those of kind 2 lie anywhere."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, num)
    centre = np.array([[1.0, 0], [0, 1], [0, 0]])[kinds]
    noise = rng.normal(size=(num, 2)) * np.where(kinds == 2, 1, spread)[:, None]
    return (centre + noise).astype(np.float32), kinds


@pytest.fixture(scope="module")
def model():
    vectors, kinds = clusters(900)
    return KindModel.fit(vectors, kinds, np.arange(900), num_kinds=4)


def test_probabilities_add_up_and_find_the_kind(model):
    vectors, kinds = clusters(400, seed=1)
    shares, _ = model.predict(vectors, -np.ones(400, np.int64))
    assert shares.sum(axis=1) == pytest.approx(np.ones(400))
    # nobody is of the fourth kind
    assert not shares[:, 3].any()
    is_right = shares.argmax(axis=1) == kinds
    assert is_right.mean() > 0.7
    # as sure as it is right
    assert shares.max(axis=1).mean() == pytest.approx(is_right.mean(), abs=0.06)


def test_parts_of_one_thing_do_not_vote_for_each_other():
    vectors = np.array([[1, 0], [1, 0], [0.9, 0.1], [0, 1]], np.float32)
    model = KindModel.fit(vectors, np.array([0, 0, 1, 1]), np.array([5, 5, 6, 7]), num_kinds=2)
    shares, found = model.predict(vectors[:1], np.array([5]))
    assert set(found.candidate.tolist()) == {2, 3}
    assert shares[0].argmax() == 1


def test_vectors_that_say_nothing_give_the_shares_of_the_references():
    kinds = np.array([0] * 60 + [1] * 40)
    model = KindModel.fit(np.ones((100, 2), np.float32), kinds, np.arange(100), num_kinds=2)
    shares, _ = model.predict(np.ones((1, 2), np.float32), np.array([-1]))
    assert shares[0] == pytest.approx([0.6, 0.4], abs=0.01)
