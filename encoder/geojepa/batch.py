"""Pack tiles of many sizes into tensors, padded where a GPU wants it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.protocol import METRES_PER_DEGREE

#: columns of `TokenBatch.place`: east and north of the tile's centre, long and short side, metres,
#: and cos 2θ and sin 2θ of the long side
PLACE_DIM = 6


@dataclass(frozen=True)
class Patches:
    """What B tiles look like from above: P image patches in all, end to end.

    Attributes
    ----------
    images
        Patch tokens, shape ``(P, image_dim)``, float32.
    place
        Shape ``(P, 3)``: metres east and north of the tile's centre, and the patch's width.
    offsets
        Shape ``(B + 1,)``, int64: tile i has the patches ``offsets[i]`` to ``offsets[i + 1]``.
    """

    images: Tensor
    place: Tensor
    offsets: Tensor

    def to(self, device: torch.device | str) -> "Patches":
        """Return the patches on another device."""
        return Patches(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def tile(self) -> Tensor:
        """The tile of each patch, shape ``(P,)``, int64."""
        return _owners(self.offsets)

    @property
    def box(self) -> Tensor:
        """Where the patches lie, as `TokenBatch.place` has it, shape ``(P, PLACE_DIM)``."""
        east, north, side = self.place.unbind(-1)
        nothing = torch.zeros_like(side)
        return torch.stack([east, north, side, side, nothing, nothing], dim=-1)


@dataclass(frozen=True)
class TokenBatch:
    """B tiles with N entity tokens in all, end to end: nothing is spent on padding.

    Attributes
    ----------
    tags
        Shape ``(N, tag_dim)``, float32; zero where tags are missing or hidden.
    geometry
        Shape ``(N, geometry_dim)``; zero where geometry is missing or hidden.
    place
        Shape ``(N, PLACE_DIM)``: see `PLACE_DIM`.
    has_place
        Shape ``(N,)``: False where an entity has no place, as a query of tags alone.
    offsets
        Shape ``(B + 1,)``, int64: tile i has the tokens ``offsets[i]`` to ``offsets[i + 1]``.
    around
        Shape ``(B, num_counts)``: `encoder.tags.vocabulary.log_counts` of each tile's halo,
        by the
        model's prototypes.
    tag_ids
        Shape ``(N, MAX_TAG_IDS)``, int16: `encoder.tags.vocabulary.entity_tag_ids` of the tags
        that are seen.
    patches
        Image patches that are visible; None where no tile has any.
    """

    tags: Tensor
    geometry: Tensor
    place: Tensor
    has_place: Tensor
    offsets: Tensor
    around: Tensor
    tag_ids: Tensor
    patches: Patches | None = None

    def to(self, device: torch.device | str) -> "TokenBatch":
        """Return the batch on another device."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: part.to(device) for name, part in parts.items() if part is not None}
        return TokenBatch(**moved)

    def replace(self, **tensors: Any) -> "TokenBatch":
        """Return the batch with some tensors replaced."""
        return replace(self, **tensors)

    @property
    def num_tiles(self) -> int:
        """Return B."""
        return len(self.offsets) - 1

    @property
    def tile(self) -> Tensor:
        """The tile of each token, shape ``(N,)``, int64."""
        return _owners(self.offsets)


def _owners(offsets: Tensor) -> Tensor:
    tiles = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(tiles, offsets.diff())


@dataclass(frozen=True)
class Layout:
    """Where packed rows stand when each tile becomes a padded row of its own.

    Attributes
    ----------
    index
        Shape ``(B, T)``: the packed row at each place; 0 where there is none.
    is_pad
        Shape ``(B, T)``.
    back
        Shape ``(rows,)``: the place of each packed row in the flattened ``B * T``.
    """

    index: Tensor
    is_pad: Tensor
    back: Tensor


def padded_layout(
    offsets: Tensor, num_registers: int, patch_offsets: Tensor | None = None
) -> Layout:
    """Lay out N tokens, the registers of each tile, and P patches, as padded rows.

    In each row registers come first, then tokens, then patches. Packed, all tokens come first, then
    registers, tile by tile, then patches.

    Parameters
    ----------
    offsets
        Of the tokens, shape ``(B + 1,)``.
    patch_offsets
        Of the patches, shape ``(B + 1,)``; None where there are none.
    """
    device, sizes = offsets.device, offsets.diff()
    num_tiles, num_tokens = len(sizes), int(offsets[-1])
    if patch_offsets is None:
        patch_offsets = torch.zeros_like(offsets)
    filled = sizes + patch_offsets.diff()
    width = num_registers + int(filled.max()) if num_tiles else num_registers
    column = torch.arange(width, device=device) - num_registers
    is_pad = column >= filled[:, None]
    registers = num_tokens + torch.arange(num_tiles * num_registers, device=device)
    of_tokens = offsets[:-1, None] + column
    first_patch = num_tokens + len(registers) + patch_offsets[:-1, None]
    of_patches = first_patch + column - sizes[:, None]
    index = torch.where(column < sizes[:, None], of_tokens, of_patches)
    index = torch.where(is_pad, 0, index)
    index[:, :num_registers] = registers.view(num_tiles, num_registers)
    flat = torch.arange(num_tiles * width, device=device).view(num_tiles, width)
    num_rows = num_tokens + len(registers) + int(patch_offsets[-1])
    back = torch.empty(num_rows, dtype=torch.int64, device=device)
    back[index[~is_pad]] = flat[~is_pad]
    return Layout(index, is_pad, back)


@dataclass(frozen=True)
class Keys:
    """Which places of each padded row are attended to.

    Attributes
    ----------
    index
        Shape ``(B, K)``, into the T of `Layout`.
    is_pad
        Shape ``(B, K)``: True where a row has fewer.
    """

    index: Tensor
    is_pad: Tensor


def drawn_keys(layout: Layout, num_registers: int, most: int) -> Keys | None:
    """Draw what large tiles attend to: all registers, and of the tokens at most so many, evenly.

    Drawn tile by tile: what one attends to does not depend on the others of its batch. None where
    no tile has more, and all attend to all.
    """
    sizes = (~layout.is_pad).sum(dim=1) - num_registers
    if not len(sizes) or int(sizes.max()) <= most:
        return None
    device = sizes.device
    kept = sizes.clamp(max=most)[:, None]
    rank = torch.arange(most, device=device)
    drawn = evenly(rank, sizes[:, None], kept.clamp(min=1))
    is_pad = rank >= kept
    drawn = torch.where(is_pad, 0, drawn)
    registers = torch.arange(num_registers, device=device).expand(len(sizes), -1)
    return Keys(
        torch.cat([registers, num_registers + drawn], dim=1),
        torch.cat([torch.zeros_like(registers, dtype=torch.bool), is_pad], dim=1),
    )


def evenly(rank: Tensor, size: Tensor | int, kept: Tensor | int) -> Tensor:
    """Return which of `size` places is drawn as the one of some rank among `kept`, at least 1.

    The middle of each of as many equal runs; all places, where all are kept.
    """
    return (2 * rank + 1) * size // (2 * kept)


def relative_places(
    boxes: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return boxes seen from the centres of their tiles.

    Parameters
    ----------
    boxes
        Of `encoder.geometry.tokens.canonical_boxes`, shape ``(m, 6)``; zeros where there is none.
    centres
        Longitude and latitude, degrees, shape ``(m, 2)``.

    Returns
    -------
    place
        Shape ``(m, PLACE_DIM)``, metres east and north first.
    has_place
        Shape ``(m,)``.
    """
    has_place = np.asarray(boxes.any(axis=1))
    place = np.zeros((len(boxes), PLACE_DIM), np.float32)
    east = (boxes[:, 0] - centres[:, 0] + 180) % 360 - 180
    place[:, 0] = east * METRES_PER_DEGREE * np.cos(np.radians(centres[:, 1]))
    place[:, 1] = (boxes[:, 1] - centres[:, 1]) * METRES_PER_DEGREE
    place[:, 2:] = boxes[:, 2:]
    place[~has_place] = 0
    return place, has_place


def token_runs(sizes: NDArray[np.int64], *, most_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Cut tiles into batches of similar sizes, so that attention pads little.

    Parameters
    ----------
    sizes
        Tokens of each tile, shape ``(t,)``.
    most_tokens
        Of a batch, padding counted; a tile that alone has more is a batch of its own.

    Yields
    ------
    tiles
        Places in `sizes`, small tiles first.
    """
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        # sizes grow along the order: the last tile that fits decides the width of the batch.
        # a tile costs something beside its tokens: registers, and its region
        widths = sizes[order[start:]] + 2
        padded = widths * np.arange(1, len(widths) + 1)
        count = max(1, int(np.searchsorted(padded, most_tokens, side="right")))
        yield order[start : start + count]
        start += count
