"""Predict what was hidden, in the space of a frozen teacher.

The teacher is the pooled tag vector of the entity with nothing hidden, whitened by one matrix that
is fitted once. Predicted from the context latent ``z``; beside it, as an auxiliary, which tokens of
the vocabulary the entity has, from ``z`` and, with less weight, from the trunk ``o``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainer.relational.batches import Batch


@dataclass(frozen=True)
class ObjectiveConfig:
    """The weights of the terms.

    Attributes
    ----------
    teacher
        Of the whitened tag vector, predicted from ``z``.
    tokens
        Of the tokens, predicted from ``z``.
    own_tokens
        Of the tokens, predicted from ``o``.
    seen
        Of the whitened tag vector of entities that lost nothing, predicted from ``z``: so that
        what is known of an entity and what is guessed of it lie together.
    """

    teacher: float = 1.0
    tokens: float = 1.0
    own_tokens: float = 0.3
    seen: float = 0.3


@dataclass(frozen=True)
class Whitening:
    """A fixed affine map: ``(x - mean) @ matrix``.

    Attributes
    ----------
    mean
        Shape ``(d,)``.
    matrix
        Shape ``(d, k)``: columns of unit variance, the strongest directions first.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]


def fit_whitening(rows: NDArray[np.floating], *, dim: int, floor: float = 0.02) -> Whitening:
    """Fit a whitening.

    Parameters
    ----------
    rows
        Shape ``(n, d)``.
    dim
        Directions to keep.
    floor
        Added to each variance, as a part of the largest: faint directions are mostly noise.
    """
    values = np.asarray(rows, np.float64)
    mean = values.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov(values - mean, rowvar=False))
    order = np.argsort(-variance)[:dim]
    variance, directions = variance[order], directions[:, order]
    # a direction has no sign of its own
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(order))])
    scale = 1 / np.sqrt(variance + floor * variance[0])
    return Whitening(mean.astype(np.float32), (directions * scale).astype(np.float32))


class Objective(nn.Module):
    """The heads, and the loss; see the module.

    Parameters
    ----------
    width, latent_dim
        Of ``o`` and ``z``.
    shares
        Of the vocabulary.
    whitening
        Of unit tag vectors.
    """

    def __init__(
        self,
        width: int,
        latent_dim: int,
        *,
        shares: NDArray[np.float32],
        whitening: Whitening,
        config: ObjectiveConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config or ObjectiveConfig()
        self.tokens = nn.Linear(latent_dim, len(shares))
        self.own_tokens = nn.Linear(width, len(shares))
        self.teacher = nn.Linear(latent_dim, whitening.matrix.shape[1])
        self.teacher_mean: Tensor
        self.teacher_matrix: Tensor
        self.token_weight: Tensor
        self.register_buffer("teacher_mean", torch.from_numpy(whitening.mean))
        self.register_buffer("teacher_matrix", torch.from_numpy(whitening.matrix))
        clipped = np.clip(shares, 1e-5, 0.9)
        idf = -np.log(clipped)
        # the loss of predicting the shares is about one, whatever the vocabulary
        of_shares = -(clipped * np.log(clipped) + (1 - clipped) * np.log1p(-clipped))
        self.register_buffer(
            "token_weight", torch.from_numpy((idf / (idf * of_shares).sum()).astype(np.float32))
        )
        logits = torch.from_numpy(np.log(clipped / (1 - clipped)).astype(np.float32))
        for head in (self.tokens, self.own_tokens):
            nn.init.zeros_(head.weight)
            head.bias.data.copy_(logits)
        nn.init.zeros_(self.teacher.weight)
        nn.init.zeros_(self.teacher.bias)

    def targets(self, tags: Tensor) -> Tensor:
        """Return the teacher's vectors of pooled tag vectors."""
        return (functional.normalize(tags, dim=1) - self.teacher_mean) @ self.teacher_matrix

    def forward(self, own: Tensor, latent: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss, and their weighted sum as ``loss``."""
        away = (self.teacher(latent) - self.targets(batch.tags)).square().mean(dim=1)
        is_masked = torch.zeros(len(away), dtype=torch.bool, device=away.device)
        is_masked[batch.masked] = True
        own, latent = own[batch.masked], latent[batch.masked]
        terms = {
            "teacher": away[is_masked].mean(),
            "seen": away[~is_masked].sum() / (~is_masked).sum().clamp(min=1),
            "tokens": self._token_loss(self.tokens(latent), batch.tokens),
            "own_tokens": self._token_loss(self.own_tokens(own), batch.tokens),
        }
        loss = sum(getattr(self.config, name) * term for name, term in terms.items())
        return {**terms, "loss": torch.as_tensor(loss)}

    def _token_loss(self, logits: Tensor, tokens: Tensor) -> Tensor:
        losses = functional.binary_cross_entropy_with_logits(logits, tokens, reduction="none")
        return (losses @ self.token_weight).mean()
