"""``geoindex demo``: index the sample, search it, and write a page of hits."""

from pathlib import Path
from typing import Annotated

import typer

from cli.params import Quiet
from cli.progress import ConsoleReporter

_EXAMPLE = "Helsinki Cathedral"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex demo -o demo")(demo)


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the index and the page.",
            show_default=True,
        ),
    ] = Path("geoindex-demo"),
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="default, or tagpool, which is quicker.")
    ] = "default",
    quiet: Quiet = False,
) -> None:
    """Build an index of the centre of Helsinki, and show what is like its cathedral.

    The map is the sample that comes with the extra `sample`. An index that is there is used.
    """
    from cli.output import FormatName, write_hits
    from geoindex.api import build
    from geoindex.api import open as open_index
    from geoindex.datasets import sample_path
    from geoindex.storage.manifest import is_index

    talk = ConsoleReporter(quiet=quiet)
    path, page = output / "helsinki.geoindex", output / "hits.html"
    if is_index(path):
        index = open_index(path)
    else:
        output.mkdir(parents=True, exist_ok=True)
        index = build(sample_path(), path, encoder=encoder, reporter=talk)
    hits = index.query(_EXAMPLE, k=8)
    for note in hits.notes:
        talk.say(note)
    write_hits(hits, FormatName.table, "-", overwrite=False)
    index.write_page(hits.explain(), page, overwrite=True)
    talk.say(f"next: open {page}, or: geoindex query {path} 'cafe engel' --explain")
