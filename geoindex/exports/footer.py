"""Describe an exported file in the footer keys ``emb`` and ``geoindex``.

``emb`` follows geoembeddings.org, the STAC embeddings extension 0.0.1: the members of a collection,
and `emb:quantization`, which the extension has in items, because a file is both. Its `emb:type`
knows only ``pixel`` and ``chip``; one vector a geometry is ``chip``.

``geoindex`` is the build record: the manifest of the index, and what was taken from it. Of the
paths in the manifest only the file names are kept: an export is made to be passed on.
"""

from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from geoindex._version import __version__
from geoindex.index import IndexReader
from geoindex.storage.layout import CELLS
from geoindex.storage.manifest import Manifest
from geoindex.storage.quantize import VectorColumns

_SCHEMA = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
_OSM_COPYRIGHT = "https://www.openstreetmap.org/copyright"
_ODBL = "https://opendatacommons.org/licenses/odbl/1-0/"
_H3 = "https://h3geo.org/"
_WORLD = [-180.0, -90.0, 180.0, 90.0]


def embeddings_record(
    index: IndexReader, table: str, vectors: VectorColumns, *, bbox: list[float] | None
) -> dict[str, Any]:
    """Return the content of ``emb``.

    Parameters
    ----------
    bbox
        Of the rows written; None if there are none.
    """
    manifest = index.manifest
    times = [source["timestamp"] for source in manifest.sources if source["timestamp"]]
    record = {
        "stac_extensions": [_SCHEMA],
        "id": f"{index.path.resolve().stem}-{table}",
        "description": f"One vector of unit length for each of the {table}; compare by cosine.",
        "license": manifest.licence,
        "attribution": manifest.attribution,
        "extent": {
            "spatial": {"bbox": [bbox or _WORLD]},
            # a map is the state of its day, with all that was there before
            "temporal": {"interval": [[None, max(times, default=None)]]},
        },
        "emb:type": "chip",
        "emb:dimensions": vectors.dim,
        "data_type": vectors.dtype,
        "emb:quantization": vectors.quantisation(),
        "emb:fit_for_use": ["similarity_search", "retrieval", "classification"],
        "links": _links(manifest),
    }
    if table == CELLS:
        record["emb:chip_layout"] = {
            "layout_type": "named_grid",
            "grid_id": "H3",
            "grid_definition": {"rel": "about", "href": _H3},
        }
    return record


def build_record(
    index: IndexReader, table: str, vectors: VectorColumns, *, focus: str
) -> dict[str, Any]:
    """Return the content of ``geoindex``."""
    return {
        "geoindex_version": __version__,
        "table": table,
        "focus": focus,
        "distance_type": "cosine",
        "vectors": {
            "columns": list(vectors.columns),
            "dtype": vectors.dtype,
            "scale": vectors.scale,
            "offset": 0.0,
            "max_error": vectors.max_error,
            "decode": "value * scale + offset",
        },
        "licence": index.manifest.licence,
        "attribution": index.manifest.attribution,
        "manifest": _public(index.manifest),
    }


def _links(manifest: Manifest) -> list[dict[str, Any]]:
    encoder = manifest.encoder
    links = [
        {
            "rel": "emb:model",
            "href": f"urn:geoindex:encoder:{_name(encoder['name'])}:{encoder['fingerprint']}",
            "title": f"{_name(encoder['name'])}, the encoder, by the hash of its weights",
        }
    ]
    links += [
        {
            "rel": "emb:source-data",
            "href": _name(source["path"]),
            "title": f"{source['format']}, {source['timestamp'] or 'of unknown date'}",
        }
        for source in manifest.sources
    ]
    if "ODbL" in manifest.licence:
        links.append({"rel": "license", "href": _ODBL, "title": "Open Database License 1.0"})
    if "OpenStreetMap" in manifest.attribution:
        links.append({"rel": "about", "href": _OSM_COPYRIGHT, "title": manifest.attribution})
    return links


def _public(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest without the folders of whoever built the index."""
    content = asdict(manifest)
    for source in content["sources"]:
        source["path"] = _name(source["path"])
    content["encoder"]["name"] = _name(content["encoder"]["name"])
    content["settings"] = {
        key: _name(value) if isinstance(value, str) else value
        for key, value in content["settings"].items()
    }
    return content


def _name(path: str) -> str:
    return PurePath(path).name or path
