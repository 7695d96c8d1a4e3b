"""Keep image tokens on disk, by the image they were made of.

The key is the hash of the pixels, not of the place: the same ground read again, from another
archive or in another build, costs a look at the disk. One file a chip, under a folder that holds
the tokeniser's fingerprint.
"""

import os
import tempfile
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from encoder.images.base import (
    ImageTokeniser,
    PatchTokens,
    check_chips,
    chip_hash,
    patch_centres_m,
)


class CachedTokens:
    """A tokeniser that remembers.

    Parameters
    ----------
    tokeniser
        Makes what is not there yet.
    folder
        Where tokens are kept; safe to share between processes.
    """

    def __init__(self, tokeniser: ImageTokeniser, folder: Path) -> None:
        self._tokeniser = tokeniser
        self._folder = folder / tokeniser.fingerprint
        self.name, self.fingerprint = tokeniser.name, tokeniser.fingerprint
        self.dim, self.patch_px = tokeniser.dim, tokeniser.patch_px
        self.by_chip = tokeniser.by_chip

    def for_level(self, level: int) -> ImageTokeniser:
        """Return what makes tokens of ground seen coarsely, without a memory."""
        return self if level == 1 else self._tokeniser.for_level(level)

    def tokens(
        self, chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, gsd_m: float
    ) -> PatchTokens:
        """Tokenise chips; see `encoder.images.base.ImageTokeniser`."""
        b, per_side = check_chips(chips, is_valid, patch_px=self.patch_px)
        shape = (per_side * per_side, self.dim)
        tokens, known = np.zeros((b, *shape), np.float32), np.zeros((b, shape[0]), np.bool_)
        paths = [self._path(chip_hash(*pair)) for pair in zip(chips, is_valid, strict=True)]
        missing = []
        for i, path in enumerate(paths):
            found = _load(path, shape)
            if found is None:
                missing.append(i)
            else:
                tokens[i], known[i] = found
        if missing:
            made = self._tokeniser.tokens(chips[missing], is_valid[missing], gsd_m=gsd_m)
            tokens[missing], known[missing] = made.tokens, made.is_valid
            for i in missing:
                _save(paths[i], tokens[i], known[i])
        return PatchTokens(tokens, known, patch_centres_m(per_side, self.patch_px * gsd_m))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"


def _load(
    path: Path, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return what was kept; None if there is nothing, or nothing whole."""
    try:
        with np.load(path) as kept:
            tokens, known = kept["tokens"], kept["is_valid"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return (tokens, known) if tokens.shape == shape and known.shape == shape[:1] else None


def _save(path: Path, tokens: NDArray[np.float32], is_valid: NDArray[np.bool_]) -> None:
    """Keep tokens, whole, whoever else keeps the same just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, tokens=tokens, is_valid=is_valid)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
