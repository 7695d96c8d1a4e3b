"""Report how far long work has come; the command draws it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Reporter(Protocol):
    """Hears of stages and talk."""

    def say(self, text: str) -> None:
        """Hear one line for the user."""
        ...

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Enter a stage of `total` steps (None: not known); the value is called with steps done."""
        ...


class Silent:
    """Hears everything and tells nobody."""

    def say(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - the protocol's names
        """Count nothing."""
        yield lambda _steps: None
