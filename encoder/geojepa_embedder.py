"""What vector does GeoJEPA give an entity and a region? The checkpoint behind the one protocol.

==========  =================================================================================
vector      parts
==========  =================================================================================
own         tags, geometry: those of `encoder.tagpool.TagPool`, so that the worst case is the
            untrained pooling; nothing in the columns of the context
contextual  the same, mixed with the tile's mean as `TagPool` does, and beside it the latent of the
            entity's token in its tile, centred
region      the latent of the tile; how many entities are most like each of the prototypes, log
            and standardised, half as long: the way past the network; and one constant, so that
            scaled to unit length a region that holds much points elsewhere than one that holds
            little of the same
==========  =================================================================================

torch is imported here, and only where tiles are embedded: an
entity alone needs none.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from encoder.embedder import EntityTokens, TagCodes, Tiles
from encoder.errors import CheckpointError, MissingHfError
from encoder.geojepa_config import CONFIG_NAME, WEIGHTS_NAME, GeoJEPAConfig
from encoder.geometry_tokens import GEOMETRY_DIM, canonical_boxes
from encoder.surroundings import log_counts, nearest_prototypes
from encoder.tagpool import TagPool, unit_rows

if TYPE_CHECKING:
    from encoder.geojepa import GeoJEPA, Latents

DEFAULT_CHECKPOINT = Path(__file__).parent / "data" / "geojepa"
# counted up when the code makes other vectors of the same checkpoint
_VERSION = 1
_TOKENS_AT_ONCE = 16_384


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
        If the folder holds no checkpoint, or one of another schema or tag table.
    """

    def __init__(self, folder: Path = DEFAULT_CHECKPOINT, *, is_untrained: bool = False) -> None:
        self._folder, self._is_untrained = folder, is_untrained
        self.config = GeoJEPAConfig.read(folder)
        _check_weights(folder / WEIGHTS_NAME)
        self._pool = TagPool()
        if self.config.tag_fingerprint not in {"", self._pool.table_fingerprint}:
            msg = (
                f"{folder} was trained with tag table {self.config.tag_fingerprint[:8]}, this "
                f"version has {self._pool.table_fingerprint[:8]}; train again, or install the "
                "version that made it"
            )
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
    def dim(self) -> int:
        """Width of an entity's vector."""
        return self.config.tag_dim + GEOMETRY_DIM + self.config.width

    @property
    def region_dim(self) -> int:
        """Width of a region's vector."""
        return self.config.region_dim + self.config.num_counts + 1

    @property
    def parts(self) -> Mapping[str, slice]:
        """Columns of an entity's vector: its tags, its geometry, its surroundings."""
        config = self.config
        return _slices(tags=config.tag_dim, geometry=GEOMETRY_DIM, context=config.width)

    @property
    def region_parts(self) -> Mapping[str, slice]:
        """Columns of a region's vector: its latent, its counts, and the constant beside them."""
        config = self.config
        return _slices(latent=config.region_dim, counts=config.num_counts, scale=1)

    def tokens(self, tags: TagCodes, geometries: NDArray[np.object_] | None) -> EntityTokens:
        """Tokenise entities; see `encoder.embedder.Embedder.tokens`."""
        tokens = self._pool.tokens(tags, geometries)
        if geometries is None:
            return tokens
        boxes = canonical_boxes(geometries)
        return EntityTokens(tokens.tags, tokens.salience, tokens.geometry, boxes)

    def own(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return the vector of each entity alone, shape ``(n, D)``."""
        vectors = np.zeros((len(tokens), self.dim), np.float32)
        vectors[:, : self._pool.dim] = self._pool.own(tokens)
        return vectors

    def tiles(
        self, tokens: EntityTokens, tiles: Tiles
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return contextual and region vectors; see `encoder.embedder.Embedder.tiles`."""
        # members repeat between tiles that are neighbours: each row is judged once
        rows, local = np.unique(tiles.members, return_inverse=True)
        used = tokens.take(rows)
        pooled = self._pool.contextual(self._pool.own(used), used.salience, local, tiles)
        inside = ~tiles.is_halo
        prototypes = self._model.prototypes.numpy()
        nearest = nearest_prototypes(used.tags, prototypes)[local]
        around, counts = (
            log_counts(np.where(picked, nearest, -1), tiles.offsets, num_prototypes=len(prototypes))
            for picked in (~inside, inside)
        )
        offsets = np.append(0, np.cumsum(inside))[tiles.offsets]
        latents = _Latents(self, used, local[inside], offsets, _centres(used, local, tiles))
        context, region = latents.all(around)
        contextual = self._contextual(pooled, context[tiles.is_read[inside]])
        return contextual, self._regions(region, counts, np.diff(offsets) > 0)

    def _contextual(
        self, pooled: NDArray[np.float32], context: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        share = np.float32(self.config.context_share)
        latent = unit_rows(context - self._model.token_mean.numpy())
        parts = [pooled * (1 - share) ** 0.5, latent * share**0.5]
        return unit_rows(np.hstack(parts))

    def _regions(
        self,
        region: NDArray[np.float32],
        counts: NDArray[np.float32],
        holds: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        vectors = joined_parts(self._model, region, counts)
        # a tile that holds nothing is like nothing
        return unit_rows(vectors * holds[:, None])

    @cached_property
    def _model(self) -> "GeoJEPA":
        try:
            from encoder.geojepa import GeoJEPA, untrained
        except ImportError as error:
            raise MissingHfError(package="torch") from error
        model = GeoJEPA.load(self._folder)
        if self._is_untrained:
            model = untrained(model)
            # the same parts in the same proportion, for latents of another length
            model.count_deviation *= model.region_scale / model.untrained_scale.clamp(min=1e-9)
            model.region_scale.copy_(model.untrained_scale)
        return model.requires_grad_(requires_grad=False)


def joined_parts(
    model: "GeoJEPA", latents: NDArray[np.float32], counts: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the parts of region vectors side by side, shape ``(t, R)``, not yet of unit length.

    Parameters
    ----------
    latents
        Shape ``(t, region_dim)``.
    counts
        Of the prototypes inside each tile, `encoder.surroundings.log_counts`.
    """
    counted = (counts - model.count_mean.cpu().numpy()) / model.count_deviation.cpu().numpy()
    if not model.config.has_counts:
        counted = np.zeros_like(counted)
    scale = np.full((len(latents), 1), model.region_scale.item(), np.float32)
    return np.hstack([latents, counted, scale])


class _Latents:
    """What the model says of the tiles of one call, batch by batch."""

    def __init__(
        self,
        embedder: GeoJEPAEmbedder,
        used: EntityTokens,
        members: NDArray[np.intp],
        offsets: NDArray[np.int64],
        centres: NDArray[np.float64],
    ) -> None:
        self._model = embedder._model
        self._used, self._members, self._offsets = used, members, offsets
        self._centres = centres

    def all(self, around: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the latents of all members and of all regions."""
        config, num_tiles = self._model.config, len(self._offsets) - 1
        context = np.zeros((len(self._members), config.width), np.float32)
        region = np.zeros((num_tiles, config.region_dim), np.float32)
        for tiles, at, found in self._batches(around):
            context[at] = found.tokens.numpy()
            region[tiles] = found.region.numpy()
        return context, region

    def _batches(
        self, around: NDArray[np.float32]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], "Latents"]]:
        import torch

        from encoder.token_batch import TokenBatch, relative_places, token_runs

        sizes = np.diff(self._offsets)
        for tiles in token_runs(sizes, most_tokens=_TOKENS_AT_ONCE):
            ends = np.cumsum(sizes[tiles])
            at = np.repeat(self._offsets[tiles] - (ends - sizes[tiles]), sizes[tiles])
            at += np.arange(len(at))
            rows = self._members[at]
            centres = np.repeat(self._centres[tiles], sizes[tiles], axis=0)
            place, has_place = relative_places(self._used.boxes[rows], centres)
            batch = TokenBatch(
                tags=torch.from_numpy(self._used.tags[rows]),
                geometry=torch.from_numpy(self._used.geometry[rows]),
                place=torch.from_numpy(place),
                has_place=torch.from_numpy(has_place),
                offsets=torch.from_numpy(np.append(0, ends)),
                around=torch.from_numpy(around[tiles]),
            )
            with torch.inference_mode():
                yield tiles, at, self._model(batch)


def _check_weights(path: Path) -> None:
    """Read the weights' header, without torch: a damaged file is told at once, not hours later."""
    try:
        with safe_open(path, "np") as file:
            file.keys()
    except (OSError, SafetensorError) as error:
        msg = f"cannot read {path}: {error}; want a folder that `geoindex train` made"
        raise CheckpointError(msg) from error


def _centres(used: EntityTokens, local: NDArray[np.intp], tiles: Tiles) -> NDArray[np.float64]:
    """Return the centres of tiles: as given, else the middle of what each holds."""
    if tiles.centres is not None:
        return tiles.centres
    found = np.zeros((len(tiles.offsets) - 1, 2))
    for i, (start, stop) in enumerate(zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True)):
        boxes = used.boxes[local[start:stop]]
        placed = boxes[boxes.any(axis=1)]
        if len(placed):
            # the first one's side of the antimeridian is that of all
            east = (placed[:, 0] - placed[0, 0] + 180) % 360 - 180
            found[i] = placed[0, 0] + east.mean(), placed[:, 1].mean()
    return found


def _slices(**widths: int) -> dict[str, slice]:
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }
