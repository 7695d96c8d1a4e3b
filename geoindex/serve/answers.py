"""Write hits as HTTP answers, with the command's own writers, and choose the form by Accept."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from geoindex.queries.hits import Hits
from geoindex.serve.problems import RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from geoindex.serve.catalog import ServedIndex

_TYPES = {
    "geojson": "application/geo+json",
    "json": "application/json",
    "geojsonseq": "application/geo+json-seq",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "gpkg": "application/geopackage+sqlite3",
}
_FORM_OF_TYPE = {
    **{name.partition(";")[0]: form for form, name in _TYPES.items()},
    "application/x-parquet": "parquet",
    "*/*": "geojson",
    "application/*": "geojson",
    "text/*": "csv",
    "text/html": "geojson",
}
_LAYER = "hits"


def choose_form(form: str | None, accept: str) -> str:
    """Return the form that was named, else the first that the Accept header names.

    Raises
    ------
    RequestError
        If the header names none that we write.
    """
    if form is not None:
        return form
    wanted = []
    for number, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if name:
            wanted.append((-_number(quality), number, name))
    for _, _, name in sorted(wanted):
        if name in _FORM_OF_TYPE:
            return _FORM_OF_TYPE[name]
    if not wanted:
        return "geojson"
    msg = f"want one of {', '.join(sorted(set(_TYPES.values())))}, got Accept: {accept[:200]}"
    raise RequestError(406, "not_acceptable", msg)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def about(hits: Hits, served: "ServedIndex") -> dict[str, Any]:
    """Return what an answer says beside its hits."""
    return {
        "exact": bool(hits.index["search"]["exact"]),
        "index_version": served.version,
        "data_timestamp": served.data_timestamp,
        "licence": served.index.manifest.licence,
        "attribution": served.index.manifest.attribution,
        "num_passing": hits.num_passing,
        "notes": list(hits.notes),
        "empty_reason": _empty_reason(hits),
    }


def _empty_reason(hits: Hits) -> str | None:
    if len(hits):
        return None
    if not hits.num_passing:
        return "nothing passes the filters"
    return f"none of the {hits.num_passing:,} that pass the filters is similar enough"


def render(hits: Hits, served: "ServedIndex", form: str) -> Response:
    """Return hits as a response, in one of `geoindex.serve.requests.FORMATS`."""
    headers = {"Vary": "Accept"}
    if form in {"json", "geojson"}:
        content = hits.document(form, about(hits, served))
        return json_response(content, media_type=_TYPES[form], headers=headers)
    if form in {"parquet", "gpkg"}:
        headers["Content-Disposition"] = f'attachment; filename="hits.{form}"'
        data = _parquet(hits) if form == "parquet" else _geopackage(hits)
        return Response(data, media_type=_TYPES[form], headers=headers)
    return Response(hits.to_text(form), media_type=_TYPES[form], headers=headers)


def json_response(
    content: Any,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Return plain values as JSON; numbers are written as the command writes them."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type=media_type, headers=dict(headers or {}))


def _parquet(hits: Hits) -> bytes:
    from geoindex.storage.geoparquet import write_geoparquet
    from geoindex.storage.workspace import scratch_file

    metadata = {"geoindex": {"query": hits.query, "index": hits.index}}
    table = hits.to_arrow()
    with scratch_file(".parquet") as path:
        write_geoparquet(path, table.schema, table.to_batches(), metadata=metadata)
        return _read(path)


def _geopackage(hits: Hits) -> bytes:
    from geoindex.storage.workspace import scratch_file

    frame = hits.to_geopandas()
    for name in ("tags",):
        if name in frame:
            frame[name] = [json.dumps(value, ensure_ascii=False) for value in frame[name]]
    with scratch_file(".gpkg") as path:
        frame.to_file(path, layer=_LAYER, driver="GPKG")
        return _read(path)


def _read(path: "Path") -> bytes:
    return path.read_bytes()
