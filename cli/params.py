"""Options that several verbs share, their parsers, and settings files.

Every parser is the library's own: the command and Python read the same text. A fault becomes
typer's usage error, exit code 2.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from geoindex.errors import UsageError

T = TypeVar("T")


def parsed(parser: Callable[[str], T]) -> Callable[[Any], T]:
    """Make a parser of the library one of typer's: its error names the option."""

    def parse(text: Any) -> T:
        if not isinstance(text, str):
            return text  # typer hands a default through
        try:
            return parser(text)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from error

    return parse


def cell(text: str) -> int:
    """Parse an H3 cell."""
    from geoindex.geo.h3 import parse_cell

    return parse_cell(text)


def polygon(text: str) -> Any:
    """Parse a polygon: WKT, or a file of polygons."""
    from geoindex.geo.polygon_io import parse_within

    return parse_within(text)


IndexPath = Annotated[
    Path, typer.Argument(metavar="INDEX", help="The index, a folder made by geoindex build.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but faults.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take a verb's settings from its table in a TOML file; flags and environment come before."""
    if path is None:
        return None
    import tomllib

    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise typer.BadParameter(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is no TOML: {error}. Example: [build] and below it resolution = [9]"
        raise typer.BadParameter(msg) from error
    verb = context.info_name or ""
    found = {name.replace("-", "_"): value for name, value in content.get(verb, {}).items()}
    parameters = {parameter.name: parameter for parameter in context.command.params}
    unknown = sorted(set(found) - set(parameters))
    if unknown:
        shown = [name for name, each in parameters.items() if not getattr(each, "hidden", False)]
        want = ", ".join(sorted(map(str, shown)))
        msg = f"{path} sets {', '.join(unknown)} under [{verb}]; want some of {want}"
        raise typer.BadParameter(msg)
    context.default_map = {**(context.default_map or {}), **found}
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A TOML file of settings; flags and GEOINDEX_* come before it.",
        is_eager=True,
        callback=_read_config,
        envvar="GEOINDEX_CONFIG",
    ),
]
