"""Summarise an evaluation: which method leads, and how sure that is.

The two methods in front are compared task by task, each with its chosen heads. A sign test gives
the chance of so many wins if both were equal (two-sided, exact, ties go half to each: Demšar,
"Statistical comparisons of classifiers over multiple data sets", JMLR 2006, section 3.1.4). A task
has one vote, since its masked and its visible labels are the same: a tie if they disagree. Tasks
of one map are not independent either, so the true p is larger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.report.content import (
    SPLIT_NAMES,
    UNIT_NAMES,
    Content,
    is_better,
    is_clear,
    label,
    unique,
)
from geoindex.evaluation.results import Rank, Record
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.page import listed, number, plural

_SIGNIFICANT = 0.05
# floating point: mean ranks are sums of halves over a few tasks
_SAME_RANK = 1e-9


@dataclass(frozen=True)
class Lead:
    """The method in front among cells or entities, in words.

    Attributes
    ----------
    headline
        Which method leads.
    details
        Sentences: by how much, how surely, and who leads with each single head.
    """

    headline: str
    details: list[str]


def leads(content: Content) -> list[Lead]:
    """Return who leads in each split, on cells and on entities."""
    pairs = ((split, unit) for split in content.splits for unit in UNIT_NAMES)
    return [lead for pair in pairs if (lead := lead_of(content, *pair)) is not None]


def lead_of(content: Content, split: str, unit: str) -> Lead | None:
    """Return who leads in one split on cells or entities; None where nothing was ranked."""
    ranks = [r for r in content.ranks if (r.split, r.unit) == (split, unit)]
    pooled = [rank for rank in ranks if rank.head == CHOSEN] or ranks
    if not pooled or not math.isfinite(pooled[0].mean_rank or math.nan):
        return None
    first = pooled[0]
    chasers = [rank for rank in pooled[1:] if rank.row != CONSTANT and rank.head == first.head]
    level = [rank for rank in chasers if abs(rank.mean_rank - first.mean_rank) < _SAME_RANK]
    units = content.unit_title(split, unit)
    details = [_mean_ranks(content, first, chasers[:1])]
    doubt = ""
    if chasers:
        pairs = _pairs(content.chosen, first, chasers[0])
        wins, losses = _votes(pairs)
        p = sign_test(wins, losses)
        if p >= _SIGNIFICANT or wins <= losses:
            doubt = ", but not significantly"
        details.append(_comparison(chasers[0], pairs, p))
    headline = f"{label(first)} leads on {units}{doubt}"
    if level:
        headline = f"{listed([label(first), *map(label, level)])} share the lead on {units}"
    details.append(_single_heads(first, [rank for rank in ranks if rank.head != CHOSEN]))
    return Lead(headline, [text for text in details if text])


def sign_test(num_wins: int, num_losses: int) -> float:
    """Return the two-sided p of so many wins and losses if both were as likely."""
    num = num_wins + num_losses
    tail = sum(math.comb(num, i) for i in range(min(num_wins, num_losses) + 1))
    return min(1.0, 2 * tail / 2**num)


def _mean_ranks(content: Content, first: Rank, second: Sequence[Rank]) -> str:
    records = content.of(first.split, first.unit)
    tasks = plural(len({record.task for record in records}) or first.num_tasks, "task")
    if {record.masked for record in records} == {True, False}:
        tasks += ", with labels masked and visible"
    follows = "".join(f"; {label(rank)} has {number(rank.mean_rank, 2)}" for rank in second)
    heads = "heads chosen on validation rows" if first.head == CHOSEN else f"head {first.head}"
    return f"Mean rank {number(first.mean_rank, 2)} over {tasks} ({heads}){follows}."


def _comparison(second: Rank, pairs: Sequence[tuple[Record, Record]], p: float) -> str:
    num_wins = sum(is_better(*pair) for pair in pairs)
    num_clear = sum(is_clear(*pair) for pair in pairs)
    num_lost = sum(is_clear(right, left) for left, right in pairs)
    worse = f" It is clearly worse in {num_lost}." if num_lost else ""
    return (
        f"Better than {label(second)} in {num_wins} of {plural(len(pairs), 'comparison')}, in "
        f"{num_clear} of them with 95 % intervals that do not overlap.{worse} Sign test with one "
        f"vote a task: p = {number(p)}."
    )


def _votes(pairs: Sequence[tuple[Record, Record]]) -> tuple[int, int]:
    """Return how many tasks the left method wins and loses; ties go half to each."""
    votes: dict[str, int] = {}
    for left, right in pairs:
        vote = is_better(left, right) - is_better(right, left)
        votes[left.task] = votes.get(left.task, 0) + vote
    half = sum(vote == 0 for vote in votes.values()) // 2
    return sum(v > 0 for v in votes.values()) + half, sum(v < 0 for v in votes.values()) + half


def _pairs(chosen: Sequence[Record], first: Rank, second: Rank) -> list[tuple[Record, Record]]:
    found: dict[tuple[str, bool], dict[tuple[str, str | None], Record]] = {}
    for record in chosen:
        if (record.split, record.unit) == (first.split, first.unit):
            by_method = found.setdefault((record.task, record.masked), {})
            by_method[record.row, record.focus] = record
    keys = (first.row, first.focus), (second.row, second.focus)
    return [(found[keys[0]], found[keys[1]]) for found in found.values() if set(keys) <= set(found)]


def _single_heads(first: Rank, single: Sequence[Rank]) -> str:
    """Say who leads with each head alone; ranks come with the best first."""
    leaders: dict[str, Rank] = {}
    for rank in single:
        leaders.setdefault(rank.head, rank)
    if len(leaders) < 2:
        return ""
    won: dict[str, list[str]] = {}
    for head, rank in leaders.items():
        won.setdefault(label(rank), []).append(head)
    if set(won) == {label(first)}:
        return f"It also leads with each head alone: {listed(sorted(leaders))}."
    parts = [f"{name} with {listed(sorted(heads))}" for name, heads in sorted(won.items())]
    return f"With one head for all methods, {listed(parts)} {'lead' if parts[1:] else 'leads'}."


def facts(content: Content) -> list[tuple[str, str]]:
    """Return what was measured: pairs of a short text and what there is to say about it."""
    meta, split = content.meta, content.split
    places = meta.get("places") or []
    entities, cells = (
        sum(place.get(key) or 0 for place in places) for key in ("entities", "cells")
    )
    folds = split.get("num_folds")
    detail = [f"{folds} folds"] if folds and split["name"] != "places" else []
    if split["name"] == "spatial" and split.get("gap") is not None:
        detail.append(f"gap of {plural(split['gap'], 'ring')}")
    seeds = meta.get("seeds") or []
    num_tasks = len(unique(record.task for record in content.records))
    return [
        (plural(len(places), "place"), ", ".join(str(place["name"]) for place in places)),
        (f"{cells:,} cells", f"of H3 resolution {meta.get('resolution', '?')}"),
        (f"{entities:,} entities", "with their tags and geometry"),
        (SPLIT_NAMES.get(split["name"], split["name"]), ", ".join(detail)),
        (plural(len(seeds), "seed"), "each splits and fits anew"),
        (
            plural(num_tasks, "task"),
            f"{plural(len(content.methods), 'method')} × {plural(len(content.heads), 'head')}",
        ),
    ]


def title(content: Content) -> str:
    """Return the title of the page."""
    places = [str(place["name"]) for place in content.meta.get("places") or ()]
    if not places:
        return "Evaluation"
    return f"Evaluation of {listed(places) if len(places) < 4 else plural(len(places), 'place')}"
