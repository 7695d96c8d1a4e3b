"""Results of an evaluation, as Python values and as JSON.

The JSON file, `FORMAT` and `SCHEMA_VERSION`; every number is finite or null::

    format, schema_version   "geoindex-evaluation", 3
    meta
        geoindex_version, code_version, created, seconds
        resolution           H3 resolution of the cells
        split                {name, num_folds, block_resolution, gap, most_units, hide}
        seeds                [0, 1, 2]
        fingerprint          hash of all entities
        places               [{name, path, entities, cells, attribution}]
        rows                 [{name, fingerprint, title}]        the methods
        heads                [name]
        tasks                [{name, title, unit, kind, metric, telling: {tags, but},
                               n: {visible, masked}, classes: {name: n} or null, base}]
                             `base`: share of the commonest class, or the mean
    records                  one a split, task, unit, masked, row, focus, head and metric
        split, task, title, unit ("cell" | "entity"), masked (bool)
        row, focus           name of the method; null for cells, else "own" | "context"
        head                 a head, or "chosen": in every fold the head that was best on its
                             validation rows predicts; test scores choose nothing
        metric, higher_is_better
        value                mean over seeds of the score over all held-out units
        low, high            95 % interval of `value`: bootstrap of units within each seed, widened
                             to hold every seed's score
        per_seed             [score]      over all folds together
        per_fold             [[score]]    one list a seed; null where a fold has one class only
        n                    units scored
        is_main              True for the one metric of a task that ranks are made of
        validation           [[score]] of the main metric on each fold's validation rows, one list a
                             seed, by which heads are chosen; null where it is not defined
        picked               of "chosen": {head: number of folds, over seeds, that chose it}
    ranks                    one a split, unit, row, focus and head, "chosen" among them
        split, unit, row, focus, head, mean_rank (1 is best), num_tasks
    comparisons              one a split, task, unit, masked, head ("chosen" | "knn") and pair of
                             methods; see `geoindex.evaluation.paired_comparison`
        split, task, unit, masked, metric
        row, focus, other, other_focus, head
        difference           how much better `row` is, in the metric; below 0 it is worse
        low, high            its 95 % interval: paired bootstrap of blocks and seeds
        verdict              "wins" | "ties" | "loses": `row` against `other`
    retrieval                one a row, focus and score
        row, focus, score, value, higher_is_better, n, chance
        score                half_to_half_mrr, half_to_half_recall@1, ...@10, tags_to_geometry_mrr,
                             tag_agreement@10, leave_one_tag_out@10, same_cell@10
    collapse                 one a row, table and number
        row, table ("cells" | "entities"), focus, number ("rankme" | "effective_rank" |
        "uniformity"), value, dim, n
    maps                     {row: {table, focus, points: [[x, y, kind]], explained: [share, ...]}}
                             the first two principal axes of a sample of entities
    errors                   one a masked cell task, of the best method and head, with seed 0
        task, row, head, seed, units: [{place, cell, lon, lat, truth, predicted}]  worst first
    examples                 [{row, focus, asked: HIT, hits: [HIT]}];  HIT = {feature_id, kind,
                             name, place, lon, lat, osm_url, similarity}
    notes                    [text]       what was left out, and why
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geoindex.evaluation.score_heads import CHOSEN
from geoindex.storage.filesystem import write_json

FORMAT = "geoindex-evaluation"
SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Record:
    """One score; see the module's docstring."""

    split: str
    task: str
    title: str
    unit: str
    masked: bool
    row: str
    focus: str | None
    head: str
    metric: str
    higher_is_better: bool
    value: float
    low: float
    high: float
    per_seed: list[float]
    per_fold: list[list[float | None]]
    n: int
    is_main: bool
    validation: list[list[float | None]] = field(default_factory=list)
    picked: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The method's name in tables: ``tagpool``, or ``tagpool own``."""
        return label_of(self.row, self.focus)


@dataclass(frozen=True)
class Rank:
    """The mean rank of a method over tasks; 1 is best."""

    split: str
    unit: str
    row: str
    focus: str | None
    head: str
    mean_rank: float
    num_tasks: int


@dataclass
class Results:
    """All results of an evaluation; see the module's docstring."""

    meta: dict[str, Any]
    records: list[Record] = field(default_factory=list)
    ranks: list[Rank] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    retrieval: list[dict[str, Any]] = field(default_factory=list)
    collapse: list[dict[str, Any]] = field(default_factory=list)
    maps: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes None."""
        content = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **asdict(self)}
        plain: dict[str, Any] = finite(content)
        return plain

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all."""
        write_json(path, self.as_dict())


def label_of(row: str, focus: str | None) -> str:
    """Return a method's name in tables: entities have a focus, cells none."""
    return row if focus is None else f"{row} {focus}"


def chosen_heads(records: Sequence[Record]) -> list[Record]:
    """Return the main scores of methods with the heads chosen on validation rows."""
    return [record for record in records if record.is_main and record.head == CHOSEN]


def ranks_of(records: Sequence[Record]) -> list[Rank]:
    """Return the mean rank of each method over tasks, for each head and for the chosen ones.

    Methods are ranked within a split, task, masking and head; equal scores share the mean of their
    ranks. A method that lacks a task is ranked by the others.
    """
    groups: dict[tuple[str, str, str, str, bool], list[Record]] = {}
    for record in records:
        if not record.is_main:
            continue
        group = (record.split, record.unit, record.head, record.task, record.masked)
        groups.setdefault(group, []).append(record)
    places: dict[tuple[str, str, str, str | None, str], list[float]] = {}
    for (split, unit, head, _task, _masked), records_of_group in groups.items():
        scores = [goodness(record) for record in records_of_group]
        for record, score in zip(records_of_group, scores, strict=True):
            better = sum(other > score for other in scores)
            equal = sum(other == score for other in scores)
            who = (split, unit, record.row, record.focus, head)
            places.setdefault(who, []).append(better + (equal + 1) / 2)
    found = [Rank(*who, sum(ranks) / len(ranks), len(ranks)) for who, ranks in places.items()]
    return sorted(found, key=lambda rank: (rank.split, rank.unit, rank.head, rank.mean_rank))


def goodness(record: Record) -> float:
    """Return a number that is greater for the better of two scores of one metric."""
    if math.isnan(record.value):
        return -math.inf
    return record.value if record.higher_is_better else -record.value


def finite(value: Any) -> Any:
    """Replace what JSON cannot hold: NaN and infinity become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
