"""Read tags as tokens of a fixed vocabulary, and as numbers.

A tag gives up to four tokens: ``key=value`` for the first two parts of its value, ``key~b`` where
the value is a number (b counts half octaves), and ``key=*``. Of names, addresses, ids and free text
only the last; of noise none. What is not in the vocabulary is left out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.tags.rules import Rule, key_rule, number_in

#: keys whose numbers are read as numbers, too
NUMBER_KEYS = ("height", "building:levels", "lanes", "width", "capacity", "population", "ele")
TOKENS_OF_TAG = 4
_PARTS = 2
_KEY_ALONE = frozenset({Rule.ID, Rule.ADDRESS, Rule.PRESENCE, Rule.NAME})
_NUMBER_CHANNEL = {key: i for i, key in enumerate(NUMBER_KEYS)}


@dataclass(frozen=True)
class TagTokens:
    """What u unique tags say.

    Attributes
    ----------
    ids
        Places in the vocabulary, shape ``(u, TOKENS_OF_TAG)``, int32; -1 where there is none.
    channel
        Place in `NUMBER_KEYS`, shape ``(u,)``, int8; -1 where there is no number.
    number
        The number, bent: ``asinh(x) / 3``, shape ``(u,)``, float32; 0 where there is none.
    """

    ids: NDArray[np.int32]
    channel: NDArray[np.int8]
    number: NDArray[np.float32]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that an encoder knows.

    Attributes
    ----------
    tokens
        In the order of their ids.
    shares
        Part of the entities that have each token, averaged over places; shape ``(w,)``.
    """

    tokens: Sequence[str]
    shares: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self, tags: Sequence[str]) -> TagTokens:
        """Read unique tags, ``key=value``."""
        place = {token: i for i, token in enumerate(self.tokens)}
        ids = np.full((len(tags), TOKENS_OF_TAG), -1, np.int32)
        channel = np.full(len(tags), -1, np.int8)
        number = np.zeros(len(tags), np.float32)
        for i, tag in enumerate(tags):
            known = [place[token] for token in tokens_of(tag) if token in place]
            ids[i, : len(known)] = known
            key, _, value = tag.partition("=")
            found = number_in(value) if key in _NUMBER_CHANNEL else None
            if found is not None:
                channel[i], number[i] = _NUMBER_CHANNEL[key], math.asinh(found) / 3
        return TagTokens(ids, channel, number)

    @property
    def idf(self) -> NDArray[np.float32]:
        """How much each token tells: minus the logarithm of its share, shape ``(w,)``."""
        found: NDArray[np.float32] = -np.log(np.maximum(self.shares, 1e-6))
        return found


def tokens_of(tag: str) -> list[str]:
    """Return the tokens of a tag, known or not.

    Examples
    --------
    >>> tokens_of("highway=residential")
    ['highway=residential', 'highway=*']
    >>> tokens_of("name=Kungsgatan"), tokens_of("height=12 m")
    (['name=*'], ['height=12 m', 'height~7', 'height=*'])
    """
    key, _, value = tag.partition("=")
    rule = key_rule(key)
    if rule is Rule.NOISE:
        return []
    if rule in _KEY_ALONE:
        return [f"{key}=*"]
    parts = [part.strip() for part in value.split(";")[:_PARTS]]
    found = [f"{key}={part}" for part in dict.fromkeys(parts)]
    number = number_in(value)
    if number is not None and number > 0:
        found.append(f"{key}~{math.floor(2 * math.log2(number))}")
    return [*found, f"{key}=*"]


def fit_vocabulary(
    places: Iterable[tuple[Mapping[str, int], int]], *, size: int, fewest_places: int
) -> Vocabulary:
    """Choose the tokens that most entities have, each place counting the same.

    Parameters
    ----------
    places
        How many entities have each tag, and how many entities there are.
    size
        The most tokens.
    fewest_places
        Leave out what fewer places have.
    """
    shares: dict[str, float] = {}
    seen: dict[str, int] = {}
    num_places = 0
    for tags, num_entities in places:
        num_places += 1
        here: dict[str, int] = {}
        for tag, count in tags.items():
            for token in tokens_of(tag):
                here[token] = here.get(token, 0) + count
        for token, count in here.items():
            shares[token] = shares.get(token, 0.0) + min(count / num_entities, 1.0)
            seen[token] = seen.get(token, 0) + 1
    common = [token for token, count in seen.items() if count >= fewest_places]
    # by text where shares are the same, so that the order of places does not show
    common.sort(key=lambda token: (-round(shares[token], 9), token))
    kept = common[:size]
    return Vocabulary(
        kept, np.array([shares[token] / max(num_places, 1) for token in kept], np.float32)
    )


#: tokens of one entity that are read; few have as many
MOST_TOKENS = 48


def entity_tokens(
    read: TagTokens, codes: NDArray[np.int32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return the tokens and the numbers of entities.

    Parameters
    ----------
    read
        Of the unique tags.
    codes, offsets
        Entity i has the tags ``codes[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    ids
        Each once, ascending, shape ``(n, MOST_TOKENS)``, int16; -1 past the last.
    numbers
        Values, zero where there is none, then whether there is one: ``(n, 2 C)``, float32.
    """
    n = len(offsets) - 1
    entity = np.repeat(np.arange(n), np.diff(offsets))
    owner, token = token_pairs(read, entity, codes)
    first = np.searchsorted(owner, np.arange(n))
    place = np.arange(len(owner)) - first[owner]
    kept = place < MOST_TOKENS
    found = np.full((n, MOST_TOKENS), -1, np.int16)
    found[owner[kept], place[kept]] = token[kept]
    return found, tag_numbers(read, entity, codes, n)


def token_pairs(
    read: TagTokens, entity: NDArray[np.int64], codes: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return entities and their tokens, each token of an entity once, sorted by both.

    Parameters
    ----------
    entity, codes
        Of each tag: whose it is, and which of the unique tags; shapes ``(m,)``.
    """
    ids = read.ids[codes]
    is_known = ids >= 0
    owner = np.repeat(entity, is_known.sum(axis=1))
    pairs = np.unique((owner << 20) | ids[is_known].astype(np.int64))
    return pairs >> 20, pairs & ((1 << 20) - 1)


def tag_numbers(
    read: TagTokens, entity: NDArray[np.int64], codes: NDArray[np.int32], n: int
) -> NDArray[np.float32]:
    """Return the numbers of n entities, shape ``(n, 2 C)``; see `entity_tokens`."""
    channel = read.channel[codes]
    has = channel >= 0
    found = np.zeros((n, 2 * len(NUMBER_KEYS)), np.float32)
    found[entity[has], channel[has]] = read.number[codes[has]]
    found[entity[has], len(NUMBER_KEYS) + channel[has]] = 1
    return found
