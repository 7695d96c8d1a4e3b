"""What does a run hold in its hands, and what does it tell those who watch?"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from geoindex.progress import Reporter
from trainer.config import TrainConfig
from trainer.data.dataset import Material
from trainer.objectives.objective import Objective
from trainer.run.fabric import Fabric
from trainer.run.run_folder import Counters, Metrics, RunFolder


@dataclass(frozen=True)
class Progress:
    """What a step tells those who watch.

    `seconds_left` is None in the first steps, and where the run ends by time.
    """

    step: int
    total_steps: int
    loss: float
    tokens_per_s: float
    seconds_left: float | None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `reason` is ``"done"``, ``"patience"``, ``"time"`` or ``"finished before"``. `untrained_score`
    is that of the weights that the run began with: training that reaches less has not paid.
    """

    folder: Path
    reason: str
    step: int
    best_step: int
    best_score: float
    untrained_score: float


@dataclass
class Run:
    """What the loop holds in its hands; `stepped` and `stepping` are as Fabric wraps them."""

    fabric: Fabric
    config: TrainConfig
    material: Material
    folder: RunFolder
    objective: Objective
    stepped: Any
    stepping: Any
    optimiser: torch.optim.Optimizer
    counters: Counters
    metrics: Metrics | None
    reporter: Reporter
    on_step: Callable[[Progress], None]
    total_steps: int
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    pending: list[dict[str, float]] = field(default_factory=list)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.fabric.is_global_zero)


def progress_of(run: Run, loss: float) -> Progress:
    """Return what the last step tells."""
    counters = run.counters
    pace = counters.seconds / counters.step
    left = (run.total_steps - counters.step) * pace if counters.step >= 5 else None
    per_s = counters.tokens / max(counters.seconds, 1e-9)
    return Progress(counters.step, run.total_steps, loss, per_s, left)
