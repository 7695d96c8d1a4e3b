"""No answer is lost: whatever an index proposes, what comes back passes, and is enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.search.base import Approximate, Exact
from geoindex.search.planner import Searcher
from tests.support.vectors import brute_force, fewer, unit_rows

N = 90


class Forgetful:
    """Proposes some rows that pass, by chance."""

    name = "forgetful"

    def __init__(self, rng, share, *, can_filter):
        self._rng, self._share, self.can_filter = rng, share, can_filter

    def propose(self, query, *, k, passing=None):
        rows = np.arange(N) if passing is None else passing
        return self._rng.permutation(rows[self._rng.random(len(rows)) < self._share])


@fewer
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 5, 30, 200]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([None, 0.1, 0.5, 1.0]),
    st.booleans(),
)
def test_as_many_as_pass_come_back(seed, k, memory, share, can_filter):
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng, N, 8)
    passing = None if share is None else np.flatnonzero(rng.random(N) < share)
    exclude = rng.integers(0, N, 4)
    proposer = Forgetful(rng, memory, can_filter=can_filter)
    searcher = Searcher(Exact(vectors), lambda: Approximate(vectors, proposer, 0.5))
    found = searcher.search(vectors[0], k=k, passing=passing, exclude=exclude)
    may_answer = set(range(N) if passing is None else passing.tolist()) - set(exclude.tolist())
    assert set(found.rows.tolist()) <= may_answer
    assert len(found.rows) == min(k, len(may_answer))
    assert found.num_passing == len(may_answer)
    assert found.similarity.tolist() == sorted(found.similarity, reverse=True)
    if found.is_exact:
        expected, _ = brute_force(vectors, vectors[0], sorted(may_answer), k)
        assert found.rows.tolist() == expected
        assert found.recall is None
    else:
        assert found.recall == 0.5
        assert found.backend == "forgetful"
        # one that remembers all is right, but may not say so
        if memory == 1:
            expected, _ = brute_force(vectors, vectors[0], sorted(may_answer), k)
            assert found.rows.tolist() == expected


def searched_by(share, k, *, can_filter=True):
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng, N, 8)
    proposer = Forgetful(rng, 1.0, can_filter=can_filter)
    searcher = Searcher(Exact(vectors), lambda: Approximate(vectors, proposer, 1.0))
    passing = None if share is None else np.arange(int(share * N))
    return searcher.search(vectors[0], k=k, passing=passing).backend


@pytest.mark.parametrize(
    ("share", "k", "expected"),
    [(None, 10, "forgetful"), (0.9, 10, "forgetful"), (0.1, 10, "exact"), (None, 101, "exact")],
)
def test_few_that_pass_and_many_that_are_wanted_are_searched_exactly(share, k, expected):
    assert searched_by(share, k) == expected


def test_an_index_that_cannot_filter_is_not_asked_under_a_filter():
    assert searched_by(0.9, 10, can_filter=False) == "exact"
    assert searched_by(None, 10, can_filter=False) == "forgetful"


def told(share, k, *, memory=1.0, can_filter=True, wanted="faiss"):
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng, N, 8)
    proposer = Forgetful(rng, memory, can_filter=can_filter)
    searcher = Searcher(Exact(vectors), lambda: Approximate(vectors, proposer, 1.0), wanted=wanted)
    passing = None if share is None else np.arange(int(share * N))
    return searcher.search(vectors[0], k=k, passing=passing).instead


def test_who_is_asked_by_name_and_does_not_answer_says_why():
    start = "searched exactly, not by faiss: "
    assert told(0.1, 3) == f"{start}9 of 90 rows pass the filters, fewer than a third"
    assert told(None, 101).startswith(f"{start}101 rows are looked for")
    assert told(0.9, 3, can_filter=False) == f"{start}forgetful loses answers under a filter"
    assert told(0.9, 3, memory=0.0) == f"{start}forgetful found fewer rows than pass the filters"


def test_nothing_is_said_where_nobody_was_asked_by_name_or_it_answered():
    assert told(0.1, 3, wanted=None) == ""
    assert told(0.9, 3) == ""


def test_the_approximate_index_is_opened_only_when_needed():
    vectors = unit_rows(np.random.default_rng(0), N, 8)
    opened = []
    searcher = Searcher(Exact(vectors), lambda: opened.append(1))
    searcher.search(vectors[0], k=3, passing=np.arange(5))
    assert opened == []
    searcher.search(vectors[0], k=3)
    searcher.search(vectors[0], k=3)
    assert opened == [1]
