"""Build the transformer over a map: positions as waves, attention that padding cannot change.

Pre-norm blocks without dropout (Vaswani et al., arXiv 1706.03762; Xiong et al., arXiv 2002.04745).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.geojepa.batch import PLACE_DIM, Keys, Layout
from encoder.geojepa.onednn_linear import Linear, TwoLayers
from encoder.geojepa.varlen_attention import LengthBuckets

# metres: from a room to a quarter
_WAVELENGTHS_M = tuple(32.0 * 2**i for i in range(8))
PLACE_FEATURES = 4 * len(_WAVELENGTHS_M) + PLACE_DIM


def place_features(place: Tensor, has_place: Tensor) -> Tensor:
    """Return smooth features of where a token lies and how large it is.

    Sines and cosines of both offsets at `_WAVELENGTHS_M`, offsets in kilometres (bounded), the
    logarithm of both sides, and the orientation as it is.

    Parameters
    ----------
    place
        Shape ``(..., PLACE_DIM)``, of `encoder.geojepa.batch.relative_places`.
    has_place
        Shape ``(...)``; features are zero where it is False.

    Returns
    -------
    features
        Shape ``(..., PLACE_FEATURES)``.
    """
    waves = 2 * math.pi / torch.tensor(_WAVELENGTHS_M, dtype=place.dtype, device=place.device)
    phase = (place[..., :2, None] * waves).flatten(-2)
    features = torch.cat(
        [
            phase.sin(),
            phase.cos(),
            torch.tanh(place[..., :2] / 1000),
            torch.log1p(place[..., 2:4]) / 5,
            place[..., 4:],
        ],
        dim=-1,
    )
    return features * has_place[..., None]


class Block(nn.Module):
    """Attention and a two-layer network, each on normalised inputs and added to them.

    Parameters
    ----------
    width, num_heads, mlp_ratio
        See `encoder.geojepa.config.GeoJEPAConfig`.
    """

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_in = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = TwoLayers(width, mlp_ratio * width, width)

    def forward(
        self, x: Tensor, layout: Layout | LengthBuckets, keys: Keys | None = None
    ) -> Tensor:
        """Return the tokens after one round.

        Parameters
        ----------
        x
            Shape ``(rows, width)``: packed, or as `LengthBuckets` has them.
        layout
            Which rows see each other.
        keys
            Which places of each padded row are attended to; None for all.
        """
        qkv = self.qkv(self.norm_in(x))
        if isinstance(layout, LengthBuckets):
            found = layout.attended(qkv, self.num_heads)
        else:
            found = _padded_attention(qkv, self.num_heads, layout, keys)
        x = x + self.out(found)
        return x + self.mlp(self.norm_mlp(x))


def _padded_attention(qkv: Tensor, num_heads: int, layout: Layout, keys: Keys | None) -> Tensor:
    rows = qkv[layout.index]
    q, k, v = rows.view(*layout.index.shape, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    is_pad = layout.is_pad
    if keys is not None:
        k, v = (part.take_along_dim(keys.index[:, None, :, None], 2) for part in (k, v))
        is_pad = keys.is_pad
    found = functional.scaled_dot_product_attention(q, k, v, attn_mask=~is_pad[:, None, None])
    return found.transpose(1, 2).flatten(2).flatten(0, 1)[layout.back]
