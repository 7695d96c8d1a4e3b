"""``geoindex query``: what is like this, over there, within these filters?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import query_image
from cli import query_options as ask
from cli.output import FormatName, choose_format, write_hits
from cli.params import Config, IndexPath, Overwrite, Quiet
from cli.progress import Talk

if TYPE_CHECKING:
    from geoindex.queries.hits import Hits
    from geoindex.queries.query import Query

# what is said of the run and not of the query
_RUN = {
    "index", "batch", "strict", "among", "backend", "explain", "query_file", "save_query", "form",
    "as_json", "output", "overwrite", "config", "quiet", "image", "html", "imagery",
}  # fmt: skip
# what Python calls otherwise
_PYTHON = {"from_cell": "cell"}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex query monaco.geoindex --like way/4097656 -k 5")(query)


def query(
    context: typer.Context,
    index: IndexPath,
    like: ask.Like = None,
    unlike: ask.Unlike = None,
    at: ask.At = None,
    from_cell: ask.FromCell = None,
    tags: ask.Tags = None,
    vector: ask.Vector = None,
    image: query_image.Image = None,
    session: ask.Session = None,
    negative_weight: ask.NegativeWeight = 0.5,
    batch: ask.Batch = None,
    strict: ask.Strict = False,
    among: ask.Among = None,
    cells: ask.Cells = False,
    focus: ask.Focus = None,
    own_weight: ask.OwnWeight = 0.5,
    backend: ask.Backend = "auto",
    where: ask.Where = None,
    bbox: ask.Box = None,
    within: ask.Within = None,
    in_place: ask.InPlace = None,
    near: ask.Near = None,
    radius: ask.Radius = None,
    in_cell: ask.InCell = None,
    not_within: ask.NotWithin = None,
    kind: ask.Kind = None,
    name: ask.Name = None,
    ids: ask.Ids = None,
    exclude: ask.Exclude = None,
    min_area: ask.MinArea = None,
    max_area: ask.MaxArea = None,
    min_length: ask.MinLength = None,
    max_length: ask.MaxLength = None,
    min_similarity: ask.MinSimilarity = None,
    one_per: ask.OnePer = None,
    diversity: ask.Diversity = 0.0,
    k: ask.K = 10,
    explain: ask.Explain = False,
    query_file: ask.QueryFile = None,
    save_query: ask.SaveQuery = None,
    html: query_image.Page = None,
    imagery: query_image.ChipSource = None,
    form: Annotated[FormatName | None, typer.Option("--format", "-f", help="How to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f json.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")
    ] = "-",
    overwrite: Overwrite = False,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Find what is like the things named, within the filters.

    The search is exact, unless an approximate index was made: every row that passes the filters is
    compared. What was named is never among the answers. An entity lies where its point lies.
    """
    asked = {name: value for name, value in locals().items() if name not in {*_RUN, "context"}}
    is_saved = query_file is not None or batch is not None or image is not None
    if html is not None and among is not None and len(among) > 1:
        msg = "--html shows the pictures of one index; give one --among, or leave --html out"
        raise typer.BadParameter(msg)
    options = _options(context, asked, is_saved=is_saved)
    chosen = choose_format(FormatName.json if as_json else form, output)
    talk = Talk(quiet=quiet)
    if image is not None:
        others: dict[str, Any] = {"--batch": batch, "--query": query_file, "--among": among}
        others |= {"--save-query": save_query}
        _refuse_with("--image", others)
        hits = query_image.image_hits(_open(index), image, options)
    elif batch is not None:
        _refuse_with_batch(query_file, save_query, explain=explain)
        _refuse_with("--batch", {"--html": html})
        hits = _open(index).query_many(
            batch, among=among or None, backend=backend, strict=strict, **options
        )
    else:
        wanted = _query(query_file, options)
        hits = _open(index).query(wanted, among=among or None, backend=backend)
        if save_query is not None:
            wanted.save(save_query, overwrite=overwrite)
    for note in hits.notes:
        talk.say(note)
    if explain:
        hits = hits.explain()
    write_hits(hits, chosen, output, overwrite=overwrite)
    if html is not None:
        from geoindex.report.hits_page import write_page

        target = _open(among[0] if among else index)
        for note in write_page(hits, target, html, imagery=imagery, overwrite=overwrite):
            talk.say(note)
    if batch is None:
        _say_few(talk, hits, int(hits.query["k"]))


def _options(context: typer.Context, asked: dict[str, Any], *, is_saved: bool) -> dict[str, Any]:
    """Return what was asked as options of `geoindex.Query`."""
    if is_saved:
        # what nobody said must not replace what the file says; nor may settings, of a saved query
        unsaid = {"DEFAULT", *(["DEFAULT_MAP"] if context.params.get("query_file") else [])}
        sources = {name: context.get_parameter_source(name) for name in asked}
        asked = {
            name: value
            for name, value in asked.items()
            if (source := sources[name]) is not None and source.name not in unsaid
        }
    empty = {"like": (), "unlike": (), "exclude": ()}
    return {
        _PYTHON.get(name, name): empty.get(name) if value is None else value
        for name, value in asked.items()
        if value is not None or name in empty
    }


def _query(query_file: Path | None, options: dict[str, Any]) -> "Query":
    from geoindex.queries.query import Query

    return Query(**options) if query_file is None else Query.load(query_file).replace(**options)


def _refuse_with(option: str, others: dict[str, Any]) -> None:
    for other, value in others.items():
        if value is not None:
            msg = f"{other} does not go with {option}; leave one of them out"
            raise typer.BadParameter(msg)


def _refuse_with_batch(query_file: Path | None, save_query: Path | None, *, explain: bool) -> None:
    given = {"--query": query_file, "--save-query": save_query, "--explain": explain or None}
    for option, value in given.items():
        if value is not None:
            msg = f"{option} is for one query; leave it or --batch out"
            raise typer.BadParameter(msg)


def _say_few(talk: Talk, hits: "Hits", k: int) -> None:
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


def _open(index: Path) -> Any:
    from geoindex.api import open as open_index

    return open_index(index)
