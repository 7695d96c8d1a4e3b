"""Encode map tiles: a transformer over tag, geometry and image tokens, and what it pools.

GeoJEPA (arXiv 2503.05774) with its defects mended: one stream of entity tokens with canonical-box
positions, of image patches where there are any, and of registers; pooling that padding cannot see.
Three outputs: a latent for every token, the same in context, and one latent for the region. A mean
over tokens forgets *how many* there are, and plain tag counts win on such questions; so a second
path counts: every token is judged alone by a small network to be so much of each of `num_counts`
learned kinds, and the logarithm of one plus the sum over the tile, and over what lies around it,
goes to the region's latent beside the rest.
"""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.geojepa.batch import Patches, TokenBatch, drawn_keys, padded_layout
from encoder.geojepa.config import WEIGHTS_NAME, GeoJEPAConfig, check_weights, current_name
from encoder.geojepa.layers import PLACE_FEATURES, Block, place_features
from encoder.geojepa.onednn_linear import Linear, TwoLayers
from encoder.geojepa.varlen_attention import length_buckets
from encoder.tensor_files import save_tensors


@dataclass(frozen=True)
class Latents:
    """What the model says of B tiles.

    Attributes
    ----------
    tokens
        In context, shape ``(N, width)``.
    region
        Shape ``(B, region_dim)``.
    counts
        Of `GeoJEPA.log_counts` inside the tiles, shape ``(B, num_counts)``.
    patches
        In context, shape ``(P, width)``; None where the batch has none.
    """

    tokens: Tensor
    region: Tensor
    counts: Tensor
    patches: Tensor | None = None


class GeoJEPA(nn.Module):
    """The encoder.

    Parameters
    ----------
    config
        Its shape; weights are random until they are loaded or trained.
    """

    geometry_mean: Tensor
    geometry_deviation: Tensor
    prototypes: Tensor
    token_mean: Tensor
    count_mean: Tensor
    count_deviation: Tensor
    vocabulary: Tensor
    vocabulary_mean: Tensor
    vocabulary_deviation: Tensor
    region_scale: Tensor
    image_mean: Tensor
    image_deviation: Tensor
    landcover_slope: Tensor
    landcover_widths: Tensor
    landcover_mean: Tensor
    landcover_low: Tensor
    landcover_high: Tensor
    appearance_mean: Tensor
    appearance_deviation: Tensor
    untrained_scale: Tensor

    def __init__(self, config: GeoJEPAConfig) -> None:
        super().__init__()
        self.config = config
        width, entity_dim = config.width, config.tag_dim + config.geometry_dim + 2
        self.register_buffer("geometry_mean", torch.zeros(config.geometry_dim))
        self.register_buffer("geometry_deviation", torch.ones(config.geometry_dim))
        # unit tag vectors: what lies in and around a tile is counted by the one it is most like
        self.register_buffer("prototypes", torch.zeros(config.num_counts, config.tag_dim))
        # of token latents: what all share tells nothing
        self.register_buffer("token_mean", torch.zeros(width))
        # of the counts inside, as region vectors hold them; see `encoder.geojepa.embedder`
        self.register_buffer("count_mean", torch.zeros(config.num_counts))
        self.register_buffer("count_deviation", torch.ones(config.num_counts))
        # unit vectors of the commonest tags, and of their counts; see `encoder.tags.vocabulary`
        self.register_buffer("vocabulary", torch.zeros(config.vocabulary_size, config.tag_dim))
        self.register_buffer("vocabulary_mean", torch.zeros(config.vocabulary_size))
        self.register_buffer("vocabulary_deviation", torch.ones(config.vocabulary_size))
        # beside the region's latent in every region vector, so that its length tells under a cosine
        self.register_buffer("region_scale", torch.zeros(()))
        self.register_buffer("untrained_scale", torch.zeros(()))
        self.token_in = Linear(entity_dim, width)
        self.place_in = Linear(PLACE_FEATURES, width)
        self.count_in = TwoLayers(entity_dim, config.num_counts, config.num_counts)
        self.around_in = Linear(config.num_counts, width)
        self.registers = nn.Parameter(0.02 * torch.randn(config.num_registers, width))
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.norm_out = nn.LayerNorm(width)
        if config.image_dim:
            self.register_buffer("image_mean", torch.zeros(config.image_dim))
            self.register_buffer("image_deviation", torch.ones(config.image_dim))
            # what of the map lies under a patch, told from its standardised token alone
            self.register_buffer(
                "landcover_slope", torch.zeros(config.landcover_inputs, config.tag_dim)
            )
            # the least and the largest width of patches trained on, log2 of metres
            self.register_buffer("landcover_widths", torch.zeros(2))
            self.register_buffer("landcover_mean", torch.zeros(config.tag_dim))
            # and what it can be at least and at most
            self.register_buffer("landcover_low", torch.full((config.tag_dim,), -torch.inf))
            self.register_buffer("landcover_high", torch.full((config.tag_dim,), torch.inf))
            # of `encoder.geojepa.region_vectors.patch_appearance`, as region vectors hold them
            self.register_buffer("appearance_mean", torch.zeros(config.appearance_dim))
            self.register_buffer("appearance_deviation", torch.ones(config.appearance_dim))
        if config.has_patch_tokens and config.image_dim:
            self.image_in = Linear(config.image_dim, width)
            self.image_kind = nn.Parameter(0.02 * torch.randn(width))
        if config.pooling == "learned":
            pooled_dim = 2 * config.num_counts + 3 * width + entity_dim
            if self.reads_patches:
                pooled_dim += 2 * width + config.image_dim + 1
            self.region_out = TwoLayers(pooled_dim, 2 * config.region_dim, config.region_dim)

    def entity_features(self, tags: Tensor, geometry: Tensor) -> Tensor:
        """Return what is said of entities alone, with a flag for each part that is missing.

        Shapes ``(..., tag_dim)`` and ``(..., geometry_dim)`` to ``(..., their sum + 2)``.
        """
        if not self.config.has_geometry:
            geometry = torch.zeros_like(geometry)
        has_tags = tags.abs().amax(-1, keepdim=True) > 0
        has_geometry = geometry.abs().amax(-1, keepdim=True) > 0
        shape = (geometry - self.geometry_mean) / self.geometry_deviation * has_geometry
        # unit tag vectors beside standardised columns: one scale for both
        scale = self.config.tag_dim**0.5
        return torch.cat([tags * scale, shape, ~has_tags, ~has_geometry], dim=-1)

    def kinds(self, tags: Tensor, geometry: Tensor) -> Tensor:
        """Return how much each entity, alone, is of each learned kind, shape ``(..., num_counts)``.

        Not negative.
        """
        return self._kinds(self.entity_features(tags, geometry))

    def _kinds(self, features: Tensor) -> Tensor:
        # most things are nothing of most kinds: start near zero
        return functional.softplus(self.count_in(features) - 2)

    def log_counts(self, kinds: Tensor, tile: Tensor, num_tiles: int) -> Tensor:
        """Return the logarithm of one plus the sum of kinds in each tile.

        Parameters
        ----------
        kinds
            Shape ``(N, num_counts)``.
        tile
            Of each row, shape ``(N,)``.

        Returns
        -------
        counts
            Shape ``(num_tiles, num_counts)``.
        """
        # sums in float32, whatever the precision of the rest: half of it cannot count to 300
        sums = torch.zeros(num_tiles, kinds.shape[-1], device=kinds.device)
        if self.config.has_counts:
            sums = sums.index_add(0, tile, kinds.float())
        return torch.log1p(sums)

    def forward(self, batch: TokenBatch) -> Latents:
        """Encode tiles."""
        features = self.entity_features(batch.tags, batch.geometry)
        places = self.place_in(place_features(batch.place, batch.has_place))
        tile, num_tiles = batch.tile, batch.num_tiles
        counts = self.log_counts(self._kinds(features), tile, num_tiles)
        # what lies around a tile is told to its registers
        registers = self.registers + self.around_in(batch.around)[:, None]
        x = torch.cat([self.token_in(features) + places, registers.flatten(0, 1)])
        # a model without patch tokens does not see them
        patches = batch.patches if self.reads_patches else None
        if patches is not None:
            x = torch.cat([x, self._patch_tokens(patches)])
        x = self._in_context(x, batch.offsets, None if patches is None else patches.offsets)
        tokens, rest = x[: len(tile)], x[len(tile) :]
        registers, patch_latents = rest.tensor_split([num_tiles * self.config.num_registers])
        registers = registers.view(num_tiles, self.config.num_registers, -1)
        mean, largest = mean_max(tokens, tile, num_tiles)
        if self.config.pooling == "learned":
            # and the plain mean of what came in: the region need not learn what it can be told
            entered = mean_max(features, tile, num_tiles)[0]
            pooled = [counts, batch.around, registers.mean(1), mean, largest, entered]
            if self.reads_patches:
                pooled += self._pooled_patches(patches, patch_latents, num_tiles)
            region = self.region_out(torch.cat(pooled, dim=-1))
        else:
            region = mean if self.config.pooling == "mean" else torch.cat([mean, largest], dim=-1)
        return Latents(tokens, region, counts, None if patches is None else patch_latents)

    def _in_context(self, x: Tensor, offsets: Tensor, patch_offsets: Tensor | None) -> Tensor:
        """Return packed rows as they are in their tiles."""
        num_registers, max_keys = self.config.num_registers, self.config.max_keys
        if x.device.type == "cpu":
            runs = length_buckets(offsets, num_registers, patch_offsets, max_keys=max_keys)
            x = x[runs.order]
            for block in self.blocks:
                x = block(x, runs)
            return self.norm_out(x)[runs.back]
        # a GPU does many sizes at once, and one after another not well
        layout = padded_layout(offsets, num_registers, patch_offsets)
        keys = drawn_keys(layout, num_registers, max_keys)
        for block in self.blocks:
            x = block(x, layout, keys)
        return self.norm_out(x)

    @property
    def reads_patches(self) -> bool:
        """Whether patches are tokens of the stream."""
        return self.config.has_patch_tokens and self.config.image_dim > 0

    def standard_images(self, images: Tensor) -> Tensor:
        """Return patch tokens of one scale, shape ``(P, image_dim)``."""
        return (images - self.image_mean) / self.image_deviation

    def _patch_tokens(self, patches: Patches) -> Tensor:
        has_place = torch.ones(len(patches.images), dtype=torch.bool, device=patches.place.device)
        places = self.place_in(place_features(patches.box, has_place))
        return self.image_in(self.standard_images(patches.images)) + places + self.image_kind

    def _pooled_patches(
        self, patches: Patches | None, patch_latents: Tensor, num_tiles: int
    ) -> list[Tensor]:
        """Return what the patches of each tile are on the whole; zeros where there is none."""
        width = 2 * self.config.width + self.config.image_dim + 1
        if patches is None:
            return [self.registers.new_zeros(num_tiles, width)]
        tile = patches.tile
        mean = mean_max(self.standard_images(patches.images), tile, num_tiles)[0]
        has_patches = patches.offsets.diff()[:, None] > 0
        return [*mean_max(patch_latents, tile, num_tiles), mean, has_patches.float()]

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors into a folder that exists."""
        tensors = {name: part.contiguous() for name, part in self.state_dict().items()}
        save_tensors(tensors, folder / WEIGHTS_NAME)
        self.config.write(folder)

    @classmethod
    def load(cls, folder: Path) -> "GeoJEPA":
        """Open a checkpoint, on the CPU, in float32.

        Raises
        ------
        CheckpointError
            If the folder holds none, one of another schema, or files that do not fit.
        """
        config = GeoJEPAConfig.read(folder)
        check_weights(folder, config)
        model = cls(config)
        tensors = safetensors.torch.load_file(folder / WEIGHTS_NAME)
        model.load_state_dict({current_name(name): part.float() for name, part in tensors.items()})
        return model.eval()


def untrained(model: GeoJEPA) -> GeoJEPA:
    """Return the same model with random weights of seed 0; its statistics stay."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = GeoJEPA(model.config).to(model.geometry_mean.device)
    for name, part in model.named_buffers():
        fresh.get_buffer(name).copy_(part)
    return fresh.eval()


def mean_max(tokens: Tensor, tile: Tensor, num_tiles: int) -> tuple[Tensor, Tensor]:
    """Return mean and maximum over the tokens of each tile, zero where there is none.

    Shapes ``(N, width)`` and ``(N,)`` to two of ``(num_tiles, width)``.
    """
    tokens = tokens.float()
    zeros = tokens.new_zeros(num_tiles, tokens.shape[-1])
    num_tokens = torch.bincount(tile, minlength=num_tiles).clamp(min=1)[:, None]
    mean = zeros.index_add(0, tile, tokens) / num_tokens
    at = tile[:, None].expand_as(tokens)
    largest = zeros.scatter_reduce(0, at, tokens, "amax", include_self=False)
    return mean, largest
