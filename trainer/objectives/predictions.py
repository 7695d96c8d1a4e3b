"""What did the predictor say of one view, and how wrong is it over all modalities?

Letters of shapes: N queries of one modality, Q queries of all, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from trainer.objectives.config import ObjectiveConfig
from trainer.objectives.losses import balanced, prediction_error, spread_of, weighed


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
    return balanced(errors, counts) if config.balanced else weighed(errors, counts)


def _error(found: Predicted, config: ObjectiveConfig) -> Tensor:
    # whitened vectors have an even spread; that of latents changes as they learn
    spread = (
        spread_of(found.target)
        if config.balanced and config.predicts_latents and len(found.target)
        else found.target.new_ones(())
    )
    return prediction_error(found.predicted, found.target, spread=spread, kind=config.error)
