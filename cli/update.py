"""``geoindex update``: bring an index up to the moment of newer data."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.params import Config, IndexPath, Quiet
from cli.progress import ConsoleReporter


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex update monaco.geoindex --osc changes.osc.gz")(update)


def update(
    index: IndexPath,
    osc: Annotated[
        list[Path] | None,
        typer.Option(
            "--osc", metavar="FILE", help="Changes: .osc, .osc.gz, .osc.bz2; several allowed."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Apply changes to an index that was built with --updatable.

    It then equals what a build of the changed map makes. It changes in one step: an interrupted
    update leaves it as it was.
    """
    from geoindex.updates.update import update_index

    talk = ConsoleReporter(quiet=quiet)
    done = update_index(index, osc or [], reporter=talk)
    if as_json:
        json.dump({**asdict(done), "path": str(index)}, sys.stdout, indent=2, ensure_ascii=False)
        typer.echo()
        return
    talk.say(f"changes: {_counted(done.objects)}")
    if not done.is_new:
        talk.say(f"{index}: nothing to change, still version {done.version}")
        return
    talk.say(f"entities: {_counted(done.entities)}")
    talk.say(
        f"{index}: version {done.version}, data of {done.timestamp or 'an unknown time'}; "
        f"{_counted(done.embedded)} embedded"
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"
