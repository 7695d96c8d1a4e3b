"""What lies nearest to what is asked? The guess that a predictor has to beat."""

import torch
from torch import Tensor

from encoder.token_batch import TokenBatch
from trainer.batch_types import Queries


@torch.no_grad()
def nearest_context(
    context: TokenBatch, queries: Queries, asked: Tensor, modality: str
) -> tuple[Tensor, Tensor]:
    """Return the context token of the same tile, nearest to each query, that shows a modality.

    Parameters
    ----------
    asked
        Shape ``(Q,)``, N of them True.

    Returns
    -------
    row
        Shape ``(N,)``, into the context's tokens; 0 where there is none.
    found
        Shape ``(N,)``.
    """
    vectors = context.tags if modality == "tags" else context.geometry
    shown = vectors.any(-1).nonzero()[:, 0]
    query = asked.nonzero()[:, 0]
    row, found = torch.zeros_like(query), torch.zeros_like(query, dtype=torch.bool)
    query_tile = tile_of(queries.offsets)[query]
    shown_tile = context.tile[shown]
    for tile in sorted(set(query_tile.tolist())):
        here, there = (query_tile == tile).nonzero()[:, 0], shown[shown_tile == tile]
        if len(there):
            gaps = torch.cdist(queries.place[query[here], :2], context.place[there, :2])
            row[here], found[here] = there[gaps.argmin(dim=1)], True
    return row, found


def tile_of(offsets: Tensor) -> Tensor:
    """Return the tile of each of the rows that lie end to end."""
    tiles = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(tiles, offsets.diff())
