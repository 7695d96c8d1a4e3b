"""The command: its verbs, and how a fault ends it.

Exit codes are conventions that scripts rely on; `geoindex.errors` lists them. 130 is an interrupt.
"""

import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from cli.progress import print_error
from geoindex import __version__
from geoindex.errors import GeoindexError, IndexDamagedError, IndexReplacedError

INTERRUPTED = 130
_MOST_TRIES = 10

app = typer.Typer(
    name="geoindex",
    help="Find places that are alike: a map becomes an index, and the index answers.",
    epilog="Example: geoindex build monaco.osm.pbf -o monaco.geoindex",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geoindex {__version__}")
        raise typer.Exit


def _verbose(level: int) -> None:
    """Log what is done, with times, on stderr."""
    if level:
        import logging

        logging.basicConfig(
            stream=sys.stderr,
            format="%(asctime)s %(name)s: %(message)s",
            level=logging.WARNING,
        )
        logging.getLogger("geoindex").setLevel(logging.INFO if level == 1 else logging.DEBUG)


@app.callback()
def root(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            callback=_verbose,
            show_default=False,
            help="Log what is done, before the verb: geoindex -v query ...; -vv for more.",
        ),
    ] = 0,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Find places that are alike: a map becomes an index, and the index answers."""


def _add_commands() -> None:
    # in the order of the help
    for name in (
        "build",
        "update",
        "demo",
        "index",
        "find",
        "query",
        "similar",
        "guess",
        "knn",
        "evaluate",
        "train",
        "export",
        "info",
        "check",
        "log",
        "diff",
        "clean",
        "serve",
        "mcp",
    ):
        import_module(f"cli.{name}").register(app)


_add_commands()


def _prepare_streams() -> None:
    """Make streams that are closed, or that cannot hold every letter, safe to write to."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # open for as long as the process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def run() -> None:
    """Run the command; turn faults that are explained into their exit codes."""
    _prepare_streams()
    # Lance warns of every empty list of a small index; read when it is first imported
    os.environ.setdefault("LANCE_LOG", "error")
    warnings.showwarning = lambda message, *_args, **_kwargs: print_error(f"note: {message}")
    try:
        _read_again()
        sys.stdout.flush()
    except GeoindexError as error:
        print_error(f"error: {error}")
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            print_error("interrupted; run the same command again to go on from here")
        raise
    except OSError as error:
        _end_with(error)
    except Exception as error:
        _end_if_damaged(error)
        raise


def _read_again() -> None:
    """Run the command; again, if another index took the place of the one that it reads."""
    for _ in range(_MOST_TRIES - 1):
        try:
            app(standalone_mode=True)
        except IndexReplacedError:
            # found out before anything is written
            continue
        return
    app(standalone_mode=True)


def _end_if_damaged(error: Exception) -> None:
    """End with one line where an index that the command names is damaged: that explains a fault."""
    from geoindex.storage.checksums import damaged_files, described
    from geoindex.storage.consistency import current_files
    from geoindex.storage.manifest import is_index

    for path in map(Path, sys.argv[1:]):
        if is_index(path) and (faults := damaged_files(path, current_files(path))):
            print_error(f"error: {path} is damaged: {described(faults)} ({type(error).__name__})")
            sys.exit(IndexDamagedError.exit_code)


def _end_with(error: OSError) -> None:
    """End with one line where the system refused something: a full disk, a closed pipe."""
    if isinstance(error, BrokenPipeError):
        # whoever read our output has had enough: `geoindex query ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    name = f"{error.filename}: " if error.filename else ""
    print_error(f"error: {name}{error.strerror or error}")
    # what is still held for a full disk cannot be written either
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(GeoindexError.exit_code)
