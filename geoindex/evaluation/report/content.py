"""The results of an evaluation as the report needs them: records, methods, tasks, in page order.

JSON has null for what is not finite; here it is NaN again. A method keeps one colour on the whole
page, by its place among the methods that are not ``constant``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.results import Rank, Record, chosen_heads, label_of
from geoindex.evaluation.score_heads import CHOSEN

#: How many colours the style sheet has for methods.
NUM_COLOURS = 8
METRIC_NAMES = {
    "r2": "R²",
    "mae": "mean absolute error",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "auroc": "AUROC",
}
SPLIT_NAMES = {"spatial": "spatial blocks", "places": "places held out", "random": "random split"}
UNIT_NAMES = {"cell": "cells", "entity": "entities"}
#: What notes on skipped tasks contain.
SKIPPED = ": left out: "
_NUMBERS = ("value", "low", "high")


@dataclass(frozen=True)
class Content:
    """The JSON content of an evaluation.

    Attributes
    ----------
    raw
        See `geoindex.evaluation.results`; parts may be missing.
    """

    raw: dict[str, Any]

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What was run, and on what."""
        return dict(self.raw.get("meta") or {})

    def items(self, name: str) -> list[Any]:
        """Return one of the lists of the results; empty if it is not there."""
        return list(self.raw.get(name) or ())

    @cached_property
    def records(self) -> list[Record]:
        """All scores."""
        return [_record(item) for item in self.items("records")]

    @cached_property
    def chosen(self) -> list[Record]:
        """Main scores of methods with the heads chosen on validation rows."""
        return chosen_heads(self.records)

    @cached_property
    def ranks(self) -> list[Rank]:
        """Mean ranks, the best first."""
        found = [Rank(**item) for item in self.items("ranks")]
        return sorted(
            found, key=lambda rank: (_nan_last(rank.mean_rank), rank.row, str(rank.focus))
        )

    @cached_property
    def splits(self) -> list[str]:
        """Splits, those that can be trusted first."""
        found = unique(record.split for record in self.records)
        return sorted(found, key=lambda split: split == "random") or [self.split["name"]]

    @cached_property
    def split(self) -> dict[str, Any]:
        """Settings of the split; its name at least."""
        return {"name": "spatial", **(self.meta.get("split") or {})}

    @cached_property
    def heads(self) -> list[str]:
        """Names of the heads."""
        seen = unique(record.head for record in self.records if record.head != CHOSEN)
        return list(self.meta.get("heads") or seen)

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the command."""
        named = [row["name"] for row in self.meta.get("rows") or ()]
        seen = (
            item["row"] for name in ("records", "ranks", "retrieval") for item in self.items(name)
        )
        return unique([*named, *seen])

    @cached_property
    def titles(self) -> dict[str, str]:
        """A line for people on each method that has one."""
        return {row["name"]: row.get("title") or "" for row in self.meta.get("rows") or ()}

    @cached_property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The settings of each task, by name."""
        return {task["name"]: task for task in self.meta.get("tasks") or ()}

    @cached_property
    def skipped(self) -> list[str]:
        """Notes on tasks that were skipped."""
        return [str(note) for note in self.items("notes") if SKIPPED in str(note)]

    def colour(self, method: str) -> str:
        """Return the class that paints a method."""
        if method == CONSTANT:
            return "r-none"
        others = [name for name in self.methods if name != CONSTANT]
        return f"r{others.index(method) % NUM_COLOURS}" if method in others else "r-none"

    def unit_title(self, split: str, unit: str) -> str:
        """Return the name of a unit, with the split where there are several."""
        name = UNIT_NAMES.get(unit, unit)
        several = len(self.splits) > 1
        return f"{name} ({SPLIT_NAMES.get(split, split)})" if several else name

    def labels(self, records: Iterable[Record]) -> list[tuple[str, str | None]]:
        """Return methods with their focuses, in the order of the methods."""
        found = unique((record.row, record.focus) for record in records)
        return sorted(found, key=lambda key: (self.methods.index(key[0]), key[1] or ""))

    def of(self, split: str, unit: str) -> list[Record]:
        """Return the records of a split and unit."""
        return [r for r in self.records if (r.split, r.unit) == (split, unit)]


def unique(items: Iterable[Any]) -> list[Any]:
    """Return each item once, in order."""
    return list(dict.fromkeys(items))


def is_better(left: Record, right: Record) -> bool:
    """Say whether the left score is better; one that is not known never is."""
    if math.isnan(left.value) or math.isnan(right.value):
        return not math.isnan(left.value)
    return left.value > right.value if left.higher_is_better else left.value < right.value


def is_clear(left: Record, right: Record) -> bool:
    """Say whether the left score is better and the intervals do not overlap."""
    if left.higher_is_better:
        return left.low > right.high
    return left.high < right.low


def metric_of(records: Iterable[Record]) -> str:
    """Return the name of a metric and its direction."""
    first = next(iter(records))
    name = METRIC_NAMES.get(first.metric, first.metric)
    return f"{name}, {'higher' if first.higher_is_better else 'lower'} is better"


def name_method(method: str, focus: str | None) -> str:
    """Return a method's name in tables: ``tagpool own``; ``constant`` is shown without focus."""
    return label_of(method, None if method == CONSTANT else focus)


def label(item: Record | Rank) -> str:
    """Return a method's name in tables."""
    return name_method(item.row, item.focus)


def best_of(records: Sequence[Record]) -> Record:
    """Return the first of the best records."""
    front = records[0]
    for record in records[1:]:
        front = record if is_better(record, front) else front
    return front


def _record(item: dict[str, Any]) -> Record:
    known = {field.name for field in fields(Record)}
    values = {name: value for name, value in item.items() if name in known}
    for name in _NUMBERS:
        values[name] = math.nan if values[name] is None else values[name]
    return Record(**values)


def _nan_last(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value
