"""Run work in threads: so many at once, so many waiting, so long.

A server that takes everything on answers nobody: what does not fit is refused at once, with a time
to come again, and memory stays what it is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from geoindex.serve.problems import RequestError

T = TypeVar("T")


class Gate:
    """Lets so many pieces of work run at once.

    Parameters
    ----------
    at_once
        That run; each has a thread.
    waiting
        That wait for their turn; more are refused (429).
    seconds
        From the request to the answer; then it is given up (503). What runs runs to its end, and
        keeps its thread until then.
    """

    def __init__(self, *, at_once: int, waiting: int, seconds: float) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="geoindex-serve")
        self._most = at_once + waiting
        self._seconds = seconds
        self._num = 0

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run a function in a thread.

        Raises
        ------
        RequestError
            If too many wait, or it takes too long.
        """
        if self._num >= self._most:
            msg = f"{self._num} requests are being answered or wait already; come again"
            raise RequestError(429, "busy", msg)
        self._num += 1
        try:
            started = asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
            return await asyncio.wait_for(started, self._seconds)
        except TimeoutError:
            msg = f"no answer within {self._seconds:g} s; ask for less, or come again"
            raise RequestError(503, "timeout", msg) from None
        finally:
            self._num -= 1

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
