"""Hide tags, so that there is something to predict.

Each chunk of entities that lie together is masked by itself, and every chunk is. Hidden are

- all tags of some entities, and in some chunks of all entities in a box;
- half of the tags of others;
- of some main keys, all their tags in the whole chunk, with those of keys that begin with it
  (``building:levels``); mostly the other tags of their bearers too: siblings tell the answer.

What is hidden is hidden from all: from those who would hear it, as from the entity itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: keys that say what an entity is; the first part of a key decides
MASK_KEYS = (
    "amenity", "shop", "tourism", "leisure", "office", "railway", "highway", "public_transport",
    "waterway", "historic", "man_made", "power", "natural", "landuse", "place", "building",
    "barrier",
)  # fmt: skip


@dataclass(frozen=True)
class MaskConfig:
    """How much is hidden; all are shares or probabilities.

    Attributes
    ----------
    whole
        Entities that lose all their tags.
    box
        Chunks in which a box does; its sides are `box_sides` of the chunk's.
    half
        Entities that lose each tag with a probability of one half.
    key
        Main keys that are hidden in a whole chunk.
    bearers
        Of these, those whose bearers lose all other tags too.
    """

    whole: float = 0.15
    box: float = 0.3
    box_sides: tuple[float, float] = (0.2, 0.5)
    half: float = 0.25
    key: float = 0.35
    bearers: float = 0.65


@dataclass(frozen=True)
class ChunkTags:
    """The tags of the n entities of a chunk.

    Attributes
    ----------
    entity
        Whose tag it is, shape ``(m,)``, ascending.
    mask_key
        Place in `MASK_KEYS`, shape ``(m,)``; -1 of any other key.
    lon_lat
        Shape ``(n, 2)``.
    """

    entity: NDArray[np.int64]
    mask_key: NDArray[np.int8]
    lon_lat: NDArray[np.float64]


def mask_keys(tags: Sequence[str]) -> NDArray[np.int8]:
    """Return which of `MASK_KEYS` each tag ``key=value`` belongs to; -1 for none."""
    place = {key: i for i, key in enumerate(MASK_KEYS)}
    firsts = [tag.partition("=")[0].partition(":")[0] for tag in tags]
    return np.array([place.get(first, -1) for first in firsts], np.int8)


def hidden_tags(
    chunk: ChunkTags, config: MaskConfig, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Say which tags are hidden, shape ``(m,)``."""
    n = len(chunk.lon_lat)
    is_whole = random.random(n) < config.whole
    if random.random() < config.box:
        is_whole |= _in_box(chunk.lon_lat, config.box_sides, random)
    is_half = random.random(n) < config.half
    hidden = is_half[chunk.entity] & (random.random(len(chunk.entity)) < 0.5)
    keys = np.flatnonzero(random.random(len(MASK_KEYS)) < config.key)
    with_bearers = keys[random.random(len(keys)) < config.bearers]
    hidden |= np.isin(chunk.mask_key, keys)
    is_whole[chunk.entity[np.isin(chunk.mask_key, with_bearers)]] = True
    return hidden | is_whole[chunk.entity]


def _in_box(
    lon_lat: NDArray[np.float64], sides: tuple[float, float], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Say which entities lie in a box around one of them."""
    n = len(lon_lat)
    centre = lon_lat[random.integers(n)]
    # by rank, so that one entity far off does not blow up the box
    inside = np.ones(n, np.bool_)
    for axis in range(2):
        values = np.sort(lon_lat[:, axis])
        share = random.uniform(*sides)
        at = np.searchsorted(values, centre[axis])
        low = int(np.clip(at - share * n / 2, 0, n - 1))
        high = int(np.clip(at + share * n / 2, 0, n - 1))
        inside &= (lon_lat[:, axis] >= values[low]) & (lon_lat[:, axis] <= values[high])
    return inside
