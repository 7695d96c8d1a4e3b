"""The filters of a query, each defined in one place.

A new filter is one more annotated name in `FilterOptions`: its keyword in Python, its option and
help, its key in JSON and the rows that pass follow from there. All filters apply before the search.

An entity lies where its point (`lon`, `lat`) lies, a cell where its centre lies: filters by place
ask about that point, borders included.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from geoindex.errors import UsageError
from geoindex.filters import coerce
from geoindex.filters.base import Filter, options_of
from geoindex.filters.coerce import BBoxLike, CellLike, PathLike, PointLike

if TYPE_CHECKING:
    from geoindex.filters.apply import Selection

_NO_TAGS = "tags"
_NO_ENTITY = "kind, name or size of an entity"
_NO_VERSION = "tags and geometry that change"


def _parse_where(value: Any) -> Any:
    from geoindex.filters.tag_filter import EVERYTHING
    from geoindex.filters.tag_filter_parser import parse_where

    where = parse_where(value)
    return None if where == EVERYTHING else where


def _where(selection: "Selection", where: Any) -> None:
    from geoindex.filters.tag_filter import rows_where

    index = selection.index
    selection.keep(rows_where(where, index.tag_index, num_rows=len(index.entities)))


def _bbox(selection: "Selection", bbox: Any) -> None:
    from geoindex.storage.zone_map import InBBox

    selection.keep_inside(InBBox(bbox))


def _within(selection: "Selection", area: Any) -> None:
    from geoindex.storage.zone_map import InGeometry

    selection.keep_inside(InGeometry(area))


def _in_area(selection: "Selection", text: str) -> None:
    from geoindex.lookup.places import place_named

    area, note = place_named(selection.index, text)
    selection.note(note)
    _within(selection, area)


def _check_near(given: Mapping[str, Any]) -> None:
    if ("near" in given) != ("radius" in given):
        msg = "near and radius go together. Example: --near 24.95,60.17 --radius 500m"
        raise UsageError(msg)


def _near(selection: "Selection", near: Any) -> None:
    from geoindex.lookup.places import point_of
    from geoindex.storage.zone_map import InRadius

    point, note = point_of(selection.index, near)
    if note is not None:
        selection.note(note)
    selection.keep_inside(InRadius(point, selection.given["radius"]))


def _radius(_selection: "Selection", _radius_m: float) -> None:
    """Do nothing: `_near` reads the radius."""


def _in_cell(selection: "Selection", cell: int) -> None:
    from geoindex.filters.apply import rows_in_cell

    selection.keep(rows_in_cell(selection.index, cell, table=selection.table))


def _not_within(selection: "Selection", metres: float) -> None:
    from geoindex.storage.zone_map import InRadius

    zones = selection.index.zones(selection.table)
    for place in dict.fromkeys(selection.places):
        selection.drop(zones.rows_in([InRadius(place, metres)]))


def _kind(selection: "Selection", kind: str) -> None:
    from geoindex.lookup.ids import rows_of_kind

    selection.keep(rows_of_kind(selection.index.entities, kind))


def _text(name: str, example: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            msg = f"{name} is {value!r}; want a text. Example: {example!r}"
            raise UsageError(msg)
        return value

    return parse


def _version(name: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            msg = f"{name} is {value!r}; want a version or a date. Example: 1"
            raise UsageError(msg)
        return str(value)

    return parse


def _parse_name(value: Any) -> Any:
    from geoindex.lookup.name_match import NamePattern

    return value if isinstance(value, NamePattern) else NamePattern(value)


def _name(selection: "Selection", pattern: Any) -> None:
    from geoindex.lookup.ids import rows_of_name

    selection.keep(rows_of_name(selection.index.tag_index, pattern))


def _ids(selection: "Selection", ids: tuple[str, ...]) -> None:
    selection.keep(selection.rows_of_ids(ids, "--ids"))


def _exclude(selection: "Selection", ids: tuple[str, ...]) -> None:
    selection.drop(selection.rows_of_ids(ids, "--exclude"))


def _parse_ids(value: Any) -> Any:
    from geoindex.lookup.ids import read_ids

    return read_ids(value)


def _parse_exclude(value: Any) -> Any:
    # an empty list excludes nothing; an empty list of `ids` lets nothing through
    return _parse_ids(value) if value else None


def _since(column: str) -> Callable[["Selection", str], None]:
    """Return the filter of entities whose column is another than in a version, or that are new."""

    def apply(selection: "Selection", text: str) -> None:
        from geoindex.filters.since import rows_since

        selection.keep(rows_since(selection.index, text, column))

    return apply


def _measure(name: str, end: str, **texts: Any) -> Filter:
    """Return the filter of one end of a range of areas or lengths."""

    def parse(value: Any) -> float | None:
        from geoindex.geo.measure import parse_area, parse_length

        return coerce.measure(
            value, f"{end}_{name}", parse_area if name == "area" else parse_length
        )

    def check(given: Mapping[str, Any]) -> None:
        from geoindex.geo.measure import Range

        Range(name, given.get(f"min_{name}"), given.get(f"max_{name}"))

    def apply(selection: "Selection", limit: float) -> None:
        selection.keep_measured(name, end, limit)

    return Filter(
        parse=parse,
        key=f"{end}_{name}_{'m2' if name == 'area' else 'm'}",
        metavar=name.upper(),
        is_parsed_early=True,
        not_of_cells=_NO_ENTITY,
        check=check,
        apply=apply,
        **texts,
    )


class FilterOptions(TypedDict, total=False):
    """What an answer must satisfy.

    Attributes
    ----------
    where
        A tag filter; see `geoindex.filters.tag_filter_parser`.
    bbox
        ``(west, south, east, north)`` degrees.
    within
        A polygon: shapely, GeoJSON, WKT, or a file of polygons.
    in_area
        Only in this area of the index: an area by id or name, or the smallest administrative area
        that an id, a name or ``"LON,LAT"`` lies in; see `geoindex.lookup.places`.
    near, radius
        At most this far from a point or from what has a name or an id, metres or ``"1.5km"``; both
        or neither.
    in_cell
        An H3 cell of the index's resolution or coarser.
    not_within
        Farther than this from every example, metres or ``"1.5km"``.
    kind
        ``"amenity=cafe"``, or ``"amenity=*"`` for any of the key.
    name
        ``"Café Engel"``, ``"Café*"``, ``"~cafe engl"``; see `geoindex.lookup.name_match`.
    ids, exclude
        Only these, not these: texts, or a file with one id a line; of cells where cells are
        searched.
    min_area, max_area
        Geodesic, m² or ``"2ha"``; points and lines have no area and do not pass.
    min_length, max_length
        Geodesic, metres or ``"1.5km"``, of areas round their outline; points do not pass.
    """

    where: Annotated[
        str | Mapping[str, Any] | Iterable[Any] | None,
        Filter(
            help="Only entities with these tags: 'amenity=cafe|bar', '!shop', 'name=*bar*'.",
            metavar="TAGS",
            cli_type=list[str],
            parse=_parse_where,
            plain=str,
            apply=_where,
            not_of_cells=_NO_TAGS,
        ),
    ]
    bbox: Annotated[
        BBoxLike | None,
        Filter(
            help="Only within this box.",
            metavar="W,S,E,N",
            parse=coerce.bbox,
            plain=lambda box: [box.west, box.south, box.east, box.north],
            is_parsed_early=True,
            apply=_bbox,
        ),
    ]
    within: Annotated[
        Any,
        Filter(
            help="Only within these polygons.",
            metavar="FILE|WKT",
            parse=coerce.area,
            plain=lambda area: area.wkt,
            is_parsed_early=True,
            apply=_within,
        ),
    ]
    in_area: Annotated[
        str | None,
        Filter(
            help="Only in this area of the index, or in the administrative area around it.",
            metavar="ID|NAME|LON,LAT",
            alias="in_place",
            parse=_text("in_area", "Vaduz"),
            apply=_in_area,
        ),
    ]
    near: Annotated[
        PointLike | None,
        Filter(
            help="Only near this point, or what has this name (--radius).",
            metavar="LON,LAT|NAME",
            parse=lambda value: coerce.place(value, "near"),
            plain=coerce.place_plain,
            is_parsed_early=True,
            check=_check_near,
            apply=_near,
        ),
    ]
    radius: Annotated[
        str | float | None,
        Filter(
            help="How near: 500m, 1.5km.",
            metavar="DISTANCE",
            parse=lambda value: coerce.metres(value, "radius"),
            key="radius_m",
            is_parsed_early=True,
            check=_check_near,
            apply=_radius,
        ),
    ]
    in_cell: Annotated[
        CellLike | None,
        Filter(
            help="Only within this cell.",
            metavar="H3",
            parse=coerce.cell,
            plain=coerce.cell_text,
            is_parsed_early=True,
            apply=_in_cell,
        ),
    ]
    not_within: Annotated[
        str | float | None,
        Filter(
            help="Only farther than this from every example: 1km.",
            metavar="DISTANCE",
            parse=lambda value: coerce.metres(value, "not_within"),
            key="not_within_m",
            is_parsed_early=True,
            apply=_not_within,
        ),
    ]
    kind: Annotated[
        str | None,
        Filter(
            help="Only this kind: amenity=cafe, amenity=*.",
            metavar="KEY=VALUE",
            parse=_text("kind", "amenity=cafe"),
            apply=_kind,
            not_of_cells=_NO_ENTITY,
        ),
    ]
    name: Annotated[
        str | None,
        Filter(
            help="Only with this name: 'Café Engel', 'Café*' by its beginning, '~cafe engl' fuzzy.",
            metavar="TEXT",
            parse=_parse_name,
            plain=lambda pattern: pattern.text,
            apply=_name,
            not_of_cells=_NO_ENTITY,
        ),
    ]
    ids: Annotated[
        PathLike | Iterable[str] | None,
        Filter(
            help="Only these; a file has one id a line.",
            metavar="FILE|ID,ID",
            parse=_parse_ids,
            plain=list,
            apply=_ids,
        ),
    ]
    exclude: Annotated[
        str | Iterable[str] | None,
        Filter(
            help="Not this one; several allowed.",
            metavar="ID",
            cli_type=list[str],
            parse=_parse_exclude,
            plain=list,
            apply=_exclude,
        ),
    ]
    min_area: Annotated[
        str | float | None, _measure("area", "min", help="Only areas this large: 500m2, 2ha, 1km2.")
    ]
    max_area: Annotated[
        str | float | None, _measure("area", "max", help="Only areas at most this large.")
    ]
    min_length: Annotated[
        str | float | None,
        _measure(
            "length", "min", help="Only what is this long: 500m, 1.5km; areas by their outline."
        ),
    ]
    max_length: Annotated[
        str | float | None, _measure("length", "max", help="Only what is at most this long.")
    ]
    changed_since: Annotated[
        str | int | None,
        Filter(
            help="Only what came, moved or got other tags after this version of the index.",
            metavar="VERSION|DATE",
            parse=_version("changed_since"),
            apply=_since("content_hash"),
            not_of_cells=_NO_VERSION,
        ),
    ]
    new_since: Annotated[
        str | int | None,
        Filter(
            help="Only what came, or became its kind, after this version of the index.",
            metavar="VERSION|DATE",
            parse=_version("new_since"),
            apply=_since("kind"),
            not_of_cells=_NO_VERSION,
        ),
    ]


#: All filters, by name, in the order in which they are written and applied.
FILTERS: dict[str, Filter] = {
    name: option for name, option in options_of(FilterOptions).items() if isinstance(option, Filter)
}
