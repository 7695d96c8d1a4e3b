"""Charts of the report about vectors without labels: retrieval, collapse, and maps of them.

Every score is a chart of its own: they share no scale.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from geoindex.evaluation.report.content import Content, name_method, unique
from geoindex.report.charts import Band, Chart, Mark, scale_of
from geoindex.report.page import is_number, number, plural
from geoindex.report.tables import Table

SCORE_TITLES = {
    "half_to_half_mrr": "Half a cell finds its other half: mean reciprocal rank",
    "half_to_half_recall@1": "Half a cell finds its other half first",
    "half_to_half_recall@10": "Half a cell finds its other half among 10",
    "tags_to_geometry_mrr": "Tags find their geometry: mean reciprocal rank",
    "tag_agreement@10": "Neighbours share the kind, of 10",
    "leave_one_tag_out@10": "Neighbours know the tag that was left out, of 10",
    "same_cell@10": "Neighbours from the same cell, of 10",
}
NUMBER_TITLES = {
    "rankme": ("RankMe: how many directions are used", "more is better"),
    "effective_rank": ("Effective rank", "more is better"),
    "uniformity": ("Uniformity on the sphere", "less is better"),
}
NUM_KINDS = 8
_OTHER = "k-none"
_SIDE, _MOST_POINTS, _TRIM = 300, 4000, 0.005


def retrieval(content: Content) -> dict[str, Any] | None:
    """Return a chart of each retrieval score, and a table; None where there is none."""
    found = content.items("retrieval")
    if not found:
        return None
    charts = []
    for score in unique(item["score"] for item in found):
        items = [item for item in found if item["score"] == score]
        direction = "higher is better" if items[0].get("higher_is_better") else "lower is better"
        chance = next((item["chance"] for item in items if is_number(item.get("chance"))), math.nan)
        charts.append(_bars(content, items, SCORE_TITLES.get(score, score), direction, chance))
    rows = [
        [
            name_method(item["row"], item.get("focus")),
            str(item["score"]),
            number(item.get("value")),
            number(item.get("chance")),
            number(item.get("n"), 0),
        ]
        for item in found
    ]
    head = ["method", "score", "value", "chance", "n"]
    return {"charts": charts, "table": Table("Retrieval scores", head, rows, 2)}


def collapse(content: Content) -> dict[str, Any] | None:
    """Return a chart of each number that shows collapse, and a table; None where there is none."""
    found = content.items("collapse")
    if not found:
        return None
    charts = []
    for name, of in unique((item["number"], item["table"]) for item in found):
        items = [item for item in found if (item["number"], item["table"]) == (name, of)]
        title, direction = NUMBER_TITLES.get(name, (name, ""))
        charts.append(_bars(content, items, f"{title}, {of}", direction, math.nan))
    rows = [
        [
            name_method(item["row"], item.get("focus")),
            f"{item['number']}, {item['table']}",
            number(item.get("value")),
            number(item.get("dim"), 0),
            number(item.get("n"), 0),
        ]
        for item in found
    ]
    head = ["method", "number", "value", "dimensions", "n"]
    return {"charts": charts, "table": Table("Collapse numbers", head, rows, 2)}


def maps(content: Content) -> dict[str, Any] | None:
    """Return the vectors of each method on two principal axes; None where there are none."""
    found = {row: item for row, item in (content.raw.get("maps") or {}).items() if item["points"]}
    if not found:
        return None
    sizes = Counter(kind for item in found.values() for _, _, kind in item["points"] if kind)
    common = sorted(sizes, key=lambda kind: (-sizes[kind], kind))[:NUM_KINDS]
    classes = {kind: f"k{i}" for i, kind in enumerate(common)}
    chips = [("", "all", "", ""), *((name, kind, name, "") for kind, name in classes.items())]
    order = unique([*(name for name in content.methods if name in found), *found])
    return {
        "side": _SIDE,
        "chips": [*chips, (_OTHER, "others", _OTHER, "")],
        "maps": [_scatter(name, found[name], classes) for name in order],
    }


def _bars(
    content: Content, items: Sequence[dict[str, Any]], title: str, direction: str, chance: float
) -> dict[str, Any]:
    bands, values = [], [0.0, chance]
    for item in items:
        value = float(item["value"]) if is_number(item.get("value")) else math.nan
        name, dim = name_method(item["row"], item.get("focus")), item.get("dim")
        text = f"{name}: {number(value)}" + (f" of {plural(dim, 'dimension')}" if dim else "")
        colour = content.colour(item["row"])
        bands.append(Band(name, colour, number(value), [Mark("s0", value, text)]))
        values.append(value)
    chart = Chart(title, scale_of(values, room=0), bands, chance, f"chance {number(chance)}", 0)
    return {"title": title, "about": direction, "chart": chart}


def _scatter(method: str, item: dict[str, Any], classes: dict[str, str]) -> dict[str, Any]:
    points = item["points"]
    about = f"{len(points):,} {item.get('table') or 'vectors'}"
    shares = [share for share in item.get("explained") or () if is_number(share)]
    if shares:
        held = " and ".join(f"{100 * share:.0f}\N{NO-BREAK SPACE}%" for share in shares)
        about += f"; the axes explain {held} of the variance"
    step = -(-len(points) // _MOST_POINTS)
    points = [point for point in points[::step] if is_number(point[0]) and is_number(point[1])]
    xs, ys = (_placed([point[axis] for point in points]) for axis in (0, 1))
    drawn: dict[str, list[str]] = {}
    for x, y, (_, _, kind) in zip(xs, ys, points, strict=True):
        # a line of no length with round ends is a dot: the shortest way to write thousands
        drawn.setdefault(classes.get(kind, _OTHER), []).append(f"M{x:.1f} {_SIDE - y:.1f}h0")
    # the rare kinds lie on top, or they would not be seen
    order = sorted(drawn, key=lambda name: (name != _OTHER, -len(drawn[name]), name))
    return {
        "title": name_method(method, item.get("focus")),
        "about": about,
        "label": f"Map of {plural(len(points), 'vector')} of {method}, coloured by kind",
        "dots": [(name, "".join(drawn[name])) for name in order],
    }


def _placed(values: Sequence[float]) -> list[float]:
    """Return places from 0 to `_SIDE`; the few far out stand at the edge."""
    ordered = sorted(values)
    cut = int(_TRIM * len(ordered))
    low, high = (ordered[cut], ordered[-1 - cut]) if ordered else (0.0, 1.0)
    reach = (high - low) or 1.0
    return [_SIDE * min(max((value - low) / reach, 0), 1) for value in values]
