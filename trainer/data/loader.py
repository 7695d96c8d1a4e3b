"""Plan the batches of an epoch, and load them.

Tiles hold from a handful to a thousand entities. A batch is padded to its largest tile, so tiles
of like size go together: the epoch's order is shuffled, cut into windows, sorted by size within
each window, and cut where the padded area would exceed the budget. The batches then change places,
so that no epoch runs from small to large.

Nothing here depends on workers or processes: the plan is made whole, and process r of w takes
every w-th batch from r on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from geoindex.errors import UsageError
from trainer.config import TrainConfig
from trainer.data.batch import Batch, make_batch
from trainer.data.training_tiles import TrainingTiles, sample_tiles

if TYPE_CHECKING:
    from trainer.data.dataset import TrainingData


def plan_batches(
    sizes: NDArray[np.int64], *, budget_tokens: int, window: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return the batches of one epoch.

    Parameters
    ----------
    sizes
        Tokens of each tile, shape ``(t,)``, at least 1.
    budget_tokens
        A batch's tiles times its largest tile is no more than this, but for a tile that alone has
        more. Larger is faster on a GPU, and needs more memory.
    window
        Tiles that are sorted together. Larger wastes less on padding, and mixes less.
    seed, epoch
        Decide the order.

    Returns
    -------
    batches
        Places in `sizes`, every one in exactly one batch.

    Raises
    ------
    UsageError
        If the budget or the window is below 1.
    """
    if budget_tokens < 1 or window < 1:
        msg = (
            f"budget_tokens is {budget_tokens} and window {window}; want 1 or more of each, "
            "for example 8192 and 512"
        )
        raise UsageError(msg)
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(sizes))
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(sizes[part], kind="stable")]
        batches += _cut(part, sizes[part], budget_tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(
    tiles: NDArray[np.int64], sizes: NDArray[np.int64], budget_tokens: int
) -> list[NDArray[np.int64]]:
    """Cut tiles that ascend by size into batches within the budget."""
    batches, start = [], 0
    for i, size in enumerate(sizes.tolist()):
        # sizes ascend: the newest tile is the one that all others are padded to
        if i > start and (i + 1 - start) * size > budget_tokens:
            batches.append(tiles[start:i])
            start = i
    if start < len(tiles):
        batches.append(tiles[start:])
    return batches


def share_of(
    batches: Sequence[NDArray[np.int64]], *, rank: int, world_size: int
) -> list[NDArray[np.int64]]:
    """Return the batches of one process: as many for each, what is left over is dropped.

    Processes must take as many steps as each other, or the last waits for ever.
    """
    whole = len(batches) // world_size * world_size
    return list(batches[rank:whole:world_size])


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
    config: TrainConfig, data: "TrainingData", epoch: int, *, rank: int, world_size: int
) -> EpochSteps:
    """Return the plan of an epoch."""
    train = np.flatnonzero(data.is_train)
    is_seen = data.tiles.patches.sizes[train] > 0
    train = np.repeat(train, np.where(is_seen, config.data.image_repeats, 1))
    plan = plan_batches(
        rows_of_tiles(data.tiles, train, config),
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

    def __init__(self, config: TrainConfig, data: "TrainingData", plan: EpochSteps) -> None:
        self._config, self._data, self._plan = config, data, plan

    def __len__(self) -> int:
        return len(self._plan.batches)

    def __getitem__(self, i: int) -> Batch:
        config, data = self._config, self._data
        rng = np.random.default_rng([config.seed, self._plan.epoch, self._plan.number[i]])
        drawn = sample_tiles(
            data.tiles,
            self._plan.batches[i],
            most=config.data.most_entities,
            most_patches=config.most_patches,
            rng=rng,
        )
        return make_batch(
            data.cache,
            drawn,
            masks=config.masks,
            num_views=config.batches.num_views,
            most_queries=config.batches.most_queries,
            known_geometry_frac=config.batches.known_geometry_frac,
            with_whole=config.objective.needs_whole,
            rng=rng,
        )


def loader(
    config: TrainConfig, data: "TrainingData", plan: EpochSteps, *, start: int
) -> Iterator[Batch]:
    """Yield the batches of an epoch from a step on, made ahead by `batches.workers` processes."""
    steps = _Steps(config, data, plan)
    # a batch is made whole by the data set: nothing is left to collate
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=range(start, len(steps)),
        num_workers=config.batches.workers,
        prefetch_factor=4 if config.batches.workers else None,
    )


def rows_of_tiles(
    tiles: TrainingTiles, chosen: NDArray[np.int64], config: TrainConfig
) -> NDArray[np.int64]:
    """Return how many rows of attention some tiles are: entities, patches, registers."""
    data = config.data
    entities = np.minimum(tiles.sizes[chosen], data.most_entities)
    patches = np.minimum(tiles.patches.sizes[chosen], config.most_patches)
    return np.asarray(entities + patches + config.model.num_registers)
