"""Draw masks: which tokens of a tile the model sees, and which it has to predict.

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
repeat each other (`trainer.data.duplicates`) form one group, and are hidden together: groups are
sorted by an order, and taken from the front until a share of the tile's entities is reached. A box
overlaps an entity if it meets its bounding box; boxes lie round places of the tile's own entities,
so that a corner is drawn as often as its entities deserve, and not less.

==========  =====================================================================================
images      the context sees; asked for besides what the tile's other mask asks
==========  =====================================================================================
both        the map as its mask leaves it, and all patches; nothing
images      all patches and nothing of the map; all tags and all geometry
map         the map as its mask leaves it, and no patch; all patches
some        the map as its mask leaves it, and patches drawn at random; the others
==========  =====================================================================================

A model that always sees both leans on the one that tells more and learns little of the other
(MJEPA, AV-JEPA): so each is predicted from the other alone in some tiles.

All tiles of a batch are masked at once. Letters of shapes: t tiles, m members (entities of tiles),
c codes (tags of members), g groups, P patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.data.ragged import owners, positions

MASKS = ("area", "hole", "random", "modality", "class", "none")


@dataclass(frozen=True)
class RaggedTiles:
    """The entities of some tiles, end to end.

    Attributes
    ----------
    offsets
        Shape ``(t + 1,)``: tile i has the members ``offsets[i]`` to ``offsets[i + 1]``.
    bbox_m
        Shape ``(m, 4)``: west, south, east, north of each, metres from the tile's centre.
    duplicate_group, kind, main_key
        Shape ``(m,)``: entities with equal `duplicate_group` repeat each other; `kind` is a number
        of the main tag, `main_key` of its key, the same as in `keys`.
    codes, code_offsets
        Member j has the tags ``codes[code_offsets[j]:code_offsets[j + 1]]``.
    keys
        Shape ``(c,)``: the key of each of `codes`; -1 where the tag says nothing and is not asked
        for.
    has_geometry
        Shape ``(m,)``.
    """

    offsets: NDArray[np.int64]
    bbox_m: NDArray[np.float32]
    duplicate_group: NDArray[np.int64]
    kind: NDArray[np.int64]
    main_key: NDArray[np.int32]
    codes: NDArray[np.int32]
    code_offsets: NDArray[np.int64]
    keys: NDArray[np.int32]
    has_geometry: NDArray[np.bool_]


class Masks(NamedTuple):
    """What is seen and what is asked for.

    Attributes
    ----------
    mask
        Shape ``(t,)``, into `MASKS`.
    sees_code, asks_code
        Shape ``(c,)``; no tag is both.
    sees_geometry, asks_geometry
        Shape ``(m,)``; the same of entities.
    hidden_kind, hidden_key
        Shape ``(t,)``: the class that is hidden; -2 for none. Also what lies around the tile must
        not show it.
    """

    mask: NDArray[np.int64]
    sees_code: NDArray[np.bool_]
    asks_code: NDArray[np.bool_]
    sees_geometry: NDArray[np.bool_]
    asks_geometry: NDArray[np.bool_]
    hidden_kind: NDArray[np.int64]
    hidden_key: NDArray[np.int64]


@dataclass(frozen=True)
class MaskConfig:
    """How masks are drawn.

    Attributes
    ----------
    shares
        How often each of `MASKS` is drawn; need not sum to 1.
    context_frac
        Least and most of a tile's entities that the context holds.
    target_frac
        Least and most of a tile's entities that are asked for, out of those left.
    modality_frac
        Of a modality mask of some entities: least and most that lose one modality.
    class_least_frac
        A class mask leaves at least this part of a tile's entities to see; a kind or key that is
        more is not hidden. 0: a tile may be emptied, as masked tasks do.
    class_frac
        Chance of a tile with another mask to have a class hidden as well.
    key_frac
        Part of the class masks that hide a key, and not a kind.
    main_key_frac
        Part of the hidden keys that name an entity; the others are of any of its tags.
    tag_dropout
        Chance of each tag to be unseen, without being asked for: the encoder meets poorer maps.
    image_shares
        How often each of `trainer.masks.IMAGE_WAYS` is drawn for a tile with imagery.
    aspect
        Boxes on the ground are at most this many times as wide as high, or as high as wide; 1 or
        more.

    Methods are the rules of `draw_masks` that a comparison replaces (bench/published).
    """

    shares: Mapping[str, float] = field(
        default_factory=lambda: {"hole": 0.3, "random": 0.35, "modality": 0.2, "none": 0.15}
    )
    context_frac: tuple[float, float] = (0.4, 0.9)
    target_frac: tuple[float, float] = (1.0, 1.0)
    modality_frac: tuple[float, float] = (0.3, 0.7)
    class_least_frac: float = 0.0
    class_frac: float = 0.6
    key_frac: float = 1.0
    main_key_frac: float = 0.6
    tag_dropout: float = 0.05
    image_shares: Mapping[str, float] = field(
        default_factory=lambda: {"both": 0.25, "images": 0.4, "map": 0.15, "some": 0.2}
    )
    aspect: float = 1.5

    @property
    def inner_part(self) -> float:
        """Part of the tile, about its middle, in which boxes have their centres."""
        return 1.0

    def of_probes(self) -> "MaskConfig":
        """Return the settings by which held-out tiles are masked."""
        return self

    def per_tile(self, draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what holds for each tile of what was drawn for each, shape ``(t,)``."""
        return draws

    def groups(self, tiles: RaggedTiles) -> NDArray[np.int64]:
        """Return which entities are masked together, shape ``(m,)``."""
        return mask_groups(tiles.duplicate_group, tiles.offsets)

    def extents(self, tiles: RaggedTiles) -> NDArray[np.float64]:
        """Return the boxes that a box on the ground has to meet, shape ``(m, 4)``."""
        return tiles.bbox_m.astype(np.float64)

    def entities(
        self,
        tiles: RaggedTiles,
        group: NDArray[np.int64],
        mask: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Draw which whole entities are context and which are targets, shape ``(m,)`` each."""
        return _entities(tiles, group, mask, self, rng)


def mask_groups(
    duplicate_group: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the group of each member, shape ``(m,)``: one for each duplicate group in a tile."""
    tile = owners(offsets)
    order = np.lexsort((duplicate_group, tile))
    is_new = np.ones(len(duplicate_group), np.bool_)
    is_new[1:] = np.diff(tile[order]).astype(bool) | np.diff(duplicate_group[order]).astype(bool)
    group = np.empty(len(duplicate_group), np.int64)
    group[order] = np.cumsum(is_new) - 1
    return group


def least_of_each(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the least value of each member's group, shape ``(m,)``."""
    least = np.full(group.max(initial=-1) + 1, np.inf)
    np.minimum.at(least, group, values)
    return least[group]


def one_of_each(flags: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which members' group has a member whose flag is True, shape ``(m,)``."""
    return np.bincount(group, flags, minlength=1)[group] > 0


def first_in_tile(order: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the member of each tile that comes first by `order`, shape ``(t,)``.

    Of an empty tile the number means nothing.
    """
    ranked = np.lexsort((order, owners(offsets)))
    return (
        ranked[np.minimum(offsets[:-1], max(len(ranked) - 1, 0))] if len(ranked) else offsets[:-1]
    )


def choose_groups(
    order: NDArray[np.float64],
    group: NDArray[np.int64],
    offsets: NDArray[np.int64],
    frac: NDArray[np.float64],
    *,
    among: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Choose whole groups from the front of an order.

    Parameters
    ----------
    order
        Shape ``(m,)``: small comes first; a group comes where its first member does.
    group
        Shape ``(m,)``, from `mask_groups`.
    offsets
        Of the tiles, shape ``(t + 1,)``.
    frac
        Shape ``(t,)``: the part of all the tile's members to choose, as near as whole groups allow.
        At least one group is chosen where there is one, and where all are eligible at least one is
        left, if there are two.
    among
        Shape ``(m,)``: only these may be chosen; a group's members are all eligible or none is.

    Returns
    -------
    chosen
        Shape ``(m,)``.
    """
    tile = owners(offsets)
    wanted = frac * np.diff(offsets)
    ranked = np.lexsort((group, least_of_each(order, group), ~among, tile))
    place = np.empty(len(group), np.int64)
    place[ranked] = positions(offsets)
    first = np.full(group.max(initial=-1) + 1, len(group))
    last = np.zeros(len(first), np.int64)
    np.minimum.at(first, group, place)
    np.maximum.at(last, group, place)
    # the middle of the group decides: what is chosen is as often too much as too little
    is_chosen = (first + last + 1)[group] / 2 <= wanted[tile]
    is_chosen |= first[group] == 0
    is_whole = last[group] == (np.diff(offsets) - 1)[tile]
    is_chosen &= ~is_whole | (first[group] == 0)
    return is_chosen & among


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
    group: NDArray[np.int64],
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
    found = one_of_each(found, group)
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
    mask = config.per_tile(rng.choice(len(MASKS), size=t, p=weights / weights.sum()))
    group = config.groups(tiles)
    is_context, is_target = config.entities(tiles, group, mask, rng)
    is_class = (mask == MASKS.index("class")) | (rng.random(t) < config.class_frac)
    hidden = hidden_class(tiles, group, is_class, config, rng)
    sees_all = np.isin(mask, [MASKS.index(name) for name in ("modality", "class", "none")])
    sees_all = sees_all[owners(tiles.offsets)]
    is_context = (is_context | sees_all) & ~hidden.entities
    is_target = (is_target & ~sees_all) | hidden.entities
    owner = owners(tiles.code_offsets)
    drawn = _Parts(is_context[owner], is_target[owner], is_context, is_target.copy())
    _hide_modality(tiles, group, drawn, mask == MASKS.index("modality"), config, rng)
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
class _Parts:
    """Masks while they are drawn; the rules below write into them."""

    sees_code: NDArray[np.bool_]
    asks_code: NDArray[np.bool_]
    sees_geometry: NDArray[np.bool_]
    asks_geometry: NDArray[np.bool_]


def _entities(
    tiles: RaggedTiles,
    group: NDArray[np.int64],
    mask: NDArray[np.int64],
    config: MaskConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw which whole entities are context, and which are targets, of all tiles alike."""
    t, m = len(mask), len(group)
    mask_of = mask[owners(tiles.offsets)]
    context_frac = rng.uniform(*config.context_frac, t)
    target_frac = rng.uniform(*config.target_frac, t)
    aspect = config.aspect ** rng.uniform(-0.5, 0.5, (2, t))
    everyone = np.ones(m, np.bool_)

    chance = rng.random(m)
    near = box_order(tiles, rng.random(m), config, among=everyone, stretch=aspect[0])
    # an area's context is what a growing box meets first, a hole's what it meets last
    is_area, is_hole = mask_of == MASKS.index("area"), mask_of == MASKS.index("hole")
    order = np.where(is_area, near, np.where(is_hole, -near, chance))
    is_context = choose_groups(order, group, tiles.offsets, context_frac, among=everyone)

    near = box_order(tiles, rng.random(m), config, among=~is_context, stretch=aspect[1])
    order = np.where(is_area, near, rng.random(m))
    is_target = choose_groups(order, group, tiles.offsets, target_frac, among=~is_context)
    return is_context, is_target


def box_order(
    tiles: RaggedTiles,
    chance: NDArray[np.float64],
    config: MaskConfig,
    *,
    among: NDArray[np.bool_],
    stretch: NDArray[np.float64],
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
    """
    tile = owners(tiles.offsets)
    centre = first_in_tile(np.where(among, chance, 2 + chance), tiles.offsets)
    west, south, east, north = config.extents(tiles).T
    x = ((west + east) / 2)[centre][tile] * config.inner_part
    y = ((south + north) / 2)[centre][tile] * config.inner_part
    gap_x = np.maximum(np.maximum(west - x, x - east), 0) / stretch[tile]
    gap_y = np.maximum(np.maximum(south - y, y - north), 0) * stretch[tile]
    # a millimetre of chance: what is met at once must not always come in row order
    return np.maximum(gap_x, gap_y) + chance * 1e-3


def _hide_modality(
    tiles: RaggedTiles,
    group: NDArray[np.int64],
    drawn: _Parts,
    is_ours: NDArray[np.bool_],
    config: MaskConfig,
    rng: np.random.Generator,
) -> None:
    """Hide one modality, of all entities of a tile or of some groups, and ask for it."""
    tile, t = owners(tiles.offsets), len(is_ours)
    way = config.per_tile(rng.integers(_MODALITY_WAYS, size=t))[tile]
    frac = rng.uniform(*config.modality_frac, t)
    everyone = np.ones(len(group), np.bool_)
    some = choose_groups(rng.random(len(group)), group, tiles.offsets, frac, among=everyone)
    hides_geometry = is_ours[tile] & ((way == 0) | ((way == 2) & some))
    hides_tags = (is_ours[tile] & ((way == 1) | ((way == 3) & some)))[owners(tiles.code_offsets)]
    drawn.sees_geometry &= ~hides_geometry
    drawn.asks_geometry |= hides_geometry
    drawn.sees_code &= ~hides_tags
    drawn.asks_code |= hides_tags


def _hide_key(tiles: RaggedTiles, drawn: _Parts, key: NDArray[np.int64]) -> None:
    """Hide all tags of each tile's key, shape ``(t,)``, and ask for them."""
    is_hidden = tiles.keys == key[owners(tiles.offsets)[owners(tiles.code_offsets)]]
    drawn.sees_code &= ~is_hidden
    drawn.asks_code |= is_hidden


IMAGE_WAYS = ("both", "images", "map", "some")
_SEEN_OF_SOME = 0.5


class PatchMasks(NamedTuple):
    """What is seen of P patches and what is asked for, shape ``(P,)``; no patch is both."""

    sees: NDArray[np.bool_]
    asks: NDArray[np.bool_]


def draw_patch_masks(
    tiles: RaggedTiles,
    masks: Masks,
    offsets: NDArray[np.int64],
    config: MaskConfig,
    rng: np.random.Generator,
) -> tuple[Masks, PatchMasks]:
    """Draw a way for each tile that has patches; return the masks of the map as it changes them.

    Parameters
    ----------
    offsets
        Of the patches, shape ``(t + 1,)``.
    """
    weights = np.array([config.image_shares.get(name, 0.0) for name in IMAGE_WAYS])
    way = rng.choice(len(IMAGE_WAYS), size=len(offsets) - 1, p=weights / weights.sum())
    way = config.per_tile(way)
    way = np.where(np.diff(offsets) > 0, way, IMAGE_WAYS.index("both"))
    of_patch = way[owners(offsets)]
    is_hidden = of_patch == IMAGE_WAYS.index("map")
    is_hidden |= (of_patch == IMAGE_WAYS.index("some")) & (
        rng.random(len(of_patch)) >= _SEEN_OF_SOME
    )
    # without a map, all of it is asked for
    blind = (way == IMAGE_WAYS.index("images"))[owners(tiles.offsets)]
    blind_code = blind[owners(tiles.code_offsets)]
    changed = masks._replace(
        sees_code=masks.sees_code & ~blind_code,
        asks_code=masks.asks_code | blind_code,
        sees_geometry=masks.sees_geometry & ~blind,
        asks_geometry=(masks.asks_geometry | blind) & tiles.has_geometry,
    )
    return changed, PatchMasks(~is_hidden, is_hidden)
