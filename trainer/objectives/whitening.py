"""Whiten token vectors into frozen targets: centred, turned, stretched to even spread.

A handful of directions (building or not, large or small) hold most of the variance of raw token
vectors: a predictor that gets those right has nearly all of the squared error, and nothing of what
tells a bakery from a bank. Whitened, more directions count. Those with next to no variance are
noise, and are left out.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# of the largest variance: below it a direction is float32's noise
_LEAST_VARIANCE = 1e-7


def principal_directions(
    rows: NDArray[np.float64], *, dims: int, power: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the map from vectors to their principal directions.

    Parameters
    ----------
    rows
        Shape ``(n, width)``, at least one row.
    dims
        The strongest directions that are kept, as far as there are so many.
    power
        A direction of variance v is divided by ``v ** (power / 2)``: 0 keeps the spread, 1 makes it
        even. All are then divided by one number, so that the mean variance is 1.

    Returns
    -------
    mean
        Shape ``(width,)``.
    matrix
        Shape ``(width, R)``: ``(vectors - mean) @ matrix``; R is `dims`, or width if that is less.
        Directions without variance are zero columns.
    """
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1][:dims], axes[:, ::-1][:, :dims]
    # the sign of an axis is a matter of taste of the library: the largest entry is positive
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    varies = variances > _LEAST_VARIANCE * max(float(variances[0]), 1e-30)
    scale = np.where(varies, np.where(varies, variances, 1.0) ** (-power / 2), 0.0)
    spread = float((np.where(varies, variances, 0.0) * scale**2).sum()) / max(int(varies.sum()), 1)
    return mean, axes * (scale / max(spread, 1e-30) ** 0.5)


class Whitener(nn.Module):
    """A fixed affine map of token vectors, fitted once on what is trained on.

    Parameters
    ----------
    width
        Of the vectors.
    dims
        Directions that are kept.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.dims = min(dims, width)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width)[:, : self.dims])

    def fit(self, vectors: NDArray[np.float32], *, power: float) -> "Whitener":
        """Fit to vectors, shape ``(n, width)``; zero rows, which say nothing, are left out."""
        rows = vectors[vectors.any(axis=1)].astype(np.float64)
        if len(rows):
            mean, matrix = principal_directions(rows, dims=self.dims, power=power)
            self.mean.copy_(torch.from_numpy(mean))
            self.matrix.copy_(torch.from_numpy(matrix))
        return self

    def forward(self, vectors: Tensor) -> Tensor:
        """Return whitened vectors, shape ``(..., dims)``, float32."""
        with torch.autocast(vectors.device.type, enabled=False):
            return (vectors.float() - self.mean) @ self.matrix
