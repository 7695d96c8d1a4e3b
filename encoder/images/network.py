"""Run image networks for patch tokens: batches, device, dtype and padding that all share.

torch loads inside the functions that need it. The answer does not depend on the batch a chip comes
in, but for rounding.
"""

from abc import ABC, abstractmethod
from copy import copy
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ImageInputError
from encoder.images.base import (
    LEAST_VALID,
    PatchTokens,
    check_chips,
    filled,
    patch_centres_m,
    valid_share,
)

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]


class NetworkTokens(ABC):
    """A tokeniser that runs a network over whole chips.

    Parameters
    ----------
    device
        "auto" takes a CUDA device if there is one.
    dtype
        What the network computes in. bfloat16 halves memory and is faster on a GPU; tokens then
        agree to about a hundredth of their size.
    batch_size
        Chips at a time; larger is faster on a GPU and needs more memory.
    """

    by_chip = False
    # set by each network: a patch is a whole number of strides wide
    _patch_px: int
    _stride: int

    def __init__(
        self, *, device: Device = "auto", dtype: Dtype = "float32", batch_size: int = 4
    ) -> None:
        import torch

        if batch_size < 1:
            msg = f"batch_size is {batch_size}; want 1 or more, for example 4"
            raise ImageInputError(msg)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._dtype: Any = getattr(torch, dtype)
        self._batch_size = batch_size

    @property
    @abstractmethod
    def dim(self) -> int:
        """D."""

    @property
    def patch_px(self) -> int:
        """Width of a patch."""
        return self._patch_px

    def for_level(self, level: int) -> Self:
        """Return the same network with patches of as many metres, if they are whole strides."""
        parts = level
        while self._patch_px % (parts * self._stride):
            parts //= 2
        return self if parts == 1 else self._with_patches(self._patch_px // parts)

    def _with_patches(self, patch_px: int) -> Self:
        other = copy(self)
        other._patch_px = patch_px
        # a fingerprint that was asked for already is the other's
        other.__dict__.pop("fingerprint", None)
        return other

    @abstractmethod
    def _features(self, images: Any) -> Any:
        """Return ``(b, D, n, n)`` of normalised images ``(b, 3, s, s)``, n patches a side."""

    @abstractmethod
    def _normalised(self, images: Any) -> Any:
        """Return images as the network wants them, from floats of 0 to 255, ``(b, 3, s, s)``."""

    def tokens(
        self, chips: NDArray[np.uint8], is_valid: NDArray[np.bool_], *, gsd_m: float
    ) -> PatchTokens:
        """Tokenise chips; see `encoder.images.base.ImageTokeniser`."""
        import torch

        b, per_side = check_chips(chips, is_valid, patch_px=self.patch_px)
        known = valid_share(is_valid, self.patch_px) >= LEAST_VALID
        tokens = np.zeros((b, per_side * per_side, self.dim), np.float32)
        # a chip of which nothing is known needs no forward pass
        rows = np.flatnonzero(known.any(axis=1))
        with torch.inference_mode():
            for start in range(0, len(rows), self._batch_size):
                batch = rows[start : start + self._batch_size]
                pixels = torch.from_numpy(filled(chips[batch], is_valid[batch]))
                images = pixels.to(self._device).permute(0, 3, 1, 2).to(self._dtype)
                found = self._features(self._normalised(images)).float().flatten(2)
                tokens[batch] = found.transpose(1, 2).cpu().numpy()
        tokens[~known] = 0
        return PatchTokens(tokens, known, patch_centres_m(per_side, self.patch_px * gsd_m))


def file_digest(path: str | Path) -> str:
    """Hash a file of weights (SHA-256, 16 hexadecimal digits)."""
    import hashlib

    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
