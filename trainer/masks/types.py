"""What are masks drawn from, by which settings, and what do they say?

Letters of shapes: t tiles, m members (entities of tiles), c codes (tags of members).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

MASKS = ("area", "hole", "random", "modality", "class", "none")
AreaTest = Literal["box", "centroid"]
DrawnFor = Literal["tile", "batch"]


@dataclass(frozen=True)
class RaggedTiles:
    """The entities of some tiles, end to end.

    Attributes
    ----------
    offsets
        Shape ``(t + 1,)``: tile i has the members ``offsets[i]`` to ``offsets[i + 1]``.
    bbox_m
        Shape ``(m, 4)``: west, south, east, north of each, metres from the tile's centre.
    link, kind, main_key
        Shape ``(m,)``: entities with equal `link` repeat each other; `kind` is a number of the main
        tag, `main_key` of its key, the same as in `keys`.
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
    link: NDArray[np.int64]
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
        Shape ``(c,)``; no tag is both, but by `MaskConfig.disjoint`.
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
        How often each of `trainer.masks.patches.IMAGE_WAYS` is drawn for a tile with imagery.
    aspect
        Boxes on the ground are at most this many times as wide as high, or as high as wide; 1 or
        more.
    linked
        Entities that repeat each other share their fate. Off, for comparisons: each is masked alone
        as published, and a target may lie open in the context.
    drawn
        ``"tile"``: each tile has a mask of its own. ``"batch"``, for comparisons: all tiles of a
        batch have the same one of `MASKS`, lose the same modality and see the same of images, as
        published.
    disjoint
        Context and targets have nothing in common. Off, for comparisons: as published, four targets
        of `target_frac` each are drawn from the whole tile, and the context is the rest; if that is
        less than `context_frac`, as much as it lacks is drawn from the whole tile again.
    area_test
        ``"box"``: a box on the ground holds the entities that it meets, and lies round any of them.
        ``"centroid"``, for comparisons: it holds those whose middle lies in it, and keeps to the
        middle of the tile, as published.
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
    linked: bool = True
    drawn: DrawnFor = "tile"
    disjoint: bool = True
    area_test: AreaTest = "box"


def shared(draws: NDArray[np.int64], drawn: DrawnFor) -> NDArray[np.int64]:
    """Return what was drawn for each tile, shape ``(t,)``, or for all what the first one drew."""
    return np.repeat(draws[:1], len(draws)) if drawn == "batch" else draws
