"""Pool the tags of an entity into one vector, each by its weight.

Weights lie in [0, 1]: ``rule * (IDF_FLOOR + (1 - IDF_FLOOR) * idf)``.

- ``rule`` is the factor in `RULE_WEIGHTS`: what an entity is counts twice what describes it.
- ``idf = log(share) / log(smallest share)``, in [0, 1]; ``share`` is the part of tagged entities
  that carry the tag, averaged over the counted extracts so that no large one decides alone.
- The floor keeps the common tags: ``building=yes`` counts about a third of the rarest kind.
- An unseen value of a known key counts as the rarest tag does, times the part of the key's use
  that lies in frequent values: ``amenity=x`` is news, one more ``roof:colour=#a1b2c3`` is less.
- An unknown key has `UNKNOWN_KEY_IDF`; it may be a new idea or a typing error.
- NUMBER, PRESENCE and tags without a value take the idf of their key.
- NAME and ADDRESS take no idf, so that a rare name is never what an entity is about.
- A list has the mean weight of its parts. NOISE and ID have none.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from encoder.errors import TagInputError
from encoder.tags.rules import ReadTag, Rule

# bounds the float64 working copy at about 50 MB of 192-d rows, however many entities come
_ROWS_AT_ONCE = 32_768


def pool(
    codes: NDArray[np.integer[Any]],
    offsets: NDArray[np.integer[Any]],
    *,
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return ``sum(w v) / sqrt(sum(w^2))`` over the tags of each entity.

    One tag gives its own vector; n tags of equal weight give their sum over the square root of n:
    unrelated tags neither shrink the result, as a mean would, nor swell it, as a sum would.

    Parameters
    ----------
    codes
        Which unique tag, shape ``(m,)``; entity i has ``codes[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(n + 1,)``, from 0 to m, never falling.
    vectors, weights
        Of the unique tags, shapes ``(u, dim)`` and ``(u,)``; weights at least 0.

    Returns
    -------
    pooled
        Shape ``(n, dim)``; zero for an entity none of whose tags has a weight. Sums are made in
        float64, so neither the order of the tags nor the other entities of a call show.

    Raises
    ------
    TagInputError
        If codes, offsets, vectors and weights do not fit together.
    """
    codes, offsets = np.asarray(codes), np.asarray(offsets, np.int64)
    _check(codes, offsets, vectors, weights)
    # what has no weight adds nothing: a third of the tags of a real map
    telling = weights[codes] > 0
    codes, offsets = codes[telling], np.append(0, np.cumsum(telling))[offsets]
    n = len(offsets) - 1
    pooled = np.zeros((n, vectors.shape[1]), np.float32)
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, n)
        low, high = offsets[start], offsets[stop]
        used, local = np.unique(codes[low:high], return_inverse=True)
        w = weights[used].astype(np.float64)
        indptr = offsets[start : stop + 1] - low
        members = sparse.csr_matrix((w[local], local, indptr), shape=(stop - start, len(used)))
        # one order of addition for one set of tags
        members.sort_indices()
        sums = members @ vectors[used].astype(np.float64)
        squares = sparse.csr_matrix((members.data**2, members.indices, indptr), members.shape)
        norms = np.sqrt(squares @ np.ones(len(used)))
        pooled[start:stop] = sums / np.where(norms > 0, norms, 1)[:, None]
    return pooled


def _check(
    codes: NDArray[Any], offsets: NDArray[Any], vectors: NDArray[Any], weights: NDArray[Any]
) -> None:
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(codes):
        msg = (
            f"offsets are {offsets.tolist()[:5]} for {len(codes)} codes; want n + 1 values "
            f"from 0 to {len(codes)}, for example [0, {len(codes)}]"
        )
        raise TagInputError(msg)
    if (np.diff(offsets) < 0).any():
        msg = "offsets fall somewhere; want each at least as large as the one before: [0, 2, 2, 5]"
        raise TagInputError(msg)
    if len(vectors) != len(weights):
        msg = f"{len(vectors)} vectors and {len(weights)} weights; want one of each a unique tag"
        raise TagInputError(msg)
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(vectors)):
        msg = (
            f"codes run from {codes.min()} to {codes.max()}; want 0 to {len(vectors) - 1}, "
            "the rows of the vectors"
        )
        raise TagInputError(msg)


RULE_WEIGHTS: Mapping[Rule, float] = {
    Rule.KIND: 1.0,
    Rule.CATEGORY: 0.5,
    Rule.NUMBER: 0.3,
    Rule.PRESENCE: 0.1,
    Rule.NAME: 0.1,
    Rule.ADDRESS: 0.02,  # an entity often has six of them, all alike
    Rule.ID: 0.0,
    Rule.NOISE: 0.0,
}
TRANSLATED_NAME_WEIGHT = 0.01  # name:sv, alt_name ...: a capital has two hundred
IDF_FLOOR = 0.25
UNKNOWN_KEY_IDF = 0.5

_PLAIN_NAMES = frozenset({"name", "brand", "operator", "network"})


class TagWeights:
    """The weight of any tag, from the shares of the frequent ones.

    Parameters
    ----------
    shares
        Part of the tagged entities, in (0, 1], that carry a tag ("amenity=cafe") or a key
        ("amenity").
    known
        Part of a key's use, in [0, 1], that lies in tags of `shares`.
    """

    def __init__(self, shares: Mapping[str, float], known: Mapping[str, float]) -> None:
        self._shares, self._known = shares, known
        self._log_smallest = math.log(min(min(shares.values(), default=0.5), 0.5))

    def idf(self, text: str) -> float | None:
        """Return 0 for a tag or key on every entity, 1 for the rarest counted, None if unknown."""
        share = self._shares.get(text)
        return None if share is None else math.log(min(share, 1.0)) / self._log_smallest

    def of(self, read: ReadTag) -> float:
        """Return the weight, in [0, 1], of a tag that `encoder.tags.rules.read_tag` has read."""
        rule, key, values, _ = read
        factor = RULE_WEIGHTS[rule]
        if rule is Rule.NAME:
            return factor if key in _PLAIN_NAMES else TRANSLATED_NAME_WEIGHT
        if rule is Rule.ADDRESS or not factor:
            return factor
        if values:
            idf = sum([self._value_idf(key, value) for value in values]) / len(values)
        else:
            key_idf = self.idf(key)
            idf = UNKNOWN_KEY_IDF if key_idf is None else key_idf
        return factor * (IDF_FLOOR + (1 - IDF_FLOOR) * idf)

    def _value_idf(self, key: str, value: str) -> float:
        idf = self.idf(f"{key}={value}")
        return self._known.get(key, UNKNOWN_KEY_IDF) if idf is None else idf
