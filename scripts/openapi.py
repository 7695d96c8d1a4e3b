"""Print geoindex/serve/openapi.json: the description of the HTTP interface.

    python scripts/openapi.py > geoindex/serve/openapi.json

The options of a query come from their definitions; tests/geoindex/serve/test_openapi.py fails when
the file is another, when a route is missing, or when an answer is not as it says.
"""

import json
from typing import Any

from geoindex import __version__
from geoindex.queries.options import OPTIONS

_ANY_TEXTS = {"type": "array", "items": {"type": ["string", "object"]}}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_NUMBER, _TEXT, _TRUTH = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
_OBJECT, _OR_TEXT = {"type": "object"}, {"type": ["number", "string"]}
# what JSON has beside the text of the command
_BODY_TYPES: dict[str, Any] = {
    "like": {"type": ["string", "array", "object"]},
    "unlike": {"type": ["string", "array", "object"]},
    "at": {"type": ["string", "array"], "examples": [[7.42, 43.73]]},
    "tags": {"type": ["string", "object"], "examples": [{"amenity": "cafe"}]},
    "vector": {"type": "array", "description": "Numbers, or lists of numbers."},
    "feedback": {"type": "object", "description": "A GeoJSON FeatureCollection with labels."},
    "where": {"type": ["string", "object", "array"]},
    "bbox": {"type": ["string", "array"], "examples": [[7.4, 43.7, 7.5, 43.8]]},
    "within": {"type": ["string", "object"], "description": "WKT or GeoJSON."},
    "near": {"type": ["string", "array"]},
    "ids": _TEXTS,
    "exclude": _TEXTS,
    "k": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
    "cells": _TRUTH,
}
_NOT_HERE = {"image", "vectors_by"}
_PROBLEMS = {
    "400": "What was asked cannot be understood.",
    "401": "A token is wanted.",
    "403": "The Host header names another server.",
    "404": "No such index, id or place.",
    "409": "A name that several entities have.",
    "413": "Larger than the limits.",
    "429": "Too many wait already.",
    "503": "The index is damaged, or it takes too long.",
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _body_option(name: str) -> dict[str, Any]:
    option = OPTIONS[name]
    kind = {float: _NUMBER, bool: _TRUTH, int: {"type": "integer"}, str: _TEXT}
    found = dict(_BODY_TYPES.get(name) or kind.get(option.cli_type, _TEXTS))
    if option.key and option.key.endswith(("_m", "_m2")):
        found = dict(_OR_TEXT)
    return {"description": option.help, **found}


def query_properties() -> dict[str, Any]:
    """Return the members of a query: each option, and the key that it has in saved queries."""
    found: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if name in _NOT_HERE:
            continue
        found[name] = _body_option(name)
        if option.key and option.key != name:
            found[option.key] = (
                {"type": "string", "enum": ["entities", "cells"]}
                if name == "cells"
                else {**_body_option(name), "description": f"The same as {name}."}
            )
    return found


def query_parameters() -> list[dict[str, Any]]:
    """Return the options of a query as parameters of an address."""
    found = []
    for name, option in OPTIONS.items():
        if name in _NOT_HERE or name in {"vector", "feedback"}:
            continue
        is_list = option.cli_type == list[str]
        schema = {int: {"type": "integer"}, float: _NUMBER, bool: _TRUTH}.get(
            option.cli_type, _TEXTS if is_list else _TEXT
        )
        found.append({"name": name, "in": "query", "description": option.help, "schema": schema})
    return found


def _parameter(
    name: str, about: str, schema: Any = None, *, place: str = "query"
) -> dict[str, Any]:
    needed = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": about, **needed, "schema": schema or _TEXT}


_RUN = [
    _parameter("target", "Search these indexes instead, by name."),
    _parameter(
        "backend", "Who searches.", {"type": "string", "enum": ["auto", "exact", "faiss", "lance"]}
    ),
    _parameter("explain", "Say why each hit is similar.", _TRUTH),
    _parameter(
        "format",
        "In place of the Accept header.",
        {
            "type": "string",
            "enum": ["geojson", "json", "geojsonseq", "csv", "parquet", "gpkg"],
        },
    ),
]
_IX = _parameter("ix", "Name of an index.", place="path")
_FID = _parameter("fid", "An id: way/1234.", place="path")
_HITS = {
    "application/geo+json": {"schema": _ref("Hits")},
    "application/json": {"schema": _OBJECT},
    "application/geo+json-seq": {},
    "text/csv": {},
    "application/vnd.apache.parquet": {},
    "application/geopackage+sqlite3": {},
}


def _answer(about: str, content: Any, *more: str) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    problems = {
        status: {"description": _PROBLEMS[status], "content": problem}
        for status in sorted({"400", "404", "429", "503", *more})
    }
    return {"200": {"description": about, "content": content}, **problems}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _geojson(schema: Any) -> dict[str, Any]:
    return {"application/geo+json": {"schema": schema}}


def _get(name: str, about: str, content: Any, *parameters: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "summary": about}
    if parameters:
        found["parameters"] = list(parameters)
    return {"get": {**found, "responses": _answer(about, content)}}


def _post(name: str, about: str, body: str, content: Any, *parameters: Any) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": about,
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": _json(_ref(body))},
        "responses": _answer(about, content, "409", "413"),
    }


def paths() -> dict[str, Any]:
    """Return all paths."""
    ix = "/indexes/{ix}"
    ask = _get("query", "Find places similar to the examples, within the filters.", _HITS, _IX,
               *query_parameters(), *_RUN)  # fmt: skip
    ask["post"] = _post("query_body", "The same, the query in the body.", "QueryBody", _HITS, _IX)
    whole = {"type": "integer", "minimum": 0}
    return {
        "/": _get("landing", "The landing page of OGC API.", _json(_ref("Landing"))),
        "/conformance": _get("conformance", "What the API conforms to.", _json(_OBJECT)),
        "/health": _get("health", "Whether the server works.", _json(_ref("Health"))),
        "/openapi.json": _get(
            "openapi", "This page.", {"application/vnd.oai.openapi+json;version=3.1": {}}
        ),
        "/indexes": _get("indexes", "The indexes that are served.", _json(_ref("Indexes"))),
        ix: _get("index", "One index, its kinds and landmarks.", _json(_ref("IndexMore")), _IX),
        f"{ix}/find": _get(
            "find", "The places that a name may mean, best first.", _json(_ref("Found")), _IX,
            _parameter("q", "The name, as people write it."),
            _parameter("limit", "At most so many.", {"type": "integer", "maximum": 50}),
        ),
        f"{ix}/query": ask,
        f"{ix}/query/batch": {
            "post": _post("batch", "Answer a table of queries.", "BatchBody", _HITS, _IX)
        },
        f"{ix}/entities/{{fid}}": _get(
            "entity", "All that the index holds of an entity.", _geojson(_ref("Feature")), _IX, _FID
        ),
        f"{ix}/rows/{{row}}": _get(
            "row", "The entity that a tile names by its row.", _geojson(_ref("Feature")), _IX,
            _parameter("row", "The id of the feature in the tile.", whole, place="path"),
        ),
        f"{ix}/cells/{{cell}}": _get(
            "cell", "An H3 cell.", _geojson(_ref("Feature")), _IX,
            _parameter("cell", "H3, hexadecimal.", place="path"),
        ),
        f"{ix}/similar": _get(
            "similar", "How similar two places are, and why.", _json(_ref("Explanation")), _IX,
            _parameter("a", "An id, name, cell, LON,LAT or WKT."), _parameter("b", "Another."),
            _parameter("focus", "own, context or both."),
            _parameter("own_weight", "Of both: the share of own.", _NUMBER),
            _parameter("target", "The index that holds b."),
        ),
        f"{ix}/scores": {
            "post": _post(
                "scores", "The similarity of every row, float16, least byte first; NaN where the "
                "filters let a row not through.", "QueryBody",
                {"application/octet-stream": {}}, _IX,
            )
        },
        f"{ix}/chips/{{fid}}.png": _get(
            "chip", "A picture of the ground round an entity.", {"image/png": {}}, _IX, _FID
        ),
        "/tiles/{ix}.json": _get("tile_json", "TileJSON 3.", _json(_ref("TileJson")), _IX),
        "/tiles/{ix}/{z}/{x}/{y}.mvt": _get(
            "tile", "A vector tile, made from the index.",
            {"application/vnd.mapbox-vector-tile": {}}, _IX,
            *(_parameter(name, "Of XYZ tiles.", whole, place="path") for name in "zxy"),
            _parameter("layers", "Some of areas, lines, points, labels, cells; with commas."),
            _parameter("v", "The version of the index: then the tile may be kept for ever."),
        ),
        "/collections": _get(
            "collections", "The indexes as OGC collections.", _json(_ref("Collections"))
        ),
        "/collections/{ix}": _get("collection", "One of them.", _json(_ref("Collection")), _IX),
        "/collections/{ix}/items": _get(
            "items", "The entities that meet a box and pass filters.", _geojson(_ref("Items")), _IX,
            *(p for p in query_parameters() if p["name"] in _FILTER_NAMES),
            _parameter("limit", "At most so many.", {"type": "integer", "maximum": 1000}),
            _parameter("offset", "After so many.", whole),
        ),
        "/collections/{ix}/items/{fid}": _get(
            "item", "One entity.", _geojson(_ref("Feature")), _IX, _FID
        ),
    }  # fmt: skip


_FILTER_NAMES = [name for name, option in OPTIONS.items() if hasattr(option, "apply")]


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "required": needed, "properties": properties}


def schemas() -> dict[str, Any]:
    """Return the forms of bodies and answers."""
    maybe_text = {"type": ["string", "null"]}
    index = {
        "id": _TEXT, "path": _TEXT, "version": _TEXT, "data_timestamp": maybe_text,
        "created": _TEXT, "licence": _TEXT, "attribution": _TEXT, "encoder": _TEXT,
        "fingerprint": _TEXT, "num_entities": {"type": "integer"}, "num_cells": _OBJECT,
        "resolutions": {"type": "array", "items": {"type": "integer"}},
        "bounds": {"type": "array", "minItems": 4, "maxItems": 4},
        "view": {"type": "array", "minItems": 4, "maxItems": 4},
        "has_imagery": _TRUTH, "notes": _TEXTS,
    }  # fmt: skip
    place = {
        "id": _TEXT, "name": maybe_text, "kind": _TEXT, "lon": _NUMBER, "lat": _NUMBER,
    }  # fmt: skip
    feature = {
        "type": {"const": "Feature"}, "id": _TEXT, "geometry": {"type": ["object", "null"]},
        "properties": _OBJECT,
    }  # fmt: skip
    link = _object({"href": _TEXT, "rel": _TEXT, "type": _TEXT})
    links = {"type": "array", "items": link}
    collection = {
        "id": _TEXT, "title": _TEXT, "description": _TEXT, "attribution": _TEXT, "extent": _OBJECT,
        "itemType": _TEXT, "crs": _TEXTS, "links": links,
    }  # fmt: skip
    run = {
        "target": {"type": ["string", "array"], "items": _TEXT}, "backend": _TEXT,
        "explain": _TRUTH, "format": _TEXT,
    }  # fmt: skip
    return {
        "Problem": _object(
            {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT,
             "code": _TEXT, "hint": _TEXT, "candidates": _TEXTS}, "hint", "candidates",
        ),
        "Query": {
            "type": "object", "properties": query_properties(), "additionalProperties": False,
        },
        "QueryBody": {
            "description": "What --save-query writes, or its query alone.",
            "anyOf": [
                {
                    "type": "object", "required": ["query"],
                    "properties": {"geoindex_query": {"const": 1}, "query": _ref("Query"), **run},
                },
                _ref("Query"),
            ],
        },
        "BatchBody": _object(
            {"queries": {"type": "array", "items": _OBJECT, "maxItems": 200},
             "options": _ref("Query"), **run}, "options", *run,
        ),
        "Hits": _object(
            {
                "type": {"const": "FeatureCollection"}, "query": _OBJECT, "index": _OBJECT,
                "exact": _TRUTH, "index_version": _TEXT, "data_timestamp": maybe_text,
                "licence": _TEXT, "attribution": _TEXT, "num_passing": {"type": "integer"},
                "notes": _TEXTS, "empty_reason": maybe_text,
                "features": {"type": "array", "items": _ref("Feature")},
            }
        ),
        "Feature": _object(feature),
        "Health": _object({"status": {"const": "ok"}, "version": _TEXT,
                           "indexes": {"type": "integer"}}),
        "Index": _object(index),
        "IndexMore": _object(
            {**index, "kinds": _OBJECT, "landmarks": {"type": "array", "items": _object(place)}}
        ),
        "Indexes": _object(
            {"indexes": {"type": "array", "items": _ref("Index")}, "settings": _OBJECT}
        ),
        "Found": _object(
            {"query": _TEXT, "found": {"type": "array", "items": _object(
                {**place, "score": _NUMBER, "matched": _TEXT, "row": {"type": "integer"},
                 "num_entities": {"type": "integer"}})}}
        ),
        "Explanation": _object(
            {"first": _TEXT, "second": _TEXT, "similarity": _NUMBER, "parts": _OBJECT,
             "without": _OBJECT, "tags": _OBJECT, "size": _OBJECT, "around": {"type": "array"}},
            "tags", "size",
        ),
        "TileJson": _object(
            {"tilejson": {"const": "3.0.0"}, "name": _TEXT, "tiles": _TEXTS,
             "minzoom": {"type": "integer"}, "maxzoom": {"type": "integer"},
             "bounds": {"type": "array"}, "center": {"type": "array"}, "attribution": _TEXT,
             "vector_layers": {"type": "array"}}
        ),
        "Landing": _object({"title": _TEXT, "description": _TEXT, "links": links}),
        "Collection": _object(collection),
        "Collections": _object(
            {"links": links, "collections": {"type": "array", "items": _ref("Collection")}}
        ),
        "Items": _object(
            {"type": {"const": "FeatureCollection"}, "numberMatched": {"type": "integer"},
             "numberReturned": {"type": "integer"}, "timeStamp": _TEXT, "links": links,
             "features": {"type": "array", "items": _ref("Feature")}}
        ),
    }  # fmt: skip


def render() -> str:
    """Return the page."""
    content = {
        "openapi": "3.1.0",
        "info": {
            "title": "geoindex",
            "version": __version__.partition("+")[0],
            "summary": "Find places that are similar.",
            "description": "Read-only. Numbers are those of the command, digit by digit. Errors "
            "are RFC 9457 problems with a code.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    print(render(), end="")
