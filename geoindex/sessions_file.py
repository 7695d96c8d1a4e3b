"""What was labelled so far? A GeoJSON FeatureCollection, `label` 1 for likes and 0 for unlikes.

===========================  ====================================================================
feature                      is
===========================  ====================================================================
``id`` is ``way/1234``       this entity: saved answers (``-f geojson``) with a `label` added
no ``id``, or a bare number  what lies at its Point, as ``--at``: GeoVibes saves labels so
no `label`, or null          passed over, and counted
===========================  ====================================================================
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoindex.errors import UsageError
from geoindex.places import LonLat, check_point

_EXAMPLE = (
    'Example: {"type": "FeatureCollection", "features": [{"type": "Feature", "id": "way/1234", '
    '"geometry": null, "properties": {"label": 1}}]}'
)


@dataclass(frozen=True)
class Session:
    """What was labelled, each once, in the order of the file.

    Attributes
    ----------
    like, unlike
        Ids.
    at, not_at
        Points.
    num_unlabelled
        How many features have no label.
    """

    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    at: tuple[LonLat, ...] = ()
    not_at: tuple[LonLat, ...] = ()
    num_unlabelled: int = 0


def read_session(source: str | os.PathLike[str] | Mapping[str, Any]) -> Session:
    """Read a session from a file, or from GeoJSON as a dict.

    Raises
    ------
    UsageError
        If it cannot be read, is no such FeatureCollection, or labels one thing both 1 and 0.
    """
    if isinstance(source, Mapping):
        return _session(source, "the session")
    try:
        content = json.loads(Path(source).read_text("utf-8-sig"))
    except OSError as error:
        msg = f"cannot read the session {source}: {error.strerror}. {_EXAMPLE}"
        raise UsageError(msg) from error
    except (ValueError, TypeError) as error:
        msg = f"the session {source} is no JSON: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    return _session(content, str(source))


def _session(content: Any, name: str) -> Session:
    features = content.get("features") if isinstance(content, Mapping) else None
    if not isinstance(features, list) or content.get("type") != "FeatureCollection":
        msg = f"{name} is no GeoJSON FeatureCollection. {_EXAMPLE}"
        raise UsageError(msg)
    labelled: dict[str | LonLat, bool] = {}
    num_unlabelled = 0
    for number, feature in enumerate(features, 1):
        where = f"feature {number} of {name}"
        if not isinstance(feature, Mapping):
            msg = f"{where} is {feature!r}; want a Feature. {_EXAMPLE}"
            raise UsageError(msg)
        label = (feature.get("properties") or {}).get("label")
        if label is None:
            num_unlabelled += 1
            continue
        if label not in (0, 1):
            msg = f"{where} has the label {label!r}; want 1 (like) or 0 (unlike)"
            raise UsageError(msg)
        thing = _thing(feature, where)
        if labelled.setdefault(thing, bool(label)) != bool(label):
            msg = f"{where} labels {thing} {label}, and another does {1 - label}; want one of them"
            raise UsageError(msg)
    return Session(
        tuple(thing for thing, liked in labelled.items() if liked and isinstance(thing, str)),
        tuple(thing for thing, liked in labelled.items() if not liked and isinstance(thing, str)),
        tuple(thing for thing, liked in labelled.items() if liked and isinstance(thing, LonLat)),
        tuple(
            thing for thing, liked in labelled.items() if not liked and isinstance(thing, LonLat)
        ),
        num_unlabelled,
    )


def _thing(feature: Mapping[str, Any], where: str) -> str | LonLat:
    """Return the id of a feature, or its point."""
    name = feature.get("id")
    if isinstance(name, str) and name.strip() and not name.strip().isdigit():
        return name.strip()
    geometry = feature.get("geometry") or {}
    try:
        if geometry["type"] == "Point":
            lon, lat, *_ = map(float, geometry["coordinates"])
            return check_point(lon, lat)
    except UsageError as error:
        msg = f"{where}: {error}"
        raise UsageError(msg) from error
    except (KeyError, TypeError, ValueError):
        pass
    msg = f"{where} has neither an id such as way/1234 nor a Point. {_EXAMPLE}"
    raise UsageError(msg)
