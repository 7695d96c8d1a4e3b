"""How is a small product kept to one thread of BLAS? A team of threads waits more than it works.

BLAS shares even a product of a megabyte among all cores: on a machine that has other work, a query
of .3 ms then took 16. The limit is set for the whole process while such a query runs, and taken
back by the last that does, so that queries in several threads leave it as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

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
