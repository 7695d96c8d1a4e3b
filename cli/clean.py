"""``geoindex clean``: delete the earlier versions of an index."""

from typing import Annotated

import typer

from cli.params import IndexPath, Quiet
from cli.progress import ConsoleReporter


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex clean monaco.geoindex --keep 2")(clean)


def clean(
    index: IndexPath,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=1, help="How many of the newest stay.")
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Delete all but the newest versions of an index, and give their room back."""
    from geoindex.updates.versions import clean_versions

    talk = ConsoleReporter(quiet=quiet)
    gone = clean_versions(index, keep=keep)
    talk.say(f"{index}: deleted {len(gone)} versions {', '.join(map(str, gone))}".rstrip())
