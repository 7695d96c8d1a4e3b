"""Read feedback: a GeoJSON FeatureCollection whose features have a `label`.

===========================  ====================================================================
`label`                      means
===========================  ====================================================================
1, true, positive, pos       like
0, false, negative, neg      unlike
none, null, -100             passed over, and counted
===========================  ====================================================================

===========================  ====================================================================
feature                      stands for
===========================  ====================================================================
``id`` is ``way/1234``       this entity; a cell for an H3 cell: saved answers (``-f geojson``)
                             with a `label` added
no ``id``, or a bare number  what lies at its Point, as ``--at``; or its polygon
===========================  ====================================================================

GeoVibes (https://github.com/Epoch-blue/geovibes) saves so: Points, `label` 1 or 0, -100 for what
was erased, and `class`, ``geovibes_pos`` or ``relabel_neg``, which is read where there is no
`label`. Its `id` and `embedding` are those of its own database, and are passed over.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geoindex.errors import InvalidIdError, UsageError
from geoindex.features.ids import parse_reference
from geoindex.geo.distance import check_point
from geoindex.geo.polygon_io import check_area
from geoindex.lookup.reference import point_text
from geoindex.lookup.tables import read_json

_LIKE = {"1", "1.0", "true", "positive", "pos", "like"}
_UNLIKE = {"0", "0.0", "false", "negative", "neg", "unlike"}
_ERASED = {"-100", "-100.0", ""}
_EXAMPLE = (
    'Example: {"type": "FeatureCollection", "features": [{"type": "Feature", "id": "way/1234", '
    '"geometry": null, "properties": {"label": 1}}]}'
)


@dataclass(frozen=True)
class Feedback:
    """The places that were labelled, each once, in the order of the file.

    Attributes
    ----------
    like, unlike
        Ids, cells, points and areas, as texts that `geoindex.lookup.reference.parse_place` reads.
    num_unlabelled
        How many features have no label.
    """

    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    num_unlabelled: int = 0


def read_feedback(source: str | os.PathLike[str] | Mapping[str, Any]) -> Feedback:
    """Read feedback from a file, or from GeoJSON as a dict.

    Raises
    ------
    UsageError
        If it cannot be read, is no such FeatureCollection, or labels one place both 1 and 0.
    """
    if isinstance(source, Mapping):
        return _read(source, "the feedback")
    content = read_json(source, "the feedback", _EXAMPLE)
    return _read(content, str(source))


def _read(content: Any, name: str) -> Feedback:
    features = content.get("features") if isinstance(content, Mapping) else None
    if not isinstance(features, list) or content.get("type") != "FeatureCollection":
        msg = f"{name} is no GeoJSON FeatureCollection. {_EXAMPLE}"
        raise UsageError(msg)
    labelled: dict[str, bool] = {}
    num_unlabelled = 0
    for number, feature in enumerate(features, 1):
        where = f"feature {number} of {name}"
        if not isinstance(feature, Mapping):
            msg = f"{where} is {feature!r}; want a Feature. {_EXAMPLE}"
            raise UsageError(msg)
        is_like = _label(feature.get("properties") or {}, where)
        if is_like is None:
            num_unlabelled += 1
            continue
        place = _place(feature, where)
        if labelled.setdefault(place, is_like) != is_like:
            said, other = int(is_like), int(not is_like)
            msg = f"{where} labels {place} {said}, and another does {other}; want one of them"
            raise UsageError(msg)
    return Feedback(
        tuple(place for place, is_like in labelled.items() if is_like),
        tuple(place for place, is_like in labelled.items() if not is_like),
        num_unlabelled,
    )


def _label(properties: Mapping[str, Any], where: str) -> bool | None:
    """Return whether a feature is like, or None where it has no label."""
    label = properties.get("label")
    if label is None:
        sort = properties.get("class")
        is_class = isinstance(sort, str) and sort.endswith(("_pos", "_neg"))
        return str(sort).endswith("_pos") if is_class else None
    text = str(label).strip().lower()
    if text in _ERASED:
        return None
    if text not in _LIKE | _UNLIKE:
        msg = f"{where} has the label {label!r}; want 1 (like) or 0 (unlike)"
        raise UsageError(msg)
    return text in _LIKE


def _place(feature: Mapping[str, Any], where: str) -> str:
    """Return the id of a feature, its point or its area, as text."""
    name = feature.get("id")
    if isinstance(name, str) and name.strip() and not _is_number(name.strip()):
        return name.strip()
    geometry = feature.get("geometry") or {}
    try:
        if geometry["type"] == "Point":
            lon, lat, *_ = map(float, geometry["coordinates"])
            return point_text(check_point(lon, lat))
        if geometry["type"] in {"Polygon", "MultiPolygon"}:
            return str(check_area(geometry).wkt)
    except UsageError as error:
        msg = f"{where}: {error}"
        raise UsageError(msg) from error
    except (KeyError, TypeError, ValueError):
        pass
    msg = f"{where} has neither an id such as way/1234 nor a Point or Polygon. {_EXAMPLE}"
    raise UsageError(msg)


def _is_number(name: str) -> bool:
    """Tell whether an id is a bare number; a cell may be written in decimal digits alone."""
    if not name.isdigit():
        return False
    try:
        parse_reference(name)
    except InvalidIdError:
        return True
    return False
