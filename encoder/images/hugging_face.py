"""Patch tokens by any Hugging Face vision model: DINOv2, DINOv3, ViT, ConvNeXt, ResNet and alike.

A vision transformer's patches have seen the whole image. So the model is shown one window at a
time: the chip is cut into squares of `window_px`, and a token knows its window, nothing else. Of
the model's outputs only the patch tokens are taken, never the one that stands for all (CLS) nor
registers. A window as wide as a patch makes tokens as local as can be; a wider one lets them know
more of their surroundings.

Images are scaled and centred as the model's ``preprocessor_config.json`` says, by our own
arithmetic, never resized: metres a pixel stay what they are.
"""

import hashlib
import inspect
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from encoder.errors import ImageInputError, MissingHfError
from encoder.images.network import Device, Dtype, NetworkTokens

# of ImageNet, for models that say nothing
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class HuggingFaceImages(NetworkTokens):
    """A vision model of transformers.

    Parameters
    ----------
    path_or_name
        A folder, or a name on the Hugging Face hub: "facebook/dinov2-small".
    patch_px
        Width of a patch: a multiple of the model's own, over which tokens are averaged. None is
        twice the model's own.
    window_px
        Width of what the model sees at once: a multiple of `patch_px`. None is 4 patches. A chip
        that is not whole windows wide is filled up, a narrower one is one window itself.
    device, dtype, batch_size
        See `encoder.images.network.NetworkTokens`; a batch is chips, each of several windows.

    is_local
        Open only what is on this machine, in safetensors: nothing is downloaded or unpickled.

    Raises
    ------
    MissingHfError
        If torch or transformers is not installed.
    OSError, ValueError
        If there is no such model, or it is none of images.
    """

    def __init__(
        self,
        path_or_name: str | Path,
        *,
        patch_px: int | None = None,
        window_px: int | None = None,
        device: Device = "auto",
        dtype: Dtype = "float32",
        batch_size: int = 4,
        is_local: bool = False,
    ) -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingHfError(error.name or "transformers") from error
        super().__init__(device=device, dtype=dtype, batch_size=batch_size)
        self.path_or_name = str(path_or_name)
        self._is_local = is_local
        model = transformers.AutoModel.from_pretrained(
            self.path_or_name, dtype=self._dtype, local_files_only=is_local,
            use_safetensors=True if is_local else None,
        )  # fmt: skip
        self._model = model.to(self._device).eval()
        self._takes_any_size = (
            "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        )
        self._stride = _stride(model.config)
        self._patch_px = patch_px or 2 * self._stride
        self._window_px = window_px or 4 * self._patch_px
        if self._patch_px % self._stride or self._window_px % self._patch_px:
            msg = (
                f"patches of {self._patch_px} and windows of {self._window_px} pixels do not fit "
                f"the model's {self._stride}; want multiples. Example: "
                f"patch_px={2 * self._stride}, window_px={8 * self._stride}"
            )
            raise ImageInputError(msg)

    @property
    def name(self) -> str:
        """What it was loaded from."""
        return f"hf:{self.path_or_name}"

    @cached_property
    def dim(self) -> int:
        """Width of the model's last layer."""
        import torch

        with torch.inference_mode():
            blank = torch.zeros(1, 3, self._window_px, self._window_px)
            return int(self._grid(blank.to(self._device, self._dtype)).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all weights, the preprocessing and the settings."""
        import torch

        digest = hashlib.sha256()
        settings = [self._patch_px, self._window_px, str(self._dtype), *map(list, self._scaling)]
        digest.update(json.dumps(settings).encode())
        for key, value in sorted(self._model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().to("cpu", torch.float32).numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _scaling(self) -> tuple[list[float], list[float]]:
        """What is taken from pixels of 0 to 1, and what they are divided by."""
        from transformers.utils.hub import cached_file

        found = cached_file(
            self.path_or_name,
            "preprocessor_config.json",
            local_files_only=self._is_local,
            _raise_exceptions_for_missing_entries=False,
        )
        kept = json.loads(Path(found).read_text("utf-8")) if found else {}
        if kept.get("do_normalize") is False:
            return [0.0] * 3, [1.0] * 3
        return list(kept.get("image_mean") or _MEAN), list(kept.get("image_std") or _STD)

    def _normalised(self, images: Any) -> Any:
        import torch

        mean, std = (torch.tensor(part).view(1, 3, 1, 1).to(images) for part in self._scaling)
        return (images / 255 - mean) / std

    def _features(self, images: Any) -> Any:
        """Run the model window by window, and lay its grids together again."""
        from torch.nn.functional import avg_pool2d, pad

        b, _, s, _ = images.shape
        window = min(self._window_px, s)
        n = -(-s // window)
        # zero is the model's mean colour
        images = pad(images, (0, n * window - s, 0, n * window - s))
        cut = images.reshape(b, 3, n, window, n, window).permute(0, 2, 4, 1, 3, 5)
        grid = self._grid(cut.reshape(b * n * n, 3, window, window))
        grid = avg_pool2d(grid, self._patch_px // self._stride)
        dim, side = grid.shape[1:3]
        laid = grid.reshape(b, n, n, dim, side, side).permute(0, 3, 1, 4, 2, 5)
        per_side = s // self._patch_px
        return laid.reshape(b, dim, n * side, n * side)[..., :per_side, :per_side]

    def _grid(self, windows: Any) -> Any:
        """Return the model's patch tokens as a grid, ``(w, D, m, m)``."""
        more = {"interpolate_pos_encoding": True} if self._takes_any_size else {}
        hidden = self._model(pixel_values=windows, **more).last_hidden_state
        if hidden.ndim == 4:  # convolutional models keep the grid
            return hidden
        m = windows.shape[-1] // self._stride
        # CLS and registers come first
        patches = hidden[:, hidden.shape[1] - m * m :]
        return patches.transpose(1, 2).reshape(len(hidden), -1, m, m)


def _stride(config: Any) -> int:
    """Return how many pixels wide the model's own patch is."""
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, (list, tuple)):
        patch = patch[0]
    depths = getattr(config, "depths", None)
    if depths is not None:  # each stage of a convolutional model halves what the stem left
        return int((patch or 4) * 2 ** (len(depths) - 1))
    if not isinstance(patch, int | np.integer):
        msg = f"a model of type {config.model_type!r} has no image patches; want a vision model"
        raise ImageInputError(msg)
    return int(patch)
