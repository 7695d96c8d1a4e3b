"""The HTTP application: routes, and what they answer.

Everything is read-only, and lies under ``/api/v1`` (``openapi.json`` describes it, a test compares
the two) but for the page. Work is done in threads behind two gates: searches, and tiles.
"""

import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route

from geoindex import __version__
from geoindex.errors import GeoindexError, NotInIndexError, UsageError
from geoindex.filters.base import Filter
from geoindex.geo.h3 import format_cell, parse_cell
from geoindex.queries.hits import Hits
from geoindex.queries.options import OPTIONS
from geoindex.queries.scores import score_all
from geoindex.serve import requests
from geoindex.serve.answers import choose_form, json_response, render
from geoindex.serve.catalog import Catalog, ServedIndex
from geoindex.serve.chips import chip_png
from geoindex.serve.gate import Gate
from geoindex.serve.items import collection, collections, conformance, item_page, landing
from geoindex.serve.problems import RequestError, problem_response
from geoindex.serve.security import Guard, Policy
from geoindex.serve.tiles import LAYERS, MAX_ZOOM, Tile, layer_fields

API = "/api/v1"
MVT = "application/vnd.mapbox-vector-tile"
_PAGE = resources.files("geoindex.serve") / "page"
_YEAR_S = 365 * 24 * 3600
_TILES_KEPT = 512
_MOST_FOUND = 50

Handler = Callable[["Server", Request, Any], Response]


@dataclass(frozen=True)
class Settings:
    """What the server does beyond its indexes.

    Attributes
    ----------
    policy
        Who may ask.
    cors
        Origins whose pages may read answers.
    basemap
        Template of a raster map of others to draw beneath, ``https://.../{z}/{x}/{y}.png``.
    imagery
        Where chips are read; None: where the build read them, if that lies beside the index.
    """

    policy: Policy = field(default_factory=Policy)
    cors: tuple[str, ...] = ()
    basemap: str | None = None
    imagery: str | None = None


class Server:
    """The state of the application: indexes, gates and tiles that were made.

    Parameters
    ----------
    catalog
        The indexes.
    settings
        Of the run.
    """

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self.catalog, self.settings = catalog, settings
        self.searches = Gate(at_once=2, waiting=64, seconds=10.0)
        self.tiles = Gate(at_once=2, waiting=512, seconds=30.0)
        self._made: dict[tuple[Any, ...], Tile] = {}
        self._lock = Lock()

    def served(self, request: Request) -> ServedIndex:
        """Return the index that an address names."""
        return self.catalog.get(request.path_params["ix"])

    def answer(self, served: ServedIndex, wanted: requests.QueryRequest) -> Hits:
        """Answer a query."""
        target = [self.catalog.get(name).index for name in wanted.target] or None
        hits = served.index.query(wanted.query, target=target, backend=wanted.backend)
        return hits.explain() if wanted.explain else hits

    def tile(self, served: ServedIndex, z: int, x: int, y: int, layers: tuple[str, ...]) -> Tile:
        """Return a tile, made now or before; the ones used last are kept."""
        key = (served.name, served.version, z, x, y, layers)
        with self._lock:
            tile = self._made.pop(key, None)
        if tile is None:
            tile = served.tiles.tile(z, x, y, layers)
        with self._lock:
            self._made[key] = tile
            while len(self._made) > _TILES_KEPT:
                del self._made[next(iter(self._made))]
        return tile


def make_app(paths: Sequence[Path], settings: Settings | None = None) -> Starlette:
    """Return the application.

    Parameters
    ----------
    paths
        Of the indexes.
    settings
        None: for this machine alone.

    Raises
    ------
    IndexDamagedError, UsageError
        If an index cannot be opened, or there is none.
    """
    settings = settings or Settings()
    server = Server(Catalog(paths), settings)

    tools = _mcp_app(server)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with tools.router.lifespan_context(tools):
            yield
        server.searches.close()
        server.tiles.close()

    middleware = [Middleware(Guard, policy=settings.policy)]
    if settings.cors:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
            ),
        )
    middleware.append(Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5))
    routes = [*_api_routes(), *tools.routes, *_page_routes()]
    app = Starlette(
        routes=routes,
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers={
            GeoindexError: _explained,
            HTTPException: _http_error,
            Exception: _unexplained,
        },
    )
    app.state.server = server
    return app


def _mcp_app(server: Server) -> Starlette:
    """Return the application of ``/mcp``."""
    from geoindex.serve.mcp_server import http_app

    return http_app(server.catalog, server.searches)


def _api_routes() -> list[Route]:
    ix = f"{API}/indexes/{{ix}}"
    found = [
        _get(f"{API}/", _landing),
        _get(f"{API}/conformance", _conformance),
        _get(f"{API}/health", _health),
        _get(f"{API}/openapi.json", _openapi),
        _get(f"{API}/indexes", _indexes),
        _get(ix, _index),
        _get(f"{ix}/find", _find),
        Route(f"{ix}/query", _searching(_query), methods=["GET", "POST"]),
        _post(f"{ix}/query/batch", _batch),
        _get(f"{ix}/entities/{{fid:path}}", _entity),
        _get(f"{ix}/rows/{{row:int}}", _row),
        _get(f"{ix}/cells/{{cell}}", _cell),
        _get(f"{ix}/similar", _similar),
        _post(f"{ix}/scores", _scores),
        _get(f"{ix}/chips/{{fid:path}}.png", _chip),
        _get(f"{API}/tiles/{{ix}}.json", _tile_json),
        Route(f"{API}/tiles/{{ix}}/{{z:int}}/{{x:int}}/{{y:int}}.mvt", _tile, methods=["GET"]),
        _get(f"{API}/collections", _collections),
        _get(f"{API}/collections/{{ix}}", _collection),
        _get(f"{API}/collections/{{ix}}/items", _items),
        _get(f"{API}/collections/{{ix}}/items/{{fid:path}}", _item),
    ]
    return [*found, Route("/llms.txt", _file("llms.txt"), methods=["GET"])]


def _page_routes() -> list[Route | Mount]:
    from starlette.staticfiles import StaticFiles

    return [
        Route("/", _file("index.html"), methods=["GET"]),
        Route("/favicon.ico", _file("icon.svg"), methods=["GET"]),
        Mount("/page", StaticFiles(directory=str(_PAGE))),
    ]


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def handler(_request: Request) -> Response:
        return FileResponse(str(_PAGE / name))

    return handler


def _get(path: str, handler: Handler) -> Route:
    return Route(path, _searching(handler), methods=["GET"])


def _post(path: str, handler: Handler) -> Route:
    return Route(path, _searching(handler), methods=["POST"])


def _searching(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that reads the body, then works in a thread behind the gate."""

    async def handle(request: Request) -> Response:
        server: Server = request.app.state.server
        body = await _json_body(request) if request.method == "POST" else None
        return await server.searches.run(handler, server, request, body)

    return handle


async def _json_body(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/json", "application/geo+json"}:
        msg = f"the body is {kind or 'of no type'}; want Content-Type: application/json"
        raise RequestError(415, "unsupported_type", msg)
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        msg = f"the body is no JSON: {error}"
        raise UsageError(msg) from None


async def _explained(_request: Request, error: Exception) -> Response:
    assert isinstance(error, GeoindexError)  # noqa: S101 - registered for these
    return problem_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    status = error.status_code
    codes = {404: "no_such_page", 405: "no_such_method"}
    msg = f"{request.method} {request.url.path}: {error.detail}. {API}/openapi.json lists what is"
    response = problem_response(RequestError(status, codes.get(status, "http"), f"{msg} there"))
    response.headers.update(error.headers or {})
    return response


async def _unexplained(request: Request, error: Exception) -> Response:
    """Answer a fault of ours without its traceback; the server's log has it."""
    msg = f"{request.url.path} failed ({type(error).__name__}); the server's log says where"
    return problem_response(RequestError(500, "failed", msg))


def _landing(_server: Server, request: Request, _body: Any) -> Response:
    return json_response(landing(_base(request)))


def _conformance(_server: Server, _request: Request, _body: Any) -> Response:
    return json_response(conformance())


def _health(server: Server, _request: Request, _body: Any) -> Response:
    content = {"status": "ok", "version": __version__, "indexes": len(server.catalog.names)}
    return json_response(content, headers={"Cache-Control": "no-store"})


def _openapi(_server: Server, _request: Request, _body: Any) -> Response:
    text = (resources.files("geoindex.serve") / "openapi.json").read_text("utf-8")
    return Response(text, media_type="application/vnd.oai.openapi+json;version=3.1")


def _indexes(server: Server, _request: Request, _body: Any) -> Response:
    settings = {"basemap": server.settings.basemap, "version": __version__}
    found = [served.describe() for served in server.catalog.all()]
    return json_response({"indexes": found, "settings": settings})


def _index(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    more = {"kinds": served.kinds, "landmarks": served.landmarks}
    return json_response({**served.describe(), **more})


def _find(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    text = request.query_params.get("q", "").strip()
    if not text:
        msg = "want a text to find. Example: ?q=station"
        raise UsageError(msg)
    requests.check_place_text("q", text)
    limit = _whole(request, "limit", 10, most=_MOST_FOUND)
    return json_response({"query": text, "found": found_places(served, text, limit)})


def found_places(served: ServedIndex, text: str, limit: int) -> list[dict[str, Any]]:
    """Return the places that `Index.find` finds, as plain values."""
    return [
        {
            "id": each.id,
            "name": each.name,
            "kind": each.kind,
            "lon": round(each.lon, 7),
            "lat": round(each.lat, 7),
            "score": round(each.score, 6),
            "matched": each.matched,
            "row": each.row,
            "num_entities": each.num_entities,
        }
        for each in served.index.find(text, limit=limit)
    ]


def _query(server: Server, request: Request, body: Any) -> Response:
    served = server.served(request)
    is_post = request.method == "POST"
    wanted = requests.from_body(body) if is_post else requests.from_parameters(request.query_params)
    named = request.query_params.get("format") if is_post else wanted.form
    form = choose_form(named or wanted.form, request.headers.get("accept", ""))
    if form not in requests.FORMATS:
        msg = f"no format {form!r}; want one of {', '.join(requests.FORMATS)}"
        raise UsageError(msg)
    return render(server.answer(served, wanted), served, form)


def _batch(server: Server, request: Request, body: Any) -> Response:
    served = server.served(request)
    rows, options, run = requests.batch_from_body(body)
    target = [server.catalog.get(name).index for name in run.target] or None
    hits = served.index.query_many(rows, target=target, backend=run.backend, **options)
    form = choose_form(run.form, request.headers.get("accept", ""))
    return render(hits.explain() if run.explain else hits, served, form)


def _entity(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    row = served.index.row_of(request.path_params["fid"])
    return _feature(served, row)


def _row(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    row = request.path_params["row"]
    if row >= len(served.index.entities):
        msg = f"row {row:,} is not there: {served.name} has {len(served.index.entities):,} entities"
        raise NotInIndexError(msg)
    return _feature(served, row)


def _feature(served: ServedIndex, row: int) -> Response:
    feature = served.features([row])[0]
    about = {
        "index_version": served.version,
        "data_timestamp": served.data_timestamp,
        "licence": served.index.manifest.licence,
        "attribution": served.index.manifest.attribution,
    }
    return json_response({**feature, **about}, media_type="application/geo+json")


def _cell(server: Server, request: Request, _body: Any) -> Response:
    import shapely

    from geoindex.geo.cell_polygons import boundaries

    served = server.served(request)
    cells = served.index.cells
    row = served.index.cell_row(parse_cell(request.path_params["cell"]))
    cell = int(cells.column("cell")[row])
    outline = boundaries(np.array([cell], np.uint64))[0]
    feature = {
        "type": "Feature",
        "id": format_cell(cell),
        "geometry": json.loads(shapely.to_geojson(outline)),
        "properties": {
            "resolution": int(cells.column("resolution")[row]),
            "num_entities": int(cells.column("num_entities")[row]),
            "lon": round(float(cells.column("lon")[row]), 7),
            "lat": round(float(cells.column("lat")[row]), 7),
            "row": row,
        },
        "index_version": served.version,
    }
    return json_response(feature, media_type="application/geo+json")


def _similar(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    given = request.query_params
    if unknown := sorted(set(given) - {"a", "b", "focus", "own_weight", "target"}):
        msg = f"there is no parameter {unknown[0]!r}; want a, b, focus, own_weight, target"
        raise UsageError(msg)
    first, second = (given.get(name, "").strip() for name in ("a", "b"))
    if not (first and second):
        msg = "want two places. Example: ?a=way/1&b=way/2"
        raise UsageError(msg)
    for name, text in (("a", first), ("b", second)):
        requests.check_place_text(name, text)
    other = server.catalog.get(given["target"]).index if "target" in given else None
    options: dict[str, Any] = {"focus": given["focus"]} if "focus" in given else {}
    if "own_weight" in given:
        weight = OPTIONS["own_weight"].parse(_decimal("own_weight", given["own_weight"]))
        options["own_weight"] = weight
    why = served.index.similar(first, second, target=other, **options)[1]
    return json_response(why.as_dict())


def _scores(server: Server, request: Request, body: Any) -> Response:
    served = server.served(request)
    wanted = requests.from_body(body)
    scores = score_all(served.index, wanted.query)
    known = scores[~np.isnan(scores)]
    ends = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    headers = {
        "X-Geoindex-Rows": str(len(scores)),
        "X-Geoindex-Version": served.version,
        "X-Geoindex-Range": f"{ends[0]:.6f} {ends[1]:.6f}",
    }
    data = scores.astype("<f2").tobytes()
    return Response(data, media_type="application/octet-stream", headers=headers)


def _chip(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    row = served.index.row_of(request.path_params["fid"])
    data = chip_png(served.index, row, imagery=server.settings.imagery)
    headers = {"Cache-Control": "max-age=3600"}
    return Response(data, media_type="image/png", headers=headers)


def _tile_json(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    address = f"{_base(request)}/tiles/{served.name}/{{z}}/{{x}}/{{y}}.mvt?v={served.version}"
    view = served.tiles.view
    content = {
        "tilejson": "3.0.0",
        "name": served.name,
        "version": "1.0.0",
        "tiles": [address],
        "minzoom": 0,
        "maxzoom": MAX_ZOOM,
        "bounds": list(served.tiles.bounds),
        "center": [(view[0] + view[2]) / 2, (view[1] + view[3]) / 2, 12],
        "attribution": served.index.manifest.attribution,
        "vector_layers": layer_fields(),
    }
    return json_response(content)


async def _tile(request: Request) -> Response:
    server: Server = request.app.state.server
    served = server.served(request)
    z, x, y = (request.path_params[name] for name in "zxy")
    if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
        msg = f"there is no tile {z}/{x}/{y}; zooms are 0 to {MAX_ZOOM}"
        raise RequestError(404, "no_such_tile", msg)
    layers = _layers(request.query_params.get("layers"))
    etag = f'"{served.version}-{"-".join(layers)}"'
    is_pinned = request.query_params.get("v") == served.version
    age = f"public, max-age={_YEAR_S}, immutable" if is_pinned else "no-cache"
    headers = {"ETag": etag, "Cache-Control": age}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    tile = await server.tiles.run(server.tile, served, z, x, y, layers)
    if not tile.data:
        return Response(status_code=204, headers=headers)
    if tile.dropped:
        headers["X-Geoindex-Dropped"] = str(tile.dropped)
    data = tile.data
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        data = gzip.decompress(data)
    headers["Vary"] = "Accept-Encoding"
    return Response(data, media_type=MVT, headers=headers)


def _layers(text: str | None) -> tuple[str, ...]:
    if text is None:
        return LAYERS
    wanted = [name for name in text.split(",") if name]
    if not wanted or (unknown := [name for name in wanted if name not in LAYERS]):
        named = unknown[0] if wanted else text
        msg = f"no layer {named!r}; want some of {', '.join(LAYERS)}"
        raise UsageError(msg)
    return tuple(name for name in LAYERS if name in wanted)


def _collections(server: Server, request: Request, _body: Any) -> Response:
    return json_response(collections(server.catalog.all(), _base(request)))


def _collection(server: Server, request: Request, _body: Any) -> Response:
    return json_response(collection(server.served(request), _base(request)))


def _items(server: Server, request: Request, _body: Any) -> Response:
    served = server.served(request)
    options, others = requests.read_options(request.query_params, also=("limit", "offset", "f"))
    if unknown := [name for name in options if not isinstance(OPTIONS[name], Filter)]:
        msg = f"there is no parameter {unknown[0]!r} of items; want bbox, limit, offset or a filter"
        raise UsageError(msg)
    del others
    page = item_page(
        served,
        requests.guarded(options),
        limit=_whole(request, "limit", 10, most=requests.MOST_K),
        offset=_whole(request, "offset", 0, least=0),
        address=f"{_base(request)}/collections/{served.name}/items",
        parameters=request.query_params.multi_items(),
    )
    return json_response(page, media_type="application/geo+json")


def _item(server: Server, request: Request, _body: Any) -> Response:
    return _entity(server, request, None)


def _whole(
    request: Request, name: str, default: int, *, least: int = 1, most: int = 1 << 40
) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        msg = f"{name} is {text!r}; want a whole number from {least}. Example: {name}={default}"
        raise UsageError(msg)
    return min(int(text), most)


def _decimal(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"{name} is {text!r}; want a number. Example: {name}=0.5"
        raise UsageError(msg) from None


def _base(request: Request) -> str:
    """Return the address of the API as the client wrote it."""
    return f"{request.url.scheme}://{request.url.netloc}{API}"
