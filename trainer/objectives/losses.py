"""Measure the error of predictions, in units of what a constant guess would make.

Every error is divided by the spread of its target: "predict the mean" costs 1 (squared) whatever
the modality, so modalities can be averaged, and the loss reads as the part left unexplained.
Losses are means over tokens within a modality, then over modalities: what has more tokens does not
outvote the rest.

Letters of shapes: N tokens or queries of one modality, Q queries of all, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainer.objectives.config import ErrorKind, ObjectiveConfig

# below this a target does not vary: float32's own noise
LEAST_SPREAD = 1e-4


def spread_of(targets: Tensor) -> Tensor:
    """Return the root mean square distance of targets ``(N, D)`` to their mean, a coordinate.

    Shape ``()``, held constant; at least `LEAST_SPREAD`.
    """
    targets = targets.detach().float()
    return targets.var(dim=0, correction=0).mean().sqrt().clamp_min(LEAST_SPREAD)


def prediction_error(
    predicted: Tensor, target: Tensor, *, spread: Tensor, kind: ErrorKind = "mse"
) -> Tensor:
    """Return the mean error of N predictions in units of the target's spread.

    Parameters
    ----------
    predicted, target
        Shape ``(N, D)``. The target is not held constant here: that is the objective's choice.
    spread
        Shape ``()`` or ``(D,)``, above 0.
    kind
        ``"mse"``: 1 for predicting the mean. ``"smooth_l1"``: kinder to outliers, at most the half
        of it.

    Returns
    -------
    error
        Shape ``()``; 0 where N is 0, with a gradient of 0.
    """
    if not len(predicted):
        return predicted.sum() * 0.0
    gap = (predicted.float() - target.float()) / spread
    if kind == "mse":
        return gap.square().mean()
    return functional.smooth_l1_loss(gap, torch.zeros_like(gap))


def balanced(errors: Mapping[str, Tensor], counts: Mapping[str, int]) -> Tensor:
    """Return the mean over the modalities that have tokens; 0 where none has, with gradient 0."""
    present = [error for name, error in errors.items() if counts[name]]
    if not present:
        return torch.stack(list(errors.values())).sum() * 0.0
    return torch.stack(present).mean()


def variance_loss(embeddings: Tensor, *, least_deviation: float = 1.0) -> Tensor:
    """Return how far the coordinates' deviations fall short; VICReg (ICLR 2022), equation 1.

    Parameters
    ----------
    embeddings
        Shape ``(N, D)``, N at least 2.
    """
    deviation = (embeddings.float().var(dim=0) + 1e-4).sqrt()
    return functional.relu(least_deviation - deviation).mean()


def covariance_loss(embeddings: Tensor) -> Tensor:
    """Return the mean square of covariances between coordinates; VICReg, equation 4.

    Shape ``()``: the sum over pairs, divided by D.
    """
    n, width = embeddings.shape
    centred = embeddings.float() - embeddings.float().mean(dim=0)
    covariance = centred.T @ centred / max(n - 1, 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / width


class Predicted(NamedTuple):
    """What the predictor said of the N queries of one modality in one view.

    `predicted` and `target` are ``(N, D)``; `asked` is ``(Q,)``: which queries they are.
    """

    predicted: Tensor
    target: Tensor
    asked: Tensor


def predicted_error(found: Mapping[str, Predicted], config: ObjectiveConfig) -> Tensor:
    """Return the error of what was said, by modality, as one number of shape ``()``."""
    counts = {name: len(item.target) for name, item in found.items()}
    errors = {name: _error(item, config) for name, item in found.items()}
    return balanced(errors, counts)


def _error(found: Predicted, config: ObjectiveConfig) -> Tensor:
    # whitened vectors have an even spread; that of latents changes as they learn
    spread = (
        spread_of(found.target)
        if config.predicts_latents and len(found.target)
        else found.target.new_ones(())
    )
    return prediction_error(found.predicted, found.target, spread=spread, kind=config.error)
