"""What is in a batch? Tiles in views, each with what is seen and what is asked.

Letters of shapes: B tiles, N tokens of all tiles end to end, Q queries of all tiles.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from encoder.geojepa.batch import TokenBatch

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
        and where nothing is told.
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
        Shape ``(B,)``, into `trainer.masks.types.MASKS`.
    ground
        What lies under each patch that is seen, shape ``(P', tag_dim)``: sums of tag vectors by
        the part of the patch that an entity covers, whether it is seen or not.
    """

    context: TokenBatch
    context_token: Tensor
    queries: Queries
    mask: Tensor
    ground: Tensor

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
    holds
        Shape ``(B, R)``: the target of each tile's region, see `trainer.data.region_targets`.
    views
        As many maskings as were asked for.
    num_tokens
        How many entities the tiles hold together.
    """

    def __init__(
        self, whole: TokenBatch | None, holds: Tensor, views: tuple[View, ...], num_tokens: int
    ) -> None:
        self.whole, self.holds, self.views = whole, holds, views
        self.num_tokens = num_tokens

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on another device."""
        views = tuple(view.to(device) for view in self.views)
        whole = None if self.whole is None else self.whole.to(device)
        return Batch(whole, self.holds.to(device), views, self.num_tokens)
