"""Progress and notes on stderr; data has stdout to itself.

No colour and no bars where stderr is no terminal or ``NO_COLOR`` is set: then one plain line a
stage. rich is imported when the first bar is drawn.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.text import escaped


def print_error(text: str) -> None:
    """Print a message on stderr, whatever the verbosity."""
    print(escaped(text), file=sys.stderr)


class ConsoleReporter:
    """A `geoindex.progress.Reporter` for people.

    Parameters
    ----------
    quiet
        Say nothing but faults.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.draws = sys.stderr.isatty() and "NO_COLOR" not in os.environ and not quiet

    def say(self, text: str) -> None:
        """Print one line on stderr."""
        if not self.quiet:
            print_error(text)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show one stage: a bar on a terminal, one line at its end elsewhere."""
        started = time.perf_counter()
        done = 0
        if not self.draws:

            def count(steps: int) -> None:
                nonlocal done
                done += steps

            yield count
        else:
            with self._bar(name, total) as advance:

                def draw(steps: int) -> None:
                    nonlocal done
                    done += steps
                    advance(steps)

                yield draw
        seconds = time.perf_counter() - started
        amount = f"{done:,}" if done else "done"
        self.say(f"{name}: {amount} in {seconds:.1f} s")

    @contextmanager
    def _bar(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *([TimeRemainingColumn()] if total else []),
        ]
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=total)
            yield lambda steps: progress.advance(task, steps)
