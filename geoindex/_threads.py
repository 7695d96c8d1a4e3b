"""Prepare the next items in threads; order and results stay as they were.

How is a small product kept to one thread of BLAS? A team of threads waits more than it works.

BLAS shares even a product of a megabyte among all cores: on a machine that has other work, a query
of .3 ms then took 16. The limit is set for the whole process while such a query runs, and taken
back by the last that does, so that queries in several threads leave it as it was.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def one_ahead(make: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``make(item)`` for each item, in order, made in a second thread one item ahead.

    Worth it where `make` works outside the GIL, as GEOS and Arrow do. No more than two results
    are held at a time.
    """
    return made_ahead(make, items, threads=1)


def made_ahead(
    make: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int,
    most_held: int | None = None,
    name: str = "",
) -> Generator[R, None, None]:
    """Yield ``make(item)`` for each item, in order, made by so many threads.

    Whoever stops early waits only for what is being made.

    Parameters
    ----------
    most_held
        Results that are held at a time; None: ``threads + 1``.
    name
        What the names of the threads begin with.
    """
    most_held = most_held or threads + 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) >= most_held:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def num_threads(*, most: int) -> int:
    """Return how many threads may work: ``OMP_NUM_THREADS``, else as many as there are cores.

    Parameters
    ----------
    most
        And no more than so many.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return min(int(wanted), most)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, most)


# numbers multiplied: 32 MB of float32, some 3 ms of one core
_SMALL = 8_000_000

_lock = Lock()
# the limit that was set, once for each query that runs under it
_running: list[Any] = []


@contextmanager
def one_thread(num_values: int) -> Iterator[None]:
    """Keep BLAS to one thread meanwhile, if so many values to multiply are few."""
    if num_values > _SMALL:
        yield
        return
    with _lock:
        limit = _running[0] if _running else _controller().limit(limits=1, user_api="blas")
        _running.append(limit)
    try:
        yield
    finally:
        with _lock:
            _running.pop()
            if not _running:
                limit.restore_original_limits()


@cache
def _controller() -> Any:
    """Return what knows the libraries that are loaded: milliseconds to find out, so found once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
