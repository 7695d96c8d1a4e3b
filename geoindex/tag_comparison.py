"""Which tags do two entities share, which are near, which has only one of them?

A tag's weight is its share of all the weights of its entity (0 to 1, summing to 1): how much it
counts in the pooled tag vector. Of two entities' shares the smaller is given. Tags that the encoder
drops (ids, sources) have no weight and are not named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geoindex.models import tag_vectors

if TYPE_CHECKING:
    from encoder.embedder import Embedder

# two tags of different keys are called near above this: of two frequent tags drawn at random fewer
# than 1 in 100 pairs are; shop=coffee and cuisine=coffee have 0.52, amenity=cafe and shop=coffee
# 0.39
NEAR_COSINE = 0.4
MOST_NAMED = 5
_DIGITS = 4


class WeighedTag(NamedTuple):
    """A tag and its weight, 0 to 1."""

    tag: str
    weight: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, the weight with four digits."""
        return {"tag": self.tag, "weight": round(self.weight, _DIGITS)}


class NearTags(NamedTuple):
    """Two tags with one key, or with vectors that are near; `cosine` is that of the vectors."""

    first: str
    second: str
    weight: float
    cosine: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, numbers with four digits."""
        numbers = {"weight": self.weight, "cosine": self.cosine}
        rounded = {name: round(value, _DIGITS) + 0.0 for name, value in numbers.items()}
        return {"first": self.first, "second": self.second, **rounded}


@dataclass(frozen=True)
class TagComparison:
    """The tags of two entities, at most `MOST_NAMED` of each sort, those that weigh most first.

    Attributes
    ----------
    shared
        Equal in key and value.
    near
        Pairs of those left: the same key, or a cosine above `NEAR_COSINE`; each tag stands once.
    only_first, only_second
        Those left then.
    """

    shared: Sequence[WeighedTag]
    near: Sequence[NearTags]
    only_first: Sequence[WeighedTag]
    only_second: Sequence[WeighedTag]

    def as_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return plain values."""
        return {name: [item.as_dict() for item in found] for name, found in vars(self).items()}


def compare_tags(encoder: "Embedder", first: Sequence[str], second: Sequence[str]) -> TagComparison:
    """Compare the tags of two entities.

    Parameters
    ----------
    first, second
        ``key=value`` texts, each once; may be empty.
    """
    every = sorted({*first, *second})
    vectors, salience = tag_vectors(encoder, every)
    weights = dict(zip(every, salience.astype(np.float64).tolist(), strict=True))
    wide = dict(zip(every, vectors.astype(np.float64), strict=True))
    ours, theirs = _shares(first, weights), _shares(second, weights)
    shared = [WeighedTag(tag, min(ours[tag], theirs[tag])) for tag in ours.keys() & theirs.keys()]
    here, there = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    near = []
    for same_key, cosine, tag, other in _candidates(here, there, wide):
        if tag in here and other in there and (same_key or cosine > NEAR_COSINE):
            here.remove(tag)
            there.remove(other)
            near.append(NearTags(tag, other, min(ours[tag], theirs[other]), cosine))
    return TagComparison(
        _heaviest(shared),
        sorted(near, key=lambda pair: (-pair.weight, pair.first))[:MOST_NAMED],
        _heaviest([WeighedTag(tag, ours[tag]) for tag in here]),
        _heaviest([WeighedTag(tag, theirs[tag]) for tag in there]),
    )


def _shares(tags: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each tag that counts at all."""
    total = sum(weights[tag] for tag in tags)
    return {tag: weights[tag] / total for tag in tags if weights[tag] > 0}


def _candidates(
    here: Sequence[str], there: Sequence[str], vectors: Mapping[str, Any]
) -> list[tuple[bool, float, str, str]]:
    """Return every pair: those with the same key first, then the nearer ones."""
    pairs = [
        (_key(tag) == _key(other), float((vectors[tag] * vectors[other]).sum()), tag, other)
        for tag in here
        for other in there
    ]
    return sorted(pairs, key=lambda pair: (not pair[0], -pair[1], pair[2], pair[3]))


def _key(tag: str) -> str:
    return tag.partition("=")[0]


def _heaviest(tags: Sequence[WeighedTag]) -> list[WeighedTag]:
    return sorted(tags, key=lambda item: (-item.weight, item.tag))[:MOST_NAMED]
