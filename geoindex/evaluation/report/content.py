"""What is in the results, as the report wants it? Records, rows, tasks, in the order of the page.

JSON has null for what is not finite; here it is NaN again. Rows keep one colour on the whole page:
their place among the rows that are not ``constant``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.results import Rank, Record, chosen_heads, label_of
from geoindex.evaluation.score_heads import CHOSEN

#: How many colours the style sheet has for rows.
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
        """What was run."""
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
        """Main scores of rows under the heads that validation rows chose."""
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
    def rows(self) -> list[str]:
        """Names of the rows, as they were asked for."""
        named = [row["name"] for row in self.meta.get("rows") or ()]
        seen = (
            item["row"] for name in ("records", "ranks", "retrieval") for item in self.items(name)
        )
        return unique([*named, *seen])

    @cached_property
    def titles(self) -> dict[str, str]:
        """A line for people on each row that has one."""
        return {row["name"]: row.get("title") or "" for row in self.meta.get("rows") or ()}

    @cached_property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """What is known of each task, by name."""
        return {task["name"]: task for task in self.meta.get("tasks") or ()}

    def colour(self, row: str) -> str:
        """Return the class that paints a row."""
        if row == CONSTANT:
            return "r-none"
        others = [name for name in self.rows if name != CONSTANT]
        return f"r{others.index(row) % NUM_COLOURS}" if row in others else "r-none"

    def labels(self, records: Iterable[Record]) -> list[tuple[str, str | None]]:
        """Return rows with their focuses, in the order of the rows."""
        found = unique((record.row, record.focus) for record in records)
        return sorted(found, key=lambda key: (self.rows.index(key[0]), key[1] or ""))

    def of(self, split: str, unit: str) -> list[Record]:
        """Return the records of a split and unit."""
        return [r for r in self.records if (r.split, r.unit) == (split, unit)]


def unique(items: Iterable[Any]) -> list[Any]:
    """Return each item once, in the order of first sight."""
    return list(dict.fromkeys(items))


def is_better(left: Record, right: Record) -> bool:
    """Say whether the left score is the better one; a score that is not known never is."""
    if math.isnan(left.value) or math.isnan(right.value):
        return not math.isnan(left.value)
    return left.value > right.value if left.higher_is_better else left.value < right.value


def is_clear(left: Record, right: Record) -> bool:
    """Say whether the left score is better, and the intervals lie apart."""
    if left.higher_is_better:
        return left.low > right.high
    return left.high < right.low


def metric_of(records: Iterable[Record]) -> str:
    """Return the words for a metric and its direction."""
    first = next(iter(records))
    name = METRIC_NAMES.get(first.metric, first.metric)
    return f"{name}, {'higher' if first.higher_is_better else 'lower'} is better"


def name_row(row: str, focus: str | None) -> str:
    """Return a row's name in tables: ``tagpool own``; ``constant`` has no focus to tell."""
    return label_of(row, None if row == CONSTANT else focus)


def label(item: Record | Rank) -> str:
    """Return a row's name in tables."""
    return name_row(item.row, item.focus)


def _record(item: dict[str, Any]) -> Record:
    known = {field.name for field in fields(Record)}
    values = {name: value for name, value in item.items() if name in known}
    for name in _NUMBERS:
        values[name] = math.nan if values[name] is None else values[name]
    return Record(**values)


def _nan_last(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value
