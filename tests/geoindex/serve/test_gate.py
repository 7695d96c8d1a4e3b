import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from geoindex.serve.gate import Gate
from geoindex.serve.problems import RequestError


def gathered(make: Callable[[], Any]) -> Any:
    async def go() -> Any:
        return await make()

    return asyncio.run(go())


def test_so_many_at_once_and_no_more() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    ready = threading.Barrier(2, timeout=300)

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        ready.wait()
        with lock:
            running -= 1
        return number

    async def go() -> list[int]:
        gate = Gate(at_once=2, waiting=10, seconds=300)
        return await asyncio.gather(*(gate.run(work, i) for i in range(8)))

    assert gathered(go) == list(range(8))
    assert most == 2


def test_what_does_not_fit_is_refused_at_once() -> None:
    leave = threading.Event()

    async def go() -> list[Any]:
        gate = Gate(at_once=1, waiting=2, seconds=300)
        started = [asyncio.ensure_future(gate.run(leave.wait, 300)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as refused:
            await gate.run(leave.wait, 300)
        leave.set()
        await asyncio.gather(*started)
        # there is room again
        assert await gate.run(lambda: 7) == 7
        return [refused.value.status, refused.value.code]

    assert gathered(go) == [429, "busy"]


def test_what_takes_too_long_is_given_up() -> None:
    leave = threading.Event()

    async def go() -> list[Any]:
        gate = Gate(at_once=1, waiting=2, seconds=0.05)
        with pytest.raises(RequestError) as late:
            await gate.run(leave.wait, 300)
        # the thread is not free yet: what waits for it is given up too
        with pytest.raises(RequestError):
            await gate.run(lambda: 1)
        leave.set()
        return [late.value.status, late.value.code]

    assert gathered(go) == [503, "timeout"]


def test_faults_come_through() -> None:
    async def go() -> None:
        gate = Gate(at_once=1, waiting=0, seconds=300)
        with pytest.raises(ZeroDivisionError):
            await gate.run(lambda: 1 // 0)
        assert await gate.run(lambda: 3) == 3

    gathered(go)
