"""Describe image patches by 36 numbers: colour, edges and texture; numpy alone.

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
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ImageInputError
from encoder.images.base import (
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
# patterns of 0 to 8 bits in one run, and all others
_CLASSES = 10


class StatisticsTokens:
    """The built-in tokeniser: needs no weights and no torch.

    Parameters
    ----------
    patch_px
        Width of a patch; larger ones are steadier and say less of where things are.
    """

    name = "statistics"
    dim = DIM
    by_chip = True

    def __init__(self, patch_px: int = DEFAULT_PATCH_PX) -> None:
        if patch_px < _LEAST_PX:
            least = f"want {_LEAST_PX} or more, for example 32"
            msg = f"a patch of {patch_px} pixels has no texture; {least}"
            raise ImageInputError(msg)
        self.patch_px = patch_px
        settings = f"statistics {_VERSION} {patch_px}"
        self.fingerprint = hashlib.sha256(settings.encode()).hexdigest()[:16]

    def for_level(self, level: int) -> "StatisticsTokens":
        """Return the same with patches of as many metres, as far as they have texture."""
        return self if level == 1 else StatisticsTokens(max(self.patch_px // level, _LEAST_PX))

    def tokens(
        self, chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, gsd_m: float
    ) -> PatchTokens:
        """Tokenise chips; see `encoder.images.base.ImageTokeniser`."""
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
    # one after the other: BLAS would wake all its threads for it, and they spin on
    luma = rgb[0] * _LUMA[0] + rgb[1] * _LUMA[1] + rgb[2] * _LUMA[2]
    means = _Means(patch_px)
    near, known = _Near(luma), _Near(is_valid)
    parts = [_colour(rgb, is_valid, means), _edges(near, known, means)]
    parts += [_texture(near, known, means), _pattern(near, known, means)]
    return np.concatenate(parts).T


class _Near:
    """An image and its neighbourhood, without a copy: beyond the border zeros, which do not count.

    Attributes
    ----------
    here
        Shape ``(s, s)``.
    """

    def __init__(self, here: NDArray[Any]) -> None:
        self.here = here
        self._wide = np.pad(here, _STEPS[-1])

    def __call__(self, down: int, along: int) -> NDArray[Any]:
        """Return each pixel's neighbour so far down and along."""
        high, wide = self.here.shape
        top, left = _STEPS[-1] + down, _STEPS[-1] + along
        return self._wide[top : top + high, left : left + wide]

    def all_of(self, *ways: tuple[int, int]) -> NDArray[np.bool_]:
        """Return where an image of truths is true, at these neighbours too."""
        known: NDArray[np.bool_] = self.here.copy()
        for way in ways:
            known &= self(*way)
        return known


class _Means:
    """Takes means over patches, of the pixels that count.

    Plane by plane, in one buffer: larger ones would be fetched from the system each time.
    """

    def __init__(self, patch_px: int) -> None:
        self._px = patch_px

    def __call__(
        self, values: Iterable[NDArray[np.float32]], counts: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the mean of planes ``(s, s)`` over each patch, ``(k, p)``; 0 of no pixels."""
        buffer = np.empty(counts.shape, np.float32)
        total = [self._sums(np.multiply(plane, counts, out=buffer)) for plane in values]
        mean: NDArray[Any] = np.stack(total) / self._number(counts)
        return mean

    def shares(
        self, classes: NDArray[np.int8], num: int, counts: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return how much of each patch is of each class, shape ``(num, p)``."""
        at = np.arange(len(counts)) // self._px
        keys = (at[:, None] * (at[-1] + 1) + at) * num + classes
        size = (int(at[-1]) + 1) ** 2 * num
        found = np.bincount(keys[counts], minlength=size).reshape(-1, num).T
        share: NDArray[Any] = found.astype(np.float32) / self._number(counts)
        return share

    def _number(self, counts: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return how many pixels of each patch count, 1 where none does."""
        return np.maximum(self._sums(counts.astype(np.float32)), np.float32(1))

    def _sums(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        starts = np.arange(0, len(plane), self._px)
        # rows first: sums along memory, then of an eighth of it
        rows = np.add.reduceat(plane, starts, axis=1)
        both: NDArray[np.float32] = np.add.reduceat(rows, starts, axis=0)
        return both.ravel()


def _colour(
    rgb: NDArray[np.float32], is_valid: NDArray[np.bool_], means: _Means
) -> NDArray[np.float32]:
    """Return mean, spread, skew, greenness and chroma, shape ``(11, p)``."""
    first, second, third = means(rgb, is_valid), means(rgb * rgb, is_valid), means(rgb**3, is_valid)
    variance = np.maximum(second - first * first, 0)
    skew = third - 3 * first * second + 2 * first**3
    green = 2 * first[1:2] - first[0:1] - first[2:3]
    chroma = means([rgb.max(axis=0) - rgb.min(axis=0)], is_valid)
    return np.concatenate([first, np.sqrt(variance), np.cbrt(skew), green, chroma])


def _edges(luma: _Near, is_valid: _Near, means: _Means) -> NDArray[np.float32]:
    """Return the strength of edges by direction, and of all, shape ``(10, p)``."""
    east, north = luma(0, 1) - luma(0, -1), luma(-1, 0) - luma(1, 0)
    known = is_valid.all_of((0, 1), (0, -1), (1, 0), (-1, 0))
    length = np.hypot(east, north)
    # half a turn: which side is the brighter does not matter
    turn = np.arctan2(north, east)
    turn *= np.float32(_DIRECTIONS / np.pi)
    turn += np.float32(0.5)
    place = np.floor(turn, out=turn).astype(np.int8) % _DIRECTIONS
    by_way = means(((place == way) * length for way in range(_DIRECTIONS)), known)
    mean, square = means([length, length * length], known)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.concatenate([by_way, mean[None], spread[None]])


def _texture(luma: _Near, is_valid: _Near, means: _Means) -> NDArray[np.float32]:
    """Return mean differences of pixels some steps apart, shape ``(3, p)``."""
    found = []
    for step in _STEPS:
        differences = np.abs(luma(0, step) - luma.here)
        differences += np.abs(luma(step, 0) - luma.here)
        found.append(means([differences], is_valid.all_of((0, step), (step, 0))))
    return np.concatenate(found)


def _pattern(luma: _Near, is_valid: _Near, means: _Means) -> NDArray[np.float32]:
    """Return shares of local binary patterns, and local contrast, shape ``(12, p)``."""
    known = is_valid.all_of(*_AROUND)
    bits, total, square = [], np.zeros_like(luma.here), np.zeros_like(luma.here)
    for way in _AROUND:
        difference = luma(*way) - luma.here
        # what rounding leaves of even ground is no pattern
        bits.append(difference > _NO_CONTRAST)
        total += difference
        difference *= difference
        square += difference
    ones, changes = (np.zeros(known.shape, np.int8) for _ in range(2))
    for bit, after in zip(bits, [*bits[1:], bits[0]], strict=True):
        ones += bit
        changes += bit ^ after
    classes = np.where(changes <= 2, ones, np.int8(_CLASSES - 1))
    shares = means.shares(classes, _CLASSES, known)
    square /= 8
    total /= 8
    total *= total
    square -= total
    contrast = np.sqrt(np.maximum(square, 0, out=square), out=square)
    mean, squares = means([contrast, contrast * contrast], known)
    spread = np.sqrt(np.maximum(squares - mean * mean, 0))
    return np.concatenate([shares, mean[None], spread[None]])
