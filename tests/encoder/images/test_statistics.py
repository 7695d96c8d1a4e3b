"""The statistics are what their table says: held against plain loops over single patches."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.images.statistics import DIM, StatisticsTokens

LUMA = np.array([0.299, 0.587, 0.114])
AROUND = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]


def slow_token(chip: NDArray[np.uint8], is_valid: NDArray[np.bool_], top: int, left: int, px: int
               ) -> NDArray[np.float64]:  # fmt: skip
    """Return the statistics of one patch, pixel by pixel, in float64."""
    rgb = chip.astype(float) / 255
    luma = rgb @ LUMA
    s = len(chip)

    def at(row: int, column: int) -> float | None:
        inside = 0 <= row < s and 0 <= column < s
        return luma[row, column] if inside and is_valid[row, column] else None

    pixels, gradients, patterns, contrasts = [], [], [], []
    steps: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for row in range(top, top + px):
        for column in range(left, left + px):
            here = at(row, column)
            if here is None:
                continue
            pixels.append(rgb[row, column])
            sides = [
                at(row, column + 1),
                at(row, column - 1),
                at(row - 1, column),
                at(row + 1, column),
            ]
            if None not in sides:
                gradients.append((sides[0] - sides[1], sides[2] - sides[3]))
            for step, found in steps.items():
                right, below = at(row, column + step), at(row + step, column)
                if right is not None and below is not None:
                    found.append(abs(right - here) + abs(below - here))
            ring = [at(row + down, column + along) for down, along in AROUND]
            if None not in ring:
                bits = [value - here > 2 / 255 for value in ring]
                changes = sum(a != b for a, b in zip(bits, bits[1:] + bits[:1], strict=True))
                patterns.append(sum(bits) if changes <= 2 else 9)
                contrasts.append(np.std([value - here for value in ring]))
    known = np.array(pixels)
    mean = known.mean(axis=0)
    token = [*mean, *known.std(axis=0), *np.cbrt(((known - mean) ** 3).mean(axis=0))]
    token += [2 * mean[1] - mean[0] - mean[2], np.ptp(known, axis=1).mean()]
    ways = np.zeros(8)
    lengths = [np.hypot(*gradient) for gradient in gradients]
    for (east, north), length in zip(gradients, lengths, strict=True):
        ways[int(np.floor(np.arctan2(north, east) / np.pi * 8 + 0.5)) % 8] += length
    token += [*(ways / len(lengths)), np.mean(lengths), np.std(lengths)]
    token += [np.mean(found) for found in steps.values()]
    token += [np.mean(np.array(patterns) == i) for i in range(10)]
    return np.array([*token, np.mean(contrasts), np.std(contrasts)])


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_against_plain_loops(seed: int, partly: bool) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (6, 6, 3)).repeat(4, axis=0).repeat(4, axis=1)
    chip = (coarse + rng.integers(0, 50, coarse.shape)).astype(np.uint8)
    is_valid = np.ones(chip.shape[:2], np.bool_)
    if partly:
        is_valid[: rng.integers(1, 6)] = False
        is_valid[10, 10] = False
    found = StatisticsTokens(8).tokens(chip[None], is_valid[None], gsd_m=1.0)
    assert found.tokens.shape == (1, 9, DIM)
    for p in np.flatnonzero(found.is_valid[0]).tolist():
        slow = slow_token(chip, is_valid, 8 * (p // 3), 8 * (p % 3), 8)
        close = np.isclose(found.tokens[0, p], slow, atol=2e-3)
        # a direction or pattern on the edge of two classes may round to the other: 1/64 of a share
        assert close[:11].all()
        assert close[19:24].all()
        np.testing.assert_allclose(found.tokens[0, p], slow, atol=0.05)


def test_even_ground_has_no_texture() -> None:
    chips = np.full((1, 32, 32, 3), 128, np.uint8)
    token = (
        StatisticsTokens(32).tokens(chips, np.ones((1, 32, 32), np.bool_), gsd_m=1.0).tokens[0, 0]
    )
    np.testing.assert_allclose(token[:3], 128 / 255, atol=1e-5)
    np.testing.assert_allclose(token[3:24], 0, atol=3e-3)
    assert token[24] == 1  # every pixel is like its neighbours


def test_stripes_have_a_direction() -> None:
    rows = np.zeros((1, 32, 32, 3), np.uint8)
    rows[:, np.arange(32) // 4 % 2 == 1] = 255
    known = np.ones((1, 32, 32), np.bool_)
    tokeniser = StatisticsTokens(32)
    lying = tokeniser.tokens(rows, known, gsd_m=1.0).tokens[0, 0, 11:19]
    standing = tokeniser.tokens(rows.swapaxes(1, 2).copy(), known, gsd_m=1.0).tokens[0, 0, 11:19]
    assert lying.argmax() == 4  # across them is north
    assert standing.argmax() == 0  # and east
