"""``geoindex train``: maps become a checkpoint."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.params import Quiet
from cli.progress import ConsoleReporter, print_error

if TYPE_CHECKING:
    from trainer.run.loop import Outcome, Progress

_SECONDS_BETWEEN_LINES = 60


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex train monaco.osm.pbf -o run --config train.toml")(train)


def train(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="OpenStreetMap files, GeoParquet, or indexes with their imagery.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The run's folder; holds everything."),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="A TOML file of settings; docs/training.md lists them.",
            envvar="GEOINDEX_TRAIN_CONFIG",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="In place of the file's seed.", min=0)
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")
    ] = "auto",
    max_minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes", metavar="M", help="Stop after so long; the same command goes on."
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens", metavar="DIR", help="Token caches, for runs to share. [default: in the run]"
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a GeoJEPA checkpoint on maps; the one to use is DIR/best.

    Goes on by itself where an interrupted run stopped. The checkpoint is chosen by retrieval
    without labels on tiles that were held out, never for being the last.
    """
    from dataclasses import replace

    from geoindex.errors import MissingExtraError

    try:
        from trainer.config import TrainConfig, read_config
        from trainer.run.loop import train as train_checkpoint
    except ImportError as error:
        if error.name and error.name.partition(".")[0] == "torch":
            raise MissingExtraError(package="torch", extra="train") from error
        raise

    settings = TrainConfig() if config is None else read_config(config)
    if seed is not None:
        settings = replace(settings, seed=seed)
    # of torchrun's processes the first one talks
    talk = ConsoleReporter(quiet=quiet or os.environ.get("RANK", "0") != "0")
    with _steps(talk) as on_step:
        outcome = train_checkpoint(
            sources,
            output,
            settings,
            tokens=tokens,
            device=device,
            max_minutes=max_minutes,
            reporter=talk,
            on_step=on_step,
        )
    why = {
        "done": "every epoch is done",
        "patience": "no look was better for as long as monitors.patience allows",
        "time": "the time is up; the same command goes on",
        "finished before": "it was finished before",
    }
    talk.say(
        f"{output}: step {outcome.step:,}, {why[outcome.reason]}. Best {settings.monitors.score} "
        f"{outcome.best_score:.3f} at step {outcome.best_step:,}"
    )
    if worse := untrained_text(outcome):
        talk.say(worse)
    if not talk.quiet:
        print_error(f"next: geoindex build map.osm.pbf --encoder {output / 'best'}")


def untrained_text(outcome: "Outcome") -> str:
    """Return what to say where training has not beaten the weights it began with, else ""."""
    if outcome.best_step <= 0 or outcome.best_score >= outcome.untrained_score:
        return ""
    return (
        f"random weights had {outcome.untrained_score:.3f}: by this score training has not paid. "
        "Give more ground or epochs, or another objective.name"
    )


@contextmanager
def _steps(talk: ConsoleReporter) -> Iterator[Callable[["Progress"], None]]:
    """Show loss, speed and time left: in a bar on a terminal, a line a minute elsewhere."""
    if not talk.draws:
        said = time.monotonic()

        def say(progress: "Progress") -> None:
            nonlocal said
            if time.monotonic() - said > _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                talk.say(f"step {progress.step:,}/{progress.total_steps:,}: {step_text(progress)}")

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = [
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[now]}"),
    ]
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = None

        def draw(progress: "Progress") -> None:
            nonlocal task
            if task is None:
                task = bars.add_task("train", total=progress.total_steps, now="")
            bars.update(task, completed=progress.step, now=step_text(progress))

        yield draw


def step_text(progress: "Progress") -> str:
    """Say in a few words how training goes."""
    left = ""
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        left = f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
    return f"loss {progress.loss:.3f}, {progress.tokens_per_s:,.0f} tokens/s{left}"
