"""``geoindex export``: an index becomes GeoParquet."""

from pathlib import Path
from typing import Annotated

import typer

from cli.params import IndexPath, Overwrite, Quiet
from cli.progress import ConsoleReporter


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex export monaco.geoindex -o monaco.parquet")(export)


def export(
    index: IndexPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The .parquet file to write.")
    ],
    cells: Annotated[bool, typer.Option("--cells", help="Export cells, not entities.")] = False,
    resolution: Annotated[
        int | None,
        typer.Option(metavar="0-15", help="Only cells of this resolution. [default: all]"),
    ] = None,
    focus: Annotated[
        str, typer.Option(metavar="own|context|both", help="Which vectors of the entities.")
    ] = "context",
    vector_dtype: Annotated[
        str, typer.Option(metavar="float32|float16|int8", help="How to write the vectors.")
    ] = "float32",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Export entities or cells, with their vectors, as GeoParquet 1.1."""
    from geoindex.api import open as open_index

    talk = ConsoleReporter(quiet=quiet)
    written = open_index(index).export(
        output,
        table="cells" if cells else "entities",
        resolution=resolution,
        focus=focus,
        vector_dtype=vector_dtype,
        overwrite=overwrite,
        reporter=talk,
    )
    talk.say(f"{output}: {written.num_rows:,} rows, {written.size_bytes / 1e6:.1f} MB")
