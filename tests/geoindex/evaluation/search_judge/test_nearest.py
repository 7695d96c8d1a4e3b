import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.evaluation.search_judge.nearest import nearest, same_value_pairs


def unit(rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(seed=st.integers(0, 99), k=st.integers(1, 12))
def test_without_ties_it_is_brute_force(seed, k):
    rng = np.random.default_rng(seed)
    queries, candidates = unit(rng.normal(size=(4, 3))), unit(rng.normal(size=(9, 3)))
    found = nearest(queries, candidates, k)
    for i, similarity in enumerate(queries @ candidates.T):
        want = set(np.argsort(-similarity)[:k].tolist())
        assert set(found.candidate[found.query == i].tolist()) == want
    assert found.weight.tolist() == [1.0] * (4 * min(k, 9))


def test_equally_near_candidates_share_the_places_that_are_left():
    candidates = unit([[1, 0.1], [0, 1], [0, 1], [0, 1], [-1, 0]])
    found = nearest(unit([[1, 1]]), candidates, 2)
    assert found.candidate.tolist() == [0, 1, 2, 3]
    assert found.weight == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    # two of the three tied are right: (1 + 2/3) of 2
    is_right = np.array([1.0, 1, 1, 0, 0])
    assert found.means(is_right[found.candidate]) == pytest.approx([5 / 6])


def test_vectors_that_are_all_the_same_score_the_base_rate():
    same = np.ones((5000, 1), np.float32)
    found = nearest(same[:3], same, 10)
    is_right = (np.arange(5000) % 4 == 0).astype(np.float64)
    # 2,048 or so drawn of 5,000 stand for all
    assert found.means(is_right[found.candidate]) == pytest.approx([0.25] * 3, abs=0.04)
    assert found.weight.sum() == pytest.approx(30, rel=0.1)


def test_each_query_may_want_another_number():
    candidates = unit([[1, 0], [1, 1], [0, 1]])
    found = nearest(unit([[1, 0.1], [0.1, 1]]), candidates, np.array([1, 2]))
    assert found.query.tolist() == [0, 1, 1]
    assert found.candidate.tolist() == [0, 1, 2]


def test_what_is_left_out_is_not_found_even_if_nothing_else_is_there():
    rows = unit([[1, 0], [0, 1]])
    found = nearest(rows, rows, 3, left_out=same_value_pairs(np.array([7, 8]), np.array([7, 7])))
    assert found.query.tolist() == [1, 1]
    assert np.isnan(found.means(np.ones(2))[0])


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_pairs_of_the_same_value(first, second):
    query, candidate = same_value_pairs(np.array(first, int), np.array(second, int))
    want = [(i, j) for i, x in enumerate(first) for j, y in enumerate(second) if x == y]
    assert sorted(zip(query.tolist(), candidate.tolist(), strict=True)) == want
    assert query.tolist() == sorted(query.tolist())


def test_votes_by_hand():
    candidates = unit([[1, 0], [1, 0.2], [0, 1]])
    votes = nearest(unit([[1, 0]]), candidates, 2).votes(np.array([0, 1, 1]), 3)
    assert votes.tolist() == [[0.5, 0.5, 0.0]]
