"""Who beats whom, as tables? Wins, ties and losses of every row, and one row task by task."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

from geoindex.evaluation.comparing import LOSES, TIES, WINS, both_ways
from geoindex.evaluation.judging import CHOSEN, COMPARED
from geoindex.evaluation.markdown_tables import Line, table
from geoindex.evaluation.results import Results, label_of

Comparisons: TypeAlias = Sequence[Mapping[str, Any]]

COMPARED_WORDS = (
    "Paired on the same units, folds and seeds: won / tied / lost by the row at the left against "
    "the one above; won where the 95 % interval of the difference is above 0."
)
_WITH = {CHOSEN: "With the heads that validation rows chose:", "knn": "By k-NN, as search ranks:"}
_WORDS = {WINS: "**wins**", TIES: "ties", LOSES: "*loses*"}


def comparison_tables(results: Results, split: str | None = None) -> list[str]:
    """Return Markdown tables: all rows against all, and the row on trial task by task.

    By the chosen heads, and by k-NN.

    Parameters
    ----------
    split
        None: every split.
    """
    splits = [split] if split else list(dict.fromkeys(i["split"] for i in results.comparisons))
    found = []
    for name, unit, head in product(splits, ("cell", "entity"), COMPARED):
        items = under(results.comparisons, head)
        tally = tally_lines(items, name, unit)
        trial = trial_lines(items, on_trial(results.meta), name, unit)
        found += [_WITH[head]] if len(tally) > 1 else []
        found += [table(lines) for lines in (tally, trial) if len(lines) > 1]
    return found


def under(comparisons: Comparisons, head: str) -> list[Mapping[str, Any]]:
    """Return the comparisons under one head."""
    return [item for item in comparisons if item["head"] == head]


def on_trial(meta: Mapping[str, Any]) -> str:
    """Return the row that is compared task by task: the one that was named last."""
    rows = [str(row["name"]) for row in meta.get("rows") or ()]
    return rows[-1] if rows else ""


def tally_lines(comparisons: Comparisons, split: str, unit: str) -> list[Line]:
    """Return one line a row, one column a row: tasks won / tied / lost."""
    items = _sides(comparisons, split, unit)
    labels = list(dict.fromkeys(_label(item) for item in items))
    lines = [[f"{split}, {unit}", *labels]]
    for label in labels:
        own = [item for item in items if _label(item) == label]
        lines.append([label, *(_tally([i for i in own if _other(i) == other]) for other in labels)])
    return lines


def trial_lines(comparisons: Comparisons, row: str, split: str, unit: str) -> list[Line]:
    """Return one line a task, one column a rival: how much better one row is.

    Entities are compared within a focus.
    """
    items = [
        item
        for item in _sides(comparisons, split, unit)
        if item["row"] == row and item["focus"] == item["other_focus"]
    ]
    rivals = list(dict.fromkeys((_label(item), item["other"]) for item in items))
    lines = [["task", "metric", *(f"{label} against {other}" for label, other in rivals)]]
    for task, masked in dict.fromkeys((item["task"], item["masked"]) for item in items):
        raced = {
            (_label(item), item["other"]): item
            for item in items
            if (item["task"], item["masked"]) == (task, masked)
        }
        some = next(iter(raced.values()))
        name = f"{task} (masked)" if masked and unit == "cell" else task
        cells = [_verdict(raced[key]) if key in raced else "" for key in rivals]
        lines.append([name, some["metric"], *cells])
    return lines


def _sides(items: Comparisons, split: str, unit: str) -> list[dict[str, Any]]:
    """Return the comparisons of a split and unit from either side, in the order of the rows."""
    some = [item for item in items if (item["split"], item["unit"]) == (split, unit)]
    order = list(
        dict.fromkeys(
            label_of(item[row], item[focus])
            for item in some
            for row, focus in (("row", "focus"), ("other", "other_focus"))
        )
    )
    return sorted(both_ways(some), key=lambda item: order.index(_label(item)))


def _tally(items: Comparisons) -> str:
    if not items:
        return ""
    verdicts = [item["verdict"] for item in items]
    return " / ".join(str(verdicts.count(verdict)) for verdict in (WINS, TIES, LOSES))


def _verdict(item: Mapping[str, Any]) -> str:
    if item["difference"] is None or item["low"] is None:
        return ""
    interval = f"[{item['low']:+.3f}, {item['high']:+.3f}]"
    return f"{_WORDS[item['verdict']]} {item['difference']:+.3f} {interval}"


def _label(item: Mapping[str, Any]) -> str:
    return label_of(item["row"], item["focus"])


def _other(item: Mapping[str, Any]) -> str:
    return label_of(item["other"], item["other_focus"])
