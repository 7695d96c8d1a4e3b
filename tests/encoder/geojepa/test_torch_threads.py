"""One thread of torch inside, whatever number of threads is inside; the usual number after."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from encoder.geojepa.inference import one_thread


@pytest.fixture
def usual():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_the_number_comes_back(usual):
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == usual


def test_threads_that_overlap_leave_it_as_it_was(usual):
    both_in = Barrier(2, timeout=300)

    def work(_):
        with one_thread():
            both_in.wait()
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [1, 1]
        # in a thread that comes later, and here
        assert pool.submit(torch.get_num_threads).result() == usual
    assert torch.get_num_threads() == usual


def test_an_error_does_not_keep_it(usual):
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert torch.get_num_threads() == usual
