"""What are the vectors like when no label is asked? Retrieval, collapse, and maps of them.

Every score is a chart of its own: they share no scale.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from geoindex.evaluation.report.content import Content, name_row, unique
from geoindex.report.charts import Band, Mark, chart, scale_of
from geoindex.report.html import (
    Html,
    element,
    folded,
    is_number,
    joined,
    name_of,
    number,
    plural,
    table,
)

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


def retrieval(content: Content) -> Html | None:
    """Return a chart of each retrieval score; None where there is none."""
    found = content.items("retrieval")
    if not found:
        return None
    charts = []
    for score in unique(item["score"] for item in found):
        items = [item for item in found if item["score"] == score]
        direction = "higher is better" if items[0].get("higher_is_better") else "lower is better"
        chance = next((item["chance"] for item in items if is_number(item.get("chance"))), None)
        line = None if chance is None else (float(chance), f"chance {number(chance)}")
        charts.append(_bars(content, items, SCORE_TITLES.get(score, score), direction, line))
    rows = [
        [
            name_row(item["row"], item.get("focus")),
            item["score"],
            number(item.get("value")),
            number(item.get("chance")),
            number(item.get("n"), 0),
        ]
        for item in found
    ]
    head = ["row", "score", "value", "chance", "n"]
    numbers = table(head, rows, caption="Retrieval scores", num_text=2)
    return joined(element("div", *charts, class_="grid small"), folded("Table", numbers))


def collapse(content: Content) -> Html | None:
    """Return a chart of each number that tells of collapse; None where there is none."""
    found = content.items("collapse")
    if not found:
        return None
    charts = []
    for name, of in unique((item["number"], item["table"]) for item in found):
        items = [item for item in found if (item["number"], item["table"]) == (name, of)]
        title, direction = NUMBER_TITLES.get(name, (name, ""))
        charts.append(_bars(content, items, f"{title}, {of}", direction, None))
    rows = [
        [
            name_row(item["row"], item.get("focus")),
            f"{item['number']}, {item['table']}",
            number(item.get("value")),
            number(item.get("dim"), 0),
            number(item.get("n"), 0),
        ]
        for item in found
    ]
    head = ["row", "number", "value", "dimensions", "n"]
    numbers = table(head, rows, caption="Collapse numbers", num_text=2)
    return joined(element("div", *charts, class_="grid small"), folded("Table", numbers))


def maps(content: Content) -> Html | None:
    """Return the first two principal axes of each row's vectors; None where there are none."""
    found = {row: item for row, item in (content.raw.get("maps") or {}).items() if item["points"]}
    if not found:
        return None
    sizes = Counter(kind for item in found.values() for _, _, kind in item["points"] if kind)
    common = sorted(sizes, key=lambda kind: (-sizes[kind], kind))[:NUM_KINDS]
    classes = {kind: f"k{i}" for i, kind in enumerate(common)}
    chips = [_chip("kinds", "", "all", is_first=True)]
    chips += [_chip("kinds", name, kind, dot=name) for kind, name in classes.items()]
    chips.append(_chip("kinds", _OTHER, "others", dot=_OTHER))
    order = [row for row in content.rows if row in found]
    order += [row for row in found if row not in order]
    return element(
        "div",
        element("fieldset", element("legend", "Show"), *chips, class_="picker"),
        element("div", *(_scatter(row, found[row], classes) for row in order), class_="grid small"),
        class_="picked",
    )


def _bars(
    content: Content,
    items: Sequence[dict[str, Any]],
    title: str,
    direction: str,
    line: tuple[float, str] | None,
) -> Html:
    bands, values = [], [0.0]
    for item in items:
        value = float(item["value"]) if is_number(item.get("value")) else math.nan
        name, dim = name_row(item["row"], item.get("focus")), item.get("dim")
        told = f"{name}: {number(value)}" + (f" of {plural(dim, 'dimension')}" if dim else "")
        colour = content.colour(item["row"])
        bands.append(Band(name, colour, number(value), [Mark(0, value, told)]))
        values.append(value)
    scale = scale_of([*values, *([line[0]] if line else [])], room=0)
    return element(
        "figure",
        element("figcaption", element("b", title), f" {direction}" if direction else None),
        chart(bands, scale, title=title, line=line, bars_from=0),
        class_="card",
    )


def _scatter(row: str, item: dict[str, Any], classes: dict[str, str]) -> Html:
    points = item["points"]
    step = -(-len(points) // _MOST_POINTS)
    points = [point for point in points[::step] if is_number(point[0]) and is_number(point[1])]
    xs, ys = (_placed([point[axis] for point in points]) for axis in (0, 1))
    drawn: dict[str, list[str]] = {}
    for x, y, (_, _, kind) in zip(xs, ys, points, strict=True):
        # a line of no length with round ends is a dot: the shortest way to write thousands
        drawn.setdefault(classes.get(kind, _OTHER), []).append(f"M{x:.1f} {_SIDE - y:.1f}h0")
    # the rare kinds lie on top, or they would not be seen
    order = sorted(drawn, key=lambda name: (name != _OTHER, -len(drawn[name]), name))
    dots = (
        element("path", d="".join(drawn[name]), class_=f"dots {name}", data_in=name)
        for name in order
    )
    told = f"Map of {plural(len(points), 'vector')} of {row}, coloured by kind"
    figure = element(
        "svg", *dots, role="img", aria_label=told, viewBox=f"-6 -6 {_SIDE + 12} {_SIDE + 12}"
    )
    name = name_row(row, item.get("focus"))
    caption = element("figcaption", element("b", name), f" {_explained(item)}")
    return element("figure", caption, figure, class_="card scatter")


def _explained(item: dict[str, Any]) -> str:
    shares = [share for share in item.get("explained") or () if is_number(share)]
    if not shares:
        return f"{len(item['points']):,} {item.get('table') or 'vectors'}"
    return (
        f"{len(item['points']):,} {item.get('table') or 'vectors'}; the axes hold "
        + " and ".join(f"{100 * share:.0f}\N{NO-BREAK SPACE}%" for share in shares)
    )


def _placed(values: Sequence[float]) -> list[float]:
    """Return places from 0 to `_SIDE`; the few far out stand at the edge."""
    ordered = sorted(values)
    cut = int(_TRIM * len(ordered))
    low, high = (ordered[cut], ordered[-1 - cut]) if ordered else (0.0, 1.0)
    reach = (high - low) or 1.0
    return [_SIDE * min(max((value - low) / reach, 0), 1) for value in values]


def _chip(
    name: str, value: str, text: str, *, dot: str | None = None, is_first: bool = False
) -> Html:
    return element(
        "label",
        element("input", type="radio", name=name, value=value, data_pick=value, checked=is_first),
        element("i", class_=f"dot {dot}") if dot else None,
        name_of(text),
    )
