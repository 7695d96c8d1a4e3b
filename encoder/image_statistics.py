"""What does a patch look like, in 36 numbers? Colour, edges and texture; numpy alone.

==========  ====  ===============================================================================
columns     dims  what
==========  ====  ===============================================================================
mean        3     of red, green, blue, 0 to 1
spread      3     standard deviations of them
skew        3     cube roots of their third central moments
greenness   1     mean of 2 green - red - blue
chroma      1     mean of the largest less the smallest channel
edges       8     how strong edges are, by the direction across them, 8 of half a turn
strength    2     mean and standard deviation of the gradient's length
texture     3     mean difference of neighbours 1, 2 and 4 pixels apart, of the luminance
pattern     12    shares of local binary patterns (Ojala et al. 2002, rotation-invariant uniform,
                  8 neighbours: 10 classes), then the mean and spread of local contrast
==========  ====  ===============================================================================

All but `pattern` is linear or nearly so in brightness. Only known pixels count, and a difference
counts if both of its pixels are known; the receptive field is the patch and 4 pixels round it.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ImageInputError
from encoder.image_tokens import (
    LEAST_VALID,
    PatchTokens,
    check_chips,
    patch_centres_m,
    valid_share,
)

DIM = 36
DEFAULT_PATCH_PX = 32
_LEAST_PX = 4
_VERSION = 1
_DIRECTIONS = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_STEPS = (1, 2, 4)
# east, then anticlockwise
_AROUND = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
_NO_CONTRAST = 2 / 255


class StatisticsTokens:
    """The built-in tokeniser: needs no weights and no torch.

    Parameters
    ----------
    patch_px
        Width of a patch; larger ones are steadier and say less of where things are.
    """

    name = "statistics"
    dim = DIM

    def __init__(self, patch_px: int = DEFAULT_PATCH_PX) -> None:
        if patch_px < _LEAST_PX:
            least = f"want {_LEAST_PX} or more, for example 32"
            msg = f"a patch of {patch_px} pixels has no texture; {least}"
            raise ImageInputError(msg)
        self.patch_px = patch_px
        told = f"statistics {_VERSION} {patch_px}"
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]

    def for_level(self, level: int) -> "StatisticsTokens":
        """Return the same with patches of as many metres, as far as they have texture."""
        return self if level == 1 else StatisticsTokens(max(self.patch_px // level, _LEAST_PX))

    def tokens(
        self, chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, gsd_m: float
    ) -> PatchTokens:
        """Tokenise chips; see `encoder.image_tokens.ImageTokeniser`."""
        b, per_side = check_chips(chips, is_valid, patch_px=self.patch_px)
        tokens = np.zeros((b, per_side * per_side, DIM), np.float32)
        for i in range(b):
            # one chip at a time: its arrays stay in the processor's cache
            tokens[i] = _chip_tokens(chips[i], is_valid[i], self.patch_px)
        known = valid_share(is_valid, self.patch_px) >= LEAST_VALID
        tokens[~known] = 0
        return PatchTokens(tokens, known, patch_centres_m(per_side, self.patch_px * gsd_m))


def _chip_tokens(
    chip: NDArray[np.uint8], is_valid: NDArray[np.bool_], patch_px: int
) -> NDArray[np.float32]:
    rgb = np.ascontiguousarray(chip.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    luma = np.tensordot(_LUMA, rgb, axes=1)
    means = _Means(patch_px)
    parts = [_colour(rgb, is_valid, means), _edges(luma, is_valid, means)]
    parts += [_texture(luma, is_valid, means), _pattern(luma, is_valid, means)]
    return np.concatenate(parts).T


class _Means:
    """Takes means over patches, of the pixels that count."""

    def __init__(self, patch_px: int) -> None:
        self._px = patch_px

    def __call__(
        self, values: NDArray[np.float32], counts: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the mean of ``(k, s, s)`` over each patch, shape ``(k, p)``; 0 of no pixels."""
        total = self._sums(values * counts)
        number = self._sums(counts[None].astype(np.float32))
        mean: NDArray[Any] = total / np.maximum(number, np.float32(1))
        return mean

    def _sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        k, s, _ = values.shape
        # rows first: sums along memory, then of an eighth of it
        rows = np.add.reduceat(values, np.arange(0, s, self._px), axis=2)
        both: NDArray[np.float32] = np.add.reduceat(rows, np.arange(0, s, self._px), axis=1)
        return both.reshape(k, -1)


def _colour(
    rgb: NDArray[np.float32], is_valid: NDArray[np.bool_], means: _Means
) -> NDArray[np.float32]:
    """Return mean, spread, skew, greenness and chroma, shape ``(11, p)``."""
    first, second, third = means(rgb, is_valid), means(rgb * rgb, is_valid), means(rgb**3, is_valid)
    variance = np.maximum(second - first * first, 0)
    skew = third - 3 * first * second + 2 * first**3
    green = 2 * first[1:2] - first[0:1] - first[2:3]
    chroma = means((rgb.max(axis=0) - rgb.min(axis=0))[None], is_valid)
    return np.concatenate([first, np.sqrt(variance), np.cbrt(skew), green, chroma])


def _edges(
    luma: NDArray[np.float32], is_valid: NDArray[np.bool_], means: _Means
) -> NDArray[np.float32]:
    """Return the strength of edges by direction, and of all, shape ``(10, p)``."""
    right, up = _moved(luma, 0, 1), _moved(luma, -1, 0)
    east, north = right - _moved(luma, 0, -1), up - _moved(luma, 1, 0)
    known = is_valid.copy()
    for down, along in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        known &= _moved(is_valid, down, along)
    length = np.hypot(east, north)
    # half a turn: which side is the brighter does not matter
    turn = np.arctan2(north, east) * np.float32(_DIRECTIONS / np.pi)
    place = np.floor(turn + np.float32(0.5)).astype(np.int8) % _DIRECTIONS
    ways = np.arange(_DIRECTIONS, dtype=np.int8)[:, None, None]
    by_way = means((place == ways) * length, known)
    mean, square = means(length[None], known), means((length * length)[None], known)
    return np.concatenate([by_way, mean, np.sqrt(np.maximum(square - mean * mean, 0))])


def _texture(
    luma: NDArray[np.float32], is_valid: NDArray[np.bool_], means: _Means
) -> NDArray[np.float32]:
    """Return mean differences of pixels some steps apart, shape ``(3, p)``."""
    found = []
    for step in _STEPS:
        differences = np.zeros_like(luma)
        known = is_valid.copy()
        for down, along in ((0, step), (step, 0)):
            differences += np.abs(_moved(luma, down, along) - luma)
            known &= _moved(is_valid, down, along)
        found.append(means(differences[None], known))
    return np.concatenate(found)


def _pattern(
    luma: NDArray[np.float32], is_valid: NDArray[np.bool_], means: _Means
) -> NDArray[np.float32]:
    """Return shares of local binary patterns, and local contrast, shape ``(12, p)``."""
    known = is_valid.copy()
    bits, total, square = [], np.zeros_like(luma), np.zeros_like(luma)
    for down, along in _AROUND:
        difference = _moved(luma, down, along) - luma
        known &= _moved(is_valid, down, along)
        # what rounding leaves of even ground is no pattern
        bits.append(difference > _NO_CONTRAST)
        total += difference
        square += difference * difference
    ones = np.add.reduce(bits, dtype=np.int8)
    changes = np.add.reduce([a ^ b for a, b in zip(bits, [*bits[1:], bits[0]], strict=True)],
                            dtype=np.int8)  # fmt: skip
    classes = np.where(changes <= 2, ones, np.int8(9))
    shares = means(
        (classes == np.arange(10, dtype=np.int8)[:, None, None]).astype(np.float32), known
    )
    contrast = np.sqrt(np.maximum(square / 8 - (total / 8) ** 2, 0))
    mean, squares = means(contrast[None], known), means((contrast * contrast)[None], known)
    return np.concatenate([shares, mean, np.sqrt(np.maximum(squares - mean * mean, 0))])


def _moved(values: NDArray[Any], down: int, along: int) -> NDArray[Any]:
    """Return each pixel's neighbour; at the border zeros, which no known pixel counts."""
    out = np.zeros_like(values)
    high, wide = values.shape
    to = (slice(max(-down, 0), high - max(down, 0)), slice(max(-along, 0), wide - max(along, 0)))
    of = (slice(max(down, 0), high - max(-down, 0)), slice(max(along, 0), wide - max(-along, 0)))
    out[to] = values[of]
    return out
