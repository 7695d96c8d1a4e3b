"""Do halves of a tile find each other? Retrieval without labels, on tiles that were held out.

The entities of a tile are parted in two at random, units that repeat each other staying together.
The vector of one half then looks for the other half among those of all tiles. What lies around a
tile is the same for both halves, so it is hidden. Nothing of this is a label: a checkpoint may be
chosen by it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.geojepa.batch import TokenBatch
from encoder.geojepa.context_counts import log_counts, nearest_prototypes
from encoder.geojepa.model import GeoJEPA, untrained
from encoder.geojepa.region_vectors import joined_parts, patch_looks
from encoder.protocol import TilePatches
from encoder.tags.vocabulary import word_counts
from trainer.data.cache import TokenCache
from trainer.data.collate import part_batch
from trainer.data.sample_entities import Drawn, draw_entities
from trainer.data.training_tiles import TrainingTiles
from trainer.masks.units import choose_units, units_of

_LEAST_ENTITIES = 6  # of a tile that is halved
_TILES_AT_ONCE = 64
# of log counts: what hardly varies is not made loud
_LEAST_DEVIATION = 0.1
# of the constant: looks of tiles trained on
_LOOKS = 0.25
# of unit tag vectors by the part of a patch that is covered
_LEAST_GROUND = 0.01
# of the words, beside other parts that are 1 long together; see `encoder.geojepa.region_vectors`
_WORDS_LENGTH = 0.07


@dataclass(frozen=True)
class Halves:
    """Held-out tiles as pairs of token batches, in the same order.

    `left[i]` and `right[i]` are the halves of the same tiles; `tags` and `geometry` are the whole
    tiles, of one modality each.
    """

    left: list[TokenBatch]
    right: list[TokenBatch]
    tags: list[TokenBatch]
    geometry: list[TokenBatch]


def probe_tiles(
    tiles: TrainingTiles, is_held_out: NDArray[np.bool_], *, most: int, seed: int
) -> NDArray[np.int64]:
    """Return the held-out tiles that are looked at: large enough, at most `most`, in size order."""
    fit = np.flatnonzero(is_held_out & (tiles.sizes >= _LEAST_ENTITIES))
    chosen = np.random.default_rng([seed, 1]).permutation(fit)[:most]
    return chosen[np.argsort(tiles.sizes[chosen], kind="stable")]


def halve(
    cache: TokenCache, tiles: TrainingTiles, chosen: NDArray[np.int64], *, most: int, seed: int
) -> Halves:
    """Part each tile in two."""
    halves = Halves([], [], [], [])
    for start in range(0, len(chosen), _TILES_AT_ONCE):
        rng = np.random.default_rng([seed, 2, start])
        drawn = draw_entities(
            tiles, chosen[start : start + _TILES_AT_ONCE], most=most, most_patches=0, rng=rng
        )
        is_left = left_half(cache, drawn, rng)
        everyone = np.ones_like(is_left)
        halves.left.append(part_batch(cache, drawn, keep=is_left))
        halves.right.append(part_batch(cache, drawn, keep=~is_left))
        halves.tags.append(part_batch(cache, drawn, keep=everyone, with_geometry=False))
        halves.geometry.append(part_batch(cache, drawn, keep=everyone, with_tags=False))
    return halves


def left_half(cache: TokenCache, drawn: Drawn, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Say which entities go to the left half, about one of two, shape ``(N,)``."""
    unit = units_of(cache.link[drawn.rows], drawn.offsets)
    half = np.full(len(drawn.offsets) - 1, 0.5)
    everyone = np.ones(len(unit), np.bool_)
    return choose_units(rng.random(len(unit)), unit, drawn.offsets, half, among=everyone)


@torch.no_grad()
def region_latents(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return the region latents of some batches, one below the other, shape ``(t, region_dim)``."""
    device = model.geometry_mean.device
    found = [model(batch.to(device)).region.float().cpu().numpy() for batch in batches]
    return np.concatenate(found)


@torch.no_grad()  # else a buffer would hold the graph of every look
def calibrate(model: GeoJEPA, batches: list[TokenBatch]) -> None:
    """Set what stands beside every region's latent, by the latents' median length.

    A cosine forgets how long a latent is, and so how much a tile holds; beside a constant of that
    length it does not. Counts of prototypes are a third as long. Looks are a quarter as long, as
    much what lies under the patches as how they look: they are taken from the constant, and ground
    told of a new place may be thrice as long. Words are short beside all of that. See
    `encoder.geojepa.region_vectors`.

    Parameters
    ----------
    batches
        Of tiles that are trained on.
    """
    latents = [model(batch.to(model.token_mean.device)).tokens.float() for batch in batches]
    model.token_mean.copy_(torch.cat(latents).mean(dim=0))
    length = _median_length(model, batches)
    for name, counts, long in (
        ("count", _log_counts(model, batches), length / 8**0.5),
        ("word", _log_words(model, batches), _WORDS_LENGTH),
    ):
        mean, deviation = _standard(counts, long)
        getattr(model, f"{name}_mean").copy_(torch.from_numpy(mean))
        getattr(model, f"{name}_deviation").copy_(torch.from_numpy(deviation))
    looks = _looks(model, batches)
    if looks is not None and not np.isnan(looks).all():
        seen, tag_dim = looks[~np.isnan(looks).any(axis=1)], model.config.tag_dim
        under = _standard_space(seen[:, :tag_dim], length * _LOOKS / 2**0.5)
        tokens = _standard(seen[:, tag_dim:], length * _LOOKS / 2**0.5)
        for part, halves in zip((model.look_mean, model.look_deviation),
                                zip(under, tokens, strict=True), strict=True):  # fmt: skip
            part.copy_(torch.from_numpy(np.concatenate(halves)))
    # a plain mean has no length that would tell anything
    scale = float(model.config.pooling == "learned")
    model.region_scale.fill_(scale * length)
    model.untrained_scale.fill_(scale * _median_length(untrained(model), batches))


def _standard(
    counts: NDArray[np.float32], length: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation that make rows so long, in the root of the mean square."""
    mean, deviation = counts.mean(axis=0), counts.std(axis=0)
    if not deviation.any():
        # tiles that are all the same, or one alone, tell nothing of how others differ
        return mean, np.full_like(mean, 1 / max(length, 1e-9))
    deviation += _LEAST_DEVIATION
    found = float(np.sqrt((((counts - mean) / deviation) ** 2).sum(axis=1).mean()))
    return mean, deviation * found / max(length, 1e-9)


def _standard_space(
    rows: NDArray[np.float32], length: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the same with one deviation for all columns: directions stay what they mean."""
    mean = rows.mean(axis=0)
    found = float(np.sqrt(((rows - mean) ** 2).sum(axis=1).mean()))
    deviation = max(found, _LEAST_GROUND) / max(length, 1e-9)
    return mean, np.full_like(mean, deviation)


def _median_length(model: GeoJEPA, batches: list[TokenBatch]) -> float:
    return float(np.median(np.linalg.norm(region_latents(model, batches), axis=1)))


def _log_counts(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    prototypes = model.prototypes.cpu().numpy()
    found = [
        log_counts(
            nearest_prototypes(batch.tags.cpu().numpy(), prototypes),
            batch.offsets.cpu().numpy(),
            num_prototypes=len(prototypes),
        )
        for batch in batches
    ]
    return np.concatenate(found)


def _log_words(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    found = [
        word_counts(
            batch.words.cpu().numpy(), batch.offsets.cpu().numpy(), num_words=len(model.words)
        )
        for batch in batches
    ]
    return np.concatenate(found)


def region_vectors(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return region vectors as an index keeps them."""
    latents = region_latents(model, batches)
    counts, words = _log_counts(model, batches), _log_words(model, batches)
    return joined_parts(model, latents, counts, words, _looks(model, batches))


def _looks(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32] | None:
    """Return the looks of all tiles, NaN where nothing is seen; None of a model without images."""
    if not model.config.image_dim:
        return None
    found = []
    for batch in batches:
        looks = np.full((batch.num_tiles, model.config.look_dim), np.nan, np.float32)
        if batch.patches is not None:
            seen = batch.patches
            parts = (part.cpu().numpy() for part in (seen.images, seen.place, seen.offsets))
            looks = patch_looks(model, TilePatches(*parts))
        found.append(looks)
    return np.concatenate(found)


def mean_vectors(batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return the mean tag vector of each tile: what needs no training at all."""
    found = []
    for batch in batches:
        sums = torch.zeros(batch.num_tiles, batch.tags.shape[1]).index_add(
            0, batch.tile, batch.tags
        )
        count = batch.offsets.diff().clamp(min=1)[:, None]
        found.append((sums / count).numpy())
    return np.concatenate(found)


def mean_reciprocal_rank(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return how well rows find their partners, 1 for always first; both ways, ties as misses.

    Parameters
    ----------
    left, right
        Shape ``(t, d)``: row i of one belongs to row i of the other. Compared by cosine.
    """
    similarity = _unit(left) @ _unit(right).T
    own = np.diag(similarity)
    others = ~np.eye(len(own), dtype=bool)
    # alike is not enough: vectors that are all the same find nobody
    ahead = ((similarity >= own[:, None]) & others).sum(axis=1)
    ahead_back = ((similarity >= own[None, :]) & others).sum(axis=0)
    return float((1 / (1 + ahead)).mean() + (1 / (1 + ahead_back)).mean()) / 2


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
