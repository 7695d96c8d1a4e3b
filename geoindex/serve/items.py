"""Serve entities as OGC API - Features: collections of indexes, pages of items.

An index is a collection, an entity an item. ``bbox`` asks for what meets the box; all other filters
are those of a query.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.filters.apply import select_rows
from geoindex.geo.antimeridian import cut
from geoindex.geo.distance import BBox
from geoindex.queries.query import Query
from geoindex.serve.catalog import ServedIndex
from geoindex.storage.layout import ENTITIES

_CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_GEOJSON = "application/geo+json"


def landing(base: str) -> dict[str, Any]:
    """Return the landing page of the API."""
    links = [
        _link(f"{base}/", "self"),
        _link(f"{base}/openapi.json", "service-desc", "application/vnd.oai.openapi+json"),
        _link(f"{base}/conformance", "conformance"),
        _link(f"{base}/collections", "data"),
        _link(f"{base}/indexes", "related"),
    ]
    about = "Places that are similar: search, tiles and items of geoindex indexes."
    return {"title": "geoindex", "description": about, "links": links}


def conformance() -> dict[str, Any]:
    """Return what the API conforms to."""
    return {"conformsTo": list(_CONFORMS)}


def collections(several: Sequence[ServedIndex], base: str) -> dict[str, Any]:
    """Return all collections."""
    return {
        "links": [_link(f"{base}/collections", "self")],
        "collections": [collection(served, base) for served in several],
    }


def collection(served: ServedIndex, base: str) -> dict[str, Any]:
    """Return the description of one collection."""
    address = f"{base}/collections/{served.name}"
    stamp = served.data_timestamp
    return {
        "id": served.name,
        "title": served.name,
        "description": f"{len(served.index.entities):,} map entities",
        "attribution": served.index.manifest.attribution,
        "extent": {
            "spatial": {"bbox": [list(served.tiles.bounds)], "crs": _CRS84},
            "temporal": {"interval": [[stamp, stamp]]},
        },
        "itemType": "feature",
        "crs": [_CRS84],
        "links": [_link(address, "self"), _link(f"{address}/items", "items", _GEOJSON)],
    }


def item_page(
    served: ServedIndex,
    options: Mapping[str, Any],
    *,
    limit: int,
    offset: int,
    address: str,
    parameters: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return one page of the items that pass some filters.

    Parameters
    ----------
    options
        Filters of a query, as Python takes them.
    limit, offset
        How many items, and after how many.
    address, parameters
        The parameters of the request, for links to the other pages.
    """
    filters = Query.without_examples(**options).filters
    box = filters.pop("bbox", None)
    passing, _ = select_rows(served.index, filters, table=ENTITIES, places=[])
    rows = np.arange(len(served.index.entities)) if passing is None else passing
    if box is not None:
        rows = np.intersect1d(rows, _meeting(served, box), assume_unique=True)
    page = rows[offset : offset + limit]
    kept = [(name, text) for name, text in parameters if name not in {"limit", "offset"}]

    def paged(start: int) -> str:
        return f"{address}?{urlencode([*kept, ('limit', str(limit)), ('offset', str(start))])}"

    links = [_link(paged(offset), "self", _GEOJSON)]
    if offset + limit < len(rows):
        links.append(_link(paged(offset + limit), "next", _GEOJSON))
    if offset:
        links.append(_link(paged(max(0, offset - limit)), "prev", _GEOJSON))
    return {
        "type": "FeatureCollection",
        "numberMatched": len(rows),
        "numberReturned": len(page),
        "timeStamp": served.data_timestamp or served.index.manifest.created,
        "index_version": served.version,
        "licence": served.index.manifest.licence,
        "attribution": served.index.manifest.attribution,
        "links": links,
        "features": served.features(page),
    }


def _meeting(served: ServedIndex, box: BBox) -> NDArray[np.int64]:
    """Return the rows whose geometries meet a box, ascending."""
    west, south, east, north = box
    sides = [(west, 180.0), (-180.0, east)] if box.crosses_antimeridian else [(west, east)]
    found = np.unique(
        np.concatenate([served.tiles.rows_in(low, south, high, north) for low, high in sides])
    )
    area = shapely.union_all([shapely.box(low, south, high, north) for low, high in sides])
    shapely.prepare(area)
    wkb = served.index.entities.take(found, columns=["geometry"])["geometry"].to_numpy()
    meets = (
        shapely.intersects(area, cut(shapely.from_wkb(wkb))) if len(found) else np.zeros(0, bool)
    )
    rows: NDArray[np.int64] = found[meets]
    return rows


def _link(address: str, relation: str, kind: str = "application/json") -> dict[str, str]:
    return {"href": address, "rel": relation, "type": kind}
