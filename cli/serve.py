"""``geoindex serve``: a map explorer and an HTTP interface over indexes, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from cli.params import Config, Quiet
from cli.progress import ConsoleReporter

IndexPaths = Annotated[
    list[Path], typer.Argument(metavar="INDEX", help="Indexes, folders made by geoindex build.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex serve monaco.geoindex --open")(serve)


def serve(
    indexes: IndexPaths,
    host: Annotated[
        str,
        typer.Option(help="Where to listen. Any other than this machine needs a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8642,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GEOINDEX_TOKEN", help="Ask for this token. [default: none here, else a new one]"
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Let pages of this origin read answers. Repeatable."),
    ] = None,
    basemap: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Raster tiles to draw beneath, {z}/{x}/{y}: browsers then ask that server.",
        ),
    ] = None,
    imagery: Annotated[
        str | None,
        typer.Option(metavar="SRC", help="Where pictures are. [default: the build's]"),
    ] = None,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Serve indexes: a map to explore, search and correct, and an HTTP interface.

    The page, its map and the search are all here: no request leaves this machine, unless
    --basemap names another server. docs/serve.md describes the page and the interface.
    """
    from geoindex.serve.run import serve as run

    talk = ConsoleReporter(quiet=quiet)

    def announce(address: str) -> None:
        talk.say(f"serving {', '.join(map(str, indexes))}; Ctrl-C ends it")
        typer.echo(address)

    run(
        indexes,
        host=host,
        port=port,
        token=token,
        cors=cors or (),
        basemap=basemap,
        imagery=imagery,
        open_browser=open_browser,
        announce=announce,
    )
