"""Attend within tiles without padding, tiles of one length side by side.

Attention over padded tiles masks what is not there, and on a CPU pays for it all the same. Most
tiles are small and many are of one size: stood in order of size, each size is a block of its own
without a gap.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from encoder.geojepa.batch import evenly
from encoder.geojepa.onednn_linear import ROWS


@dataclass(frozen=True)
class Run:
    """Tiles of one size, one after another.

    Attributes
    ----------
    num_tiles, size
        How many tiles, and rows of each.
    keys
        The rows of each that are attended to; None for all.
    """

    num_tiles: int
    size: int
    keys: Tensor | None


@dataclass(frozen=True)
class LengthBuckets:
    """Where packed rows stand when tiles are in order of size.

    Attributes
    ----------
    order
        Shape ``(places,)``: the packed row at each place; behind the last some spare ones, so that
        `encoder.geojepa.onednn_linear` meets few numbers of rows.
    back
        Shape ``(rows,)``: the place of each packed row.
    runs
        From the first place on.
    """

    order: Tensor
    back: Tensor
    runs: tuple[Run, ...]

    def attended(self, qkv: Tensor, num_heads: int) -> Tensor:
        """Return what each place hears of those of its tile.

        Parameters
        ----------
        qkv
            Queries, keys and values side by side, shape ``(places, 3 * width)``.

        Returns
        -------
        found
            Shape ``(places, width)``.
        """
        width, start, parts = qkv.shape[1] // 3, 0, []
        for run in self.runs:
            stop = start + run.num_tiles * run.size
            rows = qkv[start:stop].view(run.num_tiles, run.size, 3, num_heads, -1)
            q, k, v = rows.permute(2, 0, 3, 1, 4)
            if run.keys is not None:
                k, v = k[:, :, run.keys], v[:, :, run.keys]
            found = functional.scaled_dot_product_attention(q, k, v)
            parts.append(found.transpose(1, 2).reshape(stop - start, width))
            start = stop
        parts.append(qkv.new_zeros(len(qkv) - start, width))
        return torch.cat(parts)


def length_buckets(
    offsets: Tensor, num_registers: int, patch_offsets: Tensor | None = None, *, max_keys: int
) -> LengthBuckets:
    """Stand N tokens, the registers of each tile, and P patches in order of the tiles' sizes.

    Packed, all tokens come first, then registers, tile by tile, then patches. In each tile
    registers come first, then tokens, then patches.

    Parameters
    ----------
    offsets, patch_offsets
        As `encoder.geojepa.batch.padded_layout` takes them.
    max_keys
        A tile attends to all its registers, and of the rest to at most so many, evenly drawn.
    """
    tile = torch.arange(len(offsets) - 1)
    num_tokens, num_of_registers = int(offsets[-1]), len(tile) * num_registers
    sizes = offsets.diff() + num_registers
    owners = [tile.repeat_interleave(num_registers), tile.repeat_interleave(offsets.diff())]
    packed = [num_tokens + torch.arange(num_of_registers), torch.arange(num_tokens)]
    if patch_offsets is not None:
        sizes = sizes + patch_offsets.diff()
        owners.append(tile.repeat_interleave(patch_offsets.diff()))
        packed.append(num_tokens + num_of_registers + torch.arange(int(patch_offsets[-1])))
    by_size = sizes.argsort(stable=True)
    rank = torch.empty_like(by_size)
    rank[by_size] = tile
    order = torch.cat(packed)[rank[torch.cat(owners)].argsort(stable=True)]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    spare = -len(order) % ROWS if len(order) > ROWS else 0
    found, counts = torch.unique(sizes, return_counts=True)  # ascending
    runs = tuple(
        Run(count, size, _drawn(size, num_registers, max_keys))
        for size, count in zip(found.tolist(), counts.tolist(), strict=True)
        if size
    )
    return LengthBuckets(functional.pad(order, (0, spare)), back, runs)


def _drawn(size: int, num_registers: int, most: int) -> Tensor | None:
    """Draw what a large tile attends to, as `encoder.geojepa.batch.drawn_keys` does."""
    others = size - num_registers
    if others <= most:
        return None
    drawn = evenly(torch.arange(most), others, most)
    return torch.cat([torch.arange(num_registers), num_registers + drawn])
