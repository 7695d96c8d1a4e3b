"""Mask tiles and pack them into the tensors of a training batch.

A batch is a pure function of its tiles and a seed: workers, processes and restarts change nothing.
What is hidden leaves no trace. An entity without any visible part is no token at all. One whose
geometry is hidden has a place but no size or orientation, in the context and in the query that asks
for its geometry: the sides of its box are a part of the answer.

Letters of shapes: B tiles, N tokens of all tiles end to end, Q queries of all tiles, c codes, P
patches.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.geojepa.batch import Patches, TokenBatch, relative_places
from encoder.protocol import METRES_PER_DEGREE
from encoder.tags.pooling import pool
from encoder.tags.vocabulary import entity_tag_ids
from trainer.data.cache import TokenCache
from trainer.data.ragged import (
    any_of,
    keep_members,
    lengths_to_offsets,
    list_places,
    owners,
    positions,
)
from trainer.data.training_tiles import SampledTiles
from trainer.masks import MaskConfig, Masks, RaggedTiles, draw_masks, draw_patch_masks

#: the last only of models that read images
MODALITIES = ("tags", "geometry", "image")


@dataclass(frozen=True)
class Queries:
    """What the predictor is asked of B tiles; each is one modality of one entity, or a patch.

    Attributes
    ----------
    place
        Shape ``(Q, PLACE_DIM)``; without sides and orientation where geometry is asked for.
    geometry
        Shape ``(Q, geometry_dim)``: what is known of the entity; zero where geometry is asked for,
        and where it is not known.
    modality
        Shape ``(Q,)``, into `MODALITIES`.
    token
        Shape ``(Q,)``: the entity's row in `Batch.whole`; of patches, which stand behind all
        entities there, as well.
    target
        Shape ``(Q, C)``, C the widest modality's width: the pooled vector of the tags asked for,
        the geometry, or the patch token, in the first columns; the rest zero.
    offsets
        Shape ``(B + 1,)``: the queries of each tile.
    """

    place: Tensor
    geometry: Tensor
    modality: Tensor
    token: Tensor
    target: Tensor
    offsets: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the queries on another device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class View:
    """One masking of a batch.

    Attributes
    ----------
    context
        What is seen, N' tokens.
    context_token
        Shape ``(N',)``: the same entity's row in `Batch.whole`.
    queries
        What is asked.
    mask
        Shape ``(B,)``, into `trainer.masks.MASKS`.
    landcover
        What lies under each patch that is seen, shape ``(P', tag_dim)``: sums of tag vectors by
        the part of the patch that an entity covers, whether it is seen or not.
    """

    context: TokenBatch
    context_token: Tensor
    queries: Queries
    mask: Tensor
    landcover: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the view on another device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class Batch:
    """A batch of tiles, whole and in one or more views.

    A plain class: Fabric takes dataclasses apart, and refuses those that cannot be changed.

    Parameters
    ----------
    whole
        Nothing hidden; None where no objective asks for it.
    region_content
        Shape ``(B, R)``: the target of each tile's region, see `trainer.data.region_targets`.
    views
        As many maskings as were asked for.
    num_tokens
        How many entities the tiles hold together.
    """

    def __init__(
        self,
        whole: TokenBatch | None,
        region_content: Tensor,
        views: tuple[View, ...],
        num_tokens: int,
    ) -> None:
        self.whole, self.region_content, self.views = whole, region_content, views
        self.num_tokens = num_tokens

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on another device."""
        views = tuple(view.to(device) for view in self.views)
        whole = None if self.whole is None else self.whole.to(device)
        return Batch(whole, self.region_content.to(device), views, self.num_tokens)


_TAGS, _GEOMETRY, _IMAGE = range(len(MODALITIES))


class Packer:
    """The tokens of a batch, packed on demand."""

    def __init__(
        self,
        cache: TokenCache,
        drawn: SampledTiles,
        tiles: RaggedTiles,
        *,
        known_geometry_frac: float = 1.0,
    ) -> None:
        self.drawn, self.tiles, self.known_geometry_frac = drawn, tiles, known_geometry_frac
        # the few tags of a batch, not the whole table: pooling then touches no more than it needs
        self.unique, self.codes = np.unique(tiles.codes, return_inverse=True)
        self.vectors = cache.tag_vectors[self.unique]
        self.weights = cache.tag_weights[self.unique]
        self.tag_ids = drawn.tag_ids[self.unique]
        self.geometry = cache.geometry[drawn.rows]
        centres = drawn.centres[owners(drawn.offsets)]
        self.place, self.has_place = relative_places(cache.boxes[drawn.rows], centres)
        self.target_dim = max(
            self.vectors.shape[1], self.geometry.shape[1], drawn.patches.images.shape[1]
        )

    def whole(self) -> TokenBatch:
        """Return the tiles as they are."""
        every_code = np.ones(len(self.codes), np.bool_)
        keep = np.ones(len(self.geometry), np.bool_)
        around, every = self.drawn.halo.counts(), self.drawn.patches
        patches = self._patches(np.ones(len(every.images), np.bool_))
        return self._packed(every_code, self.geometry, self.place, keep, around, patches)

    def seen(
        self,
        sees_code: NDArray[np.bool_],
        sees_geometry: NDArray[np.bool_],
        around: NDArray[np.float32],
        sees_patch: NDArray[np.bool_] | None = None,
    ) -> tuple[TokenBatch, Tensor]:
        """Return what is seen, and the row of each of its tokens in `whole`."""
        keep = sees_geometry | any_of(sees_code, self.tiles.code_offsets)
        geometry = np.where(sees_geometry[:, None], self.geometry, np.float32(0))
        place = _without_sides(self.place, ~sees_geometry)
        patches = None if sees_patch is None else self._patches(sees_patch)
        batch = self._packed(sees_code, geometry, place, keep, around, patches)
        return batch, torch.from_numpy(np.flatnonzero(keep))

    def queries(
        self, masks: Masks, asks_patch: NDArray[np.bool_], most: int, rng: np.random.Generator
    ) -> Queries:
        """Return what is asked: of each tile at most so many queries, drawn at random."""
        says = masks.asks_code & (self.weights[self.codes] > 0)
        asked_of = [
            np.flatnonzero(any_of(says, self.tiles.code_offsets)),
            np.flatnonzero(masks.asks_geometry),
            np.flatnonzero(asks_patch),
        ]
        asked = np.concatenate(asked_of)
        modality = np.repeat([0, 1, 2], [len(part) for part in asked_of])
        of_entities = owners(self.drawn.offsets)
        of_patches = owners(self.drawn.patches.offsets)
        tile = np.concatenate([of_entities[asked[modality < _IMAGE]], of_patches[asked_of[_IMAGE]]])
        order = np.lexsort((rng.random(len(asked)), tile))
        offsets = lengths_to_offsets(np.bincount(tile, minlength=len(self.drawn.offsets) - 1))
        keep = positions(offsets) < most
        order, offsets = order[keep], keep_members(offsets, keep)
        asked, modality = asked[order], modality[order]
        place, geometry = self._asked_places(asked, modality, rng)
        token = asked + len(self.geometry) * (modality == _IMAGE)
        target = self._targets(masks, asked, modality)
        arrays = (place, geometry, modality, token, target, offsets)
        return Queries(*map(torch.from_numpy, arrays))

    def _asked_places(
        self, asked: NDArray[np.int64], modality: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where queries lie, and the geometry that those for tags know."""
        place = np.zeros((len(asked), self.place.shape[1]), np.float32)
        geometry = np.zeros((len(asked), self.geometry.shape[1]), np.float32)
        is_patch = modality == _IMAGE
        place[~is_patch] = self.place[asked[~is_patch]]
        place = _without_sides(place, modality == _GEOMETRY)
        patch_place = self.drawn.patches.place[asked[is_patch]]
        place[is_patch, :2], place[is_patch, 2:4] = patch_place[:, :2], patch_place[:, 2:]
        is_known = (modality == _TAGS) & (rng.random(len(asked)) < self.known_geometry_frac)
        geometry[is_known] = self.geometry[asked[is_known]]
        return place, geometry

    def _targets(
        self, masks: Masks, asked: NDArray[np.int64], modality: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        target = np.zeros((len(asked), self.target_dim), np.float32)
        sources = (self._pooled(masks.asks_code), self.geometry, self.drawn.patches.images)
        for i, vectors in enumerate(sources):
            rows = modality == i
            target[rows, : vectors.shape[1]] = vectors[asked[rows]]
        return target

    def _patches(self, keep: NDArray[np.bool_]) -> Patches | None:
        patches = self.drawn.patches
        if not keep.any():
            return None
        return Patches(
            images=torch.from_numpy(patches.images[keep]),
            place=torch.from_numpy(patches.place[keep]),
            offsets=torch.from_numpy(keep_members(patches.offsets, keep)),
        )

    def _pooled(self, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the vector of some of the tags of each entity; `keep` is ``(c,)``."""
        offsets = keep_members(self.tiles.code_offsets, keep)
        return pool(self.codes[keep], offsets, vectors=self.vectors, weights=self.weights)

    def _tag_ids(self, keep: NDArray[np.bool_]) -> NDArray[np.int16]:
        offsets = keep_members(self.tiles.code_offsets, keep)
        return entity_tag_ids(self.tag_ids, self.weights, self.codes[keep], offsets)

    def _packed(
        self,
        sees_code: NDArray[np.bool_],
        geometry: NDArray[np.float32],
        place: NDArray[np.float32],
        keep: NDArray[np.bool_],
        around: NDArray[np.float32],
        patches: Patches | None,
    ) -> TokenBatch:
        return TokenBatch(
            tags=torch.from_numpy(self._pooled(sees_code)[keep]),
            geometry=torch.from_numpy(geometry[keep]),
            place=torch.from_numpy(place[keep]),
            has_place=torch.from_numpy(self.has_place[keep]),
            offsets=torch.from_numpy(keep_members(self.drawn.offsets, keep)),
            around=torch.from_numpy(around),
            tag_ids=torch.from_numpy(self._tag_ids(sees_code)[keep]),
            patches=patches,
        )


def _without_sides(place: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return places of which some keep their centre alone."""
    bare = place.copy()
    bare[hidden, 2:] = 0
    return bare


def make_batch(
    cache: TokenCache,
    drawn: SampledTiles,
    *,
    masks: MaskConfig,
    num_views: int,
    most_queries: int,
    known_geometry_frac: float = 1.0,
    with_whole: bool = True,
    rng: np.random.Generator,
) -> Batch:
    """Mask and pack the tiles of a batch.

    Parameters
    ----------
    drawn
        From `sample_tiles`; every tile holds an entity.
    num_views
        How often the tiles are masked anew.
    most_queries
        A tile's queries are at most so many, drawn at random.
    known_geometry_frac
        Part of the queries for tags that know the entity's geometry; the others know its box alone.
    with_whole
        Whether `Batch.whole` is wanted.
    """
    tiles = ragged_tiles(cache, drawn)
    tokens = Packer(cache, drawn, tiles, known_geometry_frac=known_geometry_frac)
    patches, views = drawn.patches, []
    # all masks first: a view's queries must not move the next one's masks
    found = [draw_masks(tiles, masks, rng) for _ in range(num_views)]
    for drawn_mask in found:
        mask, of_patches = draw_patch_masks(tiles, drawn_mask, patches.offsets, masks, rng)
        around = _around(cache, drawn, mask)
        views.append(
            View(
                *tokens.seen(mask.sees_code, mask.sees_geometry, around, of_patches.sees),
                tokens.queries(mask, of_patches.asks, most_queries, rng),
                torch.from_numpy(mask.mask),
                torch.from_numpy(patches.landcover[of_patches.sees]),
            )
        )
    whole = tokens.whole() if with_whole else None
    return Batch(whole, torch.from_numpy(drawn.region_content), tuple(views), len(drawn.rows))


def whole_batch(cache: TokenCache, drawn: SampledTiles) -> TokenBatch:
    """Return tiles as they are, nothing hidden."""
    return Packer(cache, drawn, ragged_tiles(cache, drawn)).whole()


def part_batch(
    cache: TokenCache,
    drawn: SampledTiles,
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


def _around(cache: TokenCache, drawn: SampledTiles, masks: Masks) -> NDArray[np.float32]:
    """Return what is counted around each tile, without what its class mask hides."""
    halo = drawn.halo
    tile = owners(halo.offsets)
    hidden = cache.kind[halo.rows] == masks.hidden_kind[tile]
    hidden |= cache.main_key[halo.rows] == masks.hidden_key[tile]
    return halo.counts(~hidden)


def ragged_tiles(cache: TokenCache, drawn: SampledTiles) -> RaggedTiles:
    """Return what masks are drawn from."""
    rows = drawn.rows
    places, code_offsets = list_places(cache.code_offsets, rows)
    codes = cache.codes[places]
    return RaggedTiles(
        offsets=drawn.offsets,
        bbox_m=_bbox_m(cache.bbox[rows], drawn.centres[owners(drawn.offsets)]),
        duplicate_group=cache.duplicate_group[rows],
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
    metres = METRES_PER_DEGREE * np.cos(np.radians(lat))
    west_m = ((west - lon + 180) % 360 - 180) * metres
    # a box over the antimeridian has its west in the east
    east_m = west_m + ((east - west) % 360) * metres
    south_m, north_m = ((side - lat) * METRES_PER_DEGREE for side in (south, north))
    return np.column_stack([west_m, south_m, east_m, north_m]).astype(np.float32)
