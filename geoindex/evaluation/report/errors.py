"""Maps and tables of the report: the worst errors of each task, and retrieval examples.

A map shows one place in metres from its middle, north up, without a background: a hexagon for the
cell, and a mark that is larger the larger the error. Every place links to openstreetmap.org.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from geoindex.errors import InvalidIdError
from geoindex.evaluation.report.content import Content, name_method, unique
from geoindex.geo.earth import TILE_METRES_PER_DEGREE
from geoindex.geo.h3 import corners, parse_cell
from geoindex.report.page import UNKNOWN, is_number, number, osm_url, place_url, plural
from geoindex.report.tables import Cell, Table

# one degree of latitude; a picture needs no ellipsoid
_SIDE, _EDGE, _LEAST_M = 300, 22, 500
_SMALLEST, _LARGEST = 5.0, 11.0
#: Kinds of errors: outline of the mark, and legend.
KINDS = {
    "low": ("M-1-.8h2L0 .9z", "predicted too low"),
    "high": ("M-1 .8h2L0-.9z", "predicted too high"),
    "wrong": ("M-.85 0 0-.85.85 0 0 .85z", "another class"),
}


def errors(content: Content) -> dict[str, Any] | None:
    """Return maps of the worst errors and a table a task; None where there are none."""
    found = [item for item in content.items("errors") if item.get("units")]
    if not found:
        return None
    marks = [mark for i, item in enumerate(found) for mark in _marks(content, item, f"e{i}")]
    order = [place["name"] for place in content.meta.get("places") or ()]
    seen = unique(mark["place"] for mark in marks)
    places = unique([*(place for place in order if place in seen), *seen])
    titles = [_title(content, item) for item in found]
    return {
        "side": _SIDE,
        "chips": [("", "all tasks", "", ""), *((f"e{i}", t, "", "") for i, t in enumerate(titles))],
        "legend": [
            (kind, *shown)
            for kind, shown in KINDS.items()
            if any(mark["kind"] == kind for mark in marks)
        ],
        "maps": [_map(place, [m for m in marks if m["place"] == place]) for place in places],
        "tables": [_listing(*item) for item in zip(titles, found, strict=True)],
    }


def _marks(content: Content, item: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the marks of a task's errors, those that have a place."""
    sizes = [_size(unit) for unit in item["units"]]
    largest = max((size for size in sizes if size is not None), default=0) or 1
    return [
        {
            "key": key,
            "place": unit["place"],
            "cell": unit["cell"],
            "lon": unit["lon"],
            "lat": unit["lat"],
            "kind": _kind(unit),
            "share": 0.5 if size is None else size / largest,
            "url": place_url(unit["lon"], unit["lat"]),
            "label": f"{_title(content, item)}: {_value(unit['truth'])}, predicted "
            f"{_value(unit['predicted'])} ({unit['cell']}, {unit['place']})",
        }
        for unit, size in zip(item["units"], sizes, strict=True)
        if is_number(unit.get("lon")) and is_number(unit.get("lat"))
    ]


def _size(unit: dict[str, Any]) -> float | None:
    """Return how far off a number is; None of a class, where nothing is farther off."""
    if is_number(unit["truth"]) and is_number(unit["predicted"]):
        return abs(float(unit["truth"]) - float(unit["predicted"]))
    return None


def _kind(unit: dict[str, Any]) -> str:
    truth, predicted = (
        float(value) if isinstance(value, bool) or is_number(value) else None
        for value in (unit["truth"], unit["predicted"])
    )
    if truth is None or predicted is None:
        return "wrong"
    return "high" if predicted > truth else "low"


def _map(place: str, marks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    lon0, lat0 = marks[0]["lon"], marks[0]["lat"]
    at = np.array([_metres(mark["lon"], mark["lat"], lon0, lat0) for mark in marks])
    cells = unique(mark["cell"] for mark in marks)
    rings = [ring for ring in (_ring(cell, lon0, lat0) for cell in cells) if ring is not None]
    corners_m = np.concatenate([at, *rings])
    low, high = corners_m.min(axis=0), corners_m.max(axis=0)
    reach = max(float((high - low).max()), _LEAST_M)
    per_m = (_SIDE - 2 * _EDGE) / reach

    def on_map(points: Any) -> Any:
        return _SIDE / 2 + (np.asarray(points) - (low + high) / 2) * per_m * (1, -1)

    bar_m = _bar_m(reach)
    # small marks lie on large ones, or they would not be seen
    order = sorted(range(len(marks)), key=lambda i: -marks[i]["share"])
    return {
        "place": place,
        "about": plural(len(marks), "error"),
        "grid": _grid(bar_m * per_m),
        "rings": [" ".join(f"{x:.1f},{y:.1f}" for x, y in on_map(ring)) for ring in rings],
        "marks": [{**marks[i], "at": _transform(marks[i]["share"], *on_map(at[i]))} for i in order],
        "bar": f"M0 {_SIDE - 9}v4h{bar_m * per_m:.1f}v-4",
        "bar_text": f"{bar_m / 1000:,.0f} km" if bar_m >= 1000 else f"{bar_m:,.0f} m",
    }


def _transform(share: float, x: float, y: float) -> str:
    size = _SMALLEST + (_LARGEST - _SMALLEST) * share
    return f"translate({x:.1f} {y:.1f}) scale({size:.1f})"


def _ring(cell: Any, lon0: float, lat0: float) -> Any:
    try:
        ring = corners(np.array([parse_cell(str(cell))], np.uint64))[1]
    except InvalidIdError:
        return None
    return np.array([_metres(lon, lat, lon0, lat0) for lon, lat in ring.tolist()])


def _metres(lon: float, lat: float, lon0: float, lat0: float) -> tuple[float, float]:
    """Return metres east and north of a point; across the antimeridian it is the short way."""
    east = (lon - lon0 + 180) % 360 - 180
    east *= math.cos(math.radians(lat0))
    return east * TILE_METRES_PER_DEGREE, (lat - lat0) * TILE_METRES_PER_DEGREE


def _grid(step: float) -> str:
    """Return lines as far apart as the scale bar is long."""
    lines = [i * step for i in range(1, int(_SIDE / step) + 1)]
    across = "".join(f"M0 {_SIDE - at:.1f}h{_SIDE}" for at in lines)
    return across + "".join(f"M{at:.1f} 0v{_SIDE}" for at in lines)


def _bar_m(reach_m: float) -> float:
    """Return a round length of a sixth to a third of the map."""
    power = 10.0 ** math.floor(math.log10(reach_m / 3))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= reach_m / 3)


def _listing(title: str, item: dict[str, Any]) -> dict[str, Any]:
    rows: list[list[str | Cell]] = []
    for i, unit in enumerate(item["units"], 1):
        has_place = is_number(unit.get("lon")) and is_number(unit.get("lat"))
        url = place_url(unit["lon"], unit["lat"]) if has_place else ""
        labels = (_value(unit["truth"]), _value(unit["predicted"]))
        place = Cell(str(unit["place"]))
        rows.append([str(i), place, Cell(str(unit["cell"]), href=url), *labels])
    head = ["", "place", "cell", "truth", "predicted"]
    return {
        "title": f"{title} \N{EN DASH} {item['row']}, {item['head']}, seed {item['seed']}",
        "table": Table(f"Worst errors of {title}", head, rows, 3),
    }


def _title(content: Content, item: dict[str, Any]) -> str:
    return str((content.tasks.get(item["task"]) or {}).get("title") or item["task"])


def _value(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 2) if isinstance(value, float) else str(value)


def examples(content: Content) -> list[dict[str, Any]]:
    """Return queries, and the hits of each method."""
    by_query: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for item in content.items("examples"):
        query = item["asked"]
        by_query.setdefault((query.get("feature_id"), query.get("place")), []).append(item)
    return [
        {
            "query": _hit(items[0]["asked"]),
            "columns": [
                {
                    "name": name_method(item["row"], item.get("focus")),
                    "colour": content.colour(item["row"]),
                    "hits": [_hit(hit, item["asked"]) for hit in item["hits"]],
                }
                for item in items
            ],
        }
        for items in by_query.values()
    ]


def _hit(hit: dict[str, Any], query: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what is shown of a hit; the place only where it is not that of the query."""
    has_place = is_number(hit.get("lon")) and is_number(hit.get("lat"))
    similarity = hit.get("similarity")
    kind = hit.get("kind") if hit.get("name") else None
    place = None if query and query.get("place") == hit.get("place") else hit.get("place")
    url = osm_url(hit.get("osm_url"))
    return {
        "name": str(hit.get("name") or hit.get("kind") or hit.get("feature_id") or "unnamed"),
        "url": url or (place_url(hit["lon"], hit["lat"]) if has_place else ""),
        "about": " · ".join(str(word) for word in (kind, place) if word),
        "similarity": similarity,
        "width": min(max(float(similarity), 0), 1) * 100 if is_number(similarity) else 0,
    }
