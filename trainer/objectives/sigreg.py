"""Measure how far embeddings are from a standard normal cloud: SIGReg, a loss against collapse.

After LeJEPA (Balestriero & LeCun, arXiv 2511.08544, section 4): a cloud is an isotropic Gaussian if
and only if every projection on a direction is a standard normal. So embeddings are projected on
random unit directions, drawn anew each step, and each projection is compared to the normal by the
test of Epps & Pulley (Biometrika 70, 1983): the weighed square distance of the empirical
characteristic function to ``exp(-t² / 2)``. Both are symmetric about zero, where the real part is
even and the imaginary odd, so t runs over half the line and counts twice.

Letters of shapes: N embeddings, D width, S directions, K knots.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

LAST_KNOT = 3.0


def projector(width: int, dim: int) -> nn.Sequential:
    """Return a network whose last layer is linear: a normalised output could not be Gaussian."""
    return nn.Sequential(
        nn.Linear(width, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
    )


class SIGReg(nn.Module):
    """The distance of a cloud from the standard normal, 0 for a perfect one.

    Parameters
    ----------
    num_directions
        Random projections a step; more is steadier and costs ``N D`` each.
    num_knots
        Places at which characteristic functions are compared, from 0 to `LAST_KNOT`.
    """

    knots: Tensor
    normal: Tensor
    weights: Tensor

    def __init__(self, num_directions: int = 256, num_knots: int = 17) -> None:
        super().__init__()
        self.num_directions = num_directions
        knots = torch.linspace(0, LAST_KNOT, num_knots)
        normal = torch.exp(-(knots**2) / 2)
        step = LAST_KNOT / (num_knots - 1)
        # trapezoids over the whole line: each half once more, the ends by half
        weights = torch.full((num_knots,), 2 * step)
        weights[[0, -1]] = step
        for name, buffer in (("knots", knots), ("normal", normal), ("weights", weights * normal)):
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, embeddings: Tensor, *, seed: int) -> Tensor:
        """Return the mean of the test's statistic over random directions.

        Parameters
        ----------
        embeddings
            Shape ``(N, D)``; of all processes, where several train together.
        seed
            Decides the directions; the same in all processes, another each step.

        Returns
        -------
        statistic
            Shape ``()``, float32: N times the weighed integral, so that it is about 1 for a
            standard normal of any N, and grows with N for all else.
        """
        # an autocast product would round cosines to three digits
        with torch.autocast(embeddings.device.type, enabled=False):
            cloud = embeddings.float()
            directions = unit_directions(cloud.shape[1], self.num_directions, seed).to(cloud)
            angles = (cloud @ directions)[..., None] * self.knots  # N S K
            count = torch.full((), len(cloud), dtype=torch.float32, device=cloud.device)
            total = _summed(count).clamp(min=1)
            # the sums of all processes: the statistic is that of the whole batch
            real = _summed(angles.cos().sum(0)) / total
            imaginary = _summed(angles.sin().sum(0)) / total
            gaps = (real - self.normal) ** 2 + imaginary**2  # S K
            return (gaps @ self.weights).mean() * total


def unit_directions(width: int, count: int, seed: int) -> Tensor:
    """Return random unit columns, shape ``(width, count)``, float32; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(width, count, generator=generator)
    return columns / columns.norm(dim=0, keepdim=True)


class _Sum(torch.autograd.Function):
    """Sum over processes, forwards and backwards.

    Each process's loss depends on every process's embeddings. Data parallelism averages the
    gradients of the processes: with the sum backwards, the average is the whole gradient.
    """

    @staticmethod
    def forward(_context: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _summed(part: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return part
    total: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]  # torch types no apply
    return total
