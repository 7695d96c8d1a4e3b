"""Make the optimiser, AdamW with decay on matrices alone, and its learning rate.

Decay pulls towards zero. For a matrix between layers that is a prior; for a norm's gain, a bias, an
embedding or a register it only takes away what was learnt. So only the weights of linear and
convolutional layers decay.
"""

import math
from typing import Literal

import torch
from torch import nn

Schedule = Literal["cosine", "cooldown"]
BETAS = (0.9, 0.95)
_DECAYING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Bilinear)


def decaying_names(module: nn.Module) -> set[str]:
    """Return the names of the parameters that decay: matrices between layers."""
    names = set()
    for prefix, part in module.named_modules():
        dot = f"{prefix}." if prefix else ""
        if isinstance(part, _DECAYING):
            names.add(f"{dot}weight")
        elif isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            names.add(f"{dot}in_proj_weight")
    return names & {name for name, _ in module.named_parameters()}


def make_optimiser(
    module: nn.Module, *, rate: float, decay: float, decaying: set[str] | None = None
) -> torch.optim.AdamW:
    """Return AdamW over the parameters that train.

    Parameters
    ----------
    rate
        The highest learning rate.
    decay
        Weight decay of matrices, constant.
    decaying
        Names of the parameters that decay; by default those of `decaying_names`.
    """
    decaying = decaying_names(module) if decaying is None else decaying
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups[0 if name in decaying else 1].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[0], "weight_decay": decay},
            {"params": groups[1], "weight_decay": 0.0},
        ],
        lr=rate,
        betas=BETAS,
    )


def rate_at(
    step: int,
    total_steps: int,
    *,
    warmup_frac: float = 0.05,
    schedule: Schedule = "cosine",
    cooldown_frac: float = 0.2,
) -> float:
    """Return the part of the highest rate at a step, above 0 and up to 1.

    Parameters
    ----------
    step
        From 0.
    warmup_frac
        Part of all steps over which the rate climbs in a line.
    schedule
        ``"cosine"``: then falls along half a cosine. ``"cooldown"``: stays, and falls in a line at
        the end; a run can be prolonged from any point before that.
    cooldown_frac
        Part of all steps over which ``"cooldown"`` falls.
    """
    warmup = max(1, round(total_steps * warmup_frac))
    if step < warmup:
        return (step + 1) / warmup
    # the last step still moves: the floor is that of one step before the end
    left = max(total_steps - step, 1)
    if schedule == "cooldown":
        return min(1.0, left / max(1, round(total_steps * cooldown_frac)))
    return (1 - math.cos(math.pi * left / max(total_steps - warmup, 1))) / 2 if left else 0.0


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate
