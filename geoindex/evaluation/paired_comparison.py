"""Paired differences of two methods in a task, with bootstrap intervals.

Both methods are scored on the same units, folds and seeds, so what makes a task hard in some area
is hard for both and cancels: once each with the heads chosen on validation rows, and once both by
k-NN, which is what search does. The interval is a bootstrap of the difference: each draw takes
spatial blocks with replacement, the same for both methods, and seeds with replacement. A method
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
from geoindex.evaluation.score_heads import CHOSEN, COMPARED_HEADS, HeadScores

if TYPE_CHECKING:
    from geoindex.evaluation.comparisons import Comparison

WINS, TIES, LOSES = "wins", "ties", "loses"
_TAIL = 2.5


def compare_methods(
    comparison: "Comparison",
    scores: Mapping[tuple[str, str | None], Mapping[str, Sequence[HeadScores]]],
) -> list[dict[str, Any]]:
    """Return one item of `comparisons` for each compared head and pair of methods.

    Parameters
    ----------
    scores
        By method and focus, then by head: one item a seed. The constant is left out.
    """
    metric = comparison.task.metric
    # where there is one head, it is the chosen one
    run_heads = comparison.run.heads if len(comparison.run.heads) > 1 else ()
    heads = [head for head in COMPARED_HEADS if head in (CHOSEN, *run_heads)]
    pairs = list(combinations([key for key in scores if key[0] != CONSTANT], 2))
    found = []
    for head, (first, second) in product(heads, pairs):
        one, two = scores[first][head], scores[second][head]
        difference, low, high = paired_difference(
            _values(one, metric),
            _values(two, metric),
            _draws(one),
            _draws(two),
            sign=-1 if metric in LOWER_IS_BETTER else 1,
        )
        found.append(
            {
                "split": comparison.run.settings.split,
                "task": comparison.task.name,
                "unit": comparison.task.unit,
                "masked": comparison.is_masked,
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
    """Return how much better the first method is, and the 95 % interval of that.

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
    """Return the verdict of an interval; one that is not known is a tie."""
    if low > 0:
        return WINS
    return LOSES if high < 0 else TIES


def flipped(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison with the two methods exchanged."""
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
    """Return every comparison and the same with the methods exchanged."""
    return [side for item in items for side in (dict(item), flipped(item))]


def _values(scores: Sequence[HeadScores], metric: str) -> list[float]:
    return [one.scores[metric]["value"] for one in scores]


def _draws(scores: Sequence[HeadScores]) -> NDArray[np.float64]:
    return np.array([one.draws for one in scores], np.float64)
