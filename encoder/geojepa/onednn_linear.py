"""Compute linear layers by oneDNN on a CPU, where it is there.

torch gives them to MKL, which takes generic code for processors of other makers: half the speed of
oneDNN, which comes with torch as well. Vectors are the same but for rounding. Where gradients
are wanted, on a GPU, and without oneDNN, torch does as it does always.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

# oneDNN writes code for each number of rows it meets, a millisecond each: so it meets few
ROWS = 256
# fewer are as fast without
_FEWEST_ROWS = 64
_NEAR = 1e-4


class Linear(nn.Linear):
    """`torch.nn.Linear`, fast where nothing is learned."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the product and the bias, as `torch.nn.Linear` does."""
        return _fast(x, self) if _may_be_fast(x, self) else super().forward(x)


class TwoLayers(nn.Sequential):
    """A linear layer, GELU, and a linear layer: a network of one hidden layer.

    Parameters
    ----------
    width_in, hidden, width_out
        Columns of what comes, of what is between, and of what goes.
    """

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__(Linear(width_in, hidden), nn.GELU(), Linear(hidden, width_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's answer for each row."""
        first, gelu, second = self
        if isinstance(first, Linear) and _may_be_fast(x, first):
            # while the rows are still at hand: another pass over them costs as much as the product
            return second(_fast(x, first, then="gelu"))
        return second(gelu(first(x)))


def _may_be_fast(x: Tensor, layer: nn.Linear) -> bool:
    is_learned = torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad)
    is_plain = x.device.type == "cpu" and x.dtype == layer.weight.dtype == torch.float32
    is_plain = is_plain and x.ndim == 2 and len(x) >= _FEWEST_ROWS
    return is_plain and not is_learned and not torch.is_autocast_enabled("cpu") and _has_onednn()


def _fast(x: Tensor, layer: nn.Linear, *, then: str = "none") -> Tensor:
    rows = len(x)
    spare = -rows % (ROWS if rows > ROWS else _FEWEST_ROWS)
    if spare:
        x = functional.pad(x, (0, 0, 0, spare))
    return _product(x, layer.weight, layer.bias, then)[:rows]


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, then: str) -> Tensor:
    kind = "none" if then == "gelu" else ""  # the exact one, not by tanh
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], kind)
    return found


@cache
def _has_onednn() -> bool:
    """Say whether oneDNN is there and does what we take it to do; its name in torch is private."""
    x, weight = torch.linspace(-1, 1, 96).view(8, 12), torch.linspace(-2, 1, 60).view(5, 12)
    bias = torch.linspace(0, 1, 5)
    try:
        straight, bent = (_product(x, weight, bias, then) for then in ("none", "gelu"))
    except (AttributeError, RuntimeError, TypeError):  # no such name, no oneDNN, another signature
        return False
    wanted = functional.linear(x, weight, bias)
    pairs = (straight, wanted), (bent, functional.gelu(wanted))
    return all(torch.allclose(one, other, rtol=_NEAR, atol=_NEAR) for one, other in pairs)
