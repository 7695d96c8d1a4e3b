"""Train the published GeoJEPA (arXiv 2503.05774) with those of its defects that settings restore.

    python bench/published/train.py ../shared/data/osm/*.osm.pbf -o out/ema-published

Settings are those of `geoindex train` (docs/training.md), and seven more: each restores one
defect. bench/published/ema.toml has all of them, and the numbers of the authors' own run.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cli.progress import ConsoleReporter
from trainer.config import OptimiserConfig, TrainConfig, read_config
from trainer.data.ragged import owners
from trainer.masks import MASKS, MaskConfig, RaggedTiles, box_order, choose_groups, mask_groups
from trainer.objectives.config import ErrorKind, ObjectiveConfig
from trainer.objectives.ema import Ema
from trainer.objectives.losses import Predicted, prediction_error
from trainer.objectives.objective import Objective
from trainer.run.loop import train

SETTINGS = Path(__file__).with_name("ema.toml")
# targets of a tile, drawn without regard to each other
_NUM_TARGETS = 4
# a box of a third of the tile keeps within it, so its centre to the inner part
_INNER_PART = 0.6
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PublishedMasks(MaskConfig):
    """Masks, with four rules of the published model.

    Attributes
    ----------
    linked
        Entities that repeat each other are masked together. Published: each is masked alone, and a
        target may lie open in the context.
    drawn
        ``"tile"``: each tile has a mask of its own. Published, ``"batch"``: all tiles of a batch
        have the same one, lose the same modality and see the same of images.
    disjoint
        Context and targets have nothing in common. Published: four targets of `target_frac` each
        are drawn from the whole tile, and the context is the rest; if that is less than
        `context_frac`, as much as it lacks is drawn from the whole tile again.
    area_test
        ``"box"``: a box on the ground holds the entities that it meets, and lies round any of them.
        Published, ``"centroid"``: it holds those whose middle lies in it, and keeps to the middle
        of the tile.
    """

    linked: bool = True
    drawn: Literal["tile", "batch"] = "tile"
    disjoint: bool = True
    area_test: Literal["box", "centroid"] = "box"

    @property
    def inner_part(self) -> float:
        """Part of the tile, about its middle, in which boxes have their centres."""
        return 1.0 if self.area_test == "box" else _INNER_PART

    def of_probes(self) -> MaskConfig:
        """Return the same with a mask for each tile: of one a batch most would not come."""
        return replace(self, drawn="tile")

    def per_tile(self, draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what was drawn for each tile, or for all what the first one drew."""
        return np.repeat(draws[:1], len(draws)) if self.drawn == "batch" else draws

    def groups(self, tiles: RaggedTiles) -> NDArray[np.int64]:
        """Return which entities are masked together."""
        return (
            super().groups(tiles)
            if self.linked
            else mask_groups(np.arange(len(tiles.duplicate_group)), tiles.offsets)
        )

    def extents(self, tiles: RaggedTiles) -> NDArray[np.float64]:
        """Return the boxes of entities, or their middles as boxes without a side."""
        boxes = super().extents(tiles)
        if self.area_test == "box":
            return boxes
        return np.tile((boxes[:, :2] + boxes[:, 2:]) / 2, 2)

    def entities(
        self,
        tiles: RaggedTiles,
        group: NDArray[np.int64],
        mask: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[Flags, Flags]:
        """Draw context and targets, which as published may overlap.

        Each target is of the whole tile, so they leave little. A box is a target in a hole's mask
        too.
        """
        if self.disjoint:
            return super().entities(tiles, group, mask, rng)
        t, m = len(mask), len(group)
        tile, everyone = owners(tiles.offsets), np.ones(m, np.bool_)
        is_boxed = np.isin(mask, [MASKS.index("area"), MASKS.index("hole")])[tile]
        is_target = np.zeros(m, np.bool_)
        for _ in range(_NUM_TARGETS):
            stretch = self.aspect ** rng.uniform(-0.5, 0.5, t)
            chance, frac = rng.random(m), rng.uniform(*self.target_frac, t)
            near = box_order(tiles, chance, self, among=everyone, stretch=stretch)
            order = np.where(is_boxed, near, rng.random(m))
            is_target |= choose_groups(order, group, tiles.offsets, frac, among=everyone)
        is_left = 1 - np.bincount(tile, is_target, t) / np.maximum(np.diff(tiles.offsets), 1)
        lacks = np.maximum(rng.uniform(*self.context_frac, t) - is_left, 0)
        added = choose_groups(rng.random(m), group, tiles.offsets, lacks, among=everyone)
        return ~is_target | (added & (lacks > 0)[tile]), is_target


@dataclass(frozen=True)
class PublishedObjectiveConfig(ObjectiveConfig):
    """The objective, with two rules of the published model.

    Attributes
    ----------
    balanced
        The predictor's error is a mean over modalities, each in groups of its targets' spread.
        Published: a plain mean over all tokens; what has most of them decides.
    ema_scope
        ``"all"``: the target encoder is a slow copy of the whole encoder. Published, ``"blocks"``:
        of its transformer alone, the rest is shared.
    """

    balanced: bool = True
    ema_scope: Literal["all", "blocks"] = "all"


@dataclass(frozen=True)
class PublishedOptimiser(OptimiserConfig):
    """The optimiser; `decays_all`, published: norms, biases and embeddings decay as well."""

    decays_all: bool = False

    def decaying(self, objective: Objective) -> set[str]:
        """Return the names of the parameters that decay."""
        every = {name for name, _ in objective.named_parameters()}
        return every if self.decays_all else super().decaying(objective)


class BlocksEma(Ema):
    """A slow copy of the transformer alone; all else is the online encoder's."""

    @torch.no_grad()
    def update(self, online: nn.Module, *, momentum: float) -> None:
        """Move the average of the transformer, and copy the rest."""
        super().update(online, momentum=momentum)
        parts = dict(self.module.named_parameters())
        for name, part in online.named_parameters():
            if not name.startswith("blocks."):
                parts[name].copy_(part)


class PublishedObjective(Objective):
    """The objective under `PublishedObjectiveConfig`."""

    config: PublishedObjectiveConfig

    def __init__(
        self, encoder: nn.Module, config: ObjectiveConfig, *rest: object, **more: object
    ) -> None:
        super().__init__(encoder, config, *rest, **more)  # type: ignore[arg-type]
        if self.ema is not None and self.config.ema_scope == "blocks":
            self.ema = BlocksEma(encoder)

    def predicted_error(self, found: Mapping[str, Predicted]) -> Tensor:
        """Return the error of the predictor's answers as one number, shape ``()``."""
        if self.config.balanced:
            return super().predicted_error(found)
        return plain_error(found, self.config.error)


def plain_error(found: Mapping[str, Predicted], kind: ErrorKind) -> Tensor:
    """Return the mean error over all tokens, whatever their modality; 0 where there is none."""
    sums = [
        prediction_error(item.predicted, item.target, spread=item.target.new_ones(()), kind=kind)
        * len(item.target)
        for item in found.values()
    ]
    return torch.stack(sums).sum() / max(sum(len(item.target) for item in found.values()), 1)


@dataclass(frozen=True)
class PublishedConfig(TrainConfig):
    """Everything that decides a run, with the published model's rules."""

    masks: PublishedMasks = field(default_factory=PublishedMasks)
    objective: PublishedObjectiveConfig = field(default_factory=PublishedObjectiveConfig)
    optimiser: PublishedOptimiser = field(default_factory=PublishedOptimiser)
    objective_type: ClassVar[type[Objective]] = PublishedObjective


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/ema-published"))
    parser.add_argument("--config", type=Path, default=SETTINGS)
    options = parser.parse_args()
    config = read_config(options.config, PublishedConfig)
    train(options.sources, options.output, config, reporter=ConsoleReporter())


if __name__ == "__main__":
    main()
