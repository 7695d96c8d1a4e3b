"""Charts and tables of the report about tasks: ranks, overview, comparisons, one card a task.

A card has the masked labels first: they show what a method knows when the label is not among its
inputs. The method ``constant`` is no band of a chart but its zero line.
"""

import math
from collections.abc import Sequence
from typing import Any

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.paired_comparison import LOSES, WINS
from geoindex.evaluation.report.content import (
    METRIC_NAMES,
    UNIT_NAMES,
    Content,
    best_of,
    is_clear,
    label,
    metric_of,
    name_method,
    unique,
)
from geoindex.evaluation.report.markdown import candidate_of, tally_lines, trial_lines, with_head
from geoindex.evaluation.results import Rank, Record
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.charts import CHOSEN_SHAPE, Band, Chart, Mark, Scale, scale_of, shape
from geoindex.report.page import interval, is_number, number, plural
from geoindex.report.tables import Cell, Table

# a table of more methods takes the whole width
_MOST_NARROW = 3
MASKINGS = {True: "Labels masked", False: "Labels visible"}
# as in the tables of scores: the winner is painted
_PAINT = {WINS: "first", LOSES: "near"}
_UNITS = {"cell": ("cell", "cells"), "entity": ("entity", "entities")}


def ranks(content: Content, split: str, unit: str) -> dict[str, Any] | None:
    """Return chart and table of mean ranks with each head; None where nothing was ranked."""
    found = [r for r in content.ranks if (r.split, r.unit) == (split, unit)]
    if not found:
        return None
    by_method: dict[tuple[str, str | None], dict[str, Rank]] = {}
    for rank in found:
        by_method.setdefault((rank.row, rank.focus), {})[rank.head] = rank
    order = sorted(by_method, key=lambda key: _front(by_method[key]))
    heads = [CHOSEN, *content.heads]
    bands = [
        Band(
            name_method(*key),
            content.colour(key[0]),
            number(by_method[key][CHOSEN].mean_rank, 2) if CHOSEN in by_method[key] else "",
            [_rank_mark(content, by_method[key][head]) for head in heads if head in by_method[key]],
        )
        for key in order
    ]
    title = f"Mean rank of each method on tasks of {UNIT_NAMES.get(unit, unit)}, 1 is best"
    rows = [
        [name_method(*key), *(_mean_rank(by_method[key].get(head)) for head in heads)]
        for key in order
    ]
    about = f"over {plural(max(rank.num_tasks for rank in found), 'task')}"
    if len({record.masked for record in content.of(split, unit)}) > 1:
        about += ", masked and visible labels counted separately"
    return {
        "title": f"On {UNIT_NAMES.get(unit, unit)}",
        "about": about,
        "chart": Chart(title, Scale(0.8, max(len(order), 2) + 0.2), bands),
        "table": Table(title, ["method", "chosen heads", *content.heads], rows),
    }


def overviews(content: Content, split: str, unit: str) -> list[dict[str, Any]]:
    """Return tables of main scores with the chosen heads: masked labels, then visible."""
    chosen = [record for record in content.chosen if (record.split, record.unit) == (split, unit)]
    found = []
    for masked, words in MASKINGS.items():
        records = [record for record in chosen if record.masked == masked]
        if not records:
            continue
        title = f"{UNIT_NAMES.get(unit, unit).capitalize()}, {words.lower()}"
        # the zero line stands last, where it is not in the way
        keys = sorted(content.labels(records), key=lambda key: key[0] == CONSTANT)
        rows = []
        for task in unique(record.task for record in records):
            by_method = {(r.row, r.focus): r for r in records if r.task == task}
            first = next(iter(by_method.values()))
            front = best_of(list(by_method.values()))
            metric = METRIC_NAMES.get(first.metric, first.metric)
            href = f"#{_anchor(first.split, task)}"
            cells = (_overview_cell(by_method.get(key), front) for key in keys)
            rows.append([Cell(first.title, metric, href=href), *cells])
        head = ["task", *(name_method(*key) for key in keys)]
        table = Table(f"{title}: main scores with the chosen heads", head, rows)
        found.append({"title": title, "table": table, "is_wide": len(keys) > _MOST_NARROW})
    return found


def comparisons(content: Content) -> list[dict[str, Any]]:
    """Return tables of all methods against all, and of the last method task by task."""
    found = []
    items = with_head(content.items("comparisons"), CHOSEN)
    candidate = candidate_of(content.meta)
    for split in content.splits:
        for unit in UNIT_NAMES:
            tally = tally_lines(items, split, unit)
            if len(tally) < 2:
                continue
            title = content.unit_title(split, unit).capitalize()
            by_task = trial_lines(items, candidate, split, unit)
            found.append(
                {
                    "title": title,
                    "table": Table(title, ["", *tally[0][1:]], tally[1:]),
                    "candidate": candidate,
                    "by_task": Table(
                        f"{candidate} in each task",
                        by_task[0],
                        [[line[0], *map(_verdict_cell, line[1:])] for line in by_task[1:]],
                    )
                    if by_task[1:]
                    else None,
                    "is_wide": len(tally) - 1 > _MOST_NARROW,
                }
            )
    return found


def cards(content: Content, split: str, unit: str) -> list[dict[str, Any]]:
    """Return one card a task."""
    records = content.of(split, unit)
    tasks = unique(record.task for record in records)
    return [_card(content, [r for r in records if r.task == task]) for task in tasks]


def _card(content: Content, records: Sequence[Record]) -> dict[str, Any]:
    first = records[0]
    main = [record for record in records if record.is_main] or list(records)
    known = [r.value for r in main if r.row == CONSTANT and math.isfinite(r.value)]
    ends = [end for r in main if r.row != CONSTANT for end in (r.low, r.value, r.high)]
    scale = scale_of(
        ends,
        zero=sum(known) / len(known) if known else None,
        better=1 if main[0].higher_is_better else -1,
    )
    maskings = [masked for masked in MASKINGS if any(r.masked == masked for r in records)]
    panels = ([r for r in main if r.masked == masked] for masked in maskings)
    return {
        "id": _anchor(first.split, first.task),
        "title": first.title,
        "about": metric_of(main) + _labels_text(content.tasks.get(first.task) or {}),
        "panels": [_panel(content, part, scale) for part in panels if part],
        "tables": [_numbers(content, [r for r in records if r.masked == m]) for m in maskings],
    }


def _panel(content: Content, records: Sequence[Record], scale: Scale) -> dict[str, Any]:
    """Return the chart of one masking."""
    zero = next((record.value for record in records if record.row == CONSTANT), math.nan)
    bands = []
    for key in content.labels(record for record in records if record.row != CONSTANT):
        own = [record for record in records if (record.row, record.focus) == key]
        own.sort(key=lambda record: _place(content.heads, record.head))
        shown = next((record for record in own if record.head == CHOSEN), own[0])
        marks = [_mark(content, record) for record in own]
        bands.append(Band(name_method(*key), content.colour(key[0]), number(shown.value), marks))
    words = MASKINGS[records[0].masked]
    size = plural(records[0].n, *_UNITS.get(records[0].unit, ("unit", "units")))
    title = f"{records[0].title}, {words.lower()}: {metric_of(records)}, with 95 % intervals"
    return {
        "title": words,
        "about": f"{size}. {_verdict(records)}",
        "chart": Chart(title, scale, bands, zero, f"constant {number(zero)}"),
    }


def _verdict(records: Sequence[Record]) -> str:
    """Say who is in front, and whether the intervals of others overlap with its own."""
    chosen = [record for record in records if record.head == CHOSEN]
    if len(chosen) < 2:
        return ""
    front = best_of(chosen)
    if math.isnan(front.value):
        return ""
    near = [r for r in chosen if r is not front and not is_clear(front, r)]
    if not near:
        return f"{label(front)} leads clearly."
    more = f" and {len(near) - 1} more" if len(near) > 1 else ""
    return f"{label(front)} leads, but overlaps with {label(best_of(near))}{more}."


def _numbers(content: Content, records: Sequence[Record]) -> Table:
    """Return every score of a task and masking."""
    metrics = unique(record.metric for record in records)
    found = {(r.row, r.focus, r.head, r.metric): r for r in records}
    rows = []
    for key in content.labels(records):
        heads = {r.head for r in records if (r.row, r.focus) == key}
        for head in sorted(heads, key=lambda head: _place(content.heads, head)):
            scores = (_score(found.get((*key, head, metric))) for metric in metrics)
            rows.append([name_method(*key), head, *scores])
    words = MASKINGS[records[0].masked]
    names = ["method", "head", *(METRIC_NAMES.get(metric, metric) for metric in metrics)]
    return Table(f"{records[0].title}, {words.lower()}", names, rows, 2)


def _score(record: Record | None) -> str | Cell:
    if record is None:
        return ""
    return Cell(number(record.value), interval(record.low, record.high))


def _mark(content: Content, record: Record) -> Mark:
    head = "chosen heads" if record.head == CHOSEN else record.head
    text = f"{label(record)}, {head}: {number(record.value)}"
    reach = interval(record.low, record.high)
    if reach:
        text += f" (95 %: {reach})"
    if len(record.per_seed) > 1:
        text += f"; seeds {', '.join(number(value) for value in record.per_seed)}"
    if record.picked:
        picked = (f"{head} in {plural(num, 'fold')}" for head, num in record.picked.items())
        text += f"; {', '.join(picked)}"
    mark = _shape(content, record.head)
    return Mark(mark, record.value, text, record.low, record.high, record.head)


def _rank_mark(content: Content, rank: Rank) -> Mark:
    value = rank.mean_rank if is_number(rank.mean_rank) else math.nan
    head = "chosen heads" if rank.head == CHOSEN else rank.head
    text = f"{label(rank)}, {head}: mean rank {number(value, 2)}"
    return Mark(_shape(content, rank.head), value, text)


def _shape(content: Content, head: str) -> str:
    return shape(CHOSEN_SHAPE if head == CHOSEN else _place(content.heads, head))


def _mean_rank(rank: Rank | None) -> str:
    return number(rank.mean_rank if rank else None, 2)


def _front(by_head: dict[str, Rank]) -> tuple[float, str]:
    """Return the sort key of a method: its rank with the chosen heads, else its best."""
    known = [rank.mean_rank for rank in by_head.values() if is_number(rank.mean_rank)]
    front = by_head[CHOSEN].mean_rank if CHOSEN in by_head else None
    value = front if front is not None and is_number(front) else min(known, default=math.inf)
    return value, label(next(iter(by_head.values())))


def _overview_cell(record: Record | None, front: Record) -> str | Cell:
    if record is None:
        return ""
    text = number(record.value)
    if record is front and not math.isnan(front.value):
        return Cell(text, kind="first", title="the best of this task")
    if record.row != CONSTANT and not is_clear(front, record) and not math.isnan(record.value):
        return Cell(text, kind="near", title="its 95 % interval overlaps with that of the best")
    return text


def _verdict_cell(text: str) -> str | Cell:
    plain = text.replace("*", "")
    verdict, _, numbers = plain.partition(" ")
    return Cell(verdict, numbers, kind=_PAINT[verdict]) if verdict in _PAINT else plain


def _labels_text(task: dict[str, Any]) -> str:
    """Return a text on a task's labels, "" where nothing is known."""
    base = task.get("base")
    if not is_number(base):
        return ""
    if task.get("kind") == "classification":
        num = len(task.get("classes") or ())
        classes = f"{plural(num, 'class', 'classes')}, " if num else ""
        return f" · {classes}the commonest {100 * float(base or 0):.0f}\N{NO-BREAK SPACE}%"
    return f" · mean label {number(base, 2)}"


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _anchor(split: str, task: str) -> str:
    return f"task-{split}-{task}".replace(" ", "-")
