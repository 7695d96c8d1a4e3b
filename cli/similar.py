"""``geoindex similar``: the similarity of two places, and why."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.params import Config, IndexPath
from cli.query import OwnWeight
from cli.text import escaped, json_safe


class FocusName(StrEnum):
    """What of an entity is compared."""

    own = "own"
    context = "context"
    both = "both"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex similar monaco.geoindex way/94400040 way/94400205")(
        similar
    )


def similar(
    index: IndexPath,
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="way/1234, 'Café Engel', an H3 cell, LON,LAT, an area as WKT or file."
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    focus: Annotated[
        FocusName,
        typer.Option(help="Compare the entities alone, in their surroundings, or both, weighed."),
    ] = FocusName.both,
    own_weight: OwnWeight = None,
    target: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="The index that holds B, of the same encoder."),
    ] = None,
    among: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found.")] = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
) -> None:
    """Say how similar two things are, from -1 to 1, and why.

    The parts sum to the similarity. "here" is B, "its" is A's. If one of the two is a cell or an
    area, the other is the cell that holds it. With --target, B is of that index.
    """
    from geoindex.api import open as open_index

    why = open_index(index).similar(
        first,
        second,
        focus=focus.value,
        own_weight=own_weight,
        target=target or among,
    )[1]
    if as_json:
        typer.echo(json_safe(json.dumps(why.as_dict(), ensure_ascii=False, indent=2)))
        return
    typer.echo(escaped(why.text()))
