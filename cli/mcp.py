"""``geoindex mcp``: tools for assistants over indexes, by standard input and output."""

import typer

from cli.params import Config
from cli.serve import IndexPaths


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex mcp monaco.geoindex")(mcp)


def mcp(
    indexes: IndexPaths,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
) -> None:
    """Serve tools for assistants (Model Context Protocol) by standard input and output.

    Read-only: find, compare, describe and rank places. geoindex serve has the same tools at /mcp.
    """
    from geoindex.serve.run import serve_mcp

    serve_mcp(indexes)
