"""Tables of results as Markdown and as plain text for a terminal.

Scores, ranks, retrieval, collapse; wins, ties and losses of all methods against all, and of one
method task by task.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias, TypeVar

from geoindex.evaluation.paired_comparison import LOSES, TIES, WINS, both_ways
from geoindex.evaluation.results import Record, Results, chosen_heads, goodness, label_of
from geoindex.evaluation.score_heads import CHOSEN, COMPARED_HEADS

#: The cells of a line.
Line: TypeAlias = list[str]
Comparisons: TypeAlias = Sequence[Mapping[str, Any]]
Item = TypeVar("Item")
RowKey = TypeVar("RowKey", bound=Hashable)
ColumnKey = TypeVar("ColumnKey", bound=Hashable)

COMPARED_TEXT = (
    "Paired on the same units, folds and seeds: won / tied / lost by the method at the left "
    "against the one above; won where the 95 % interval of the difference is above 0."
)
_SCORES_TEXT = (
    "Each method with the heads chosen on validation rows; 95 % interval in brackets; bold "
    "leads. R² and macro-F1: 1 is best; AUROC: .5 is chance."
)
_WITH = {CHOSEN: "With the heads chosen on validation rows:", "knn": "By k-NN, as search ranks:"}
_WORDS = {WINS: "**wins**", TIES: "ties", LOSES: "*loses*"}


def table(lines: Sequence[Line]) -> str:
    """Return a Markdown table; the first line is its head."""
    head, *rest = lines
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rest])


def plain(lines: Sequence[Line]) -> str:
    """Return a table in columns of plain text."""
    clean = [[text.replace("**", "") for text in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in clean
    )


def markdown(results: Results) -> str:
    """Return all results as Markdown: scores, ranks, retrieval, collapse and notes."""
    meta, places = results.meta, results.meta["places"]
    parts = [
        f"# Evaluation of {', '.join(place['name'] for place in places)}",
        (
            f"{sum(place['entities'] for place in places):,} entities and "
            f"{sum(place['cells'] for place in places):,} cells of resolution "
            f"{meta['resolution']}; {len(meta['seeds'])} seeds; heads {', '.join(meta['heads'])}. "
            f"{'; '.join(dict.fromkeys(place['attribution'] for place in places))}."
        ),
    ]
    for split in dict.fromkeys(record.split for record in results.records):
        parts += [f"## Scores, {split} folds", _SCORES_TEXT, *score_tables(results, split)]
    if results.ranks:
        parts += ["## Mean rank over tasks, 1 is best", table(rank_lines(results))]
    if results.comparisons:
        parts += ["## Method against method", COMPARED_TEXT, *comparison_tables(results)]
    if results.retrieval:
        parts += ["## Retrieval, without labels", table(retrieval_lines(results))]
    if results.collapse:
        parts += ["## Collapse numbers", table(collapse_lines(results))]
    if results.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in results.notes)]
    return "\n\n".join(parts) + "\n"


def _pivot(
    items: Iterable[Item], row: Callable[[Item], RowKey], column: Callable[[Item], ColumnKey]
) -> tuple[dict[RowKey, dict[ColumnKey, Item]], list[ColumnKey]]:
    """Return items by row and column, and all columns; both in order of first sight."""
    found: dict[RowKey, dict[ColumnKey, Item]] = {}
    for item in items:
        found.setdefault(row(item), {})[column(item)] = item
    return found, list(dict.fromkeys(key for cells in found.values() for key in cells))


def _cells(
    by_column: Mapping[ColumnKey, Item],
    columns: Sequence[ColumnKey],
    text: Callable[[Item], str],
) -> Line:
    return [text(by_column[key]) if key in by_column else "" for key in columns]


def score_tables(results: Results, split: str) -> list[str]:
    """Return the Markdown tables of a split: of cells, and of entities."""
    lines = (score_lines(results, split, unit) for unit in ("cell", "entity"))
    return [table(each) for each in lines if len(each) > 1]


def score_lines(results: Results, split: str, unit: str, *, intervals: bool = True) -> list[Line]:
    """Return one line a task and masking, one column a method, with chosen heads."""
    chosen = [r for r in chosen_heads(results.records) if (r.split, r.unit) == (split, unit)]
    by_task, _ = _pivot(chosen, lambda r: (r.task, r.masked), lambda r: r.label)
    labels = list(dict.fromkeys(record.label for record in chosen))
    lines = [["task", "metric", "n", *labels]]
    for (task, masked), found in by_task.items():
        lead = max(found.values(), key=goodness)

        def text(record: Record, lead: Record = lead) -> str:
            value = f"**{record.value:.3f}**" if record is lead else f"{record.value:.3f}"
            return f"{value} [{record.low:.2f}, {record.high:.2f}]" if intervals else value

        name = _task_name(task, unit, masked=masked)
        lines.append([name, lead.metric, f"{lead.n:,}", *_cells(found, labels, text)])
    return lines


def rank_lines(results: Results) -> list[Line]:
    """Return one line a method and unit, one column a head, the chosen heads first."""
    found, _ = _pivot(
        results.ranks, lambda r: (r.split, r.unit, r.row, r.focus), lambda rank: rank.head
    )
    heads = list(dict.fromkeys(rank.head for rank in results.ranks))
    heads.sort(key=lambda head: head != CHOSEN)
    lines = [["method", "split", "unit", "tasks", *heads]]
    for (split, unit, method, focus), by_head in found.items():
        num = max(rank.num_tasks for rank in by_head.values())
        cells = _cells(by_head, heads, lambda rank: f"{rank.mean_rank:.2f}")
        lines.append([label_of(method, focus), split, unit, str(num), *cells])
    return lines


def retrieval_lines(results: Results) -> list[Line]:
    """Return one line a score, one column a method, and chance."""
    labels = list(dict.fromkeys(map(_label, results.retrieval)))
    found, _ = _pivot(results.retrieval, lambda item: item["score"], _label)
    lines = [["score", "chance", *labels]]
    for score, items in found.items():
        chance = next(iter(items.values()))["chance"]
        cells = _cells(items, labels, lambda item: f"{item['value']:.3f}")
        lines.append([score, f"{chance:.3f}", *cells])
    return lines


def collapse_lines(results: Results) -> list[Line]:
    """Return one line a method and table, one column a number."""
    found, numbers = _pivot(
        results.collapse, lambda item: (_label(item), item["table"]), lambda item: item["number"]
    )
    lines = [["vectors", "dims", "n", *numbers]]
    for (label, name), items in found.items():
        some = next(iter(items.values()))
        cells = _cells(
            items, numbers, lambda item: "" if item["value"] is None else f"{item['value']:.2f}"
        )
        lines.append([f"{label}, {name}", str(some["dim"]), f"{some['n']:,}", *cells])
    return lines


def comparison_tables(results: Results, split: str | None = None) -> list[str]:
    """Return Markdown tables: all methods against all, and the candidate task by task.

    By the chosen heads, and by k-NN.

    Parameters
    ----------
    split
        None: every split.
    """
    splits = [split] if split else list(dict.fromkeys(i["split"] for i in results.comparisons))
    found = []
    for name, unit, head in product(splits, ("cell", "entity"), COMPARED_HEADS):
        items = with_head(results.comparisons, head)
        tally = tally_lines(items, name, unit)
        trial = trial_lines(items, candidate_of(results.meta), name, unit)
        found += [_WITH[head]] if len(tally) > 1 else []
        found += [table(lines) for lines in (tally, trial) if len(lines) > 1]
    return found


def with_head(comparisons: Comparisons, head: str) -> list[Mapping[str, Any]]:
    """Return the comparisons with one head."""
    return [item for item in comparisons if item["head"] == head]


def candidate_of(meta: Mapping[str, Any]) -> str:
    """Return the method that is compared task by task: the one named last."""
    rows = [str(row["name"]) for row in meta.get("rows") or ()]
    return rows[-1] if rows else ""


def tally_lines(comparisons: Comparisons, split: str, unit: str) -> list[Line]:
    """Return one line and one column a method: tasks won / tied / lost."""
    verdicts: dict[tuple[str, str], list[str]] = {}
    for item in _sides(comparisons, split, unit):
        verdicts.setdefault((_label(item), _other(item)), []).append(item["verdict"])
    labels = list(dict.fromkeys(label for label, _ in verdicts))

    def tally(found: Sequence[str]) -> str:
        return " / ".join(str(found.count(verdict)) for verdict in (WINS, TIES, LOSES))

    lines = [[f"{split}, {unit}", *labels]]
    for label in labels:
        own = {other: found for (name, other), found in verdicts.items() if name == label}
        lines.append([label, *_cells(own, labels, tally)])
    return lines


def trial_lines(comparisons: Comparisons, method: str, split: str, unit: str) -> list[Line]:
    """Return one line a task, one column a rival: how much better one method is.

    Entities are compared within a focus.
    """
    items = [
        item
        for item in _sides(comparisons, split, unit)
        if item["row"] == method and item["focus"] == item["other_focus"]
    ]
    rivals = list(dict.fromkeys((_label(item), item["other"]) for item in items))
    found, _ = _pivot(
        items,
        lambda item: (item["task"], item["masked"], item["metric"]),
        lambda item: (_label(item), item["other"]),
    )
    lines = [["task", "metric", *(f"{label} against {other}" for label, other in rivals)]]
    for (task, masked, metric), by_rival in found.items():
        name = _task_name(task, unit, masked=masked)
        lines.append([name, metric, *_cells(by_rival, rivals, _verdict)])
    return lines


def _sides(items: Comparisons, split: str, unit: str) -> list[dict[str, Any]]:
    """Return the comparisons of a split and unit from either side, in the order of the methods."""
    some = [item for item in items if (item["split"], item["unit"]) == (split, unit)]
    order = list(dict.fromkeys(label for item in some for label in (_label(item), _other(item))))
    return sorted(both_ways(some), key=lambda item: order.index(_label(item)))


def _verdict(item: Mapping[str, Any]) -> str:
    if item["difference"] is None or item["low"] is None:
        return ""
    interval = f"[{item['low']:+.3f}, {item['high']:+.3f}]"
    return f"{_WORDS[item['verdict']]} {item['difference']:+.3f} {interval}"


def _task_name(task: str, unit: str, *, masked: bool) -> str:
    return f"{task} (masked)" if masked and unit == "cell" else task


def _label(item: Mapping[str, Any]) -> str:
    return label_of(item["row"], item["focus"])


def _other(item: Mapping[str, Any]) -> str:
    return label_of(item["other"], item["other_focus"])
