"""Results of the judge of search, as Python values and as JSON.

The JSON file, `FORMAT` and `SCHEMA_VERSION`; every number is finite or null::

    format, schema_version   "geoindex-search", 1
    meta
        geoindex_version, created, seconds
        resolution           H3 resolution of `own_cell`
        seeds                [0, 1, 2]
        fingerprint          hash of all entities
        places               [{name, entities, attribution}]
        rows                 [{name, fingerprint, title}]        the methods
        measures             [{name, title, masking, higher_is_better}]
    records                  one a measure, row and focus
        measure, row, focus ("own" | "context"), higher_is_better
        value                mean over places of the mean over seeds
        low, high            95 % interval: bootstrap of places and seeds; null of one place
        per_place            {place: [value of each seed]}; places that have none are absent
        n                    queries, over places, in the first seed
    comparisons              one a measure and pair of rows, each row with each focus
        measure, row, focus, other, other_focus
        difference           how much better `row` is, over the places that both have
        low, high            its 95 % interval: the same places and seeds drawn for both
        verdict              "wins" | "ties" | "loses"
        places_better, num_places
    notes                    [text]       what was left out, and why
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.paired_comparison import verdict_of
from geoindex.evaluation.report.markdown import Line, plain, table
from geoindex.evaluation.results import finite, label_of
from geoindex.evaluation.search_judge.judge import mean_of_places
from geoindex.storage.filesystem import write_json

FORMAT = "geoindex-search"
SCHEMA_VERSION = 1
_NUM_DRAWS = 2000
_TAIL = 2.5


@dataclass(frozen=True)
class SearchRecord:
    """The value of a measure of a method; see the module's docstring."""

    measure: str
    row: str
    focus: str
    higher_is_better: bool
    value: float
    low: float
    high: float
    per_place: dict[str, list[float]]
    n: int

    @property
    def label(self) -> str:
        """The method's name in tables."""
        return label_of(self.row, self.focus)


@dataclass
class SearchResults:
    """What the judge of search found; see the module's docstring."""

    meta: dict[str, Any]
    records: list[SearchRecord] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; NaN becomes None."""
        content = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **asdict(self)}
        plain_values: dict[str, Any] = finite(content)
        return plain_values

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all."""
        write_json(path, self.as_dict())

    def lines(self, *, intervals: bool = True) -> list[Line]:
        """Return one line a measure, one column a method and focus; the best is bold."""
        labels = list(dict.fromkeys(record.label for record in self.records))
        lines = [["measure", "places", "n", *labels]]
        for measure in self.meta["measures"]:
            found = {r.label: r for r in self.records if r.measure == measure["name"]}
            known = [record for record in found.values() if not np.isnan(record.value)]
            if not known:
                continue
            sign = 1 if measure["higher_is_better"] else -1
            lead = max(known, key=lambda record: sign * record.value)
            name = measure["name"] if measure["higher_is_better"] else f"{measure['name']} (less)"
            cells = [_cell(found.get(label), lead, intervals=intervals) for label in labels]
            lines.append([name, str(len(lead.per_place)), f"{lead.n:,}", *cells])
        return lines

    def comparison_lines(self) -> list[Line]:
        """Return one line a measure: the last method against each other one, with each focus."""
        last = self.records[-1]
        items = [_seen_from(item, last.row, last.focus) for item in self.comparisons]
        shown = [item for item in items if item is not None]
        labels = list(dict.fromkeys(label_of(x["other"], x["other_focus"]) for x in shown))
        lines = [[f"{last.label} less", *labels]]
        for measure in dict.fromkeys(item["measure"] for item in shown):
            found = {
                label_of(item["other"], item["other_focus"]): item
                for item in shown
                if item["measure"] == measure
            }
            lines.append([measure, *(_difference(found.get(label)) for label in labels)])
        return lines

    def text(self) -> str:
        """Return the table as plain text."""
        return plain(self.lines(intervals=False))

    def markdown(self) -> str:
        """Return tables and notes as Markdown."""
        places = ", ".join(place["name"] for place in self.meta["places"])
        entities = sum(place["entities"] for place in self.meta["places"])
        attributions = "; ".join(dict.fromkeys(p["attribution"] for p in self.meta["places"]))
        parts = [
            f"# Search in {places}",
            (
                f"{entities:,} entities; {len(self.meta['seeds'])} seeds; means over places, 95 % "
                f"interval over places and seeds in brackets; bold leads. {attributions}."
            ),
            table(self.lines()),
        ]
        if len(self.comparison_lines()) > 1:
            parts += ["## Difference, the same places, examples and seeds", _COMPARED]
            parts.append(table(self.comparison_lines()))
        if self.notes:
            parts += ["## Notes", "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"


_COMPARED = (
    "How much better it is than the method above, its 95 % interval, and in how many places it is "
    "better; bold where the interval is above 0."
)


def _cell(record: SearchRecord | None, lead: SearchRecord, *, intervals: bool) -> str:
    if record is None or np.isnan(record.value):
        return ""
    value = f"**{record.value:.3f}**" if record is lead else f"{record.value:.3f}"
    has_interval = intervals and not np.isnan(record.low)
    return f"{value} [{record.low:.2f}, {record.high:.2f}]" if has_interval else value


def _difference(item: dict[str, Any] | None) -> str:
    if item is None or np.isnan(item["difference"]):
        return ""
    text = f"{item['difference']:+.3f}"
    if not np.isnan(item["low"]):
        text += f" [{item['low']:+.2f}, {item['high']:+.2f}]"
    text = f"**{text}**" if item["verdict"] == "wins" else text
    return f"{text} {item['places_better']}/{item['num_places']}"


def _seen_from(item: dict[str, Any], row: str, focus: str) -> dict[str, Any] | None:
    if (item["row"], item["focus"]) == (row, focus):
        return item
    if (item["other"], item["other_focus"]) != (row, focus):
        return None
    low, high = -item["high"], -item["low"]
    return {
        **item,
        "row": row,
        "focus": focus,
        "other": item["row"],
        "other_focus": item["focus"],
        "difference": -item["difference"],
        "low": low,
        "high": high,
        "verdict": verdict_of(low, high),
        "places_better": item["places_worse"],
        "places_worse": item["places_better"],
    }


def place_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over places: bootstrap of places, and of their seeds.

    Parameters
    ----------
    values
        Shape ``(places, seeds)``; NaN where there is none.

    Returns
    -------
    low, high
        NaN where fewer than two places have a value.
    """
    values = values[~np.isnan(values).all(axis=1)]
    num_places, num_seeds = values.shape
    if num_places < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(0)
    mean = np.nanmean(values, axis=1, keepdims=True)
    values = np.where(np.isnan(values), mean, values)
    places = random.integers(0, num_places, (_NUM_DRAWS, num_places))
    seeds = random.integers(0, num_seeds, (_NUM_DRAWS, num_places, num_seeds))
    drawn = values[places[:, :, None], seeds].mean(axis=(1, 2))
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL])
    return float(low), float(high)


def compare(
    by_row: Sequence[tuple[str, str, dict[str, NDArray[np.float64]]]],
    is_higher_better: dict[str, bool],
) -> list[dict[str, Any]]:
    """Return the comparisons of all pairs of rows.

    Parameters
    ----------
    by_row
        Name, focus, and the values of each measure, shape ``(places, seeds)``.
    """
    found = []
    for (row, focus, first), (other, other_focus, second) in combinations(by_row, 2):
        for measure, higher in is_higher_better.items():
            apart = (1 if higher else -1) * (first[measure] - second[measure])
            if np.isnan(apart).all():
                continue
            low, high = place_interval(apart)
            of_place = np.nanmean(apart[~np.isnan(apart).all(axis=1)], axis=1)
            found.append(
                {
                    "measure": measure,
                    "row": row,
                    "focus": focus,
                    "other": other,
                    "other_focus": other_focus,
                    "difference": mean_of_places(apart),
                    "low": low,
                    "high": high,
                    "verdict": verdict_of(low, high),
                    "places_better": int((of_place > 0).sum()),
                    "places_worse": int((of_place < 0).sum()),
                    "num_places": len(of_place),
                }
            )
    return found
