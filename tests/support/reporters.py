"""Reporters for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RecordingReporter:
    """Records the lines and the names of the stages."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stages: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        self.stages.append(name)
        yield lambda _steps: None
