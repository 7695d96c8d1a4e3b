"""Which parts does a region's vector have, and how do they stand side by side?

==========  =================================================================================
part        is
==========  =================================================================================
latent      the model's, of the whole tile
counts      the log of one plus how many entities are most like each prototype, standardised
looks       what of the map lies under the image patches, told from them alone (tag vectors, by
            the part that is covered, patch by patch within what can be there), and the mean of
            their columns, standardised; zero where nothing is seen of the ground; only of models
            that read images
scale       a constant: scaled to unit length a region that holds much points elsewhere than one
            that holds little of the same. Looks are taken from it: looks and scale together are
            as long as the scale alone where nothing is seen
words       the log of one plus how many entities say each known word, standardised
rest        what words leave of their length
==========  =================================================================================

All but the latent go past the network. `trainer.objectives.calibration` fits how long they are.
Since looks are taken from the scale, what is told of the map does not shrink where the ground is
seen.

Latent, counts, looks and scale are scaled to unit length together: of regions alike in kind, one
that holds more is near one that holds less, and search wants it so. Words are not scaled by what
else a region holds, and with the rest beside them they are always as long: a straight line through
their columns tells how many there are, which no straight line can of columns that each row divides
by another length. They are short, since search is to go by the other parts
(docs/decisions/0011).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.patch_landcover import with_widths
from encoder.protocol import TilePatches
from encoder.tagpool import unit_rows

if TYPE_CHECKING:
    from encoder.geojepa.model import GeoJEPA

# of the scale: looks longer than this are shortened, which few are (they are a quarter of it)
_MOST_LOOKS = 0.9
# of the other parts together: words longer than this are shortened; it is 13 times the usual length
_MOST_WORDS = 0.9


def region_columns(config: GeoJEPAConfig) -> Mapping[str, slice]:
    """Return the columns of each part of a region's vector."""
    widths = {
        "latent": config.region_dim,
        "counts": config.num_counts,
        "looks": config.look_dim,
        "scale": 1,
        "words": config.num_words,
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
    words: NDArray[np.float32],
    looks: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the parts of region vectors side by side, shape ``(t, R)``, each row of unit length.

    Parameters
    ----------
    latents
        Shape ``(t, region_dim)``.
    counts
        Of the prototypes inside each tile, `encoder.geojepa.context_counts.log_counts`.
    words
        Inside each tile, `encoder.tags.vocabulary.word_counts`.
    looks
        Of `patch_looks`; NaN rows, and None, are tiles of which nothing is seen.
    """
    config = model.config
    alike = [
        latents,
        (counts - _array(model.count_mean)) / _array(model.count_deviation) * config.has_counts,
    ]
    scale = np.full((len(latents), 1), model.region_scale.item(), np.float32)
    if config.image_dim:
        seen, scale = _seen(model, looks, scale)
        alike.append(seen)
    angles = unit_rows(np.hstack([*alike, scale]))
    most = np.float32(_MOST_WORDS * config.has_words)
    standard = (words - _array(model.word_mean)) / _array(model.word_deviation)
    said = _at_most(standard, most)
    rest = np.sqrt(np.maximum(most**2 - (said**2).sum(axis=1, keepdims=True), 0))
    return np.hstack([angles, said, rest]) / np.sqrt(1 + most**2)


def _at_most(
    rows: NDArray[np.float32], most: NDArray[np.float32] | np.float32
) -> NDArray[np.float32]:
    """Return rows of which those that are longer are shortened."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * np.minimum(1, most / np.maximum(length, np.float32(1e-9)))


def _seen(
    model: "GeoJEPA", looks: NDArray[np.float32] | None, scale: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the part `looks`, and the scale that is left beside it, shape ``(t, 1)``."""
    if looks is None:
        return np.zeros((len(scale), model.config.look_dim), np.float32), scale
    standard = np.nan_to_num((looks - _array(model.look_mean)) / _array(model.look_deviation))
    kept = _at_most(standard, np.float32(_MOST_LOOKS) * scale)
    return kept, np.sqrt(scale**2 - (kept**2).sum(axis=1, keepdims=True))


def patch_looks(model: "GeoJEPA", patches: TilePatches) -> NDArray[np.float32]:
    """Return how tiles look: what lies under their patches, as far as tokens tell, and the tokens.

    Returns
    -------
    looks
        Shape ``(t, look_dim)``: told ground and mean; NaN where a tile has no patch.
    """
    slope, mean = _array(model.ground_slope), _array(model.ground_mean)
    low, high = _array(model.ground_low), _array(model.ground_high)
    image_mean, image_deviation = _array(model.image_mean), _array(model.image_deviation)
    widths = _array(model.ground_widths)
    offsets = patches.offsets
    looks = np.full((len(offsets) - 1, model.config.look_dim), np.nan)
    for tile in np.flatnonzero(np.diff(offsets)).tolist():
        at = slice(offsets[tile], offsets[tile + 1])
        tokens = np.asarray(patches.images[at], np.float64)
        standard = (tokens - image_mean) / image_deviation
        by_width = with_widths(standard, patches.place[at, 2], widths)
        ground = (by_width @ slope + mean).clip(low, high)
        looks[tile] = np.append(ground.mean(axis=0), tokens.mean(axis=0))
    return looks.astype(np.float32)


def _array(part: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = part.cpu().numpy()
    return found
