"""How does one thread prepare what the next will use? Order and results stay as they were."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def one_ahead(make: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``make(item)`` for each item, in order, made in a second thread one item ahead.

    Worth it where `make` works outside the GIL, as GEOS and Arrow do. No more than two results
    are held at a time.
    """
    with ThreadPoolExecutor(1) as pool:
        ahead: deque[Future[R]] = deque()
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
