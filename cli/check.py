"""``geoindex check``: verify that an index is whole, and that it agrees with brute force."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from cli.params import IndexPath, Quiet
from cli.progress import ConsoleReporter
from cli.text import shown
from geoindex.errors import IndexDamagedError


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex check monaco.geoindex")(check)


def check(
    index: IndexPath,
    queries: Annotated[
        int, typer.Option(min=1, help="How many entities to ask about, against brute force.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Chooses the entities.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check that an index is whole, and that its answers agree with brute force.

    Exits with 4 if anything is wrong.
    """
    from geoindex.api import open as open_index
    from geoindex.pipeline.verify import check_index

    findings = check_index(
        open_index(index), num_queries=queries, seed=seed, reporter=ConsoleReporter(quiet=quiet)
    )
    if as_json:
        json.dump([asdict(finding) for finding in findings], sys.stdout, indent=2)
        typer.echo()
    else:
        for finding in findings:
            state = "ok" if finding.is_ok else "WRONG"
            typer.echo(shown(f"{state:5}  {finding.check:8}  {finding.fault or finding.detail}"))
    wrong = [finding.check for finding in findings if not finding.is_ok]
    if wrong:
        msg = f"{index} fails {', '.join(wrong)}. Build it again: geoindex build ... --overwrite"
        raise IndexDamagedError(msg)
