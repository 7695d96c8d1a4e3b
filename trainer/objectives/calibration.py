"""Fit the constants of region vectors on training tiles, and make region vectors of batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.geojepa.batch import TokenBatch
from encoder.geojepa.model import GeoJEPA, untrained
from encoder.geojepa.region_vectors import joined_parts, patch_appearance
from encoder.protocol import TilePatches
from encoder.tags.vocabulary import count_tag_ids, log_counts, nearest_prototypes

# of log counts: what hardly varies is not made loud
_LEAST_DEVIATION = 0.1
# of the constant: appearance of tiles trained on
_APPEARANCE = 0.25
# of unit tag vectors by the part of a patch that is covered
_LEAST_LANDCOVER = 0.01
# of vocabulary counts, beside other parts that are 1 long together
_TAG_COUNTS_LENGTH = 0.07


@torch.no_grad()
def region_latents(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return the region latents of some batches, one below the other, shape ``(t, region_dim)``."""
    device = model.geometry_mean.device
    found = [model(batch.to(device)).region.float().cpu().numpy() for batch in batches]
    return np.concatenate(found)


@torch.no_grad()  # else a buffer would hold the graph of every calibration
def calibrate(model: GeoJEPA, batches: list[TokenBatch]) -> None:
    """Set what stands beside every region's latent, by the latents' median length.

    A cosine forgets how long a latent is, and so how much a tile holds; beside a constant of that
    length it does not. Counts of prototypes are a third as long. Appearance is a quarter as long,
    half of it what lies under the patches: it is taken from the constant, and land cover predicted
    of a new place may be thrice as long. Counts of the tag vocabulary are short
    beside all of that. See `encoder.geojepa.region_vectors`.

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
        ("vocabulary", _log_tag_counts(model, batches), _TAG_COUNTS_LENGTH),
    ):
        mean, deviation = _standard(counts, long)
        getattr(model, f"{name}_mean").copy_(torch.from_numpy(mean))
        getattr(model, f"{name}_deviation").copy_(torch.from_numpy(deviation))
    appearance = _appearance(model, batches)
    if appearance is not None and not np.isnan(appearance).all():
        seen, tag_dim = appearance[~np.isnan(appearance).any(axis=1)], model.config.tag_dim
        under = _standard_space(seen[:, :tag_dim], length * _APPEARANCE / 2**0.5)
        tokens = _standard(seen[:, tag_dim:], length * _APPEARANCE / 2**0.5)
        for part, halves in zip((model.appearance_mean, model.appearance_deviation),
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
    deviation = max(found, _LEAST_LANDCOVER) / max(length, 1e-9)
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


def _log_tag_counts(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    found = [
        count_tag_ids(
            batch.tag_ids.cpu().numpy(),
            batch.offsets.cpu().numpy(),
            vocabulary_size=len(model.vocabulary),
        )
        for batch in batches
    ]
    return np.concatenate(found)


def region_vectors(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return region vectors as an index keeps them."""
    latents = region_latents(model, batches)
    counts, tag_counts = _log_counts(model, batches), _log_tag_counts(model, batches)
    return joined_parts(model, latents, counts, tag_counts, _appearance(model, batches))


def _appearance(model: GeoJEPA, batches: list[TokenBatch]) -> NDArray[np.float32] | None:
    """Return the appearance of tiles, NaN where no patch is; None of a model without images."""
    if not model.config.image_dim:
        return None
    found = []
    for batch in batches:
        appearance = np.full((batch.num_tiles, model.config.appearance_dim), np.nan, np.float32)
        if batch.patches is not None:
            seen = batch.patches
            parts = (part.cpu().numpy() for part in (seen.images, seen.place, seen.offsets))
            appearance = patch_appearance(model, TilePatches(*parts))
        found.append(appearance)
    return np.concatenate(found)
