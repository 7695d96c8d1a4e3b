"""Predict what is hidden from the context, by place and modality.

A query is one modality of one entity: where it lies, what is known of it, and what is asked.
Queries attend to the context's latents and to the region's, never to each other: an answer does not
depend on what else is asked.

Letters of shapes: B tiles, N context tokens and Q queries end to end; padded, K memory tokens and M
queries a tile; D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.geojepa.batch import Layout, TokenBatch, padded_layout
from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.layers import PLACE_FEATURES, place_features
from encoder.geojepa.model import Latents
from trainer.data.batch import MODALITIES, Queries


@dataclass(frozen=True)
class PredictorConfig:
    """The predictor's shape.

    Attributes
    ----------
    width, depth, num_heads
        Narrower and shallower than the encoder: what it cannot do, the encoder must.
    reads_region
        Whether the region's latent is part of what it reads, so that the region must hold what
        helps to tell the hidden.
    reads_geometry
        Whether a query for tags knows the entity's whole geometry, or its box alone.
    """

    width: int = 128
    depth: int = 2
    num_heads: int = 4
    reads_region: bool = True
    reads_geometry: bool = True


class Predictor(nn.Module):
    """Cross-attention from queries to context.

    Parameters
    ----------
    model
        The shape of the encoder.
    config
        Its own.
    """

    def __init__(self, model: GeoJEPAConfig, config: PredictorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.context_in = nn.Linear(model.width, width)
        self.region_in = nn.Linear(model.region_dim, width) if config.reads_region else None
        self.place_in = nn.Linear(PLACE_FEATURES, width)
        self.geometry_in = nn.Linear(model.geometry_dim, width) if config.reads_geometry else None
        self.modality = nn.Embedding(len(MODALITIES), width)
        # there is always something to attend to, even where a tile's context is empty
        self.nothing = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(
            CrossBlock(width, config.num_heads) for _ in range(config.depth)
        )
        self.norm_out = nn.LayerNorm(width)

    def forward(self, latents: Latents, context: TokenBatch, queries: Queries) -> Tensor:
        """Return a latent for each query, shape ``(Q, width)``.

        Parameters
        ----------
        latents
            Of the context.
        context
            What they are of.
        """
        num_tiles = context.num_tiles
        extra = [self.nothing.expand(num_tiles, -1)]
        if self.region_in is not None:
            extra.append(self.region_in(latents.region))
        memory = [self.context_in(latents.tokens), torch.stack(extra, 1).flatten(0, 1)]
        patch_offsets = None
        if latents.patches is not None and context.patches is not None:
            memory.append(self.context_in(latents.patches))
            patch_offsets = context.patches.offsets
        of_memory = padded_layout(context.offsets, len(extra), patch_offsets)
        of_queries = padded_layout(queries.offsets, 0)
        has_place = torch.ones_like(queries.modality, dtype=torch.bool)
        x = self.place_in(place_features(queries.place, has_place))
        x = x + self.modality(queries.modality)
        if self.geometry_in is not None:
            x = x + self.geometry_in(queries.geometry)
        read = torch.cat(memory)
        for block in self.blocks:
            x = block(x, of_queries, read, of_memory)
        out: Tensor = self.norm_out(x)
        return out


class CrossBlock(nn.Module):
    """Attention from queries to a memory and a two-layer network, pre-norm, packed."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_in, self.norm_memory = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor, of_queries: Layout, memory: Tensor, of_memory: Layout) -> Tensor:
        """Return the queries, ``(Q, D)``, after one look at the memory, ``(rows, D)``."""
        if not len(x):
            return x
        q = self.query(self.norm_in(x))[of_queries.index]
        k, v = self.key_value(self.norm_memory(memory))[of_memory.index].chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (q, k, v))
        seen = ~of_memory.is_pad[:, None, None]
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + self.out(found.transpose(1, 2).flatten(2).flatten(0, 1)[of_queries.back])
        return x + self.mlp(self.norm_mlp(x))
