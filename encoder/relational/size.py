"""Describe how large entities are, so that large ones lie near large ones."""

import numpy as np
from numpy.typing import NDArray

from encoder.geometry.tokens import GEOMETRY_LAYOUT
from encoder.relational.vocabulary import NUMBER_KEYS

_HEIGHT, _LEVELS = NUMBER_KEYS.index("height"), NUMBER_KEYS.index("building:levels")
_LEVEL_M = 3.3
# the logarithms of 1 and 1e9 (m² and m of an outline), of 1 and 1,000 m, are a half turn apart
_EXTENT_TURN, _HEIGHT_TURN = np.pi / np.log(1e9), np.pi / np.log(1e3)
# a second frequency tells what is near
_FINER = 3


def logarithms(geometry: NDArray[np.float32], numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithms of extent and height of entities, shape ``(n, 2)``.

    Extent is area, m², plus length of the outline, m; of points it is NaN: how large a thing is
    that was drawn as a point is not known. So is a height that no tag gives.

    Parameters
    ----------
    geometry
        Of `encoder.geometry.tokens.geometry_tokens`.
    numbers
        Of `encoder.relational.vocabulary`, shape ``(n, 2 C)``.
    """
    layout, num = GEOMETRY_LAYOUT, len(NUMBER_KEYS)
    area = np.expm1(6 * (geometry[:, layout.log_area.start].astype(np.float64) + 1))
    length = np.expm1(3 * (geometry[:, layout.log_length.start].astype(np.float64) + 1))
    extent = np.log1p(np.maximum(area, 0) + np.maximum(length, 0))
    is_extended = (geometry[:, layout.dimension][:, 1:] > 0).any(axis=1)
    metres = np.full(len(geometry), np.nan)
    for channel, scale in ((_LEVELS, _LEVEL_M), (_HEIGHT, 1.0)):
        has = numbers[:, num + channel] > 0
        metres[has] = scale * np.sinh(3 * numbers[has, channel].astype(np.float64))
    return np.stack((np.where(is_extended, extent, np.nan), np.log(np.maximum(metres, 1))), axis=1)


def size_columns(known: NDArray[np.float64], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the size of entities, unit rows of shape ``(n, 8)``.

    Parameters
    ----------
    known
        Of `logarithms`.
    expected
        What takes the place of those that are not known, shape ``(n, 2)``.
    """
    extent, height = np.where(np.isnan(known), expected, known).T
    angles = [
        turn * np.clip(value, 0, np.pi / turn) * step
        for value, turn in ((extent, _EXTENT_TURN), (height, _HEIGHT_TURN))
        for step in (1, _FINER)
    ]
    columns = [wave(angle) for angle in angles for wave in (np.cos, np.sin)]
    return (np.stack(columns, axis=1) / len(angles) ** 0.5).astype(np.float32)
