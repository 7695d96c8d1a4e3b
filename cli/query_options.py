"""What can be said to ``geoindex query``? Its options, in the order of its help."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.params import cell, parsed, polygon
from geoindex.geo.distance import BBox, LonLat, parse_bbox, parse_point, parse_radius
from geoindex.geo.measure import parse_area, parse_length

Like = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID|NAME|...",
        help="What to find the like of: way/1234, 'Café Engel', an H3 cell, LON,LAT, an area as "
        "WKT or file; several allowed.",
    ),
]
Unlike = Annotated[
    list[str] | None,
    typer.Option(metavar="ID|NAME|...", help="What to keep away from; several allowed."),
]
At = Annotated[
    LonLat | None,
    typer.Option(
        parser=parsed(parse_point), metavar="LON,LAT", help="The like of what lies there."
    ),
]
FromCell = Annotated[
    int | None,
    typer.Option("--cell", parser=parsed(cell), metavar="H3", help="The like of this cell."),
]
Tags = Annotated[
    str | None, typer.Option(metavar="K=V,...", help="The like of a thing with these tags.")
]
Vector = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The like of these vectors: .npy, .json, .parquet."),
]
Session = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="GeoJSON of things labelled 1 (like) or 0 (unlike)."),
]
NegativeWeight = Annotated[
    float, typer.Option(metavar="W", help="How strongly to keep away from what is unlike.")
]
Batch = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A table of queries, a row each: CSV, Parquet, JSON Lines."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Fail where a query of a table cannot be answered.")
]
Among = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="INDEX",
        help="Look in this index, of the same encoder; several allowed, ranked together. The "
        "filters speak of them.",
    ),
]
Cells = Annotated[bool, typer.Option("--cells", help="Search cells, not entities.")]
Focus = Annotated[
    str | None,
    typer.Option(
        metavar="own|context|both",
        help="Compare entities alone, in their surroundings, or by both similarities, weighed. "
        "[default: context; own for --tags alone]",
    ),
]
OwnWeight = Annotated[
    float, typer.Option(metavar="0..1", help="Of --focus both: the share of own.")
]
Backend = Annotated[
    str,
    typer.Option(metavar="auto|exact|faiss|lance", help="Who searches; exact is always certain."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TAGS",
        help="Only entities with these tags: 'amenity=cafe|bar', '!shop', 'name=*bar*'.",
    ),
]
Box = Annotated[
    BBox | None,
    typer.Option(parser=parsed(parse_bbox), metavar="W,S,E,N", help="Only within this box."),
]
Within = Annotated[
    Any,
    typer.Option(parser=parsed(polygon), metavar="FILE|WKT", help="Only within these polygons."),
]
InPlace = Annotated[
    str | None,
    typer.Option(
        metavar="ID|NAME|LON,LAT",
        help="Only in this place: an area, or the town in which it lies.",
    ),
]
Near = Annotated[
    LonLat | None,
    typer.Option(
        parser=parsed(parse_point), metavar="LON,LAT", help="Only near this point (--radius)."
    ),
]
Radius = Annotated[
    float | None,
    typer.Option(parser=parsed(parse_radius), metavar="DISTANCE", help="How near: 500m, 1.5km."),
]
InCell = Annotated[
    int | None, typer.Option(parser=parsed(cell), metavar="H3", help="Only within this cell.")
]
NotWithin = Annotated[
    float | None,
    typer.Option(
        parser=parsed(parse_radius),
        metavar="DISTANCE",
        help="Only so far from what was asked about: 1km.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(metavar="KEY=VALUE", help="Only this kind: amenity=cafe, amenity=*."),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Only of this name: 'Café Engel', 'Café*' by its beginning, '~cafe engl' fuzzy.",
    ),
]
Ids = Annotated[
    str | None,
    typer.Option(metavar="FILE|ID,ID", help="Only these; a file has one id a line."),
]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Not this one; several allowed.")
]
MinArea = Annotated[
    float | None,
    typer.Option(
        parser=parsed(parse_area), metavar="AREA", help="Only areas so large: 500m2, 2ha, 1km2."
    ),
]
MaxArea = Annotated[
    float | None,
    typer.Option(parser=parsed(parse_area), metavar="AREA", help="Only areas at most so large."),
]
MinLength = Annotated[
    float | None,
    typer.Option(
        parser=parsed(parse_length),
        metavar="LENGTH",
        help="Only what is so long: 500m, 1.5km; areas by their outline.",
    ),
]
MaxLength = Annotated[
    float | None,
    typer.Option(
        parser=parsed(parse_length), metavar="LENGTH", help="Only what is at most so long."
    ),
]
MinSimilarity = Annotated[
    float | None, typer.Option(metavar="S", help="Only hits at least so similar, -1 to 1.")
]
OnePer = Annotated[
    str | None,
    typer.Option(
        metavar="cell:RES|KEY",
        help="Only the best of each: cell:7, name, brand, kind, any key.",
    ),
]
Diversity = Annotated[
    float, typer.Option(metavar="0..1", help="How much hits should differ from each other.")
]
K = Annotated[int, typer.Option("-k", "--k", min=1, help="How many.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say why each is similar, exactly.")]
QueryFile = Annotated[
    Path | None,
    typer.Option(
        "--query",
        metavar="FILE",
        help="Ask what --save-query kept, or saved answers (-f json); other options replace its.",
    ),
]
SaveQuery = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep what was asked, as JSON.")
]
