"""Small products run on one thread of BLAS, and leave the setting as it was."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from geoindex._threads import _controller, one_thread
from geoindex.search.exact import nearest


def num_threads():
    # of the libraries that were there at the first search: another test may have loaded more since
    known = _controller().info()
    return {item["num_threads"] for item in known if item["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, "blas"):
        # a BLAS that is built for one thread has nothing to limit
        if num_threads() != {2}:
            pytest.skip("this BLAS does not take two threads")
        yield


def test_a_small_product_runs_on_one_and_a_large_one_on_all():
    with one_thread(1000):
        assert num_threads() == {1}
    with one_thread(10**9):
        assert num_threads() == {2}
    assert num_threads() == {2}


def test_many_at_once_leave_what_was_set():
    together = Barrier(4)

    def work(number):
        together.wait()
        for _ in range(50):
            with one_thread(number):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert num_threads() == {2}


def test_a_search_leaves_what_was_set_though_it_fails():
    nearest(np.eye(3, dtype=np.float32), np.ones(3, np.float32), k=1)
    assert num_threads() == {2}
    with pytest.raises(ValueError, match=r"matmul|shapes"):
        nearest(np.eye(3, dtype=np.float32), np.ones(4, np.float32), k=1)
    assert num_threads() == {2}
