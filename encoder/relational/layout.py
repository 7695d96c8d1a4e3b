"""Turn what the network says into vectors: of entities in parts, of regions in counts.

An entity's vector has four parts, each of one length in every row:

==========  =================================================================================
part        is
==========  =================================================================================
tags        the whitened tag vector of the entity, and what the network predicts of it, mixed by
            how much its tags say: of one with telling tags mostly its own, of one without what its
            relations suggest
size        sine and cosine, at two frequencies, of the logarithms of extent and height; what is
            not known, as the extent of a café drawn as a point, is predicted
importance  an angle: a right one with a Wikidata or Wikipedia tag, else by its probability
context     the network's latent
==========  =================================================================================

From tags and context the directions are taken out that tell points, lines and areas of one kind
apart: a café is one however it is drawn.

A region's vector has three:

==========  =================================================================================
part        is
==========  =================================================================================
mean        the mean latent of what the region holds, of one length
counts      how many of each token it is expected to hold, and how many entities, as
            log(1 + x), standardised; shortened only where it is unusually long
rest        what the counts leave of their length: rows have unit length without a division by
            what else a region holds, so that a straight line through the columns gives counts
==========  =================================================================================
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.geojepa.onednn_linear import Linear
from encoder.protocol import EntityTokens
from encoder.relational.config import (
    LayoutConfig,
    RelationalConfig,
    part_columns,
    region_part_columns,
)
from encoder.relational.model import in_blocks
from encoder.relational.size import logarithms, size_columns
from encoder.tags.ruled_vectors import unit_rows


class SearchLayout(nn.Module):
    """The fixed linear maps from latents to the parts of vectors.

    Attributes
    ----------
    tags, context, importance
        From the latent to parts of an entity's vector.
    size
        From the latent to the expected logarithms of extent and height.
    own_tags
        From a unit tag vector to the columns of `tags`.
    counted
        From the latent to the log odds of the tokens that regions count.
    region_mean
        From the mean latent of a region.
    """

    def __init__(self, shape: RelationalConfig, layout: LayoutConfig) -> None:
        super().__init__()
        self.config = layout
        self.tags = Linear(shape.latent_dim, layout.tag_columns)
        self.context = Linear(shape.latent_dim, layout.context_columns)
        self.importance = Linear(shape.latent_dim, 1)
        self.size = Linear(shape.latent_dim, 2)
        self.own_tags = Linear(shape.tag_dim, layout.tag_columns)
        self.counted = Linear(shape.latent_dim, len(layout.counted))
        self.region_mean = Linear(shape.latent_dim, layout.region_columns)
        self.count_mean: Tensor
        self.count_deviation: Tensor
        self.register_buffer("count_mean", torch.zeros(len(layout.counted) + 1))
        self.register_buffer("count_deviation", torch.ones(len(layout.counted) + 1))

    @torch.no_grad()
    def entities(
        self,
        latents: NDArray[np.float32],
        tokens: EntityTokens,
        is_notable: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the vectors of entities, shape ``(n, D)``.

        Parameters
        ----------
        latents
            Shape ``(n, latent_dim)``.
        tokens
            Of the same entities.
        is_notable
            Whether a tag says so.
        """
        read = torch.from_numpy(np.ascontiguousarray(latents))
        odds = in_blocks(self.importance, read).numpy()[:, 0]
        chance = np.where(is_notable, np.float32(1), 1 / (1 + np.exp(-odds)))
        angle = chance * np.float32(np.pi / 2)
        predicted = unit_rows(in_blocks(self.tags, read).numpy())
        weight = tokens.tag_weight[:, None]
        parts = {
            "tags": unit_rows(weight * self._known(tokens) + (1 - weight) * predicted),
            "size": size_columns(
                logarithms(tokens.geometry, tokens.numbers), in_blocks(self.size, read).numpy()
            ),
            "importance": np.stack((np.cos(angle), np.sin(angle)), axis=1),
            "context": unit_rows(in_blocks(self.context, read).numpy()),
        }
        shares = self.config.shares
        # in the order of the columns, whatever that of the settings
        return np.hstack(
            [np.float32(shares[name] ** 0.5) * parts[name] for name in part_columns(self.config)]
        )

    def _known(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return the whitened tag vectors, unit rows; zero of entities without telling tags."""
        found = in_blocks(self.own_tags, torch.from_numpy(unit_rows(tokens.tags))).numpy()
        found[~tokens.tags.any(axis=1)] = 0
        return unit_rows(found)

    @torch.no_grad()
    def expected(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how likely entities have each counted token, shape ``(n, C)``."""
        read = torch.from_numpy(np.ascontiguousarray(latents))
        return torch.sigmoid(in_blocks(self.counted, read)).numpy()

    @torch.no_grad()
    def regions(
        self, mean: NDArray[np.float32], counts: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the vectors of regions, shape ``(t, R)``; zero of what holds nothing.

        Parameters
        ----------
        mean
            Of the latents of what each holds, shape ``(t, latent_dim)``.
        counts
            Sums of `expected`, and how many entities there are: shape ``(t, C + 1)``.
        """
        shares = self.config.region_shares
        latent = unit_rows(in_blocks(self.region_mean, torch.from_numpy(mean)).numpy())
        standard = (np.log1p(counts) - self.count_mean.numpy()) / self.count_deviation.numpy()
        # of length one where a region is as far from the usual in every column as most are
        scaled = standard * (shares["counts"] / standard.shape[1]) ** 0.5
        room = 1 - shares["mean"]
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        scaled *= np.minimum(1, np.sqrt(room) / np.maximum(length, 1e-9))
        rest = np.sqrt(np.maximum(room - (scaled**2).sum(axis=1, keepdims=True), 0))
        found = np.hstack([shares["mean"] ** 0.5 * latent, scaled, rest]).astype(np.float32)
        found[counts[:, -1] == 0] = 0
        assert found.shape[1] == region_part_columns(self.config)["rest"].stop  # noqa: S101
        return found
