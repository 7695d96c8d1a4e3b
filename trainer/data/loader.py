"""Which batch does a step read? The plan of an epoch, and what makes its batches ahead."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from trainer.config import TrainConfig
from trainer.data.batch import Batch
from trainer.data.collate import make_batch
from trainer.data.dataset import Material, rows_of_tiles
from trainer.data.sample_entities import draw_entities
from trainer.data.sampler import plan_batches, share_of


@dataclass(frozen=True)
class EpochSteps:
    """The batches of one process in one epoch.

    Attributes
    ----------
    epoch
        From 0.
    batches
        Tiles of each step.
    number
        Each step's place among the batches of all processes: what its masks are drawn by.
    """

    epoch: int
    batches: list[NDArray[np.int64]]
    number: list[int]


def epoch_steps(
    config: TrainConfig, material: Material, epoch: int, *, rank: int, world_size: int
) -> EpochSteps:
    """Return the plan of an epoch."""
    train = np.flatnonzero(material.is_train)
    is_seen = material.tiles.patches.sizes[train] > 0
    train = np.repeat(train, np.where(is_seen, config.data.image_repeats, 1))
    plan = plan_batches(
        rows_of_tiles(material.tiles, train, config),
        budget_tokens=config.batches.budget_tokens,
        window=config.batches.window,
        seed=config.seed,
        epoch=epoch,
    )
    batches = [train[batch] for batch in plan]
    mine = share_of(batches, rank=rank, world_size=world_size)
    return EpochSteps(epoch, mine, list(range(rank, len(mine) * world_size, world_size)))


class _Steps(Dataset[Batch]):
    """Step i of an epoch, a pure function of i."""

    def __init__(self, config: TrainConfig, material: Material, plan: EpochSteps) -> None:
        self._config, self._material, self._plan = config, material, plan

    def __len__(self) -> int:
        return len(self._plan.batches)

    def __getitem__(self, i: int) -> Batch:
        config, material = self._config, self._material
        rng = np.random.default_rng([config.seed, self._plan.epoch, self._plan.number[i]])
        drawn = draw_entities(
            material.tiles,
            self._plan.batches[i],
            most=config.data.most_entities,
            most_patches=config.most_patches,
            rng=rng,
        )
        return make_batch(
            material.cache,
            drawn,
            masks=config.masks,
            num_views=config.batches.num_views,
            most_queries=config.batches.most_queries,
            told_frac=config.batches.told_frac,
            with_whole=config.objective.needs_whole,
            rng=rng,
        )


def loader(
    config: TrainConfig, material: Material, plan: EpochSteps, *, start: int
) -> Iterator[Batch]:
    """Yield the batches of an epoch from a step on, made ahead by `batches.workers` processes."""
    steps = _Steps(config, material, plan)
    # a batch is made whole by the data set: nothing is left to collate
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=range(start, len(steps)),
        num_workers=config.batches.workers,
        prefetch_factor=4 if config.batches.workers else None,
    )
