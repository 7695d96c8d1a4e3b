"""Find the nearest rows of each query, with no luck in ties.

Where several candidates are equally near and not all of them fit among the k nearest, each counts
for the same part of the places that are left. A vector that is the same for all therefore scores
exactly what drawing at random would, and no order of rows, file or id helps anybody.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# cosines this close are equal: the same product, summed in another order
_NEAR = 1e-6
_SIMILARITIES_AT_ONCE = 1 << 23
# of more equally near candidates than these, so many drawn at random stand for all
_MOST_TIED = 2048


@dataclass(frozen=True)
class Neighbours:
    """The nearest candidates of q queries.

    Attributes
    ----------
    query, candidate
        Places among queries and among candidates, shape ``(m,)``; queries ascend.
    weight
        Shape ``(m,)``: 1, or a part where candidates are equally near. Those of a query add up to
        its k, or to the number of candidates that it has; about, where thousands are equally near.
    num_queries
        q.
    """

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    weight: NDArray[np.float64]
    num_queries: int

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of a value of each pair, by query, shape ``(q,)``.

        NaN are left out; a query of which nothing is left has NaN.
        """
        has = ~np.isnan(values)
        total = self._sums(np.where(has, values, 0) * self.weight)
        weight = self._sums(has * self.weight)
        with np.errstate(invalid="ignore"):
            return np.where(weight > 0, total / weight, np.nan)

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.query, values, self.num_queries).astype(np.float64)

    def votes(self, classes: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
        """Return each query's share of neighbours of each class, shape ``(q, num_classes)``.

        Parameters
        ----------
        classes
            Of the candidates.
        """
        at = self.query * num_classes + classes[self.candidate]
        found = np.bincount(
            at, weights=self.weight, minlength=self.num_queries * num_classes
        ).reshape(self.num_queries, num_classes)
        return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)


def nearest(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    k: int | NDArray[np.int64],
    *,
    left_out: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Neighbours:
    """Find the k nearest candidates of each query by inner product.

    Parameters
    ----------
    queries, candidates
        Rows of unit length, or zero; shapes ``(q, d)`` and ``(c, d)``.
    k
        One for all, or of each query, shape ``(q,)``; at least 1.
    left_out
        Pairs of a query and a candidate that it may not have; queries ascend.
    """
    wanted = np.broadcast_to(np.asarray(k, np.int64), (len(queries),))
    rows_at_once = max(1, _SIMILARITIES_AT_ONCE // max(len(candidates), 1))
    parts = []
    for start in range(0, len(queries), rows_at_once):
        some = slice(start, min(start + rows_at_once, len(queries)))
        similarity = queries[some] @ candidates.T
        if left_out is not None:
            pairs = slice(*np.searchsorted(left_out[0], (some.start, some.stop)))
            similarity[left_out[0][pairs] - start, left_out[1][pairs]] = -np.inf
        found = _pairs(similarity, wanted[some])
        parts.append((found[0] + start, *found[1:]))
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    joined = [np.concatenate(part) for part in zip(empty, *parts, strict=True)]
    return Neighbours(joined[0], joined[1], joined[2], len(queries))


def same_value_pairs(
    queries: NDArray[np.int64], candidates: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of a query and a candidate that have the same value; queries ascend.

    Parameters
    ----------
    queries, candidates
        Values, shapes ``(q,)`` and ``(c,)``.
    """
    order = np.argsort(candidates, kind="stable")
    ordered = candidates[order]
    first = np.searchsorted(ordered, queries, "left")
    counts = np.searchsorted(ordered, queries, "right") - first
    query = np.repeat(np.arange(len(queries)), counts)
    within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    return query, order[np.repeat(first, counts) + within]


def _pairs(
    similarity: NDArray[np.float32], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    num_queries, num_candidates = similarity.shape
    if not num_candidates:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    most = min(int(wanted.max(initial=1)), num_candidates)
    top = np.partition(similarity, num_candidates - most, axis=1)[:, num_candidates - most :]
    top = -np.sort(-top, axis=1)
    last = top[np.arange(num_queries), np.minimum(wanted, most) - 1]
    # a query with fewer candidates than it wants takes all of them
    least = np.where(
        np.isfinite(last), last, top.min(axis=1, initial=np.inf, where=np.isfinite(top))
    )
    query, candidate = np.nonzero(similarity >= (least - np.float32(_NEAR))[:, None])
    is_above = similarity[query, candidate] > least[query] + np.float32(_NEAR)
    above = np.bincount(query, weights=is_above, minlength=num_queries)
    tied = np.bincount(query, weights=~is_above, minlength=num_queries)
    part = np.clip((wanted - above) / np.maximum(tied, 1), 0, 1)
    weight = np.where(is_above, 1.0, part[query])
    share = np.minimum(1, _MOST_TIED / np.maximum(tied, 1))[query]
    if share.min(initial=1) < 1:
        kept = is_above | (np.random.default_rng(0).random(len(share)) < share)
        weight = np.where(is_above, weight, weight / share)
        query, candidate, weight = query[kept], candidate[kept], weight[kept]
    return query, candidate, weight
