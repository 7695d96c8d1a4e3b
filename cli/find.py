"""``geoindex find``: list the places that a name may mean."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.params import IndexPath
from cli.text import shown
from geoindex.errors import NotInIndexError

if TYPE_CHECKING:
    from geoindex.lookup.find import Candidate


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex find monaco.geoindex 'oceanographic museum'")(find)


def find(
    index: IndexPath,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="A name in any language of the map, or an id.")
    ],
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="At most so many.", show_default=True)
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found.")] = False,
) -> None:
    """Find places by name: the first is what --like takes, if it is clearly meant.

    Case, accents, punctuation and usual abbreviations do not count. Exit code 3 if nothing fits.
    """
    from geoindex.api import open as open_index
    from geoindex.lookup.names import missing_text

    opened = open_index(index)
    found = opened.find(text, limit=limit)
    if not found:
        raise NotInIndexError(missing_text(opened, text))
    if as_json:
        typer.echo(json.dumps([_plain(each) for each in found], ensure_ascii=False, indent=2))
        return
    rows = [["#", "id", "kind", "name", "fits by", "at"]]
    for number, each in enumerate(found, 1):
        name = each.name or ""
        fitted = "" if each.matched == name else each.matched
        place = f"{each.lon:.5f},{each.lat:.5f}"
        rows.append([str(number), each.id, each.kind, name, fitted, place])
    safe = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    for row in safe:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


def _plain(found: "Candidate") -> dict[str, object]:
    plain = asdict(found)
    del plain["row"]
    return {**plain, "lon": round(found.lon, 7), "lat": round(found.lat, 7)}
