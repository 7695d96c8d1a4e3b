"""``geoindex update``: bring an index up to the moment of newer data."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.params import Config, IndexPath, Quiet
from cli.progress import ConsoleReporter
from cli.text import shown
from geoindex.errors import UsageError

if TYPE_CHECKING:
    from geoindex.updates.update import Updated


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
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="SOURCE", help="A newer file of the area; the changes are found here."
        ),
    ] = None,
    replication: Annotated[
        str | None,
        typer.Option(
            "--replication",
            metavar="URL",
            help="A replication server, the folder that holds state.txt; goes on where it ended.",
            envvar="GEOINDEX_REPLICATION",
        ),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--start", metavar="N", min=1, help="The first file of --replication to take."
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--most", metavar="N", min=1, help="Take at most so many of its files."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="FILE",
            help="The file that the index was built from, where it was built without --updatable.",
        ),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say how the index stands, and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Apply changes to an index that was built with --updatable.

    It then equals what a build of the changed map makes. It changes in one step: an interrupted
    update leaves it as it was, and goes on when the command is run again.
    """
    from geoindex.updates.replication import update_from_server
    from geoindex.updates.status import update_status
    from geoindex.updates.update import make_updatable, update_index, update_to

    talk = ConsoleReporter(quiet=quiet)
    if status:
        _print_status(update_status(index), as_json=as_json)
        return
    if sum((bool(osc), to is not None, replication is not None)) != 1 and source is None:
        msg = f"want one of --osc, --to, --replication. Example: geoindex update {index} --osc FILE"
        raise UsageError(msg)
    if source is not None:
        make_updatable(index, source, reporter=talk)
    if to is not None:
        done = [update_to(index, to, reporter=talk)]
    elif replication is not None:
        done = update_from_server(index, replication, start=start, most_files=most, reporter=talk)
    else:
        done = [update_index(index, osc, reporter=talk)] if osc else []
    if as_json:
        _print_json({"path": str(index), "updates": [asdict(one) for one in done]})
        return
    if not done:
        talk.say(f"{index}: nothing new")
    for one in done:
        _tell(talk, index, one)


def _tell(talk: ConsoleReporter, index: Path, done: "Updated") -> None:
    talk.say(f"changes: {_counted(done.objects)}")
    if not done.is_new:
        talk.say(f"{index}: nothing to change, still version {done.version}")
        return
    talk.say(f"entities: {_counted(done.entities)}")
    talk.say(
        f"{index}: version {done.version}, data of {done.timestamp or 'an unknown time'}; "
        f"{_counted(done.embedded)} embedded"
    )


def _print_status(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(status)
        return
    for name, value in status.items():
        if value not in {None, ""}:
            typer.echo(f"{name:12}  {shown(str(value))}")


def _print_json(content: dict[str, Any]) -> None:
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    typer.echo()


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"
