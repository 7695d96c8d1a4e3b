"""Where does it go wrong? The worst errors of each task, on a map of each place.

A map shows one place in metres from its middle, north up, without a background: a hexagon for the
cell, and a mark that is larger the larger the error. Every place links to openstreetmap.org.

What was found? A place that was asked about, and what each row calls alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoindex.errors import InvalidIdError
from geoindex.evaluation.report.content import Content, name_row, unique
from geoindex.geo.earth import TILE_METRES_PER_DEGREE
from geoindex.geo.h3 import corners, parse_cell
from geoindex.report.html import (
    OSM,
    UNKNOWN,
    Html,
    element,
    folded,
    is_number,
    joined,
    link,
    name_of,
    number,
    place_url,
    plural,
    table,
)

# one degree of latitude; a picture needs no ellipsoid
_SIDE, _EDGE, _LEAST_M = 300, 22, 500
_SMALLEST, _LARGEST = 5.0, 11.0
TOO_LOW, TOO_HIGH, WRONG = "low", "high", "wrong"
_OUTLINES = {
    TOO_LOW: "M-1-.8h2L0 .9z",
    TOO_HIGH: "M-1 .8h2L0-.9z",
    WRONG: "M-.85 0 0-.85.85 0 0 .85z",
}
_WORDS = {TOO_LOW: "predicted too low", TOO_HIGH: "predicted too high", WRONG: "another class"}


@dataclass(frozen=True)
class _Miss:
    """One unit that was predicted badly."""

    task: str
    key: str
    unit: dict[str, Any]
    kind: str
    share: float

    @property
    def told(self) -> str:
        """Return what the mark says when it is pointed at."""
        unit = self.unit
        truth, predicted = _label(unit["truth"]), _label(unit["predicted"])
        return f"{self.task}: {truth}, predicted {predicted} ({unit['cell']}, {unit['place']})"


def errors(content: Content) -> Html | None:
    """Return maps of the worst errors and a table a task; None where there are none."""
    found = [item for item in content.items("errors") if item.get("units")]
    if not found:
        return None
    misses = [miss for i, item in enumerate(found) for miss in _misses(content, item, f"e{i}")]
    order = [place["name"] for place in content.meta.get("places") or ()]
    seen = unique(miss.unit["place"] for miss in misses)
    places = [place for place in order if place in seen]
    places += [place for place in seen if place not in places]
    kinds = [kind for kind in _WORDS if any(miss.kind == kind for miss in misses)]
    legend = (element("span", _legend_mark(kind), _WORDS[kind]) for kind in kinds)
    chips = [_chip("", "all tasks", is_first=True)]
    chips += [_chip(f"e{i}", _title(content, item)) for i, item in enumerate(found)]
    drawn = [_map(place, [m for m in misses if m.unit["place"] == place]) for place in places]
    return element(
        "div",
        element("fieldset", element("legend", "Show"), *chips, class_="picker"),
        element("p", *legend, class_="legend"),
        element("div", *(figure for figure in drawn if figure), class_="grid small"),
        *(_listing(content, item) for item in found),
        class_="picked",
    )


def _misses(content: Content, item: dict[str, Any], key: str) -> list[_Miss]:
    sizes = [_size(unit) for unit in item["units"]]
    largest = max((size for size in sizes if size is not None), default=0) or 1
    return [
        _Miss(
            _title(content, item),
            key,
            unit,
            _kind(unit),
            0.5 if size is None else size / largest,
        )
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
        return WRONG
    return TOO_HIGH if predicted > truth else TOO_LOW


def _map(place: str, misses: Sequence[_Miss]) -> Html | None:
    lon0, lat0 = misses[0].unit["lon"], misses[0].unit["lat"]
    at = np.array([_metres(m.unit["lon"], m.unit["lat"], lon0, lat0) for m in misses])
    cells = unique(miss.unit["cell"] for miss in misses)
    rings = [ring for ring in (_outline(cell, lon0, lat0) for cell in cells) if ring is not None]
    corners_m = np.concatenate([at, *rings])
    low, high = corners_m.min(axis=0), corners_m.max(axis=0)
    reach = max(float((high - low).max()), _LEAST_M)
    per_m = (_SIDE - 2 * _EDGE) / reach
    middle = (low + high) / 2

    def on_map(points: Any) -> Any:
        return _SIDE / 2 + (np.asarray(points) - middle) * per_m * (1, -1)

    drawn = [_grid(reach, per_m)]
    for ring in rings:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in on_map(ring))
        drawn.append(element("polygon", points=points, class_="cell"))
    # small marks lie on large ones, or they would not be seen
    order = sorted(range(len(misses)), key=lambda i: -misses[i].share)
    drawn += [_point(misses[i], *on_map(at[i])) for i in order]
    drawn.append(_scale_bar(reach, per_m))
    told = f"The worst errors in {place}, {plural(len(misses), 'mark')} in local metres, north up"
    figure = element("svg", *drawn, aria_label=told, role="group", viewBox=f"0 0 {_SIDE} {_SIDE}")
    caption = element(
        "figcaption", element("b", name_of(place)), f" {plural(len(misses), 'error')}"
    )
    return element("figure", caption, figure, class_="card place")


def _point(miss: _Miss, x: float, y: float) -> Html:
    size = _SMALLEST + (_LARGEST - _SMALLEST) * miss.share
    drawn = element(
        "path",
        d=_OUTLINES[miss.kind],
        transform=f"translate({x:.1f} {y:.1f}) scale({size:.1f})",
        class_=f"miss {miss.kind}",
    )
    href = place_url(miss.unit["lon"], miss.unit["lat"])
    mark = element("g", element("title", miss.told), drawn, class_="m", data_in=miss.key)
    return link(href, mark, aria_label=miss.told)


def _outline(cell: Any, lon0: float, lat0: float) -> Any:
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


def _grid(reach_m: float, per_m: float) -> Html:
    """Return lines as far apart as the scale bar is long."""
    step = _bar_m(reach_m) * per_m
    lines = [i * step for i in range(1, int(_SIDE / step) + 1)]
    across = "".join(f"M0 {_SIDE - at:.1f}h{_SIDE}" for at in lines)
    return element("path", d=across + "".join(f"M{at:.1f} 0v{_SIDE}" for at in lines), class_="net")


def _scale_bar(reach_m: float, per_m: float) -> Html:
    length = _bar_m(reach_m)
    text = f"{length / 1000:,.0f} km" if length >= 1000 else f"{length:,.0f} m"
    y = _SIDE - 5
    return joined(
        element("path", d=f"M0 {y - 4}v4h{length * per_m:.1f}v-4", class_="bar"),
        element("text", text, x=5, y=y - 6),
        element("text", "N \N{UPWARDS ARROW}", x=_SIDE - 8, y=16, class_="to"),
    )


def _bar_m(reach_m: float) -> float:
    """Return a round length of a sixth to a third of the map."""
    power = 10.0 ** math.floor(math.log10(reach_m / 3))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= reach_m / 3)


def _listing(content: Content, item: dict[str, Any]) -> Html:
    rows = []
    for i, unit in enumerate(item["units"], 1):
        has_place = is_number(unit.get("lon")) and is_number(unit.get("lat"))
        url = place_url(unit["lon"], unit["lat"]) if has_place else None
        cell = link(url, element("code", str(unit["cell"])))
        labels = (_label(unit["truth"]), _label(unit["predicted"]))
        rows.append([str(i), name_of(str(unit["place"])), cell, *labels])
    title = _title(content, item)
    asked = f"{title} \N{EN DASH} {item['row']}, {item['head']}, seed {item['seed']}"
    head = ["", "place", "cell", "truth", "predicted"]
    return folded(asked, table(head, rows, caption=f"Worst errors of {title}", num_text=3))


def _title(content: Content, item: dict[str, Any]) -> str:
    return str((content.tasks.get(item["task"]) or {}).get("title") or item["task"])


def _label(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 2) if isinstance(value, float) else str(value)


def _legend_mark(kind: str) -> Html:
    drawn = element(
        "path", d=_OUTLINES[kind], transform="translate(8 8) scale(6)", class_=f"miss {kind}"
    )
    return element("svg", drawn, class_="mark", width=16, height=16, aria_hidden="true")


def _chip(value: str, text: str, *, is_first: bool = False) -> Html:
    button = element(
        "input", type="radio", name="errors", value=value, data_pick=value, checked=is_first
    )
    return element("label", button, text)


def examples(content: Content) -> Html | None:
    """Return what was asked and what each row found; None where there are no examples."""
    found = content.items("examples")
    if not found:
        return None
    cards = []
    for asked in unique(
        (item["asked"].get("feature_id"), item["asked"].get("place")) for item in found
    ):
        items = [
            item
            for item in found
            if (item["asked"].get("feature_id"), item["asked"].get("place")) == asked
        ]
        cards.append(_example(content, items))
    return joined(*cards)


def _example(content: Content, items: Sequence[dict[str, Any]]) -> Html:
    asked = items[0]["asked"]
    columns = []
    for item in items:
        name = element(
            "h4", name_row(item["row"], item.get("focus")), class_=content.colour(item["row"])
        )
        hits = (_hit(hit, asked) for hit in item["hits"])
        columns.append(element("div", name, element("ol", *hits)))
    return element(
        "article",
        element("h3", "Like ", _called(asked), element("small", _where(asked))),
        element("div", *columns, class_="columns"),
        class_="card example",
    )


def _hit(hit: dict[str, Any], asked: dict[str, Any]) -> Html:
    similarity = hit.get("similarity")
    share = min(max(float(similarity), 0), 1) if is_number(similarity) else 0
    return element(
        "li",
        element("span", _called(hit), element("small", _where(hit, asked))),
        element("span", number(similarity), class_="n like", style=f"--share:{share:.3f}"),
    )


def _called(hit: dict[str, Any]) -> Html:
    """Return the name of a place, or of its kind, with its address."""
    text = str(hit.get("name") or hit.get("kind") or hit.get("feature_id") or "unnamed")
    url = hit.get("osm_url")
    if not (isinstance(url, str) and url.startswith(OSM)) and is_number(hit.get("lon")):
        url = place_url(hit["lon"], hit["lat"]) if is_number(hit.get("lat")) else None
    return link(url, name_of(text))


def _where(hit: dict[str, Any], asked: dict[str, Any] | None = None) -> Html:
    """Return the kind, where the name does not tell it, and the place, where it is another."""
    kind = hit.get("kind") if hit.get("name") else None
    place = None if asked and asked.get("place") == hit.get("place") else hit.get("place")
    words = [name_of(str(word)) for word in (kind, place) if word]
    return joined(*(joined(" · " if i else " ", word) for i, word in enumerate(words)))
