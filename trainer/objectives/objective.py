"""Compute the training loss: one of four objectives, as weighed terms over one batch.

==========  ==================================================================================
objective   targets of the predictor, and what keeps latents from collapse
==========  ==================================================================================
ema         latents of a slow copy of the encoder, which sees the whole tile (the published
            GeoJEPA); a little VICReg
sigreg      the encoder's own latents of the whole tile, gradients and all; SIGReg
frozen      whitened tag and geometry vectors of entities, and what a region holds: neither
            can collapse
hybrid      frozen targets, agreement of a tile's views, and SIGReg on regions
==========  ==================================================================================

======================  =======================================================================
term                    is
======================  =======================================================================
region_content          error of predicting, from a view's region, what the whole tile holds
                        (`trainer.data.region_targets`)
masked_prediction       error of the predictor on masked entities, a modality alone, then their
                        mean (`trainer.objectives.losses`)
context_reconstruction  error of predicting, from a *visible* entity's latent, its own vectors:
                        keeps latents from becoming summaries of their surroundings alone
patch_landcover         error of predicting, from a visible patch's latent, what lies under it
view_invariance         square distance of the views' projected regions to the tile's
sigreg                  `trainer.objectives.sigreg`, on projected regions
entities                `trainer.objectives.sigreg`, on projected latents of some entities
variance, covariance    VICReg's terms on context latents
======================  =======================================================================

Letters of shapes: B tiles, N tokens, Q queries, D width, V views.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.geojepa.batch import TokenBatch
from encoder.geojepa.model import GeoJEPA, Latents
from trainer.data.batch import MODALITIES, Batch, View
from trainer.objectives.config import ObjectiveConfig
from trainer.objectives.copy_baseline import nearest_context, shown_vectors
from trainer.objectives.ema import Ema
from trainer.objectives.losses import (
    Predicted,
    balanced,
    covariance_loss,
    predicted_error,
    prediction_error,
    variance_loss,
)
from trainer.objectives.predictor import Predictor, PredictorConfig
from trainer.objectives.sigreg import SIGReg, projector
from trainer.objectives.whitening import Whitener

_MOST_ENTITIES = 1024  # of a batch, for the term `entities`


class Objective(nn.Module):
    """Encoder, predictor and heads; called on a batch it returns the loss and its terms.

    Parameters
    ----------
    encoder
        The model that is trained.
    config, predictor
        Of the objective, and of the predictor.
    region_content_dims
        Width of `Batch.region_content`.
    """

    landcover_spread: Tensor

    def __init__(
        self,
        encoder: GeoJEPA,
        config: ObjectiveConfig,
        predictor: PredictorConfig,
        *,
        region_content_dims: int,
    ) -> None:
        super().__init__()
        shape = encoder.config
        self.config = config
        self.encoder = encoder
        self.predictor = Predictor(shape, predictor)
        image_dim = shape.image_dim if encoder.reads_patches else 0
        dims = dict(zip(MODALITIES, (shape.tag_dim, shape.geometry_dim, image_dim), strict=True))
        #: the width of the vectors of each modality that the model reads
        self.modality_dims = {name: dim for name, dim in dims.items() if dim}
        self.whiteners = nn.ModuleDict(
            {name: Whitener(dim, config.token_dims) for name, dim in self.modality_dims.items()}
        )
        frozen = {name: min(config.token_dims, dim) for name, dim in self.modality_dims.items()}
        widths = dict.fromkeys(frozen, shape.width) if config.predicts_latents else frozen
        self.heads = nn.ModuleDict(
            {name: nn.Linear(predictor.width, width) for name, width in widths.items()}
        )
        if config.weight("region_content"):
            self.region_content_head = nn.Linear(shape.region_dim, region_content_dims)
        if config.weight("context_reconstruction"):
            self.context_heads = nn.ModuleDict(
                {name: nn.Linear(shape.width, frozen[name]) for name in ("tags", "geometry")}
            )
        if config.weight("patch_landcover") and image_dim:
            self.landcover_head = nn.Linear(shape.width, shape.tag_dim)
            # the deviation of what lies under patches: see `trainer.run.setup`
            self.register_buffer("landcover_spread", torch.ones(()))
        if config.weight("view_invariance") or config.weight("sigreg"):
            self.region_projector = projector(shape.region_dim, config.projection_dim)
        if config.weight("entities"):
            self.entity_projector = projector(shape.width, config.projection_dim)
        self.sigreg = SIGReg(config.num_directions)
        self.ema: Ema | None = None
        if config.name == "ema":
            self.ema = Ema(encoder)

    def forward(self, batch: Batch, *, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, shape ``()``, and its terms before they are weighed, held constant.

        Parameters
        ----------
        seed
            Decides SIGReg's directions; another each step.
        """
        whole = self._whole(batch.whole)
        latents = [self.encoder(view.context) for view in batch.views]
        terms: dict[str, list[Tensor]] = {}
        for view, seen in zip(batch.views, latents, strict=True):
            for name, value in self._view_terms(view, seen, whole, seed):
                terms.setdefault(name, []).append(value)
            if self.config.weight("region_content"):
                terms.setdefault("region_content", []).append(
                    self._region_error(seen, batch.region_content)
                )
            if hasattr(self, "landcover_head"):
                terms.setdefault("patch_landcover", []).append(
                    self._landcover_error(seen, view.landcover)
                )
        if hasattr(self, "region_projector"):
            regions = [self.region_projector(seen.region) for seen in latents]
            if whole is not None and self.ema is None:
                regions.append(self.region_projector(whole.region))
            for name, value in self._region_terms(torch.stack(regions), seed):
                terms.setdefault(name, []).append(value)
        means = {name: torch.stack(values).mean() for name, values in terms.items()}
        total = torch.stack([self.config.weight(name) * value for name, value in means.items()])
        return total.sum(), {name: value.detach() for name, value in means.items()}

    def _whole(self, whole: TokenBatch | None) -> Latents | None:
        """Return the latents of the whole tiles, where the objective needs them."""
        if whole is None or not self.config.needs_whole:
            return None
        if self.ema is not None:
            with torch.no_grad():
                found: Latents = self.ema.module(whole)
            return found
        latents: Latents = self.encoder(whole)
        return latents

    def _view_terms(
        self, view: View, seen: Latents, whole: Latents | None, seed: int
    ) -> Iterator[tuple[str, Tensor]]:
        if self.config.weight("masked_prediction"):
            yield "masked_prediction", self.predicted_error(self._predictions(view, seen, whole))
        if self.config.weight("context_reconstruction"):
            yield "context_reconstruction", self._reconstruction_error(view.context, seen)
        if self.config.weight("entities"):
            step = max(1, -(-len(seen.tokens) // _MOST_ENTITIES))
            some = self.entity_projector(seen.tokens[::step])
            yield "entities", self.sigreg(some, seed=seed)
        if self.config.weight("variance") and len(seen.tokens) > 1:
            yield "variance", variance_loss(seen.tokens)
        if self.config.weight("covariance"):
            yield "covariance", covariance_loss(seen.tokens)

    def predicted_error(self, found: Mapping[str, Predicted]) -> Tensor:
        """Return the error of the predictor's answers as one number, shape ``()``."""
        return predicted_error(found, self.config)

    def _region_terms(self, regions: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the terms on projected regions, shape ``(V, B, D)``."""
        if self.config.weight("view_invariance"):
            # the last is the whole tile, the largest view there is
            yield "view_invariance", (regions[:-1] - regions[-1]).square().mean()
        if self.config.weight("sigreg"):
            each = [self.sigreg(view, seed=seed) for view in regions]
            yield "sigreg", torch.stack(each).mean()

    def whitener(self, name: str) -> Whitener:
        """Return the map to the frozen targets of a modality."""
        found = self.whiteners[name]
        assert isinstance(found, Whitener)  # noqa: S101 - for the type: torch knows modules alone
        return found

    def _region_error(self, seen: Latents, region_content: Tensor) -> Tensor:
        one = region_content.new_ones(())
        predicted = self.region_content_head(seen.region)
        return prediction_error(
            predicted, region_content, spread=one, kind=self.config.region_error
        )

    def _landcover_error(self, seen: Latents, landcover: Tensor) -> Tensor:
        # of a batch without patches an error of 0, with gradients of 0
        latents = seen.tokens[:0] if seen.patches is None else seen.patches
        predicted = self.landcover_head(latents)
        return prediction_error(
            predicted, landcover, spread=self.landcover_spread, kind=self.config.error
        )

    def predictions(self, batch: Batch) -> list[dict[str, Predicted]]:
        """Return what the predictor says of each view, by modality; for monitors."""
        whole = self._whole(batch.whole)
        return [self._predictions(view, self.encoder(view.context), whole) for view in batch.views]

    def _predictions(
        self, view: View, seen: Latents, whole: Latents | None
    ) -> dict[str, Predicted]:
        hidden = self.predictor(seen, view.context, view.queries)
        asked = {
            name: view.queries.modality == MODALITIES.index(name) for name in self.modality_dims
        }
        targets = self._latent_targets if self.config.predicts_latents else self._frozen_targets
        return {
            name: Predicted(self.heads[name](hidden[rows]), targets(name, rows, view, whole), rows)
            for name, rows in asked.items()
        }

    def _frozen_targets(
        self, name: str, asked: Tensor, view: View, _whole: Latents | None
    ) -> Tensor:
        width = self.modality_dims[name]
        found: Tensor = self.whiteners[name](view.queries.target[asked][:, :width])
        return found

    def _latent_targets(
        self, _name: str, asked: Tensor, view: View, whole: Latents | None
    ) -> Tensor:
        if whole is None:
            msg = "latent targets need the latents of the whole tiles"
            raise RuntimeError(msg)
        return self._target_latents(whole)[view.queries.token[asked]]

    def nearest(self, name: str, batch: Batch, view: View) -> tuple[Tensor, Tensor]:
        """Return what copying the nearest visible entity would say of the queries of a modality.

        Returns
        -------
        copied
            Shape ``(N, D)``, as `Predicted.target`.
        found
            Shape ``(N,)``: False where the context shows the modality nowhere in the tile.
        """
        asked = view.queries.modality == MODALITIES.index(name)
        dim = self.modality_dims[name]
        row, found = nearest_context(view.context, view.queries, asked, name, dim=dim)
        if self.config.predicts_latents and name != "image":
            whole = self._whole(batch.whole)
            if whole is not None:
                return self._target_latents(whole)[view.context_token[row]], found
        vectors, _ = shown_vectors(view.context, name, dim=dim)
        copied: Tensor = self.whiteners[name](vectors[row])
        return copied, found

    def _target_latents(self, whole: Latents) -> Tensor:
        if self.ema is None:
            return _every_token(whole)
        # I-JEPA (arXiv 2301.08243): a target that shrinks would make a small loss of nothing
        tokens = _every_token(whole).float()
        return functional.layer_norm(tokens, tokens.shape[-1:])

    def _reconstruction_error(self, context: TokenBatch, seen: Latents) -> Tensor:
        errors, counts = {}, {}
        one = torch.ones((), device=seen.tokens.device)
        for name, vectors in (("tags", context.tags), ("geometry", context.geometry)):
            shown = vectors.any(-1)
            target = self.whiteners[name](vectors[shown])
            predicted = self.context_heads[name](seen.tokens[shown])
            errors[name] = prediction_error(predicted, target, spread=one, kind=self.config.error)
            counts[name] = len(target)
        return balanced(errors, counts)


def _every_token(latents: Latents) -> Tensor:
    """Return the latents of all entities, and behind them those of all patches."""
    if latents.patches is None:
        return latents.tokens
    return torch.cat([latents.tokens, latents.patches])
