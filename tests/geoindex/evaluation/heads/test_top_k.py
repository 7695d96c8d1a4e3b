import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoindex.evaluation.heads import top_k
from geoindex.evaluation.heads.features import unit_rows


@pytest.mark.slow
@settings(deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 400), k=st.integers(1, 60))
def test_the_largest_products_are_those_of_a_sort(seed, n, k):
    rng = np.random.default_rng(seed)
    asked, held = (unit_rows(rng.normal(size=(rows, 8))) for rows in (30, n))
    found = top_k.blocked_top_k(asked, held, k)
    exact = asked.astype(np.float64) @ held.T.astype(np.float64)
    best = -np.sort(-exact, axis=1)[:, :k]
    # which of two that are equal but for rounding comes first is not ours to say
    np.testing.assert_allclose(found.similarity, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, found.rows, axis=1), best, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())
    assert (np.diff(found.similarity, axis=1) <= 0).all()


def test_equal_products_come_in_the_order_of_the_candidates():
    held = np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 0]]
    found = top_k.blocked_top_k(held[:1], held, 5)
    assert found.rows.tolist() == [[0, 2, 4, 1, 3]]


def test_blocks_do_not_change_the_answer(monkeypatch):
    unit = unit_rows(np.random.default_rng(0).normal(size=(300, 8)))
    whole = top_k.blocked_top_k(unit, unit, 7)
    monkeypatch.setattr(top_k, "_BLOCK_NUMBERS", 1000)
    blocked = top_k.blocked_top_k(unit, unit, 7)
    np.testing.assert_allclose(blocked.similarity, whole.similarity, atol=1e-5)
    np.testing.assert_array_equal(blocked.rows[:, 0], np.arange(300))


def test_forbidden_and_missing_candidates_are_no_neighbours():
    asked = np.array([[1.0, 1.0]], np.float32)
    held = np.array([[0.5, 0.0], [0.9, top_k.FORBIDDEN], [0.2, 0.0]], np.float32)
    found = top_k.blocked_top_k(asked, held, 3)
    assert found.rows.tolist() == [[0, 2, -1]]
    assert found.weights(weighted=True)[0] == pytest.approx([1 / 0.5, 1 / 0.8, 0])
    assert found.weights(weighted=False).tolist() == [[1, 1, 0]]


def test_nothing_has_no_neighbours():
    assert top_k.blocked_top_k(np.ones((2, 3), "f4"), np.ones((0, 3), "f4"), 5).rows.shape == (2, 0)
