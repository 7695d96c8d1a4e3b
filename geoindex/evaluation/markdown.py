"""How are results read? Tables of Markdown, and of plain text for a terminal."""

from collections.abc import Sequence
from typing import TypeVar

from geoindex.evaluation.judging import CHOSEN
from geoindex.evaluation.markdown_compare import COMPARED_WORDS, comparison_tables
from geoindex.evaluation.markdown_tables import Line, table
from geoindex.evaluation.results import Record, Results, chosen_heads, goodness, label_of

T = TypeVar("T")


def markdown(results: Results) -> str:
    """Return all results as Markdown: scores, ranks, retrieval, collapse and notes."""
    parts = [
        f"# Evaluation of {', '.join(place['name'] for place in results.meta['places'])}",
        _intro(results),
    ]
    for split in _unique([record.split for record in results.records]):
        parts += [f"## Scores, {split} folds", _SCORES_WORDS, *score_tables(results, split)]
    if results.ranks:
        parts += ["## Mean rank over tasks, 1 is best", table(rank_lines(results))]
    if results.comparisons:
        parts += ["## Row against row", COMPARED_WORDS, *comparison_tables(results)]
    if results.retrieval:
        parts += ["## Retrieval, without labels", table(retrieval_lines(results))]
    if results.collapse:
        parts += ["## Collapse numbers", table(collapse_lines(results))]
    if results.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in results.notes)]
    return "\n\n".join(parts) + "\n"


_SCORES_WORDS = (
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
