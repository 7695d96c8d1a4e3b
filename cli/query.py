"""``geoindex query``: find places similar to the examples, within the filters.

The options of a query come from their definitions (`geoindex.queries.options.OPTIONS`); here are
only those of the run: which indexes, how many queries, where the hits go.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.grouped import GroupedCommand
from cli.output import FormatName, choose_format, write_hits
from cli.params import Config, IndexPath, Overwrite, Quiet, parsed
from cli.progress import ConsoleReporter
from geoindex.filters.base import Option
from geoindex.queries.options import OPTIONS, ExampleOptions, RankingOptions

if TYPE_CHECKING:
    from geoindex.queries.hits import Hits
    from geoindex.queries.query import Query

OwnWeight = Annotated[float | None, typer.Option(metavar="0..1", help=OPTIONS["own_weight"].help)]
_TARGET = "target"
# the headings of the help
_EXAMPLE, _WHERE, _FILTERS, _RANKING, _OUTPUT = "Example", "Where", "Filters", "Ranking", "Output"
_PLACES = frozenset(("bbox", "within", "in_area", "near", "radius", "in_cell", "not_within"))
# the options that were called otherwise before: still read, no longer shown
_ALIASES = {option.alias: name for name, option in OPTIONS.items() if option.alias}
_ALIASES |= {"among": _TARGET}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(
        cls=GroupedCommand,
        epilog="Example: geoindex query monaco.geoindex --like 'oceanographic museum' -k 5",
    )(query)


def _run(
    context: typer.Context,
    index: IndexPath,
    examples: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXAMPLE", help="The same as --like; several allowed."),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table of queries, a row each: CSV, Parquet, JSON Lines.",
            rich_help_panel=_EXAMPLE,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail where a query of a table cannot be answered.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    target: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="INDEX",
            help="Search this index, of the same encoder, instead. Repeatable: ranked together. "
            "Filters apply to it.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            metavar="auto|exact|faiss|lance",
            help="Who searches; exact is always certain.",
            rich_help_panel=_RANKING,
        ),
    ] = "auto",
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="VERSION|DATE",
            help="Ask an earlier version of an updated index; geoindex log lists them.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say why each is similar, exactly.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    query_file: Annotated[
        Path | None,
        typer.Option(
            "--query",
            metavar="FILE",
            help="Run what --save-query kept, or the query of saved answers (-f json); other "
            "options replace its own.",
            rich_help_panel=_EXAMPLE,
        ),
    ] = None,
    save_query: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the query, as JSON.", rich_help_panel=_OUTPUT),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write the hits as a page with a map and pictures too.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    imagery: Annotated[
        str | None,
        typer.Option(
            "--imagery",
            metavar="SRC",
            help="Of --html: where chips are. [default: the build's]",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    form: Annotated[
        FormatName | None,
        typer.Option("--format", "-f", help="How to write.", rich_help_panel=_OUTPUT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as -f json.", rich_help_panel=_OUTPUT)
    ] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; - is stdout.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "-",
    overwrite: Overwrite = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
    **given: Any,
) -> None:
    if not target:
        target = given["among"]
    if html is not None and target is not None and len(target) > 1:
        msg = "--html shows the pictures of one index; give one --target, or leave --html out"
        raise typer.BadParameter(msg)
    options = _options(context, given, examples or (), is_saved=query_file is not None)
    chosen = choose_format(FormatName.json if as_json else form, output)
    talk = ConsoleReporter(quiet=quiet)
    where: dict[str, Any] = {"target": target or None, "backend": backend}
    if batch is not None:
        _refuse_with_batch({"--query": query_file, "--save-query": save_query, "--html": html})
        hits = _open(index, as_of).query_many(batch, strict=strict, **where, **options)
    else:
        wanted = _query(query_file, options)
        hits = _open(index, as_of).query(wanted, **where)
        if save_query is not None:
            wanted.save(save_query, overwrite=overwrite)
    for note in hits.notes:
        talk.say(note)
    if explain:
        hits = hits.explain()
    write_hits(hits, chosen, output, overwrite=overwrite)
    if output != "-":
        talk.say(f"wrote {output}: {len(hits):,} hits")
    if html is not None:
        page = {"imagery": imagery, "overwrite": overwrite}
        searched = _open(target[0]) if target else _open(index, as_of)
        _write_page(hits, searched, html, talk, **page)
    if batch is None:
        _say_last(talk, hits, int(hits.query["k"]))


def _write_page(
    hits: "Hits", searched: Any, html: Path, talk: ConsoleReporter, **options: Any
) -> None:
    from geoindex.report.hits_page import write_page

    for note in write_page(hits, searched, html, **options):
        talk.say(note)
    talk.say(f"wrote {html}: {len(hits):,} hits")


def query(**given: Any) -> None:
    """Find places similar to the examples, within the filters.

    The search is exact, unless an approximate index was made: every row that passes the filters is
    compared. Examples are never returned. An entity lies where its point lies.
    """
    _run(**given)


def _parameter(name: str, option: Option, *, is_alias: bool = False) -> inspect.Parameter:
    """Return an option of a query as a parameter that typer reads."""
    flags = [f"--{name.replace('_', '-')}"]
    flags = ["-k", *flags, "-n", "--limit"] if name == "k" else flags
    settings: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    settings["rich_help_panel"] = _panel(name)
    kind: Any = option.cli_type
    if option.is_parsed_early:
        kind, settings["parser"] = Any, parsed(option.parse)
    elif option.default is None:
        kind = kind | None
    if kind is int:
        settings["min"] = int(option.default > 0)
    if is_alias:
        settings["hidden"] = True
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, typer.Option(*flags, **settings)],
    )


def _panel(name: str) -> str:
    """Return the heading of the help under which an option of a query stands."""
    if name in ExampleOptions.__annotations__:
        return _EXAMPLE
    if name in RankingOptions.__annotations__:
        return _RANKING
    return _WHERE if name in _PLACES else _FILTERS


def _signature() -> inspect.Signature:
    """Return the parameters of the verb: the examples first, the run in between."""
    run = list(inspect.signature(_run).parameters.values())[:-1]
    of_query = {name: _parameter(name, each) for name, each in OPTIONS.items() if each.cli_type}
    of_query |= {
        alias: _parameter(alias, OPTIONS[name], is_alias=True)
        for alias, name in _ALIASES.items()
        if name in OPTIONS
    }
    among = Annotated[list[Path] | None, typer.Option("--among", hidden=True)]
    of_query["among"] = inspect.Parameter(
        "among", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=among
    )
    ordered = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in run]
    return inspect.Signature([*ordered[:3], *of_query.values(), *ordered[3:]])


query.__signature__ = _signature()  # type: ignore[attr-defined]
query.__annotations__ = {
    name: parameter.annotation for name, parameter in _signature().parameters.items()
}


def _options(
    context: typer.Context, given: dict[str, Any], examples: Sequence[str], *, is_saved: bool
) -> dict[str, Any]:
    """Return the options of the query that were given, by the names of Python."""
    # settings of a file do not replace what a saved query says
    unsaid = {"DEFAULT", *(["DEFAULT_MAP"] if is_saved else [])}
    found: dict[str, Any] = {}
    for name, value in given.items():
        source = context.get_parameter_source(name)
        if name != "among" and source is not None and source.name not in unsaid:
            found[_ALIASES.get(name, name)] = value
    if examples:
        found["like"] = [*examples, *(found.get("like") or ())]
    return found


def _query(query_file: Path | None, options: dict[str, Any]) -> "Query":
    from geoindex.queries.query import Query

    return Query(**options) if query_file is None else Query.load(query_file).replace(**options)


def _refuse_with_batch(others: dict[str, Any]) -> None:
    for option, value in others.items():
        if value is not None:
            msg = f"{option} is for one query; leave it or --batch out"
            raise typer.BadParameter(msg)


def _say_last(talk: ConsoleReporter, hits: "Hits", k: int) -> None:
    for each in hits.suggested:
        about = f" ({each['kind']}) {each['name'] or ''}" if "kind" in each else ""
        talk.say(f"label next: {each['id']}{about}".rstrip())
    if not hits.num_passing:
        talk.say("nothing passes the filters; 0 hits")
    elif not len(hits):
        talk.say(
            f"none of the {hits.num_passing:,} that pass the filters is similar enough; 0 hits"
        )
    elif len(hits) < min(k, hits.num_passing):
        talk.say(f"only {len(hits):,} of the {hits.num_passing:,} that pass the filters are left")
    elif len(hits) < k:
        talk.say(f"only {hits.num_passing:,} pass the filters")


def _open(index: Path, as_of: str | None = None) -> Any:
    from geoindex.api import open as open_index

    return open_index(index, as_of=as_of)
