"""Threads change neither order nor results, and are as many as the settings allow."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from geoindex._threads import _controller, made_ahead, num_threads, one_ahead, one_thread
from geoindex.search.exact import nearest

# until a thread that must come is given up, on a machine that does much else
_PATIENCE_S = 300


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_few_are_held(threads):
    begun, made = [], [threading.Event() for _ in range(20)]

    def make(item):
        begun.append(item)
        if threads > 1 and item % 2 == 0:
            # the next one overtakes it
            assert made[item + 1].wait(_PATIENCE_S)
        made[item].set()
        return item * 10

    for taken, result in enumerate(made_ahead(make, range(20), threads=threads)):
        assert result == taken * 10
        assert len(begun) <= taken + 1 + threads


def test_so_many_work_at_once():
    both = threading.Barrier(2, timeout=_PATIENCE_S)
    assert list(made_ahead(lambda _: both.wait() >= 0, range(4), threads=2)) == [True] * 4


def test_an_error_comes_where_its_item_would():
    found = one_ahead(lambda item: 6 // item, [3, 2, 0, 1])
    assert [next(found), next(found)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize(("said", "wanted"), [("1", 1), ("3", 3), ("9", 4)])
def test_a_number_that_was_set_is_kept(monkeypatch, said, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert num_threads(most=4) == wanted


@pytest.mark.parametrize("said", ["", "0", "many"])
def test_else_there_are_as_many_as_cores(monkeypatch, said):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert 1 <= num_threads(most=64) <= (os.cpu_count() or 1)


def blas_threads():
    # of the libraries that were there at the first search: another test may have loaded more since
    known = _controller().info()
    return {item["num_threads"] for item in known if item["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with threadpool_limits(2, "blas"):
        # a BLAS that is built for one thread has nothing to limit
        if blas_threads() != {2}:
            pytest.skip("this BLAS does not take two threads")
        yield


@pytest.mark.usefixtures("two_threads")
def test_a_small_product_runs_on_one_and_a_large_one_on_all():
    with one_thread(1000):
        assert blas_threads() == {1}
    with one_thread(10**9):
        assert blas_threads() == {2}
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_many_at_once_leave_what_was_set():
    together = threading.Barrier(4)

    def work(number):
        together.wait()
        for _ in range(50):
            with one_thread(number):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_search_leaves_what_was_set_though_it_fails():
    nearest(np.eye(3, dtype=np.float32), np.ones(3, np.float32), k=1)
    assert blas_threads() == {2}
    with pytest.raises(ValueError, match=r"matmul|shapes"):
        nearest(np.eye(3, dtype=np.float32), np.ones(4, np.float32), k=1)
    assert blas_threads() == {2}
