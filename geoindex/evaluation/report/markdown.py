"""How are results read? Tables of Markdown, and of plain text for a terminal.

Who beats whom, as tables? Wins, ties and losses of every row, and one row task by task.

How does a table become text? Markdown, and columns for a terminal.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias, TypeVar

from geoindex.evaluation.paired_comparison import LOSES, TIES, WINS, both_ways
from geoindex.evaluation.results import Record, Results, chosen_heads, goodness, label_of
from geoindex.evaluation.score_heads import CHOSEN, COMPARED_HEADS

#: A row of text cells.
Line: TypeAlias = list[str]


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


Comparisons: TypeAlias = Sequence[Mapping[str, Any]]

COMPARED_TEXT = (
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
    for name, unit, head in product(splits, ("cell", "entity"), COMPARED_HEADS):
        items = with_head(results.comparisons, head)
        tally = tally_lines(items, name, unit)
        trial = trial_lines(items, candidate_of(results.meta), name, unit)
        found += [_WITH[head]] if len(tally) > 1 else []
        found += [table(lines) for lines in (tally, trial) if len(lines) > 1]
    return found


def with_head(comparisons: Comparisons, head: str) -> list[Mapping[str, Any]]:
    """Return the comparisons under one head."""
    return [item for item in comparisons if item["head"] == head]


def candidate_of(meta: Mapping[str, Any]) -> str:
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


T = TypeVar("T")


def markdown(results: Results) -> str:
    """Return all results as Markdown: scores, ranks, retrieval, collapse and notes."""
    parts = [
        f"# Evaluation of {', '.join(place['name'] for place in results.meta['places'])}",
        _intro(results),
    ]
    for split in _unique([record.split for record in results.records]):
        parts += [f"## Scores, {split} folds", _SCORES_TEXT, *score_tables(results, split)]
    if results.ranks:
        parts += ["## Mean rank over tasks, 1 is best", table(rank_lines(results))]
    if results.comparisons:
        parts += ["## Row against row", COMPARED_TEXT, *comparison_tables(results)]
    if results.retrieval:
        parts += ["## Retrieval, without labels", table(retrieval_lines(results))]
    if results.collapse:
        parts += ["## Collapse numbers", table(collapse_lines(results))]
    if results.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in results.notes)]
    return "\n\n".join(parts) + "\n"


_SCORES_TEXT = (
    "Each row with the heads that its validation rows chose; 95 % interval in brackets; bold "
    "leads. "
    "R² and macro-F1: 1 is best; AUROC: .5 is chance."
)


def score_tables(results: Results, split: str) -> list[str]:
    """Return the Markdown tables of a split: of cells, and of entities."""
    return [
        table(lines)
        for unit in ("cell", "entity")
        if len(lines := score_lines(results, split, unit)) > 1
    ]


def score_lines(results: Results, split: str, unit: str, *, intervals: bool = True) -> list[Line]:
    """Return one line a task and masking, one column a row of the table, with chosen heads."""
    chosen = [
        record
        for record in chosen_heads(results.records)
        if (record.split, record.unit) == (split, unit)
    ]
    labels = _unique([record.label for record in chosen])
    lines = [["task", "metric", "n", *labels]]
    for key in _unique([(record.task, record.masked) for record in chosen]):
        raced = {record.label: record for record in chosen if (record.task, record.masked) == key}
        some = next(iter(raced.values()))
        lead = max(raced.values(), key=goodness).label
        name = some.task + (" (masked)" if some.masked and some.unit == "cell" else "")
        cells = [
            _score(raced[label], is_lead=label == lead, intervals=intervals)
            if label in raced
            else ""
            for label in labels
        ]
        lines.append([name, some.metric, f"{some.n:,}", *cells])
    return lines


def rank_lines(results: Results) -> list[Line]:
    """Return one line a row and unit, one column a head."""
    # the chosen heads first
    heads = sorted(_unique([rank.head for rank in results.ranks]), key=lambda head: head != CHOSEN)
    lines = [["row", "split", "unit", "tasks", *heads]]
    keys = _unique([(rank.split, rank.unit, rank.row, rank.focus) for rank in results.ranks])
    for split, unit, row, focus in keys:
        found = {
            rank.head: rank
            for rank in results.ranks
            if (rank.split, rank.unit, rank.row, rank.focus) == (split, unit, row, focus)
        }
        cells = [f"{found[head].mean_rank:.2f}" if head in found else "" for head in heads]
        num = max(rank.num_tasks for rank in found.values())
        lines.append([label_of(row, focus), split, unit, str(num), *cells])
    return lines


def retrieval_lines(results: Results) -> list[Line]:
    """Return one line a score, one column a row of the table, and chance."""
    labels = _unique([label_of(item["row"], item["focus"]) for item in results.retrieval])
    lines = [["score", "chance", *labels]]
    for score in _unique([item["score"] for item in results.retrieval]):
        items = {
            label_of(item["row"], item["focus"]): item
            for item in results.retrieval
            if item["score"] == score
        }
        chance = next(iter(items.values()))["chance"]
        cells = [f"{items[label]['value']:.3f}" if label in items else "" for label in labels]
        lines.append([score, f"{chance:.3f}", *cells])
    return lines


def collapse_lines(results: Results) -> list[Line]:
    """Return one line a row and table, one column a number."""
    numbers = _unique([item["number"] for item in results.collapse])
    lines = [["vectors", "dims", "n", *numbers]]
    for key in _unique([(item["row"], item["table"], item["focus"]) for item in results.collapse]):
        items = {
            item["number"]: item
            for item in results.collapse
            if (item["row"], item["table"], item["focus"]) == key
        }
        some = next(iter(items.values()))
        cells = [
            "" if items[number]["value"] is None else f"{items[number]['value']:.2f}"
            for number in numbers
        ]
        name = f"{label_of(key[0], key[2])}, {key[1]}"
        lines.append([name, str(some["dim"]), f"{some['n']:,}", *cells])
    return lines


def _intro(results: Results) -> str:
    meta = results.meta
    places = meta["places"]
    return (
        f"{sum(place['entities'] for place in places):,} entities and "
        f"{sum(place['cells'] for place in places):,} cells of resolution {meta['resolution']}; "
        f"{len(meta['seeds'])} seeds; heads {', '.join(meta['heads'])}. "
        f"{'; '.join(_unique([place['attribution'] for place in places]))}."
    )


def _score(record: Record, *, is_lead: bool, intervals: bool) -> str:
    text = f"{record.value:.3f}"
    if is_lead:
        text = f"**{text}**"
    return f"{text} [{record.low:.2f}, {record.high:.2f}]" if intervals else text


def _unique(items: Sequence[T]) -> list[T]:
    return list(dict.fromkeys(items))
