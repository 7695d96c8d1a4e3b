"""Settings of an objective: its name, the weights of its terms, its targets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ErrorKind = Literal["mse", "smooth_l1"]

Name = Literal["ema", "sigreg", "frozen", "hybrid"]
OBJECTIVES: tuple[Name, ...] = ("ema", "sigreg", "frozen", "hybrid")
TERMS = (
    "region_content", "masked_prediction", "context_reconstruction", "patch_landcover",
    "view_invariance", "sigreg", "entities", "variance", "covariance",
)  # fmt: skip
#: the terms of each objective, where a configuration says nothing else
WEIGHTS: Mapping[Name, Mapping[str, float]] = {
    "ema": {"masked_prediction": 1.0, "variance": 0.01, "covariance": 0.001},
    "sigreg": {"masked_prediction": 1.0, "view_invariance": 0.5, "sigreg": 0.02, "entities": 0.02},
    "frozen": {"region_content": 1.0, "masked_prediction": 0.5, "patch_landcover": 0.5},
    "hybrid": {
        "region_content": 1.0,
        "masked_prediction": 0.5,
        "patch_landcover": 0.5,
        "view_invariance": 0.2,
        "sigreg": 0.02,
    },
}


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimised.

    Attributes
    ----------
    name
        One of `OBJECTIVES`.
    weights
        Of some of `TERMS`; what is not named is as in `WEIGHTS`.
    error, region_error
        Of predicted tokens, and of what regions hold: ``"mse"`` or ``"smooth_l1"``.
    token_dims, token_power
        Directions and stretch of the frozen targets of tokens; see `trainer.objectives.whitening`.
    projection_dim, num_directions
        Width in which regions agree, and SIGReg's directions a step.
    ema_first, ema_last
        Momentum of the target encoder at the first and last step.
    """

    name: Name = "frozen"
    weights: Mapping[str, float] = field(default_factory=dict)
    error: ErrorKind = "mse"
    region_error: ErrorKind = "smooth_l1"
    token_dims: int = 64
    token_power: float = 0.5
    projection_dim: int = 128
    num_directions: int = 256
    ema_first: float = 0.99
    ema_last: float = 0.9999

    def weight(self, term: str) -> float:
        """Return the weight of a term, 0 where it has no part."""
        return float(self.weights.get(term, WEIGHTS[self.name].get(term, 0.0)))

    @property
    def needs_whole(self) -> bool:
        """Whether the whole tiles are encoded as well."""
        return self.predicts_latents or self.weight("view_invariance") > 0

    @property
    def predicts_latents(self) -> bool:
        """Whether targets are latents and not frozen vectors."""
        return self.name in {"ema", "sigreg"}
