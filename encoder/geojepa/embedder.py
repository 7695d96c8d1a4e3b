"""Embed entities and regions by a GeoJEPA checkpoint, behind the one protocol.

==========  =================================================================================
vector      parts
==========  =================================================================================
own         tags, geometry: those of `encoder.tagpool.TagPool`, so that the worst case is the
            untrained pooling; nothing in the columns of the context
contextual  the same, mixed with the tile's mean as `TagPool` does, and beside it the latent of the
            entity's token in its tile, centred
region      the latent of the tile and, past the network, counts and appearance; see
            `encoder.geojepa.region_vectors`
==========  =================================================================================

torch is imported only where tiles are embedded: an entity alone needs none.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from encoder.errors import CheckpointError, MissingHfError
from encoder.geojepa.config import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    GeoJEPAConfig,
    check_weights,
    current_name,
)
from encoder.geojepa.region_vectors import joined_parts, patch_appearance, region_columns, slices
from encoder.geometry.tokens import GEOMETRY_DIM, canonical_boxes
from encoder.protocol import EntityTokens, TagCodes, Tiles
from encoder.tagpool import TagPool
from encoder.tags.ruled_vectors import unit_rows
from encoder.tags.vocabulary import (
    count_tag_ids,
    entity_tag_ids,
    log_counts,
    match_vocabulary,
    nearest_prototypes,
)

if TYPE_CHECKING:
    from encoder.geojepa.model import GeoJEPA

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "data" / "geojepa"
# counted up when the code makes other vectors of the same checkpoint
_VERSION = 4


class GeoJEPAEmbedder:
    """A checkpoint that embeds.

    Parameters
    ----------
    folder
        Holds config.json and model.safetensors; the shipped checkpoint by default.
    is_untrained
        Random weights of the same shape (seed 0) with the checkpoint's statistics: a baseline.

    Raises
    ------
    CheckpointError
        If the folder holds no checkpoint, or one of another schema or tag table, or the text model
        that reads its tags cannot be loaded.
    MissingHfError
        If a text model reads its tags, and torch or transformers is not installed.
    """

    def __init__(self, folder: Path = DEFAULT_CHECKPOINT, *, is_untrained: bool = False) -> None:
        self._folder, self._is_untrained = folder, is_untrained
        self.config = GeoJEPAConfig.read(folder)
        check_weights(folder, self.config)
        self._pool = _tag_pool(self.config.text_model)
        self._opening = Lock()
        if self.config.tag_fingerprint not in {"", self._pool.table_fingerprint}:
            msg = (
                f"{folder} was trained with tag table {self.config.tag_fingerprint[:8]}, this "
                f"version has {self._pool.table_fingerprint[:8]}; train again, or install the "
                "version that made it"
            )
            raise CheckpointError(msg)
        dims = (self.config.tag_dim, self.config.geometry_dim)
        if dims != (wanted := (self._pool.table.dim, GEOMETRY_DIM)):
            msg = f"{folder} reads tags and geometry of {dims} columns, this version has {wanted}"
            raise CheckpointError(msg)

    @property
    def name(self) -> str:
        """What `build --encoder` takes: geojepa, geojepa:untrained, or the checkpoint's folder."""
        if self._is_untrained:
            return "geojepa:untrained"
        is_shipped = self._folder == DEFAULT_CHECKPOINT
        return "geojepa" if is_shipped else str(self._folder.resolve())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the version, the weights, the settings, and of what own vectors are made by."""
        digest = hashlib.blake2b(digest_size=16)
        for name in (WEIGHTS_NAME, CONFIG_NAME):
            digest.update((self._folder / name).read_bytes())
        digest.update(f"{_VERSION} {self._is_untrained} {self._pool.fingerprint}".encode())
        return digest.hexdigest()

    @property
    def image_fingerprint(self) -> str:
        """Of the image tokens that the model was trained with; "" if it reads none."""
        return self.config.image_fingerprint

    @property
    def dim(self) -> int:
        """Width of an entity's vector."""
        return self.config.tag_dim + GEOMETRY_DIM + self.config.width

    @property
    def region_dim(self) -> int:
        """Width of a region's vector."""
        return list(self.region_parts.values())[-1].stop

    @property
    def parts(self) -> Mapping[str, slice]:
        """Columns of an entity's vector: its tags, its geometry, its surroundings."""
        config = self.config
        widths = {"tags": config.tag_dim, "geometry": GEOMETRY_DIM, "context": config.width}
        return slices(widths)

    @property
    def region_parts(self) -> Mapping[str, slice]:
        """Columns of a region's vector; see `encoder.geojepa.region_vectors`."""
        return region_columns(self.config)

    def tokens(self, tags: TagCodes, geometries: NDArray[np.object_] | None) -> EntityTokens:
        """Tokenise entities; see `encoder.protocol.Embedder.tokens`."""
        table = self._pool.table
        vectors, weights = table.vectors(tags.unique), table.weights(tags.unique)
        pooled = self._pool.pooled_tokens(tags, geometries, vectors=vectors, weights=weights)
        ids_of_tags = match_vocabulary(vectors, weights, self._vocabulary)
        tag_ids = entity_tag_ids(ids_of_tags, weights, tags.codes, tags.offsets)
        tokens = replace(pooled, tag_ids=tag_ids)
        if geometries is None:
            return tokens
        return replace(tokens, boxes=canonical_boxes(geometries))

    @cached_property
    def _vocabulary(self) -> NDArray[np.float32]:
        # by itself: a query of tags alone needs no torch
        with safe_open(self._folder / WEIGHTS_NAME, "np") as file:
            names = {current_name(name): name for name in file.keys()}  # noqa: SIM118 - no mapping
            return np.asarray(file.get_tensor(names["vocabulary"]), np.float32)

    def own(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return the vector of each entity alone, shape ``(n, D)``."""
        vectors = np.zeros((len(tokens), self.dim), np.float32)
        vectors[:, : self._pool.dim] = self._pool.own(tokens)
        return vectors

    def tiles(
        self, tokens: EntityTokens, tiles: Tiles
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return contextual and region vectors; see `encoder.protocol.Embedder.tiles`."""
        # torch comes with it: an entity alone needs none
        from encoder.geojepa.inference import TileMembers, tile_centres, tile_latents

        # members repeat between tiles that are neighbours: each row is judged once
        rows, local = np.unique(tiles.members, return_inverse=True)
        used = tokens.take(rows)
        pooled = self._pool.contextual(self._pool.own(used), used.tag_weight, local, tiles)
        inside = ~tiles.is_halo
        prototypes = self._model.prototypes.numpy()
        nearest = nearest_prototypes(used.tags, prototypes)[local]
        around, counts = (
            log_counts(np.where(picked, nearest, -1), tiles.offsets, num_prototypes=len(prototypes))
            for picked in (~inside, inside)
        )
        offsets = np.append(0, np.cumsum(inside))[tiles.offsets]
        centres = tile_centres(used, local, tiles)
        members = TileMembers(used, local[inside], offsets, around, centres, tiles.patches)
        context, region = tile_latents(self._model, members)
        contextual = self._contextual(pooled, context[tiles.is_read[inside]])
        tag_counts = count_tag_ids(
            used.tag_ids[local[inside]], offsets, vocabulary_size=self.config.vocabulary_size
        )
        has_content, appearance = np.diff(offsets) > 0, None
        if tiles.patches is not None and self.config.image_dim:
            appearance = patch_appearance(self._model, tiles.patches)
            has_content |= np.diff(tiles.patches.offsets) > 0
        vectors = joined_parts(self._model, region, counts, tag_counts, appearance)
        # a tile that has_content nothing is like nothing
        vectors[~has_content] = 0
        return contextual, vectors

    def _contextual(
        self, pooled: NDArray[np.float32], context: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        share = np.float32(self.config.context_share)
        latent = unit_rows(context - self._model.token_mean.numpy(), in_place=True)
        vectors, width = np.empty((len(pooled), self.dim), np.float32), pooled.shape[1]
        np.multiply(pooled, (1 - share) ** 0.5, out=vectors[:, :width])
        np.multiply(latent, share**0.5, out=vectors[:, width:])
        return unit_rows(vectors, in_place=True)

    @property
    def _model(self) -> "GeoJEPA":
        # threads that embed at once open it once
        with self._opening:
            return self._opened

    @cached_property
    def _opened(self) -> "GeoJEPA":
        try:
            from encoder.geojepa.model import GeoJEPA, untrained
        except ImportError as error:
            raise MissingHfError(package="torch") from error
        model = GeoJEPA.load(self._folder)
        if self._is_untrained:
            model = untrained(model)
            # the same parts in the same proportion, for latents of another length
            ratio = model.region_scale / model.untrained_scale.clamp(min=1e-9)
            model.count_deviation *= ratio
            if self.config.image_dim:
                model.appearance_deviation *= ratio
            model.region_scale.copy_(model.untrained_scale)
        return model.requires_grad_(requires_grad=False)


def _tag_pool(text_model: str) -> TagPool:
    if not text_model:
        return TagPool()
    from encoder.tagpool import TextTagPool
    from encoder.tags.text_models import HuggingFaceText

    try:
        return TextTagPool(HuggingFaceText(text_model))
    except (OSError, ValueError) as error:
        msg = (
            f"cannot load the text model {text_model!r}, which reads its tags: {error}; "
            "want it where config.json says"
        )
        raise CheckpointError(msg) from error
