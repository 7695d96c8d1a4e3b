"""``geoindex query``: what is like this, over there, within these filters?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import FormatName, choose_format, write_hits
from cli.params import Config, IndexPath, Overwrite, Quiet, cell, parsed, polygon
from cli.talk import Talk
from geoindex.measures import parse_area, parse_length
from geoindex.places import BBox, LonLat, parse_bbox, parse_point, parse_radius

if TYPE_CHECKING:
    from geoindex.hits import Hits


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex query monaco.geoindex --like way/4097656 -k 5")(query)


def query(
    index: IndexPath,
    like: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|NAME",
            help="An entity to find the like of: way/1234, 'Café Engel'; several allowed.",
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|NAME", help="An entity to keep away from; several allowed."),
    ] = None,
    at: Annotated[
        LonLat | None,
        typer.Option(
            parser=parsed(parse_point), metavar="LON,LAT", help="The like of what lies there."
        ),
    ] = None,
    from_cell: Annotated[
        int | None,
        typer.Option("--cell", parser=parsed(cell), metavar="H3", help="The like of this cell."),
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option(metavar="K=V,...", help="The like of a thing with these tags."),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="GeoJSON of things labelled 1 (like) or 0 (unlike)."),
    ] = None,
    negative_weight: Annotated[
        float, typer.Option(metavar="W", help="How strongly to keep away from what is unlike.")
    ] = 0.5,
    cells: Annotated[bool, typer.Option("--cells", help="Search cells, not entities.")] = False,
    focus: Annotated[
        str | None,
        typer.Option(
            metavar="own|context",
            help="Compare entities alone, or in their surroundings. "
            "[default: context; own for --tags alone]",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAGS",
            help="Only entities with these tags: 'amenity=cafe|bar', '!shop', 'name=*bar*'.",
        ),
    ] = None,
    bbox: Annotated[
        BBox | None,
        typer.Option(parser=parsed(parse_bbox), metavar="W,S,E,N", help="Only within this box."),
    ] = None,
    within: Annotated[
        Any,
        typer.Option(
            parser=parsed(polygon), metavar="FILE|WKT", help="Only within these polygons."
        ),
    ] = None,
    near: Annotated[
        LonLat | None,
        typer.Option(
            parser=parsed(parse_point), metavar="LON,LAT", help="Only near this point (--radius)."
        ),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_radius), metavar="DISTANCE", help="How near: 500m, 1.5km."
        ),
    ] = None,
    in_cell: Annotated[
        int | None,
        typer.Option(parser=parsed(cell), metavar="H3", help="Only within this cell."),
    ] = None,
    not_within: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_radius),
            metavar="DISTANCE",
            help="Only so far from what was asked about: 1km.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="KEY=VALUE", help="Only this kind: amenity=cafe, amenity=*."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Only of this name: 'Café Engel', 'Café*' by its beginning, '~cafe engl' fuzzy.",
        ),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(metavar="FILE|ID,ID", help="Only these; a file has one id a line."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Not this one; several allowed."),
    ] = None,
    min_area: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_area), metavar="AREA", help="Only areas so large: 500m2, 2ha, 1km2."
        ),
    ] = None,
    max_area: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_area), metavar="AREA", help="Only areas at most so large."
        ),
    ] = None,
    min_length: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_length),
            metavar="LENGTH",
            help="Only what is so long: 500m, 1.5km; areas by their outline.",
        ),
    ] = None,
    max_length: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_length), metavar="LENGTH", help="Only what is at most so long."
        ),
    ] = None,
    min_similarity: Annotated[
        float | None,
        typer.Option(metavar="S", help="Only hits at least so similar, -1 to 1."),
    ] = None,
    one_per: Annotated[
        str | None,
        typer.Option(
            metavar="cell:RES|KEY",
            help="Only the best of each: cell:7, name, brand, kind, any key.",
        ),
    ] = None,
    diversity: Annotated[
        float, typer.Option(metavar="0..1", help="How much hits should differ from each other.")
    ] = 0.0,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many.")] = 10,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each is similar, exactly.")
    ] = False,
    form: Annotated[FormatName | None, typer.Option("--format", "-f", help="How to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f json.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")
    ] = "-",
    overwrite: Overwrite = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Find what is like the things named, within the filters.

    The search is exact: every row that passes the filters is compared. What was named is never
    among the answers. An entity lies where its point lies.
    """
    chosen = choose_format(FormatName.json if as_json else form, output)
    hits = _ask(
        index,
        like=like or (),
        unlike=unlike or (),
        at=at,
        cell=from_cell,
        tags=tags,
        session=session,
        negative_weight=negative_weight,
        where=where,
        bbox=bbox,
        within=within,
        near=near,
        radius=radius,
        in_cell=in_cell,
        not_within=not_within,
        kind=kind,
        name=name,
        ids=ids,
        exclude=exclude or (),
        min_area=min_area,
        max_area=max_area,
        min_length=min_length,
        max_length=max_length,
        min_similarity=min_similarity,
        one_per=one_per,
        diversity=diversity,
        cells=cells,
        focus=focus,
        k=k,
    )
    talk = Talk(quiet=quiet)
    for note in hits.notes:
        talk.say(note)
    if explain:
        hits = hits.explain()
    write_hits(hits, chosen, output, overwrite=overwrite)
    if not hits.num_passing:
        talk.say("nothing passes the filters; 0 hits")
    elif len(hits) < min(k, hits.num_passing):
        talk.say(f"only {len(hits):,} of the {hits.num_passing:,} that pass the filters are left")
    elif len(hits) < k:
        talk.say(f"only {hits.num_passing:,} pass the filters")


def _ask(index: Path, **asked: Any) -> "Hits":
    from geoindex.api import open as open_index

    return open_index(index).query(**asked)
