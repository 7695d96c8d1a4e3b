"""What does the model see of a tile, and what must it tell? Masks, drawn anew for every tile.

===========  ====================================================================================
mask         the context sees; the targets are
===========  ====================================================================================
area         what a box on the ground overlaps; entities that a second box overlaps
hole         all but what a box overlaps; entities in that hole
random       entities drawn at random; others
modality     tags alone or geometry alone (of all, or of some while the rest is whole); the other
class        all but one kind of entity, or all but one key, its tags and the entities that it
             names; what was hidden
none         everything; nothing
===========  ====================================================================================

A class may be hidden on top of any other mask (`MaskConfig.class_frac`): then region vectors learn
to tell what *kind* of thing is missing, which masked tasks ask for.

The context is drawn first, and targets come from what is left: they cannot overlap. Entities that
repeat each other (`trainer.data.duplicates`) are one unit and share their fate. A box overlaps
an entity if
it meets its bounding box; boxes lie round places of the tile's own entities, so that a corner is
drawn as often as its entities deserve, and not less.

Four of these rules can be set back to those of the published model (arXiv 2503.05774), for
comparisons: `MaskConfig.linked`, `drawn`, `disjoint` and `area_test`.

All tiles of a batch are masked at once. Letters of shapes: t tiles, m members (entities of tiles),
c codes (tags of members).

Which class does each tile hide? One kind of entity, or one key, of all that it holds.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.data.ragged import owners
from trainer.masks.types import MASKS, AreaTest, MaskConfig, Masks, RaggedTiles, shared
from trainer.masks.units import choose_units, first_in_tile, one_of_each, units_of


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


#: how a tile's modality mask hides: all geometry, all tags, geometry of some, tags of some
_MODALITY_WAYS = 4
#: published: targets of a tile, drawn without regard to each other
_NUM_TARGETS = 4
#: published: a box of a third of the tile keeps within it, so its centre to the inner part
_INNER_PART = 0.6


def draw_masks(tiles: RaggedTiles, config: MaskConfig, rng: np.random.Generator) -> Masks:
    """Draw one mask for each tile.

    Parameters
    ----------
    tiles
        Each with at least one entity.
    rng
        The same state draws the same masks.
    """
    t = len(tiles.offsets) - 1
    weights = np.array([config.shares.get(name, 0.0) for name in MASKS])
    mask = shared(rng.choice(len(MASKS), size=t, p=weights / weights.sum()), config.drawn)
    link = tiles.link if config.linked else np.arange(len(tiles.link))
    unit = units_of(link, tiles.offsets)
    draw = _entities if config.disjoint else _overlapping
    is_context, is_target = draw(tiles, unit, mask, config, rng)
    is_class = (mask == MASKS.index("class")) | (rng.random(t) < config.class_frac)
    hidden = hidden_class(tiles, unit, is_class, config, rng)
    sees_all = np.isin(mask, [MASKS.index(name) for name in ("modality", "class", "none")])
    sees_all = sees_all[owners(tiles.offsets)]
    is_context = (is_context | sees_all) & ~hidden.entities
    is_target = (is_target & ~sees_all) | hidden.entities
    owner = owners(tiles.code_offsets)
    drawn = _Drawn(is_context[owner], is_target[owner], is_context, is_target.copy())
    _hide_modality(tiles, unit, drawn, mask == MASKS.index("modality"), config, rng)
    _hide_key(tiles, drawn, hidden.key)
    if config.tag_dropout:
        drawn.sees_code &= rng.random(len(tiles.codes)) >= config.tag_dropout
    return Masks(
        mask,
        drawn.sees_code,
        drawn.asks_code,
        drawn.sees_geometry & tiles.has_geometry,
        drawn.asks_geometry & tiles.has_geometry,
        hidden.kind,
        hidden.key,
    )


@dataclass
class _Drawn:
    """Masks while they are drawn; the rules below write into them."""

    sees_code: NDArray[np.bool_]
    asks_code: NDArray[np.bool_]
    sees_geometry: NDArray[np.bool_]
    asks_geometry: NDArray[np.bool_]


def _entities(
    tiles: RaggedTiles,
    unit: NDArray[np.int64],
    mask: NDArray[np.int64],
    config: MaskConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw which whole entities are context, and which are targets, of all tiles alike."""
    t, m = len(mask), len(unit)
    mask_of = mask[owners(tiles.offsets)]
    context_frac = rng.uniform(*config.context_frac, t)
    target_frac = rng.uniform(*config.target_frac, t)
    aspect = config.aspect ** rng.uniform(-0.5, 0.5, (2, t))
    everyone = np.ones(m, np.bool_)

    chance = rng.random(m)
    near = _box_order(
        tiles, rng.random(m), among=everyone, stretch=aspect[0], test=config.area_test
    )
    # an area's context is what a growing box meets first, a hole's what it meets last
    is_area, is_hole = mask_of == MASKS.index("area"), mask_of == MASKS.index("hole")
    order = np.where(is_area, near, np.where(is_hole, -near, chance))
    is_context = choose_units(order, unit, tiles.offsets, context_frac, among=everyone)

    near = _box_order(
        tiles, rng.random(m), among=~is_context, stretch=aspect[1], test=config.area_test
    )
    order = np.where(is_area, near, rng.random(m))
    is_target = choose_units(order, unit, tiles.offsets, target_frac, among=~is_context)
    return is_context, is_target


def _overlapping(
    tiles: RaggedTiles,
    unit: NDArray[np.int64],
    mask: NDArray[np.int64],
    config: MaskConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw the same as published: four targets of each tile, and the context is the rest.

    Each target is of the whole tile, so they leave little. What a context lacks is drawn from the
    whole tile again: so it holds targets. A box is a target in a hole's mask too.
    """
    t, m = len(mask), len(unit)
    tile, everyone = owners(tiles.offsets), np.ones(m, np.bool_)
    is_boxed = np.isin(mask, [MASKS.index("area"), MASKS.index("hole")])[tile]
    is_target = np.zeros(m, np.bool_)
    for _ in range(_NUM_TARGETS):
        stretch = config.aspect ** rng.uniform(-0.5, 0.5, t)
        chance, frac = rng.random(m), rng.uniform(*config.target_frac, t)
        near = _box_order(tiles, chance, among=everyone, stretch=stretch, test=config.area_test)
        order = np.where(is_boxed, near, rng.random(m))
        is_target |= choose_units(order, unit, tiles.offsets, frac, among=everyone)
    is_left = 1 - np.bincount(tile, is_target, t) / np.maximum(np.diff(tiles.offsets), 1)
    lacks = np.maximum(rng.uniform(*config.context_frac, t) - is_left, 0)
    added = choose_units(rng.random(m), unit, tiles.offsets, lacks, among=everyone)
    return ~is_target | (added & (lacks > 0)[tile]), is_target


def _box_order(
    tiles: RaggedTiles,
    chance: NDArray[np.float64],
    *,
    among: NDArray[np.bool_],
    stretch: NDArray[np.float64],
    test: AreaTest,
) -> NDArray[np.float64]:
    """Return how large a box must be to meet each entity, metres, shape ``(m,)``.

    Parameters
    ----------
    chance
        Shape ``(m,)``: the entity of the least chance is the centre of its tile's box.
    among
        Shape ``(m,)``: only these may be centres.
    stretch
        Shape ``(t,)``: the box is so many times wider than a square, and less high.
    test
        Whether to meet an entity is to meet its box or its middle, see `MaskConfig.area_test`.
    """
    tile = owners(tiles.offsets)
    centre = first_in_tile(np.where(among, chance, 2 + chance), tiles.offsets)
    west, south, east, north = tiles.bbox_m.astype(np.float64).T
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    x, y = middle_x[centre][tile], middle_y[centre][tile]
    if test == "centroid":
        x, y = x * _INNER_PART, y * _INNER_PART
        west, south, east, north = middle_x, middle_y, middle_x, middle_y
    gap_x = np.maximum(np.maximum(west - x, x - east), 0) / stretch[tile]
    gap_y = np.maximum(np.maximum(south - y, y - north), 0) * stretch[tile]
    # a millimetre of chance: what is met at once must not always come in row order
    return np.maximum(gap_x, gap_y) + chance * 1e-3


def _hide_modality(
    tiles: RaggedTiles,
    unit: NDArray[np.int64],
    drawn: _Drawn,
    is_ours: NDArray[np.bool_],
    config: MaskConfig,
    rng: np.random.Generator,
) -> None:
    """Hide one modality, of all entities of a tile or of some units, and ask for it."""
    tile, t = owners(tiles.offsets), len(is_ours)
    way = shared(rng.integers(_MODALITY_WAYS, size=t), config.drawn)[tile]
    frac = rng.uniform(*config.modality_frac, t)
    everyone = np.ones(len(unit), np.bool_)
    some = choose_units(rng.random(len(unit)), unit, tiles.offsets, frac, among=everyone)
    hides_geometry = is_ours[tile] & ((way == 0) | ((way == 2) & some))
    hides_tags = (is_ours[tile] & ((way == 1) | ((way == 3) & some)))[owners(tiles.code_offsets)]
    drawn.sees_geometry &= ~hides_geometry
    drawn.asks_geometry |= hides_geometry
    drawn.sees_code &= ~hides_tags
    drawn.asks_code |= hides_tags


def _hide_key(tiles: RaggedTiles, drawn: _Drawn, key: NDArray[np.int64]) -> None:
    """Hide all tags of each tile's key, shape ``(t,)``, and ask for them."""
    is_hidden = tiles.keys == key[owners(tiles.offsets)[owners(tiles.code_offsets)]]
    drawn.sees_code &= ~is_hidden
    drawn.asks_code |= is_hidden
