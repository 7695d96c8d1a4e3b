"""Which row leads, and how sure is that? One plain sentence, and what speaks against it.

The two rows in front are compared task by task, each with its chosen heads. A sign test asks if
so many wins could be chance (two-sided, exact, ties go half to each: Demšar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 2006, section 3.1.4). A task has one vote,
since its masked and its visible labels are the same: a tie if they disagree. Tasks of one map are
not independent either, so the true p is larger.

What was measured? The top of the report: who leads, places, split, seeds, and the legend.
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
from geoindex.report.charts import CHOSEN_SHAPE, legend_mark
from geoindex.report.html import Html, element, joined, listed, name_of, number, plural

_SIGNIFICANT = 0.05
# floating point: mean ranks are sums of halves over a few tasks
_LEVEL = 1e-9


@dataclass(frozen=True)
class Lead:
    """The row in front, in words.

    Attributes
    ----------
    headline
        Which row leads.
    doubt
        How far ahead it is, and of whom; "" if it ran alone.
    heads
        Who leads under the single heads.
    """

    headline: str
    doubt: str
    heads: str


def lead_of(content: Content, split: str, unit: str) -> Lead | None:
    """Return who leads in one split among cells or entities; None where nobody was ranked."""
    ranks = [r for r in content.ranks if (r.split, r.unit) == (split, unit)]
    pooled = [rank for rank in ranks if rank.head == CHOSEN] or ranks
    if not pooled or not math.isfinite(pooled[0].mean_rank or math.nan):
        return None
    first = pooled[0]
    chasers = [rank for rank in pooled[1:] if rank.row != CONSTANT and rank.head == first.head]
    race = _race(content.chosen, first, chasers) if chasers else None
    single = [rank for rank in ranks if rank.head != CHOSEN]
    return Lead(
        _headline(content, first, race), _doubt(race) if race else "", _heads(first, single)
    )


@dataclass(frozen=True)
class _Lead:
    """The two rows in front.

    Attributes
    ----------
    second
        The one that follows.
    pairs
        Their scores, the leader's first.
    p
        Of the sign test.
    is_sure
        Is the lead significant?
    level
        Those that share the lead.
    """

    second: Rank
    pairs: list[tuple[Record, Record]]
    p: float
    is_sure: bool
    level: list[Rank]


def sign_test(num_wins: int, num_losses: int) -> float:
    """Return the two-sided p of so many wins and losses if both were as likely."""
    num = num_wins + num_losses
    tail = sum(math.comb(num, i) for i in range(min(num_wins, num_losses) + 1))
    return min(1.0, 2 * tail / 2**num)


def _headline(content: Content, first: Rank, race: _Lead | None) -> str:
    records = content.of(first.split, first.unit)
    tasks = plural(len({record.task for record in records}) or first.num_tasks, "task")
    if {record.masked for record in records} == {True, False}:
        tasks += " with labels masked and visible"
    under = f"under {first.head}"
    if first.head == CHOSEN:
        under = "each row under the heads that its validation rows chose"
    units = UNIT_NAMES.get(first.unit, first.unit)
    if len(content.splits) > 1:
        units += f" ({SPLIT_NAMES.get(first.split, first.split)})"
    mean = number(first.mean_rank, 2)
    if race is not None and race.level:
        who = f"{listed([label(first), *map(label, race.level)])} share the lead on {units}"
    else:
        but = "" if race is None or race.is_sure else ", but not significantly"
        who = f"{label(first)} leads on {units}{but}"
    return f"{who}: mean rank {mean} over {tasks}, {under}."


def _doubt(race: _Lead) -> str:
    num_wins = sum(is_better(*pair) for pair in race.pairs)
    num_clear = sum(is_clear(*pair) for pair in race.pairs)
    num_lost = sum(is_clear(right, left) for left, right in race.pairs)
    apart = f"the 95 % intervals lie apart in {num_clear}"
    if num_lost:
        apart += f", and the other way round in {num_lost}"
    mean = number(race.second.mean_rank, 2)
    follows = "has the same" if race.level else f"follows with {mean}"
    return (
        f"{label(race.second)} {follows}: it is beaten in "
        f"{num_wins} of {len(race.pairs)} comparisons, and {apart}. "
        f"A sign test with one vote a task gives p = {number(race.p)}."
    )


def _race(chosen: Sequence[Record], first: Rank, chasers: Sequence[Rank]) -> _Lead:
    pairs = _pairs(chosen, first, chasers[0])
    votes: dict[str, int] = {}
    for left, right in pairs:
        vote = is_better(left, right) - is_better(right, left)
        votes[left.task] = votes.get(left.task, 0) + vote
    num_tied = sum(vote == 0 for vote in votes.values())
    wins = sum(vote > 0 for vote in votes.values()) + num_tied // 2
    losses = sum(vote < 0 for vote in votes.values()) + num_tied // 2
    p = sign_test(wins, losses)
    level = [rank for rank in chasers if abs(rank.mean_rank - first.mean_rank) < _LEVEL]
    is_sure = p < _SIGNIFICANT and wins > losses and not level
    return _Lead(chasers[0], pairs, p, is_sure, level)


def _pairs(chosen: Sequence[Record], first: Rank, second: Rank) -> list[tuple[Record, Record]]:
    found: dict[tuple[str, bool], dict[tuple[str, str | None], Record]] = {}
    for record in chosen:
        if (record.split, record.unit) == (first.split, first.unit):
            by_row = found.setdefault((record.task, record.masked), {})
            by_row[record.row, record.focus] = record
    keys = (first.row, first.focus), (second.row, second.focus)
    return [(found[keys[0]], found[keys[1]]) for found in found.values() if set(keys) <= set(found)]


def _heads(first: Rank, single: Sequence[Rank]) -> str:
    """Say who leads under each head alone; ranks come with the best first."""
    leaders: dict[str, Rank] = {}
    for rank in single:
        leaders.setdefault(rank.head, rank)
    if len(leaders) < 2:
        return ""
    won: dict[str, list[str]] = {}
    for head, rank in leaders.items():
        won.setdefault(label(rank), []).append(head)
    if set(won) == {label(first)}:
        return f"It also leads under each head alone: {listed(sorted(leaders))}."
    parts = [f"{name} under {listed(sorted(heads))}" for name, heads in sorted(won.items())]
    return f"Under one head for all, {listed(parts)} {'leads' if len(parts) == 1 else 'lead'}."


_LEAKS = (
    "This is a random split: a cell that is tested has its neighbours in training, and neighbours "
    "are alike. These scores are too good. They are here to show by how much; use the spatial "
    "split for any claim."
)


def header(content: Content) -> Html:
    """Return the top of the page."""
    pairs = [(split, unit) for split in content.splits for unit in UNIT_NAMES]
    leads = [lead for lead in (lead_of(content, *pair) for pair in pairs) if lead is not None]
    has_leak = "random" in (*content.splits, content.split["name"])
    warning = joined(element("strong", "Neighbours leak. "), _LEAKS)
    return element(
        "header",
        element("p", "geoindex evaluation", class_="brand"),
        element("p", warning, class_="banner", role="alert") if has_leak else None,
        element("h1", leads[0].headline if leads else "Nothing was ranked."),
        *(_doubt_of(lead, has_headline=i > 0) for i, lead in enumerate(leads)),
        _facts(content),
        _legend(content),
    )


def _doubt_of(lead: Lead, *, has_headline: bool) -> Html:
    headline = element("b", lead.headline, " ") if has_headline else None
    return element("p", headline, f"{lead.doubt} {lead.heads}".strip(), class_="doubt")


def _facts(content: Content) -> Html:
    meta, split = content.meta, content.split
    places = meta.get("places") or []
    names = [name_of(place["name"]) for place in places]
    words = [joined(", " if i else "", name) for i, name in enumerate(names)]
    entities, cells = (
        sum(place.get(key) or 0 for place in places) for key in ("entities", "cells")
    )
    folds = split.get("num_folds")
    detail = [f"{folds} folds"] if folds and split["name"] != "places" else []
    if split["name"] == "spatial" and split.get("gap") is not None:
        detail.append(f"gap of {plural(split['gap'], 'ring')}")
    seeds = meta.get("seeds") or []
    num_tasks = len(unique(record.task for record in content.records))
    facts = [
        (plural(len(places), "place"), joined(*words)),
        (f"{cells:,} cells", f"of H3 resolution {meta.get('resolution', '?')}"),
        (f"{entities:,} entities", "with their tags and geometry"),
        (SPLIT_NAMES.get(split["name"], split["name"]), ", ".join(detail)),
        (plural(len(seeds), "seed"), "each splits and fits anew"),
        (
            plural(num_tasks, "task"),
            f"{plural(len(content.rows), 'row')} × {plural(len(content.heads), 'head')}",
        ),
    ]
    return element(
        "dl",
        *(element("div", element("dt", what), element("dd", how)) for what, how in facts),
        class_="facts",
    )


def _legend(content: Content) -> Html:
    rows = (
        element(
            "span",
            element("i", class_=f"dot {content.colour(row)}"),
            element("b", row),
            f" {content.titles.get(row, '')}".rstrip(),
        )
        for row in content.rows
    )
    heads = [element("span", legend_mark(i), head) for i, head in enumerate(content.heads)]
    heads.append(element("span", legend_mark(CHOSEN_SHAPE), "chosen by validation, fold by fold"))
    if CONSTANT in content.rows:
        heads.append(element("span", element("i", class_="dash"), "constant: nothing is known"))
    heads.append(
        element("span", element("i", class_="whisker"), "95 % interval, over seeds and blocks")
    )
    return joined(element("p", *rows, class_="legend rows"), element("p", *heads, class_="legend"))
