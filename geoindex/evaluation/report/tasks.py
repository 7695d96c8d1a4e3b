"""How did each row do, over all tasks and in each? Ranks, a table at a glance, one card a task.

A card has the masked labels first: what a row knows when the answer is not in its input. The row
``constant`` is no band of a chart but its zero line.

Which row beats which, on the page? Wins, ties and losses, and the row on trial task by task.
"""

import math
from collections.abc import Sequence
from typing import Any

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.paired_comparison import LOSES, WINS
from geoindex.evaluation.report.content import (
    METRIC_NAMES,
    SPLIT_NAMES,
    UNIT_NAMES,
    Content,
    is_better,
    is_clear,
    label,
    metric_of,
    name_row,
    unique,
)
from geoindex.evaluation.report.markdown import (
    Line,
    candidate_of,
    tally_lines,
    trial_lines,
    with_head,
)
from geoindex.evaluation.results import Rank, Record
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.charts import CHOSEN_SHAPE, Band, Mark, Scale, chart, scale_of
from geoindex.report.html import (
    Html,
    element,
    folded,
    interval,
    is_number,
    joined,
    name_of,
    number,
    plural,
    table,
)

# a table of more rows takes the whole width
_MOST_NARROW = 5
MASKINGS = {True: "Labels masked", False: "Labels visible"}


def rank_chart(content: Content, split: str, unit: str) -> Html | None:
    """Return the mean ranks of rows under each head; None where nothing was ranked."""
    ranks = [r for r in content.ranks if (r.split, r.unit) == (split, unit)]
    if not ranks:
        return None
    by_row: dict[tuple[str, str | None], dict[str, Rank]] = {}
    for rank in ranks:
        by_row.setdefault((rank.row, rank.focus), {})[rank.head] = rank
    order = sorted(by_row, key=lambda key: _front(by_row[key]))
    heads = [CHOSEN, *content.heads]
    bands = [
        Band(
            name_row(*key),
            content.colour(key[0]),
            number(by_row[key][CHOSEN].mean_rank, 2) if CHOSEN in by_row[key] else "",
            [_rank_mark(content, by_row[key][head]) for head in heads if head in by_row[key]],
        )
        for key in order
    ]
    title = f"Mean rank of each row on tasks of {UNIT_NAMES.get(unit, unit)}, 1 is best"
    rows = [
        [name_row(*key), *(_mean_rank(by_row[key].get(head)) for head in heads)] for key in order
    ]
    num_tasks = max(rank.num_tasks for rank in ranks)
    maskings = {record.masked for record in content.of(split, unit)}
    apart = ", masked and visible labels counted apart" if len(maskings) > 1 else ""
    return element(
        "figure",
        element(
            "figcaption",
            element("b", f"On {UNIT_NAMES.get(unit, unit)}"),
            f" over {plural(num_tasks, 'task')}{apart}",
        ),
        chart(bands, Scale(0.8, max(len(order), 2) + 0.2), title=title),
        folded("Table", table(["row", "chosen heads", *content.heads], rows, caption=title)),
        class_="card",
    )


def glance(content: Content, split: str, unit: str) -> list[Html]:
    """Return tables of each row's chosen heads in every task: masked labels, then visible."""
    chosen = [record for record in content.chosen if (record.split, record.unit) == (split, unit)]
    found = []
    for masked, words in MASKINGS.items():
        records = [record for record in chosen if record.masked == masked]
        if records:
            title = f"{UNIT_NAMES.get(unit, unit).capitalize()}, {words.lower()}"
            shown = _glance(content, records, f"{title}: main scores under the chosen heads")
            caption = element("figcaption", element("b", title))
            is_wide = len(content.labels(records)) > _MOST_NARROW
            kind = "card glance span" if is_wide else "card glance"
            found.append(element("figure", caption, shown, class_=kind))
    return found


def cards(content: Content, split: str, unit: str) -> list[Html]:
    """Return one card a task."""
    records = content.of(split, unit)
    tasks = unique(record.task for record in records)
    return [_card(content, [r for r in records if r.task == task]) for task in tasks]


def _glance(content: Content, records: Sequence[Record], caption: str) -> Html:
    # the zero line stands last, where it is not in the way
    labels = sorted(content.labels(records), key=lambda key: key[0] == CONSTANT)
    rows = []
    for task in unique(record.task for record in records):
        race = {(r.row, r.focus): r for r in records if r.task == task}
        first = next(iter(race.values()))
        front = _best_of(list(race.values()))
        name = element("a", name_of(first.title), href=f"#{_anchor(first.split, task)}")
        metric = element("small", METRIC_NAMES.get(first.metric, first.metric))
        cells = (_glance_cell(race.get(key), front) for key in labels)
        rows.append([joined(name, " ", metric), *cells])
    return table(["task", *(name_row(*key) for key in labels)], rows, caption=caption)


def _card(content: Content, records: Sequence[Record]) -> Html:
    first = records[0]
    main = [record for record in records if record.is_main] or list(records)
    zeros = [record.value for record in main if record.row == CONSTANT]
    scale = _scale(main, zeros)
    panels = [
        _panel(content, [record for record in main if record.masked == masked], scale)
        for masked in MASKINGS
        if any(record.masked == masked for record in main)
    ]
    tables = [
        _numbers(content, [record for record in records if record.masked == masked])
        for masked in MASKINGS
        if any(record.masked == masked for record in records)
    ]
    return element(
        "article",
        element("h3", name_of(first.title)),
        element("p", metric_of(main), *_about(content.tasks.get(first.task) or {}), class_="about"),
        element("div", *panels, class_="panels"),
        folded("All numbers", *tables),
        class_="card",
        id=_anchor(first.split, first.task),
    )


def _panel(content: Content, records: Sequence[Record], scale: Scale) -> Html:
    """Return the chart of one masking."""
    zero = next((record for record in records if record.row == CONSTANT), None)
    bands = []
    for key in content.labels(record for record in records if record.row != CONSTANT):
        own = [record for record in records if (record.row, record.focus) == key]
        own.sort(key=lambda record: _place(content.heads, record.head))
        marks = [_mark(content, record) for record in own]
        shown = number(_shown(own).value)
        bands.append(Band(name_row(*key), content.colour(key[0]), shown, marks))
    words = MASKINGS[records[0].masked]
    size = plural(records[0].n, *_UNITS.get(records[0].unit, ("unit", "units")))
    line = (zero.value, f"constant {number(zero.value)}") if zero is not None else None
    title = f"{records[0].title}, {words.lower()}: {metric_of(records)}, with 95 % intervals"
    return element(
        "figure",
        element("figcaption", element("b", words), f" {size}. {_verdict(records)}"),
        chart(bands, scale, title=title, line=line),
    )


def _verdict(records: Sequence[Record]) -> str:
    """Say who is in front, and whether the next row's interval lets that stand."""
    chosen = [record for record in records if record.head == CHOSEN]
    if len(chosen) < 2:
        return ""
    front = _best_of(chosen)
    if math.isnan(front.value):
        return ""
    others = [record for record in chosen if record is not front]
    near = [record for record in others if not is_clear(front, record)]
    if not near:
        return f"{label(front)} leads, clear of all."
    second = _best_of(near)
    more = f" and {len(near) - 1} more" if len(near) > 1 else ""
    return f"{label(front)} leads, not clear of {label(second)}{more}."


def _numbers(content: Content, records: Sequence[Record]) -> Html:
    """Return every score of a task and masking."""
    metrics = unique(record.metric for record in records)
    found = {(r.row, r.focus, r.head, r.metric): r for r in records}
    rows = []
    for key in content.labels(records):
        for head in sorted(
            {r.head for r in records if (r.row, r.focus) == key},
            key=lambda head: _place(content.heads, head),
        ):
            scores = (_score(found.get((*key, head, metric))) for metric in metrics)
            rows.append([name_row(*key), head, *scores])
    words = MASKINGS[records[0].masked]
    head_row = ["row", "head", *(METRIC_NAMES.get(metric, metric) for metric in metrics)]
    caption = f"{records[0].title}, {words.lower()}"
    return joined(element("h4", words), table(head_row, rows, caption=caption, num_text=2))


def _score(record: Record | None) -> Html:
    if record is None:
        return element("span", "")
    reach = interval(record.low, record.high)
    return joined(number(record.value), element("small", reach) if reach else None)


def _mark(content: Content, record: Record) -> Mark:
    head = "chosen heads" if record.head == CHOSEN else record.head
    told = f"{label(record)}, {head}: {number(record.value)}"
    reach = interval(record.low, record.high)
    if reach:
        told += f" (95 %: {reach})"
    if len(record.per_seed) > 1:
        told += f"; seeds {', '.join(number(value) for value in record.per_seed)}"
    if record.picked:
        chose = (f"{head} in {plural(num, 'fold')}" for head, num in record.picked.items())
        told += f"; {', '.join(chose)}"
    is_chosen = record.head == CHOSEN
    shape = CHOSEN_SHAPE if is_chosen else _place(content.heads, record.head)
    return Mark(shape, record.value, told, record.low, record.high, record.head)


def _rank_mark(content: Content, rank: Rank) -> Mark:
    shape = CHOSEN_SHAPE if rank.head == CHOSEN else _place(content.heads, rank.head)
    value = rank.mean_rank if is_number(rank.mean_rank) else math.nan
    head = "chosen heads" if rank.head == CHOSEN else rank.head
    return Mark(shape, value, f"{label(rank)}, {head}: mean rank {number(value, 2)}")


def _mean_rank(rank: Rank | None) -> str:
    return number(rank.mean_rank if rank else None, 2)


def _front(ranks: dict[str, Rank]) -> tuple[float, str]:
    """Return what rows are sorted by: the rank of the chosen heads, or the best rank there is."""
    known = [rank.mean_rank for rank in ranks.values() if is_number(rank.mean_rank)]
    front = ranks[CHOSEN].mean_rank if CHOSEN in ranks else None
    value = front if front is not None and is_number(front) else min(known, default=math.inf)
    return value, label(next(iter(ranks.values())))


def _glance_cell(record: Record | None, front: Record) -> Html:
    if record is None:
        return element("span", "")
    kind, told = None, None
    if record is front and not math.isnan(front.value):
        kind, told = "first", "the best of this task"
    elif record.row != CONSTANT and not is_clear(front, record) and not math.isnan(record.value):
        kind, told = "near", "its 95 % interval meets that of the best"
    return element("span", number(record.value), class_=kind, title=told)


def _best_of(records: Sequence[Record]) -> Record:
    front = records[0]
    for record in records[1:]:
        front = record if is_better(record, front) else front
    return front


def _shown(records: Sequence[Record]) -> Record:
    """Return the record of the chosen heads; where there is none, the first."""
    return next((record for record in records if record.head == CHOSEN), records[0])


def _scale(records: Sequence[Record], zeros: Sequence[float]) -> Scale:
    known = [zero for zero in zeros if math.isfinite(zero)]
    zero = sum(known) / len(known) if known else None
    ends = [end for r in records if r.row != CONSTANT for end in (r.low, r.value, r.high)]
    return scale_of(ends, zero=zero, better=1 if records[0].higher_is_better else -1)


def _about(task: dict[str, Any]) -> list[str]:
    """Return what is known of a task's labels."""
    base = task.get("base")
    if not is_number(base):
        return []
    if task.get("kind") == "classification":
        num = len(task.get("classes") or ())
        classes = f"{plural(num, 'class', 'classes')}, " if num else ""
        return [f" · {classes}the commonest {100 * float(base or 0):.0f}\N{NO-BREAK SPACE}%"]
    return [f" · mean label {number(base, 2)}"]


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _anchor(split: str, task: str) -> str:
    return f"task-{split}-{task}".replace(" ", "-")


_UNITS = {"cell": ("cell", "cells"), "entity": ("entity", "entities")}


# as in the tables of scores: what leads is painted
_PAINT = {WINS: "first", LOSES: "near"}


def compare_methods(content: Content) -> Html | None:
    """Return all rows against all in each split, and behind a fold the row on trial."""
    figures = [
        figure
        for split in content.splits
        for unit in UNIT_NAMES
        if (figure := _figure(content, split, unit)) is not None
    ]
    return element("div", *figures, class_="grid") if figures else None


def _figure(content: Content, split: str, unit: str) -> Html | None:
    items = with_head(content.items("comparisons"), CHOSEN)
    tally = tally_lines(items, split, unit)
    if len(tally) < 2:
        return None
    name = UNIT_NAMES[unit].capitalize()
    if len(content.splits) > 1:
        name += f", {SPLIT_NAMES.get(split, split)}"
    trial = candidate_of(content.meta)
    lines = trial_lines(items, trial, split, unit)
    told = "won / tied / lost by the row at the left"
    return element(
        "figure",
        element("figcaption", element("b", name), f" {told}"),
        _table([["", *tally[0][1:]], *tally[1:]], f"{name}: {told}"),
        folded(f"{trial} in each task", _table(lines, f"{trial} in each task"))
        if len(lines) > 1
        else None,
        class_="card glance span" if len(tally) > _MOST_NARROW else "card glance",
    )


# a table of more rows takes the whole width


def _table(lines: list[Line], caption: str) -> Html:
    head, *rest = lines
    rows = [[name_of(line[0]), *map(_cell, line[1:])] for line in rest]
    return table(head, rows, caption=caption)


def _cell(text: str) -> Html:
    plain = text.replace("*", "")
    verdict, _, numbers = plain.partition(" ")
    if verdict in _PAINT:
        return joined(element("span", verdict, class_=_PAINT[verdict]), f" {numbers}")
    return joined(plain)
