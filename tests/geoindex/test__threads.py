"""Threads change neither order nor results, and are as many as was said."""

import os
import threading
import time

import pytest

from geoindex._threads import made_ahead, num_threads, one_ahead


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_few_are_held(threads):
    begun = []

    def make(item):
        begun.append(item)
        time.sleep(0.002 * (item % 3))
        return item * 10

    for taken, result in enumerate(made_ahead(make, range(20), threads=threads)):
        assert result == taken * 10
        assert len(begun) <= taken + 1 + threads


def test_so_many_work_at_once():
    both = threading.Barrier(2, timeout=20)
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
