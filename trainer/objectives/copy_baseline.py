"""Copy the nearest visible token: the guess that a predictor has to beat."""

import torch
from torch import Tensor

from encoder.geojepa.batch import TokenBatch
from trainer.data.batch import Queries


@torch.no_grad()
def nearest_context(
    context: TokenBatch, queries: Queries, asked: Tensor, modality: str, *, dim: int
) -> tuple[Tensor, Tensor]:
    """Return the context token of the same tile, nearest to each query, that shows a modality.

    Parameters
    ----------
    asked
        Shape ``(Q,)``, N of them True.
    dim
        Width of the modality's vectors.

    Returns
    -------
    row
        Shape ``(N,)``, into `shown_vectors`; 0 where there is none.
    found
        Shape ``(N,)``.
    """
    vectors, tiles = shown_vectors(context, modality, dim=dim)
    places = context.place if modality != "image" else _patch_places(context)
    shown = vectors[: len(places)].any(-1).nonzero()[:, 0]
    query = asked.nonzero()[:, 0]
    row, found = torch.zeros_like(query), torch.zeros_like(query, dtype=torch.bool)
    query_tile = tile_of(queries.offsets)[query]
    shown_tile = tiles[shown]
    for tile in sorted(set(query_tile.tolist())):
        here, there = (query_tile == tile).nonzero()[:, 0], shown[shown_tile == tile]
        if len(there):
            gaps = torch.cdist(queries.place[query[here], :2], places[there, :2])
            row[here], found[here] = there[gaps.argmin(dim=1)], True
    return row, found


def shown_vectors(context: TokenBatch, modality: str, *, dim: int) -> tuple[Tensor, Tensor]:
    """Return the vectors of a modality that the context shows, and the tile of each.

    Always at least one row, of zeros where none is shown: there is one to point at.
    """
    if modality == "image":
        patches = context.patches
        vectors = context.tags.new_zeros(0, dim) if patches is None else patches.images
        tile = context.offsets.new_zeros(0) if patches is None else patches.tile
    else:
        vectors, tile = (context.tags if modality == "tags" else context.geometry), context.tile
    if len(vectors):
        return vectors, tile
    return vectors.new_zeros(1, dim), tile.new_zeros(1)


def _patch_places(context: TokenBatch) -> Tensor:
    return context.place[:0] if context.patches is None else context.patches.place


def tile_of(offsets: Tensor) -> Tensor:
    """Return the tile of each of the rows that lie end to end."""
    tiles = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(tiles, offsets.diff())
