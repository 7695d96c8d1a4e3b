"""What does one training step read? Tiles from the cache, masked, packed into tensors.

A batch is a pure function of its tiles and a seed: workers, processes and restarts change nothing.

Letters of shapes: B tiles, N tokens of all tiles end to end, Q queries of all tiles, c codes.

What is not seen leaves no trace. An entity without any seen part is no token at all. One whose
geometry is hidden has a place but no size or orientation, in the context and in the query that asks
for its geometry: the sides of its box are a part of the answer.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.surroundings import log_counts
from encoder.tag_tokens import pool
from encoder.token_batch import TokenBatch, relative_places
from trainer.batch_types import MODALITIES, Batch, Queries, View
from trainer.masks import MaskConfig, Masks, RaggedTiles, draw_masks
from trainer.ragged import (
    any_of,
    keep_members,
    lengths_to_offsets,
    list_places,
    owners,
    positions,
    take_lists,
)
from trainer.token_files import TokenCache
from trainer.training_tiles import TrainingTiles

_METRES_PER_DEGREE = 111_195.0


class Drawn(NamedTuple):
    """The entities of some tiles: rows of the cache, end to end, and what is known of each tile."""

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    centres: NDArray[np.float64]
    holds: NDArray[np.float32]
    halo: "Halo"


class Halo(NamedTuple):
    """The entities around some tiles: rows of the cache, end to end, and each one's prototype."""

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    nearest: NDArray[np.int64]
    num_prototypes: int

    def counts(self, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Return what is counted around each tile, of all entities or those to keep."""
        nearest = self.nearest if keep is None else np.where(keep, self.nearest, -1)
        return log_counts(nearest, self.offsets, num_prototypes=self.num_prototypes)


def draw_entities(
    tiles: TrainingTiles, chosen: NDArray[np.int64], *, most: int, rng: np.random.Generator
) -> Drawn:
    """Return the entities of some tiles: of each at most `most`, drawn at random."""
    places, offsets = list_places(tiles.offsets, chosen)
    if (np.diff(offsets) > most).any():
        order = np.lexsort((rng.random(len(places)), owners(offsets)))
        rank = np.empty(len(places), np.int64)
        rank[order] = positions(offsets)
        keep = rank < most
        places, offsets = places[keep], keep_members(offsets, keep)
    around, halo_offsets = take_lists(tiles.halo, tiles.halo_offsets, chosen)
    halo = Halo(around, halo_offsets, tiles.nearest[around], tiles.num_prototypes)
    return Drawn(tiles.members[places], offsets, tiles.centres[chosen], tiles.holds[chosen], halo)


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
    tokens = _Tokens(cache, drawn, tiles, told_frac=told_frac)
    found = [draw_masks(tiles, masks, rng) for _ in range(num_views)]
    views = [
        View(
            *tokens.seen(mask.sees_code, mask.sees_geometry, _around(cache, drawn, mask)),
            tokens.queries(mask, most_queries, rng),
            torch.from_numpy(mask.mask),
        )
        for mask in found
    ]
    whole = tokens.whole() if with_whole else None
    return Batch(whole, torch.from_numpy(drawn.holds), tuple(views), len(drawn.rows))


def whole_batch(cache: TokenCache, drawn: Drawn) -> TokenBatch:
    """Return tiles as they are, nothing hidden."""
    return _Tokens(cache, drawn, ragged_tiles(cache, drawn)).whole()


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
    return _Tokens(cache, drawn, tiles).seen(sees_code, sees_geometry, nothing)[0]


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
    metres = _METRES_PER_DEGREE * np.cos(np.radians(lat))
    west_m = ((west - lon + 180) % 360 - 180) * metres
    # a box over the antimeridian has its west in the east
    east_m = west_m + ((east - west) % 360) * metres
    south_m, north_m = ((side - lat) * _METRES_PER_DEGREE for side in (south, north))
    return np.column_stack([west_m, south_m, east_m, north_m]).astype(np.float32)


class _Tokens:
    """The tokens of a batch, packed on demand."""

    def __init__(
        self, cache: TokenCache, drawn: Drawn, tiles: RaggedTiles, *, told_frac: float = 1.0
    ) -> None:
        self.drawn, self.tiles, self.told_frac = drawn, tiles, told_frac
        # the few tags of a batch, not the whole table: pooling then touches no more than it needs
        self.unique, self.codes = np.unique(tiles.codes, return_inverse=True)
        self.vectors = cache.tag_vectors[self.unique]
        self.weights = cache.tag_weights[self.unique]
        self.geometry = cache.geometry[drawn.rows]
        centres = drawn.centres[owners(drawn.offsets)]
        self.place, self.has_place = relative_places(cache.boxes[drawn.rows], centres)

    def whole(self) -> TokenBatch:
        every_code = np.ones(len(self.codes), np.bool_)
        keep = np.ones(len(self.geometry), np.bool_)
        tags, around = self._pooled(every_code), self.drawn.halo.counts()
        return self._packed(tags, self.geometry, self.place, keep, around)

    def seen(
        self,
        sees_code: NDArray[np.bool_],
        sees_geometry: NDArray[np.bool_],
        around: NDArray[np.float32],
    ) -> tuple[TokenBatch, Tensor]:
        """Return what is seen, and the row of each of its tokens in `whole`."""
        keep = sees_geometry | any_of(sees_code, self.tiles.code_offsets)
        geometry = np.where(sees_geometry[:, None], self.geometry, np.float32(0))
        place = _without_sides(self.place, ~sees_geometry)
        batch = self._packed(self._pooled(sees_code), geometry, place, keep, around)
        return batch, torch.from_numpy(np.flatnonzero(keep))

    def queries(self, masks: Masks, most: int, rng: np.random.Generator) -> Queries:
        says = masks.asks_code & (self.weights[self.codes] > 0)
        asks_tags = np.flatnonzero(any_of(says, self.tiles.code_offsets))
        asks_geometry = np.flatnonzero(masks.asks_geometry)
        asked = np.concatenate([asks_tags, asks_geometry])
        modality = np.repeat([0, 1], [len(asks_tags), len(asks_geometry)])
        num_tiles = len(self.drawn.offsets) - 1
        tile = owners(self.drawn.offsets)[asked]
        order = np.lexsort((rng.random(len(asked)), tile))
        offsets = lengths_to_offsets(np.bincount(tile, minlength=num_tiles))
        keep = positions(offsets) < most
        order, offsets = order[keep], keep_members(offsets, keep)
        asked, modality = asked[order], modality[order]

        is_shape = modality == MODALITIES.index("geometry")
        target = self._pooled(masks.asks_code)[asked]
        target[is_shape] = 0
        target[is_shape, : self.geometry.shape[1]] = self.geometry[asked[is_shape]]
        is_told = ~is_shape & (rng.random(len(asked)) < self.told_frac)
        geometry = np.where(is_told[:, None], self.geometry[asked], np.float32(0))
        place = _without_sides(self.place[asked], is_shape)
        arrays = (place, geometry, modality, asked, target, offsets)
        return Queries(*map(torch.from_numpy, arrays))

    def _pooled(self, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the vector of some of the tags of each entity; `keep` is ``(c,)``."""
        offsets = keep_members(self.tiles.code_offsets, keep)
        return pool(self.codes[keep], offsets, vectors=self.vectors, weights=self.weights)

    def _packed(
        self,
        tags: NDArray[np.float32],
        geometry: NDArray[np.float32],
        place: NDArray[np.float32],
        keep: NDArray[np.bool_],
        around: NDArray[np.float32],
    ) -> TokenBatch:
        return TokenBatch(
            tags=torch.from_numpy(tags[keep]),
            geometry=torch.from_numpy(geometry[keep]),
            place=torch.from_numpy(place[keep]),
            has_place=torch.from_numpy(self.has_place[keep]),
            offsets=torch.from_numpy(keep_members(self.drawn.offsets, keep)),
            around=torch.from_numpy(around),
        )


def _without_sides(place: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return places of which some keep their centre alone."""
    bare = place.copy()
    bare[hidden, 2:] = 0
    return bare
