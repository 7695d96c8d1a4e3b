"""``geoindex index``: make anew what speeds the search of an index."""

from typing import Annotated

import typer

from cli.params import Config, IndexPath, Quiet
from cli.progress import ConsoleReporter


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex index monaco.geoindex --index ivf")(index)


def index(
    path: IndexPath,
    kind: Annotated[
        str,
        typer.Option(
            "--index",
            metavar="none|auto|ivf|hnsw|lance",
            help="Approximate index: none, only exact search; auto, ivf from 5 million rows on; "
            "ivf or hnsw by faiss; lance, inside the tables.",
            envvar="GEOINDEX_INDEX",
        ),
    ] = "auto",
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda", help="Where k-means of ivf runs.", envvar="GEOINDEX_DEVICE"
        ),
    ] = "auto",
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Make anew what speeds the search of an index: codes, and an approximate index if asked.

    Exact answers stay the same to the bit. With an approximate index, queries without filters or
    with weak ones are answered by it, and say so with the recall measured here; --backend exact
    of a query asks for certainty.
    """
    from geoindex.pipeline.sidecar import bring_up_to_date
    from geoindex.search.ann_records import described
    from geoindex.search.build_ann import reindex

    talk = ConsoleReporter(quiet=quiet)
    for note in bring_up_to_date(path):
        talk.say(note)
    records = reindex(path, kind, device=device, reporter=talk)
    for name, record in records.items():
        talk.say(f"{name}: {described(record)}")
    if not records:
        talk.say(f"{path}: too few rows for codes; every search reads them all")
