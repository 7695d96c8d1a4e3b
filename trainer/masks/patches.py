"""Which patches of the ground are seen, and which are asked for? Drawn for every tile with imagery.

==========  =====================================================================================
way         the context sees; asked for besides what the tile's other mask asks
==========  =====================================================================================
both        the map as its mask leaves it, and all patches; nothing
images      all patches and nothing of the map; all tags and all geometry
map         the map as its mask leaves it, and no patch; all patches
some        the map as its mask leaves it, and patches drawn at random; the others
==========  =====================================================================================

A model that always sees both leans on the one that tells more and learns little of the other
(MJEPA, AV-JEPA): so each is told from the other alone in some tiles.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.data.ragged import owners
from trainer.masks.types import DrawnFor, Masks, RaggedTiles, shared

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
    shares: Mapping[str, float],
    rng: np.random.Generator,
    *,
    drawn: DrawnFor = "tile",
) -> tuple[Masks, PatchMasks]:
    """Draw a way for each tile that has patches; return the masks of the map as it changes them.

    Parameters
    ----------
    offsets
        Of the patches, shape ``(t + 1,)``.
    shares
        How often each of `IMAGE_WAYS` is drawn.
    drawn
        For each tile, or once for all: see `MaskConfig.drawn`.
    """
    weights = np.array([shares.get(name, 0.0) for name in IMAGE_WAYS])
    way = rng.choice(len(IMAGE_WAYS), size=len(offsets) - 1, p=weights / weights.sum())
    way = shared(way, drawn)
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
