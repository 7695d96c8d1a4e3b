"""Find places that are alike: maps become indexes, indexes answer queries.

>>> import geoindex as gi
>>> ix = gi.build("monaco.osm.pbf", "monaco.geoindex")  # doctest: +SKIP
>>> ix.query(like="way/1234", k=10)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from geoindex._bundle_path import import_bundled
from geoindex._version import __version__

if TYPE_CHECKING:
    from encoder.protocol import Embedder as Encoder
    from geoindex import datasets, errors
    from geoindex.api import Index, build, export, knn, open, query, update  # noqa: A004
    from geoindex.encoders import load_encoder
    from geoindex.errors import GeoindexError
    from geoindex.evaluation.run import evaluate
    from geoindex.queries.explanation import Explanation
    from geoindex.queries.hits import Hits
    from geoindex.queries.query import Query
    from trainer.run.loop import train

# the types of `encoder.protocol` are used anywhere
import_bundled("encoder")

__all__ = [
    "Encoder",
    "Explanation",
    "GeoindexError",
    "Hits",
    "Index",
    "Query",
    "__version__",
    "build",
    "datasets",
    "errors",
    "evaluate",
    "export",
    "knn",
    "load_encoder",
    "open",
    "query",
    "train",
    "update",
]

# where each name is defined, and what it is called there
_HOMES = {
    "Encoder": ("encoder.protocol", "Embedder"),
    "Explanation": ("geoindex.queries.explanation", "Explanation"),
    "GeoIndex": ("geoindex.api", "Index"),  # its name before, for one release
    "GeoindexError": ("geoindex.errors", "GeoindexError"),
    "Hits": ("geoindex.queries.hits", "Hits"),
    "Index": ("geoindex.api", "Index"),
    "Query": ("geoindex.queries.query", "Query"),
    "build": ("geoindex.api", "build"),
    "datasets": ("geoindex.datasets", ""),
    "errors": ("geoindex.errors", ""),
    "evaluate": ("geoindex.evaluation.run", "evaluate"),
    "export": ("geoindex.api", "export"),
    "knn": ("geoindex.api", "knn"),
    "load_encoder": ("geoindex.encoders", "load_encoder"),
    "open": ("geoindex.api", "open"),
    "query": ("geoindex.api", "query"),
    "train": ("trainer.run.loop", "train"),
    "update": ("geoindex.api", "update"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: ``geoindex --help`` needs none of them."""
    if name not in _HOMES:
        msg = f"module 'geoindex' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    home, own_name = _HOMES[name]
    if home.startswith("trainer."):
        import_bundled("trainer")
    module = import_module(home)
    return getattr(module, own_name) if own_name else module


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()} - {"import_bundled"})
