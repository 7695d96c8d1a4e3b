"""Find places that are alike: maps become indexes, indexes answer queries.

>>> import geoindex as gi
>>> ix = gi.build("monaco.osm.pbf", "monaco.geoindex")  # doctest: +SKIP
>>> ix.query(like="way/1234", k=10)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from geoindex._bundle_path import import_encoder
from geoindex._version import __version__

if TYPE_CHECKING:
    from geoindex.api import GeoIndex, build, export, open, query  # noqa: A004 - as gzip.open
    from geoindex.encoders import load_encoder
    from geoindex.queries.hits import Hits
    from geoindex.queries.query import Query

# the types of `encoder.protocol` are used anywhere
import_encoder()

__all__ = [
    "GeoIndex",
    "Hits",
    "Query",
    "__version__",
    "build",
    "export",
    "load_encoder",
    "open",
    "query",
]

_HOMES = {
    "GeoIndex": "geoindex.api",
    "Hits": "geoindex.queries.hits",
    "Query": "geoindex.queries.query",
    "build": "geoindex.api",
    "export": "geoindex.api",
    "load_encoder": "geoindex.encoders",
    "open": "geoindex.api",
    "query": "geoindex.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``geoindex --help`` needs none of it."""
    if name not in _HOMES:
        msg = f"module 'geoindex' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
