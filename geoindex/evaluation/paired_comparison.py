"""Which row is better in a task, and how sure is that? Paired differences of two rows.

Both rows are judged on the same units, folds and seeds, so what makes a task hard on some ground is
hard for both and cancels: once each with the heads that its validation rows chose, and once both
by k-NN, which is what search does. The interval is a bootstrap of the difference: each of its draws
takes blocks of ground with replacement, the same for both rows, and seeds with replacement. A row
wins where the whole 95 % interval is above 0.

Over 20 tasks one verdict in favour of nothing is to be expected by chance.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.metrics import LOWER_IS_BETTER
from geoindex.evaluation.score_heads import CHOSEN, COMPARED, Judgement

if TYPE_CHECKING:
    from geoindex.evaluation.comparisons import Race

WINS, TIES, LOSES = "wins", "ties", "loses"
_TAIL = 2.5


def compared(
    race: "Race", judged: Mapping[tuple[str, str | None], Mapping[str, Sequence[Judgement]]]
) -> list[dict[str, Any]]:
    """Return one item of `comparisons` for each head compared and pair of rows but the constant.

    Parameters
    ----------
    judged
        What rows reached by head, one judgement a seed, by row and focus.
    """
    metric = race.task.metric
    # where there is one head, it is the chosen one
    run_heads = race.run.heads if len(race.run.heads) > 1 else ()
    heads = [head for head in COMPARED if head in (CHOSEN, *run_heads)]
    pairs = list(combinations([key for key in judged if key[0] != CONSTANT], 2))
    found = []
    for head, (first, second) in product(heads, pairs):
        one, two = judged[first][head], judged[second][head]
        difference, low, high = paired_difference(
            _values(one, metric),
            _values(two, metric),
            _draws(one),
            _draws(two),
            sign=-1 if metric in LOWER_IS_BETTER else 1,
        )
        found.append(
            {
                "split": race.run.settings.split,
                "task": race.task.name,
                "unit": race.task.unit,
                "masked": race.is_masked,
                "metric": metric,
                "row": first[0],
                "focus": first[1],
                "other": second[0],
                "other_focus": second[1],
                "head": head,
                "difference": difference,
                "low": low,
                "high": high,
                "verdict": verdict_of(low, high),
            }
        )
    return found


def paired_difference(
    values: Sequence[float],
    other_values: Sequence[float],
    draws: NDArray[np.float64],
    other_draws: NDArray[np.float64],
    *,
    sign: int = 1,
) -> tuple[float, float, float]:
    """Return how much better the first row is, and the 95 % interval of that.

    Parameters
    ----------
    values, other_values
        One score a seed.
    draws, other_draws
        Shape ``(seeds, draws)``: the score in each draw of blocks, the same draws in all; NaN where
        it is not defined.
    sign
        -1 where a smaller score is better.
    """
    difference = sign * float(np.mean(np.subtract(values, other_values)))
    apart = sign * (draws - other_draws)
    num_seeds, num_draws = apart.shape
    picks = np.random.default_rng(0).integers(0, num_seeds, (num_seeds, num_draws))
    mean = np.take_along_axis(apart, picks, axis=0).mean(axis=0)
    known = mean[np.isfinite(mean)]
    if not known.size:
        return difference, float("nan"), float("nan")
    low, high = np.percentile(known, [_TAIL, 100 - _TAIL])
    return difference, float(low), float(high)


def verdict_of(low: float, high: float) -> str:
    """Return what the interval of a difference says; one that is not known says nothing."""
    if low > 0:
        return WINS
    return LOSES if high < 0 else TIES


def turned(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison from the other row's side."""
    low, high = (None if item[name] is None else -item[name] for name in ("high", "low"))
    other_way = {WINS: LOSES, TIES: TIES, LOSES: WINS}
    return {
        **item,
        "row": item["other"],
        "focus": item["other_focus"],
        "other": item["row"],
        "other_focus": item["focus"],
        "difference": None if item["difference"] is None else -item["difference"],
        "low": low,
        "high": high,
        "verdict": other_way[item["verdict"]],
    }


def both_ways(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every comparison from the side of either row."""
    return [side for item in items for side in (dict(item), turned(item))]


def _values(judgements: Sequence[Judgement], metric: str) -> list[float]:
    return [judged.scores[metric]["value"] for judged in judgements]


def _draws(judgements: Sequence[Judgement]) -> NDArray[np.float64]:
    return np.array([judged.draws for judged in judgements], np.float64)
