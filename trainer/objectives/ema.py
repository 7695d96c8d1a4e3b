"""Average the encoder slowly: the target encoder of `objective.name = "ema"`.

The copy holds the *whole* path from tokens to embeddings: projections, positions, registers and
norms as much as the transformer. The published GeoJEPA averaged its transformer alone and shared
the rest with the context encoder, whose steps then moved the targets at full speed.
"""

import copy
import math

import torch
from torch import nn


class Ema(nn.Module):
    """An exponential moving average of a module.

    Parameters
    ----------
    online
        What is trained. The average starts as its copy.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(online).requires_grad_(requires_grad=False)
        self.module.eval()

    def train(self, mode: bool = True) -> "Ema":  # noqa: ARG002, FBT001, FBT002 - torch's signature
        """Stay in evaluation mode: targets are not to be perturbed."""
        return self

    @torch.no_grad()
    def update(self, online: nn.Module, *, momentum: float) -> None:
        """Move the average towards the online module.

        Parameters
        ----------
        online
            Of the same shape as the first.
        momentum
            Part of the old average that stays, 0 to 1.
        """
        old = dict(self.module.named_parameters())
        for name, new in online.named_parameters():
            old[name].lerp_(new.detach().to(old[name].dtype), 1 - momentum)
        buffers = dict(self.module.named_buffers())
        for name, fresh in online.named_buffers():
            buffers[name].copy_(fresh)


def momentum_at(step: int, total_steps: int, *, first: float, last: float) -> float:
    """Return the momentum of a step: from `first` to `last` along half a cosine, as BYOL has it."""
    done = min(step / max(total_steps - 1, 1), 1.0)
    return last - (last - first) * (math.cos(math.pi * done) + 1) / 2
