"""Move matrices between layers by Muon, everything else by AdamW, at one rate.

Muon (Jordan et al. 2024) steps by the momentum with all its singular values made about one, by five
Newton-Schulz iterations. Here they are iterated on the small Gram matrix, which commutes with them,
and in float32: `torch.optim.Muon` computes in bfloat16, ten times slower on most CPUs.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_BETAS = (0.9, 0.95)
# of Muon's authors: their fifth-order polynomial lifts small singular values fastest
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# a step as long as AdamW's usually is (Moonlight, arXiv 2502.16982)
_LENGTH = 0.2


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix of the same directions, all singular values between about .7 and 1.2."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    product = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    a, b, c = _POLYNOMIAL
    for _ in range(_ITERATIONS):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal().add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    found = product @ wide
    return found.T if is_tall else found


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled decay, for matrices."""

    def __init__(
        self, matrices: Iterable[Tensor], *, lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Move the matrices."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                held = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                held.lerp_(matrix.grad, 1 - group["momentum"])
                direction = orthogonalised(matrix.grad.lerp(held, group["momentum"]))
                length = _LENGTH * math.sqrt(max(matrix.shape))
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(direction, alpha=-group["lr"] * length)


class Optimiser:
    """Muon and AdamW side by side, warming up and cooling down.

    Parameters
    ----------
    net
        Its matrices between layers move by Muon.
    heads
        Move by AdamW, as do embeddings, norms and biases.
    rate
        The highest learning rate.
    steps
        How many there will be.
    decay
        Of matrices between layers.
    """

    def __init__(
        self,
        net: nn.Module,
        heads: nn.Module,
        *,
        rate: float,
        steps: int,
        decay: float = 0.01,
        warm_up: float = 0.03,
        clip: float = 1.0,
    ) -> None:
        matrices = [part.weight for part in net.modules() if isinstance(part, nn.Linear)]
        held = {id(matrix) for matrix in matrices}
        rest = [weight for weight in net.parameters() if id(weight) not in held]
        self._all = [*net.parameters(), *heads.parameters()]
        self._clip = clip
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=rate, decay=decay),
            torch.optim.AdamW(
                [*rest, *heads.parameters()], lr=rate, betas=_BETAS, weight_decay=0.0
            ),
        )

        def factor(step: int) -> float:
            warm = max(round(warm_up * steps), 1)
            if step < warm:
                return (step + 1) / warm
            left = (steps - step) / max(steps - warm, 1)
            return 0.5 - 0.5 * math.cos(math.pi * min(max(left, 0.0), 1.0))

        self._schedules = [
            torch.optim.lr_scheduler.LambdaLR(part, factor) for part in self.optimisers
        ]

    def step(self) -> None:
        """Move all weights, and forget the gradients."""
        nn.utils.clip_grad_norm_(self._all, self._clip)
        for optimiser, schedule in zip(self.optimisers, self._schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        return {
            "optimisers": [part.state_dict() for part in self.optimisers],
            "schedules": [part.state_dict() for part in self._schedules],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another one was."""
        for part, found in zip(self.optimisers, state["optimisers"], strict=True):
            part.load_state_dict(found)
        for schedule, found in zip(self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(found)
