"""``geoindex similar``: how alike are two things, and why?"""

import json
from enum import StrEnum
from typing import Annotated

import typer

from cli.params import Config, IndexPath


class FocusName(StrEnum):
    """What of an entity is compared."""

    own = "own"
    context = "context"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex similar monaco.geoindex way/94400040 way/94400205")(
        similar
    )


def similar(
    index: IndexPath,
    first: Annotated[str, typer.Argument(metavar="A", help="An entity: way/1234.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    focus: Annotated[
        FocusName,
        typer.Option(help="Compare the entities alone, or in their surroundings."),
    ] = FocusName.context,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found.")] = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
) -> None:
    """Say how similar two entities are, from -1 to 1, and why.

    The parts sum to the similarity. "here" is B, "its" is A's.
    """
    from geoindex.api import open as open_index

    why = open_index(index).similar(first, second, focus=focus.value)[1]
    if as_json:
        typer.echo(json.dumps(why.as_dict(), ensure_ascii=False, indent=2))
        return
    typer.echo(why.text())
