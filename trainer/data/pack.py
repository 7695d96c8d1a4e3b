"""How do drawn tiles become tensors? Tokens that are seen, and queries for those that are not.

Letters of shapes: B tiles, N tokens of all tiles end to end, Q queries of all tiles, c codes, P
patches.

What is not seen leaves no trace. An entity without any seen part is no token at all. One whose
geometry is hidden has a place but no size or orientation, in the context and in the query that asks
for its geometry: the sides of its box are a part of the answer.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.geojepa.batch import Patches, TokenBatch, relative_places
from encoder.tags.table import pool
from encoder.tags.vocabulary import entity_words
from trainer.data.batch import MODALITIES, Queries
from trainer.data.cache import TokenCache
from trainer.data.ragged import any_of, keep_members, lengths_to_offsets, owners, positions
from trainer.data.sample_entities import Drawn
from trainer.masks.types import Masks, RaggedTiles

_TAGS, _GEOMETRY, _IMAGE = range(len(MODALITIES))


class Packer:
    """The tokens of a batch, packed on demand."""

    def __init__(
        self, cache: TokenCache, drawn: Drawn, tiles: RaggedTiles, *, told_frac: float = 1.0
    ) -> None:
        self.drawn, self.tiles, self.told_frac = drawn, tiles, told_frac
        # the few tags of a batch, not the whole table: pooling then touches no more than it needs
        self.unique, self.codes = np.unique(tiles.codes, return_inverse=True)
        self.vectors = cache.tag_vectors[self.unique]
        self.weights = cache.tag_weights[self.unique]
        self.said = drawn.said[self.unique]
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
        around, looks = self.drawn.halo.counts(), self.drawn.patches
        patches = self._patches(np.ones(len(looks.images), np.bool_))
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
        place, told = self._asked_places(asked, modality, rng)
        token = asked + len(self.geometry) * (modality == _IMAGE)
        target = self._targets(masks, asked, modality)
        arrays = (place, told, modality, token, target, offsets)
        return Queries(*map(torch.from_numpy, arrays))

    def _asked_places(
        self, asked: NDArray[np.int64], modality: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where queries lie, and the geometry that those for tags are told."""
        place = np.zeros((len(asked), self.place.shape[1]), np.float32)
        geometry = np.zeros((len(asked), self.geometry.shape[1]), np.float32)
        is_patch = modality == _IMAGE
        place[~is_patch] = self.place[asked[~is_patch]]
        place = _without_sides(place, modality == _GEOMETRY)
        looks = self.drawn.patches.place[asked[is_patch]]
        place[is_patch, :2], place[is_patch, 2:4] = looks[:, :2], looks[:, 2:]
        is_told = (modality == _TAGS) & (rng.random(len(asked)) < self.told_frac)
        geometry[is_told] = self.geometry[asked[is_told]]
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
        looks = self.drawn.patches
        if not keep.any():
            return None
        return Patches(
            images=torch.from_numpy(looks.images[keep]),
            place=torch.from_numpy(looks.place[keep]),
            offsets=torch.from_numpy(keep_members(looks.offsets, keep)),
        )

    def _pooled(self, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the vector of some of the tags of each entity; `keep` is ``(c,)``."""
        offsets = keep_members(self.tiles.code_offsets, keep)
        return pool(self.codes[keep], offsets, vectors=self.vectors, weights=self.weights)

    def _words(self, keep: NDArray[np.bool_]) -> NDArray[np.int16]:
        offsets = keep_members(self.tiles.code_offsets, keep)
        return entity_words(self.said, self.weights, self.codes[keep], offsets)

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
            words=torch.from_numpy(self._words(sees_code)[keep]),
            patches=patches,
        )


def _without_sides(place: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return places of which some keep their centre alone."""
    bare = place.copy()
    bare[hidden, 2:] = 0
    return bare
