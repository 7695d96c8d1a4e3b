"""Which class does each tile hide? One kind of entity, or one key, of all that it holds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.mask_types import MaskConfig, RaggedTiles
from trainer.ragged import owners
from trainer.units import first_in_tile, one_of_each


class Hidden(NamedTuple):
    """The class that each tile hides.

    `entities` is ``(m,)``: has the kind, or is named by the key, or repeats what does. `kind` and
    `key` are ``(t,)``, -2 for none.
    """

    entities: NDArray[np.bool_]
    kind: NDArray[np.int64]
    key: NDArray[np.int64]


def hidden_class(
    tiles: RaggedTiles,
    unit: NDArray[np.int64],
    is_class: NDArray[np.bool_],
    config: MaskConfig,
    rng: np.random.Generator,
) -> Hidden:
    """Draw a kind or a key for each tile that hides a class: that of one of its entities.

    What has more is hidden more often. Nothing is hidden where too little would be left.
    """
    tile, t = owners(tiles.offsets), len(is_class)
    chosen = first_in_tile(rng.random(len(tile)), tiles.offsets)
    hides_key = is_class & (rng.random(t) < config.key_frac)
    key = np.where(hides_key, _keys_of(tiles, chosen, config, rng), -2)
    kind = np.where(is_class & ~hides_key, tiles.kind[chosen], -2)
    found = (tiles.main_key == key[tile]) | (tiles.kind == kind[tile])
    found = one_of_each(found, unit)
    sizes = np.maximum(np.diff(tiles.offsets), 1)
    is_kept = 1 - np.bincount(tile, found, t) / sizes < config.class_least_frac
    return Hidden(found & ~is_kept[tile], np.where(is_kept, -2, kind), np.where(is_kept, -2, key))


def _keys_of(
    tiles: RaggedTiles,
    chosen: NDArray[np.int64],
    config: MaskConfig,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return a key of one entity of each tile, its main one or that of any tag; -2 for none."""
    main = tiles.main_key[chosen]
    found = np.where(main >= 0, main, -2).astype(np.int64)
    if not len(tiles.keys):
        return found
    # a tag that says nothing comes after all that do
    chance = rng.random(len(tiles.keys)) + (tiles.keys < 0)
    first = first_in_tile(chance, tiles.code_offsets)[chosen]
    key = tiles.keys[np.minimum(first, len(tiles.keys) - 1)]
    has_key = (np.diff(tiles.code_offsets)[chosen] > 0) & (key >= 0)
    takes_any = (rng.random(len(chosen)) >= config.main_key_frac) & has_key
    return np.where(takes_any, key, found)
