"""Predict kinds, with probabilities, from the kinds of the nearest vectors.

The vote of the nearest references, each weighed by ``exp((s - s1) / temperature)`` where s is its
similarity and s1 that of the nearest, plus `prior_weight` votes that go to all kinds by their share
of the references. Both numbers are chosen on the references themselves, each predicted by the
others, to give the largest likelihood: that is what makes the probabilities honest.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.search_judge.nearest import Neighbours, nearest, same_value_pairs

K = 30
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.5)
PRIOR_WEIGHTS = (0.3, 1.0, 3.0, 10.0)
# as many of the references choose the two numbers
_MOST_CHOOSING = 2000


@dataclass(frozen=True, eq=False)
class KindModel:
    """References that are known, and how they vote.

    Attributes
    ----------
    vectors
        Of the references, unit rows, shape ``(r, d)``.
    kinds
        A number each, shape ``(r,)``, below `num_kinds`.
    groups
        Shape ``(r,)``: parts of one thing have the same; they do not vote for each other.
    prior
        Share of each kind, shape ``(num_kinds,)``.
    temperature, prior_weight
        See the module.
    """

    vectors: NDArray[np.float32]
    kinds: NDArray[np.int64]
    groups: NDArray[np.int64]
    prior: NDArray[np.float64]
    temperature: float
    prior_weight: float

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        kinds: NDArray[np.int64],
        groups: NDArray[np.int64],
        *,
        num_kinds: int,
    ) -> "KindModel":
        """Take references, at least one, and choose how they vote."""
        vectors = unit_rows(vectors)
        prior = np.bincount(kinds, minlength=num_kinds) / len(kinds)
        best, chosen = -np.inf, (TEMPERATURES[0], PRIOR_WEIGHTS[0])
        step = max(1, len(kinds) // _MOST_CHOOSING)
        some = np.arange(0, len(kinds), step)
        found = _found(vectors[some], groups[some], vectors, groups)
        for temperature, weight in product(TEMPERATURES, PRIOR_WEIGHTS):
            model = cls(vectors, kinds, groups, prior, temperature, weight)
            shares = model._shares(found, vectors[some])
            likelihood = float(np.log(shares[np.arange(len(some)), kinds[some]] + 1e-9).mean())
            if likelihood > best:
                best, chosen = likelihood, (temperature, weight)
        return cls(vectors, kinds, groups, prior, *chosen)

    def predict(
        self, vectors: NDArray[np.float32], groups: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], Neighbours]:
        """Return the probability of each kind, and the references that voted.

        Parameters
        ----------
        vectors, groups
            Of q entities; references of the same group do not vote.

        Returns
        -------
        probabilities
            Shape ``(q, num_kinds)``; rows add up to 1.
        neighbours
            Their candidates are places among the references.
        """
        vectors = unit_rows(vectors)
        found = _found(vectors, groups, self.vectors, self.groups)
        return self._shares(found, vectors), found

    def _shares(self, found: Neighbours, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        similarity = similarities(found, vectors, self.vectors)
        first = np.full(found.num_queries, -np.inf)
        np.maximum.at(first, found.query, similarity)
        weight = found.weight * np.exp((similarity - first[found.query]) / self.temperature)
        num_kinds = len(self.prior)
        at = found.query * num_kinds + self.kinds[found.candidate]
        counted = np.bincount(at, weights=weight, minlength=found.num_queries * num_kinds)
        votes = counted.reshape(-1, num_kinds) + self.prior_weight * self.prior
        shares: NDArray[np.float64] = votes / votes.sum(axis=1, keepdims=True)
        return shares


def _found(
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    references: NDArray[np.float32],
    their_groups: NDArray[np.int64],
) -> Neighbours:
    parts = same_value_pairs(groups, their_groups)
    return nearest(vectors, references, K, left_out=parts)


def similarities(
    found: Neighbours, queries: NDArray[np.float32], candidates: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the cosine of each pair of unit rows, shape ``(m,)``."""
    return np.einsum(
        "ij,ij->i", queries[found.query], candidates[found.candidate], dtype=np.float64
    )
