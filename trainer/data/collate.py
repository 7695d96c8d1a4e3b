"""What does one training step read? Tiles from the cache, masked, packed into tensors.

A batch is a pure function of its tiles and a seed: workers, processes and restarts change nothing.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.earth import TILE_METRES_PER_DEGREE
from encoder.geojepa.batch import TokenBatch
from trainer.data.batch import Batch, View
from trainer.data.cache import TokenCache
from trainer.data.pack import Packer
from trainer.data.ragged import list_places, owners
from trainer.data.sample_entities import Drawn
from trainer.masks.patches import draw_patch_masks
from trainer.masks.sample import draw_masks
from trainer.masks.types import MaskConfig, Masks, RaggedTiles


def make_batch(
    cache: TokenCache,
    drawn: Drawn,
    *,
    masks: MaskConfig,
    num_views: int,
    most_queries: int,
    told_frac: float = 1.0,
    with_whole: bool = True,
    rng: np.random.Generator,
) -> Batch:
    """Mask and pack the tiles of a batch.

    Parameters
    ----------
    drawn
        From `draw_entities`; every tile holds an entity.
    num_views
        How often the tiles are masked anew.
    most_queries
        A tile's queries are at most so many, drawn at random.
    told_frac
        Part of the queries for tags that know the entity's geometry; the others know its box alone.
    with_whole
        Whether `Batch.whole` is wanted.
    """
    tiles = ragged_tiles(cache, drawn)
    tokens = Packer(cache, drawn, tiles, told_frac=told_frac)
    patches, views = drawn.patches, []
    # all masks first: a view's queries must not move the next one's masks
    found = [draw_masks(tiles, masks, rng) for _ in range(num_views)]
    for drawn_mask in found:
        mask, looks = draw_patch_masks(
            tiles, drawn_mask, patches.offsets, masks.image_shares, rng, drawn=masks.drawn
        )
        around = _around(cache, drawn, mask)
        views.append(
            View(
                *tokens.seen(mask.sees_code, mask.sees_geometry, around, looks.sees),
                tokens.queries(mask, looks.asks, most_queries, rng),
                torch.from_numpy(mask.mask),
                torch.from_numpy(patches.ground[looks.sees]),
            )
        )
    whole = tokens.whole() if with_whole else None
    return Batch(whole, torch.from_numpy(drawn.holds), tuple(views), len(drawn.rows))


def whole_batch(cache: TokenCache, drawn: Drawn) -> TokenBatch:
    """Return tiles as they are, nothing hidden."""
    return Packer(cache, drawn, ragged_tiles(cache, drawn)).whole()


def part_batch(
    cache: TokenCache,
    drawn: Drawn,
    *,
    keep: NDArray[np.bool_],
    with_tags: bool = True,
    with_geometry: bool = True,
) -> TokenBatch:
    """Return some entities of tiles, `keep` of shape ``(N,)``, with both modalities or one.

    What lies around the tiles is left out: parts of one tile would know each other by it.
    """
    tiles = ragged_tiles(cache, drawn)
    sees_code = keep[owners(tiles.code_offsets)] & with_tags
    sees_geometry = keep & tiles.has_geometry & with_geometry
    nothing = np.zeros_like(drawn.halo.counts())
    return Packer(cache, drawn, tiles).seen(sees_code, sees_geometry, nothing)[0]


def _around(cache: TokenCache, drawn: Drawn, masks: Masks) -> NDArray[np.float32]:
    """Return what is counted around each tile, without what its class mask hides."""
    halo = drawn.halo
    tile = owners(halo.offsets)
    hidden = cache.kind[halo.rows] == masks.hidden_kind[tile]
    hidden |= cache.main_key[halo.rows] == masks.hidden_key[tile]
    return halo.counts(~hidden)


def ragged_tiles(cache: TokenCache, drawn: Drawn) -> RaggedTiles:
    """Return what masks are drawn from."""
    rows = drawn.rows
    places, code_offsets = list_places(cache.code_offsets, rows)
    codes = cache.codes[places]
    return RaggedTiles(
        offsets=drawn.offsets,
        bbox_m=_bbox_m(cache.bbox[rows], drawn.centres[owners(drawn.offsets)]),
        link=cache.link[rows],
        kind=cache.kind[rows],
        main_key=cache.main_key[rows],
        codes=codes,
        code_offsets=code_offsets,
        keys=np.where(cache.tag_weights[codes] > 0, cache.tag_keys[codes], -1).astype(np.int32),
        # all zeros: an entity without geometry
        has_geometry=np.asarray(cache.geometry[rows].any(axis=1), np.bool_),
    )


def _bbox_m(bbox: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return boxes in metres from the centres of their tiles, shape ``(N, 4)``."""
    west, south, east, north = bbox.T
    lon, lat = centres.T
    metres = TILE_METRES_PER_DEGREE * np.cos(np.radians(lat))
    west_m = ((west - lon + 180) % 360 - 180) * metres
    # a box over the antimeridian has its west in the east
    east_m = west_m + ((east - west) % 360) * metres
    south_m, north_m = ((side - lat) * TILE_METRES_PER_DEGREE for side in (south, north))
    return np.column_stack([west_m, south_m, east_m, north_m]).astype(np.float32)
