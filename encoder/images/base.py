"""Define what every image tokeniser gives: the vectors of a chip's patches, one patch, one token.

Letters of shapes: b chips, s pixels a side, p patches of a chip, D dim.

A token is local: it is made of its patch and a few pixels round it, or of the window it lies in,
never of the whole chip, and there is no token of the whole chip. A model that has to tell one part
of a tile from another must not find the rest of the tile written into every part.

A patch of which less than half is known (`is_valid` of its pixels) has no token: zeros, and
`is_valid` False. Patches run from the north-west corner, row by row; their centres are metres east
and north of the chip's centre, so a token's place does not depend on the pixels it was made of.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ImageInputError

LEAST_VALID = 0.5


@dataclass(frozen=True)
class PatchTokens:
    """The tokens of b chips.

    Attributes
    ----------
    tokens
        Shape ``(b, p, D)``, float32; zero where not valid.
    is_valid
        Shape ``(b, p)``.
    centres_m
        Shape ``(p, 2)``, float32: metres east and north of the chip's centre.
    """

    tokens: NDArray[np.float32]
    is_valid: NDArray[np.bool_]
    centres_m: NDArray[np.float32]


class ImageTokeniser(Protocol):
    """Anything that turns chips into patch tokens."""

    @property
    def name(self) -> str:
        """Return what it is asked for by."""

    @property
    def fingerprint(self) -> str:
        """Hash weights and settings: tokens may be compared if and only if it is the same."""

    @property
    def dim(self) -> int:
        """Return D."""

    @property
    def patch_px(self) -> int:
        """Return the width of a patch; a chip must be whole patches wide."""

    @property
    def by_chip(self) -> bool:
        """Say whether chips are best taken one by one, each by any thread: NumPy on one core.

        A network takes several at once and all cores itself.
        """

    def for_level(self, level: int) -> "ImageTokeniser":
        """Return what makes tokens of ground seen `level` times as coarsely, a power of two.

        Of the same name, with smaller patches where they can be: a cell would have one or two. Its
        tokens may be of another dim, and are compared with those of the same level alone.
        """

    def tokens(
        self, chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, gsd_m: float
    ) -> PatchTokens:
        """Tokenise chips.

        Parameters
        ----------
        chips
            Shape ``(b, s, s, 3)``, RGB, row 0 in the north.
        is_valid
            Shape ``(b, s, s)``: which pixels are known.
        gsd_m
            Width of a pixel, metres. It says where patches lie; tokens do not depend on it.

        Raises
        ------
        ImageInputError
            If shapes do not fit together, or a chip is not whole patches wide.
        """


def check_chips(
    chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, patch_px: int
) -> tuple[int, int]:
    """Return the number of chips and of patches a side.

    Raises
    ------
    ImageInputError
        If they are not as `ImageTokeniser.tokens` wants them.
    """
    shape = chips.shape
    is_square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if not is_square or chips.dtype != np.uint8 or is_valid.shape != shape[:3]:
        msg = (
            f"chips are {chips.dtype} {shape} with validity {is_valid.shape}; want uint8 "
            "(b, s, s, 3) and (b, s, s). Example: (8, 512, 512, 3)"
        )
        raise ImageInputError(msg)
    if shape[1] % patch_px or not shape[1]:
        msg = (
            f"chips are {shape[1]} pixels wide, patches {patch_px}; want whole patches. "
            f"Example: {max(shape[1] // patch_px, 1) * patch_px}"
        )
        raise ImageInputError(msg)
    return shape[0], shape[1] // patch_px


def patch_centres_m(per_side: int, patch_m: float) -> NDArray[np.float32]:
    """Return the centres of the patches of a chip, shape ``(per_side ** 2, 2)``."""
    along = (np.arange(per_side) + 0.5 - per_side / 2) * patch_m
    east, north = np.meshgrid(along, -along)
    return np.column_stack((east.ravel(), north.ravel())).astype(np.float32)


def valid_share(is_valid: NDArray[np.bool_], patch_px: int) -> NDArray[np.float32]:
    """Return how much of each patch is known, 0 to 1, shape ``(b, p)``."""
    b, per_side = len(is_valid), is_valid.shape[1] // patch_px
    blocks = is_valid.reshape(b, per_side, patch_px, per_side, patch_px)
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(b, -1)


def filled(chips: NDArray[np.uint8], is_valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return chips whose unknown pixels have the mean colour of the known ones.

    A network sees pixels beyond a patch: the border of black would be the strongest edge there.
    """
    whole = is_valid.all(axis=(1, 2))
    if whole.all():
        return chips
    out = chips.copy()
    for i in np.flatnonzero(~whole).tolist():
        known = chips[i][is_valid[i]]
        out[i][~is_valid[i]] = known.mean(axis=0).round() if len(known) else 127
    return out


def chip_hash(chip: NDArray[np.uint8], is_valid: NDArray[np.bool_]) -> str:
    """Hash an image's content (BLAKE2b, 16 bytes, hex): what its tokens are kept by."""
    digest = hashlib.blake2b(f"{chip.shape}".encode(), digest_size=16)
    digest.update(chip.tobytes())
    digest.update(np.packbits(is_valid).tobytes())
    return digest.hexdigest()
