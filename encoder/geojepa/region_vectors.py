"""Put the parts of a region's vector side by side, each at its length.

==========  =================================================================================
part        is
==========  =================================================================================
latent      the model's, of the whole tile
counts      the log of one plus how many entities are most like each prototype, standardised
looks       appearance: the land cover under the image patches, predicted from them alone (tag
            vectors, by the part that is covered, patch by patch within what can be there), and
            the mean of their columns, standardised; zero where no patch is; only of models that
            read images
scale       a constant: scaled to unit length a region that holds much points elsewhere than one
            that holds little of the same. Appearance is taken from it: the two together are as
            long as the scale alone where there is no patch
words       the log of one plus how many entities have each tag of the vocabulary, standardised
rest        what these counts leave of their length
==========  =================================================================================

All but the latent go past the network. `trainer.objectives.calibration` fits how long they are.
Since appearance is taken from the scale, what the rest says does not shrink where there is imagery.

Latent, counts, appearance and scale are scaled to unit length together: of regions alike in kind,
one that holds more is near one that holds less, and search wants it so. Counts of the vocabulary
are not scaled by what else a region holds, and with the rest beside them they are always as long: a
straight line through their columns gives how many there are, which no straight line can of columns
that each row divides by another length. They are short, since search is to go by the other parts
(docs/decisions/0011).

At 0.15 m a pixel a roof fills patches, at 0.6 m a patch holds roofs. So land cover is predicted by
a straight line through the token of a patch, and a second one, weighted by how wide the patch is:
-1 for the narrowest that were trained on, 1 for the widest, by the logarithm. Narrower or wider
ones than any trained on are taken for those at the end: a slope says nothing of what it never met.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.geojepa.config import GeoJEPAConfig
from encoder.protocol import TilePatches
from encoder.tags.ruled_vectors import unit_rows

if TYPE_CHECKING:
    from encoder.geojepa.model import GeoJEPA

_LEAST_M = 1e-3


def log_widths(width_m: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return widths of patches as the model keeps them, log2 of metres."""
    return np.log2(np.maximum(np.asarray(width_m, np.float64), _LEAST_M))


def with_widths(
    standard: NDArray[np.floating[Any]],
    width_m: NDArray[np.floating[Any]],
    trained: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Return tokens, tokens by width, and width, shape ``(p, 2 * image_dim + 1)``.

    Parameters
    ----------
    standard
        Standardised tokens, shape ``(p, image_dim)``.
    width_m
        Shape ``(p,)``.
    trained
        The least and the largest of `log_widths` trained on, shape ``(2,)``.
    """
    low, high = np.asarray(trained, np.float64)
    at = np.zeros(len(standard))
    if high > low:
        at = 2 * (log_widths(width_m).clip(low, high) - low) / (high - low) - 1
    return np.hstack([standard, standard * at[:, None], at[:, None]])


# of the scale: looks longer than this are shortened, which few are (they are a quarter of it)
_MAX_APPEARANCE = 0.9
# of the other parts together: words longer than this are shortened; it is 13 times the usual length
_MAX_TAG_COUNTS = 0.9


def region_columns(config: GeoJEPAConfig) -> Mapping[str, slice]:
    """Return the columns of each part of a region's vector."""
    widths = {
        "latent": config.region_dim,
        "counts": config.num_counts,
        "looks": config.appearance_dim,
        "scale": 1,
        "words": config.vocabulary_size,
        "rest": 1,
    }
    return slices({name: width for name, width in widths.items() if width})


def slices(widths: Mapping[str, int]) -> dict[str, slice]:
    """Return the columns of parts that stand side by side."""
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


def joined_parts(
    model: "GeoJEPA",
    latents: NDArray[np.float32],
    counts: NDArray[np.float32],
    tag_counts: NDArray[np.float32],
    appearance: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the parts of region vectors side by side, shape ``(t, R)``, each row of unit length.

    Parameters
    ----------
    latents
        Shape ``(t, region_dim)``.
    counts
        Of the prototypes inside each tile, `encoder.tags.vocabulary.log_counts`.
    tag_counts
        Inside each tile, `encoder.tags.vocabulary.count_tag_ids`.
    appearance
        Of `patch_appearance`; NaN rows, and None, are tiles of which nothing is seen.
    """
    config = model.config
    alike = [
        latents,
        (counts - _array(model.count_mean)) / _array(model.count_deviation) * config.has_counts,
    ]
    scale = np.full((len(latents), 1), model.region_scale.item(), np.float32)
    if config.image_dim:
        seen, scale = _seen(model, appearance, scale)
        alike.append(seen)
    angles = unit_rows(np.hstack([*alike, scale]))
    most = np.float32(_MAX_TAG_COUNTS * config.has_vocabulary)
    standard = (tag_counts - _array(model.vocabulary_mean)) / _array(model.vocabulary_deviation)
    counted = _at_most(standard, most)
    rest = np.sqrt(np.maximum(most**2 - (counted**2).sum(axis=1, keepdims=True), 0))
    return np.hstack([angles, counted, rest]) / np.sqrt(1 + most**2)


def _at_most(
    rows: NDArray[np.float32], most: NDArray[np.float32] | np.float32
) -> NDArray[np.float32]:
    """Return rows of which those that are longer are shortened."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * np.minimum(1, most / np.maximum(length, np.float32(1e-9)))


def _seen(
    model: "GeoJEPA", appearance: NDArray[np.float32] | None, scale: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the part `looks`, and the scale that is left beside it, shape ``(t, 1)``."""
    if appearance is None:
        return np.zeros((len(scale), model.config.appearance_dim), np.float32), scale
    standard = np.nan_to_num(
        (appearance - _array(model.appearance_mean)) / _array(model.appearance_deviation)
    )
    kept = _at_most(standard, np.float32(_MAX_APPEARANCE) * scale)
    return kept, np.sqrt(scale**2 - (kept**2).sum(axis=1, keepdims=True))


def patch_appearance(model: "GeoJEPA", patches: TilePatches) -> NDArray[np.float32]:
    """Return how tiles look: what lies under their patches, as far as tokens tell, and the tokens.

    Returns
    -------
    appearance
        Shape ``(t, appearance_dim)``: land cover and mean token; NaN where a tile has no patch.
    """
    slope, mean = _array(model.landcover_slope), _array(model.landcover_mean)
    low, high = _array(model.landcover_low), _array(model.landcover_high)
    image_mean, image_deviation = _array(model.image_mean), _array(model.image_deviation)
    widths = _array(model.landcover_widths)
    offsets = patches.offsets
    appearance = np.full((len(offsets) - 1, model.config.appearance_dim), np.nan)
    for tile in np.flatnonzero(np.diff(offsets)).tolist():
        at = slice(offsets[tile], offsets[tile + 1])
        tokens = np.asarray(patches.images[at], np.float64)
        standard = (tokens - image_mean) / image_deviation
        by_width = with_widths(standard, patches.place[at, 2], widths)
        landcover = (by_width @ slope + mean).clip(low, high)
        appearance[tile] = np.append(landcover.mean(axis=0), tokens.mean(axis=0))
    return appearance.astype(np.float32)


def _array(part: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = part.cpu().numpy()
    return found
