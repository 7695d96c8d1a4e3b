"""Read queries of HTTP requests: the same frozen `Query` as of the command and of Python.

An address has the options by the names of the command (``?like=way/1&where=amenity=cafe&k=5``), a
body is what ``--save-query`` writes, or its ``query`` alone; beside it stands what is of the run::

    {"query": {"like": ["way/1234"], "k": 5}, "target": ["nice"], "backend": "auto",
     "explain": true}

Nothing here opens a file or an address: options that the command reads from files are values here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from geoindex.errors import UsageError
from geoindex.geo.polygon_io import is_wkt
from geoindex.lookup.reference import names_area_file
from geoindex.queries.options import OPTIONS
from geoindex.queries.query import Query
from geoindex.serve.problems import RequestError

MOST_K, MOST_VERTICES, MOST_EXAMPLES, MOST_QUERIES, MOST_HITS = 1000, 10_000, 1000, 200, 20_000
FORMATS = ("geojson", "json", "geojsonseq", "csv", "parquet", "gpkg")
_RUN = ("target", "backend", "explain", "format", "v")
_NAMES = {
    **{name: name for name in OPTIONS},
    **{option.alias: name for name, option in OPTIONS.items() if option.alias},
    **{option.key: name for name, option in OPTIONS.items() if option.key},
}
_TRUE, _FALSE = {"1", "true", "yes", ""}, {"0", "false", "no"}
_SEPARATED = ("ids", "exclude")


class Parameters(Protocol):
    """The parameters of an address; each may be there several times."""

    def multi_items(self) -> list[tuple[str, str]]:
        """Return all of them, in order."""


@dataclass(frozen=True)
class QueryRequest:
    """A query, and how it is to be answered.

    Attributes
    ----------
    query
        Validated.
    target
        Names of indexes to search instead.
    backend, explain, form
        As of ``geoindex query``; `form` is None where the address does not say.
    """

    query: Query
    target: tuple[str, ...] = ()
    backend: str = "auto"
    explain: bool = False
    form: str | None = None


def from_parameters(parameters: Parameters) -> QueryRequest:
    """Read a query from the parameters of an address.

    Raises
    ------
    UsageError
        If one of them is unknown or cannot be understood.
    """
    options, run = read_options(parameters)
    return _request(Query(**guarded(options)), run)


def read_options(
    parameters: Parameters, also: Iterable[str] = _RUN
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a query in an address, as Python takes them, and the others.

    Parameters
    ----------
    also
        Names that may be there beside those of a query.
    """
    several: dict[str, list[str]] = {}
    for name, text in parameters.multi_items():
        several.setdefault(name.replace("-", "_"), []).append(text)
    others = {name: several.pop(name) for name in list(several) if name in set(also)}
    return {
        option: _value(option, texts)
        for name, texts in several.items()
        if (option := _option(name, also))
    }, others


def _option(name: str, also: Iterable[str]) -> str:
    if name in _NAMES:
        return _NAMES[name]
    near = get_close_matches(name, [*_NAMES, *also], 1)
    hint = f"did you mean {near[0]!r}?" if near else "openapi.json lists all of them"
    msg = f"there is no parameter {name!r}; {hint}"
    raise UsageError(msg)


def _value(name: str, texts: list[str]) -> Any:
    kind = OPTIONS[name].cli_type
    if name in _SEPARATED:
        return [part for text in texts for part in text.split(",") if part]
    if kind == list[str]:
        return texts
    if len(texts) > 1:
        msg = f"{name} stands {len(texts)} times; want it once"
        raise UsageError(msg)
    text = texts[0]
    if name == "cells":
        return _truth(name, text) if text not in {"cells", "entities"} else text
    if kind is bool:
        return _truth(name, text)
    if kind in {int, float}:
        try:
            return kind(text)
        except ValueError:
            msg = f"{name} is {text!r}; want a number. Example: {name}=1"
            raise UsageError(msg) from None
    return text


def _truth(name: str, text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    msg = f"{name} is {text!r}; want true or false. Example: {name}=true"
    raise UsageError(msg)


def from_body(content: Any) -> QueryRequest:
    """Read a query from the JSON of a body.

    Raises
    ------
    UsageError
        If it is none, or holds what is unknown.
    """
    if not isinstance(content, Mapping):
        msg = 'want a JSON object. Example: {"query": {"like": ["way/1234"], "k": 5}}'
        raise UsageError(msg)
    plain = content.get("query", content)
    run: dict[str, Any] = {}
    if plain is not content:
        if unknown := sorted(set(content) - {"query", "index", "geoindex_query", *_RUN}):
            msg = f"there is no member {unknown[0]!r}; want query, target, backend, explain"
            raise UsageError(msg)
        if content.get("geoindex_query", 1) != 1:
            msg = f"a query of version {content['geoindex_query']!r}; this geoindex reads 1"
            raise UsageError(msg)
        run = {name: content[name] for name in _RUN if name in content}
    if not isinstance(plain, Mapping):
        msg = 'query is no object. Example: {"query": {"like": ["way/1234"], "k": 5}}'
        raise UsageError(msg)
    return _request(Query.from_dict(guarded(plain)), run)


def batch_from_body(content: Any) -> tuple[list[dict[str, Any]], dict[str, Any], QueryRequest]:
    """Read a table of queries: ``{"queries": [{"like": ...}, ...], "options": {...}}``.

    Returns
    -------
    rows
        As `geoindex.queries.batch_table` reads them.
    options
        That all of them share, as Python takes them.
    run
        How they are to be answered; its query is that of the options.
    """
    example = 'Example: {"queries": [{"like": "way/1234"}], "options": {"k": 5}}'
    if not isinstance(content, Mapping) or not isinstance(content.get("queries"), list):
        msg = f"want an object with a list of queries. {example}"
        raise UsageError(msg)
    if unknown := sorted(set(content) - {"queries", "options", *_RUN}):
        msg = f"there is no member {unknown[0]!r}; want queries, options, target. {example}"
        raise UsageError(msg)
    rows, options = content["queries"], content.get("options") or {}
    if len(rows) > MOST_QUERIES:
        raise _too_many(len(rows), "queries", MOST_QUERIES)
    if not isinstance(options, Mapping) or not all(isinstance(row, Mapping) for row in rows):
        msg = f"queries are objects, and so are options. {example}"
        raise UsageError(msg)
    for row in rows:
        if "image" in row:
            raise _file_refused(row["image"], "image")
        for name in ("like", "unlike", "feature_id", "region_id"):
            _check_texts(name, row.get(name), separator=";")
    shared = Query.without_examples(**_named(guarded(options)))
    if shared.k * len(rows) > MOST_HITS:
        raise _too_many(shared.k * len(rows), "hits", MOST_HITS)
    run = {name: content[name] for name in _RUN if name in content}
    return [dict(row) for row in rows], _named(options), _request(shared, run)


def _named(options: Mapping[str, Any]) -> dict[str, Any]:
    return {_option(str(name), ()): value for name, value in options.items()}


def _request(query: Query, run: Mapping[str, Any]) -> QueryRequest:
    _check_size(query)
    explain = _last(run.get("explain", False))
    target = run.get("target") or []
    names = [target] if isinstance(target, str) else target
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        msg = f'target is {target!r}; want names of indexes. Example: "target": ["nice"]'
        raise UsageError(msg)
    form = _last(run.get("format"))
    if form is not None and form not in FORMATS:
        msg = f"no format {form!r}; want one of {', '.join(FORMATS)}"
        raise UsageError(msg)
    return QueryRequest(
        query,
        tuple(part for name in names for part in name.split(",") if part),
        str(_last(run.get("backend", "auto"))),
        explain if isinstance(explain, bool) else _truth("explain", str(explain)),
        form,
    )


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) and value else value


def guarded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options, once none of them would read a file of this machine.

    Raises
    ------
    UsageError
        If one would.
    """
    for given, value in options.items():
        name = _NAMES.get(str(given), str(given))
        if value is None:
            continue
        if name == "image":
            raise _file_refused(value, name)
        if name in {"like", "unlike", "in_area", "near", "at"}:
            _check_texts(name, value)
        elif name == "within" and isinstance(value, str) and not is_wkt(value):
            raise _file_refused(value, name)
        elif name in {"vector", "ids", "exclude"} and not isinstance(value, list):
            msg = f"{name} is {value!r}; want a list of values"
            raise UsageError(msg)
        elif name == "feedback" and not isinstance(value, Mapping):
            msg = "feedback is no GeoJSON object; want a FeatureCollection whose features have a "
            msg += "label"
            raise UsageError(msg)
        elif isinstance(value, str) and "\0" in value:
            msg = f"{name} holds a zero character"
            raise UsageError(msg)
    return dict(options)


def check_place_text(name: str, text: str) -> str:
    """Return a text that names a place, once it is no name of a file."""
    _check_texts(name, text)
    return text


def _check_texts(name: str, value: Any, *, separator: str | None = None) -> None:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            for part in text.split(separator) if separator else [text]:
                if "\0" in part or (names_area_file(part.strip()) and not is_wkt(part)):
                    raise _file_refused(part, name)


def _check_size(query: Query) -> None:
    import shapely

    if query.k > MOST_K:
        raise _too_many(query.k, "hits", MOST_K)
    if query.suggest > MOST_K:
        raise _too_many(query.suggest, "suggestions", MOST_K)
    texts = [*(query.like or ()), *(query.unlike or ())]
    if len(texts) > MOST_EXAMPLES or len(query.vectors) > MOST_EXAMPLES:
        raise _too_many(len(texts), "examples", MOST_EXAMPLES)
    areas = [shapely.from_wkt(text, on_invalid="ignore") for text in texts if is_wkt(text)]
    areas += [query.within] if query.within is not None else []
    corners = int(sum(shapely.get_num_coordinates(area) for area in areas if area is not None))
    if corners > MOST_VERTICES:
        raise _too_many(corners, "corners of polygons", MOST_VERTICES)


def _too_many(number: int, what: str, most: int) -> RequestError:
    msg = f"{number:,} {what} are asked for; want at most {most:,}"
    return RequestError(413, "too_large", msg)


def _file_refused(value: Any, name: str) -> UsageError:
    shown = str(value)[:80]
    return UsageError(
        f"{name} is {shown!r}: the server reads no files; want an id, a name, LON,LAT, a cell, WKT "
        'or GeoJSON. Example: {"like": ["way/1234"]}'
    )
