"""Give tags their vectors and weights by the rules, whatever makes the vector of a text.

`RuledTags` reads each tag by `encoder.tags.rules`, asks a subclass for the vectors of the texts
that are left, and puts them together. Every vector has unit length, or is zero where the rule
drops the tag.

- KIND, CATEGORY: the text of key and value. A list is the mean of its parts.
- NUMBER: the key's vector, turned by `NUMBER_SHARE` towards the code of the number.
- NAME: the value alone.
- ADDRESS: one vector for all of them. PRESENCE, and any tag without a value: the key's vector.

The code of a number is near that of near numbers. A number on `encoder.tags.rules.number_scale`
turns five clocks (cosine and sine of five frequencies). The cosine of two codes depends on their
difference alone, falls smoothly with it, and the code never leaves the unit sphere: random Fourier
features (Rahimi & Recht, NeurIPS 2007) with fixed frequencies.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from encoder.errors import TagInputError
from encoder.tags.pooling import TagWeights, pool
from encoder.tags.rules import DROPPED, ReadTag, Rule, read_tag

# from a wave over 50 e-folds (from a hamlet to a country) to one over 3 (two storeys or three)
_FREQUENCIES = 2.0 ** np.arange(-3, 2)
_MIN_DIM = 4 * len(_FREQUENCIES)


def number_directions(dim: int) -> NDArray[np.float64]:
    """Return orthonormal directions for the code of a number, shape ``(10, dim)``.

    Rows of a cosine transform: the same on every machine, spread over all dimensions.
    """
    if dim < _MIN_DIM:
        msg = f"dim is {dim}; numbers need at least {_MIN_DIM}, for example 192"
        raise TagInputError(msg)
    waves = dim // 2 + np.arange(2 * len(_FREQUENCIES))
    places = (np.arange(dim) + 0.5) / dim
    return np.asarray(np.cos(np.pi * waves[:, None] * places) * np.sqrt(2 / dim), np.float64)


def number_codes(scaled: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Return a unit vector a number, near for near numbers, shape ``(n, dim)``.

    Parameters
    ----------
    scaled
        Numbers on `encoder.tags.rules.number_scale`, shape ``(n,)``.
    dim
        Length of a vector, at least 20.
    """
    angles = scaled[:, None] * _FREQUENCIES
    code = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(len(_FREQUENCIES))
    return np.asarray(code @ number_directions(dim), np.float64)


# two numbers of one key have a cosine of at least 1 - 2 * share; 50 and 60 km/h have .99
NUMBER_SHARE = 0.4

_ADDRESS_KEY = "addr"
_MAX_WORDS = 24
_MAX_MEMORY = 200_000  # tags whose weight is remembered between calls, some 30 MB
_WORD_BREAKS = str.maketrans("_:=", "   ")


class TagVectors(Protocol):
    """Whatever turns tags into vectors and weights: the static table or a text model."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever a vector or weight may."""

    def vectors(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit or zero vector a tag, shape ``(n, dim)``."""

    def weights(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return one weight in [0, 1] a tag, shape ``(n,)``."""

    def pool(
        self,
        tags: Sequence[str],
        offsets: NDArray[np.integer[Any]],
        *,
        codes: NDArray[np.integer[Any]] | None = None,
    ) -> NDArray[np.float32]:
        """Return one vector an entity, shape ``(n, dim)``."""


def tag_words(key: str, value: str = "") -> list[str]:
    """Return the words that stand for a tag, value first: "fast food amenity".

    Of the wordings tried in docs/decisions/0003 the shortest, and the best but for noise.
    """
    return f"{value} {key}".translate(_WORD_BREAKS).split()[:_MAX_WORDS]


def unit_rows(rows: NDArray[Any], *, in_place: bool = False) -> NDArray[np.float32]:
    """Return rows of length 1, perhaps in place; a zero row stays zero."""
    # three times as fast as np.linalg.norm, which makes a matrix of squares first
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    length[length == 0] = 1
    if in_place:
        rows /= length
        return rows
    return np.asarray(rows / length, np.float32)


class RuledTags(ABC):
    """Vectors by the rules of this module; a subclass says what vector a text gets."""

    def __init__(self, dim: int, fingerprint: str, weights: TagWeights) -> None:
        self._dim, self._fingerprint, self._weights = dim, fingerprint, weights
        self._weight_memory: dict[str, float] = {}

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever a vector or weight may."""
        return self._fingerprint

    @abstractmethod
    def _text_vectors(self, texts: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return unit or zero vectors of unique (key, value) pairs; either may be empty."""

    def vectors(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector a tag.

        Parameters
        ----------
        tags
            ``key=value`` texts; any text will do. Give each once: repeats cost as much again.

        Returns
        -------
        vectors
            Shape ``(n, dim)``, each of length 1, or zero where `encoder.tags.rules` drops the tag.
        """
        places: dict[tuple[str, str], int] = {}
        indptr, members = [0], []
        numbers: list[float] = []
        number_of: list[int] = []
        for i, tag in enumerate(tags):
            read = read_tag(tag)
            for text in _texts_of(read):
                members.append(places.setdefault(text, len(places)))  # noqa: PERF401 - `places` grows in the loop
            indptr.append(len(members))
            if read.numbers:
                numbers.extend(read.numbers)
                number_of.extend([i] * len(read.numbers))
        if not members:
            return np.zeros((len(tags), self.dim), np.float32)
        ones = np.ones(len(members), np.float32)
        parts = sparse.csr_matrix((ones, members, indptr), shape=(len(tags), len(places)))
        vectors = unit_rows(parts @ self._text_vectors(list(places)))
        if numbers:
            rows, first = np.unique(number_of, return_index=True)
            codes = np.add.reduceat(number_codes(np.array(numbers), self.dim), first)
            turned = (1 - NUMBER_SHARE) ** 0.5 * vectors[rows]
            vectors[rows] = unit_rows(turned + NUMBER_SHARE**0.5 * unit_rows(codes))
        return vectors

    def weights(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return how much each tag counts, shape ``(n,)``, in [0, 1]; 0 where it is dropped."""
        memory = self._weight_memory
        if len(memory) > _MAX_MEMORY:
            memory.clear()
        found = [memory.get(tag) for tag in tags]
        for i, weight in enumerate(found):
            if weight is None:
                found[i] = memory[tags[i]] = self._weights.of(read_tag(tags[i]))
        return np.array(found, np.float32)

    def pool(
        self,
        tags: Sequence[str],
        offsets: NDArray[np.integer[Any]],
        *,
        codes: NDArray[np.integer[Any]] | None = None,
    ) -> NDArray[np.float32]:
        """Return one vector an entity: ``sum(w v) / sqrt(sum(w^2))`` over its tags.

        Parameters
        ----------
        tags
            The tags of all entities in a row, shape ``(m,)``; with `codes`, the unique tags.
        offsets
            Shape ``(n + 1,)``: entity i has the tags ``offsets[i]`` to ``offsets[i + 1]``.
        codes
            Shape ``(m,)``, which of `tags` each is: what an Arrow dictionary array holds.

        Returns
        -------
        pooled
            Shape ``(n, dim)``; see `encoder.tags.pooling.pool`.
        """
        if codes is None:
            places: dict[str, int] = {}
            codes = np.array([places.setdefault(tag, len(places)) for tag in tags], np.int64)
            tags = list(places)
        return pool(codes, offsets, vectors=self.vectors(tags), weights=self.weights(tags))


def _texts_of(read: ReadTag) -> Iterable[tuple[str, str]]:
    rule, key, values, _ = read
    if rule in DROPPED:
        return ()
    if rule is Rule.ADDRESS:
        return ((_ADDRESS_KEY, ""),)
    if rule is Rule.NAME:
        return (("", values[0]),) if values else ((key, ""),)
    if not values:
        return ((key, ""),)
    return [(key, value) for value in values]
