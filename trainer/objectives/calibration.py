"""Fit the constants of region vectors on training tiles, and make region vectors of batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.geojepa.batch import TokenBatch
from encoder.geojepa.context_counts import log_counts, nearest_prototypes
from encoder.geojepa.model import GeoJEPA, untrained
from encoder.geojepa.region_vectors import joined_parts, patch_looks
from encoder.protocol import TilePatches
from encoder.tags.vocabulary import word_counts

# of log counts: what hardly varies is not made loud
_LEAST_DEVIATION = 0.1
# of the constant: looks of tiles trained on
_LOOKS = 0.25
# of unit tag vectors by the part of a patch that is covered
_LEAST_GROUND = 0.01
# of the words, beside other parts that are 1 long together; see `encoder.geojepa.region_vectors`
_WORDS_LENGTH = 0.07


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
