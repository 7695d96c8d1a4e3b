"""``geoindex log``: list the versions of an index."""

import json
import sys
from typing import Annotated

import typer

from cli.params import IndexPath
from cli.text import shown


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex log monaco.geoindex")(log)


def log(
    index: IndexPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print the versions as JSON.")] = False,
) -> None:
    """List the versions of an index, newest first: when, of what moment, what changed."""
    from geoindex.updates.versions import version_log

    versions = version_log(index)[::-1]
    if as_json:
        json.dump(versions, sys.stdout, indent=2, ensure_ascii=False)
        typer.echo()
        return
    for item in versions:
        counts = ", ".join(f"{n:,} {name}" for name, n in item["changes"].items() if n)
        files = ", ".join(str(file["name"]) for file in item["files"][:3])
        more = f" and {len(item['files']) - 3} more" if len(item["files"]) > 3 else ""
        what = f"{counts or 'no entity changed'}; {files}{more}" if files else "built"
        moment = item["timestamp"] or "-"
        typer.echo(shown(f"{item['version']:>4}  {item['created']}  data of {moment}  {what}"))
