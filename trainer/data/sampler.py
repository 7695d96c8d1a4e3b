"""Which tiles train together? Batches of about equal work, the same for the same seed and epoch.

Tiles hold from a handful to a thousand entities. A batch is padded to its largest tile, so tiles
of like size go together: the epoch's order is shuffled, cut into windows, sorted by size within
each window, and cut where the padded area would exceed the budget. The batches then change places,
so that no epoch runs from small to large.

Nothing here depends on workers or processes: the plan is made whole, and process r of w takes
every w-th batch from r on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError


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


def padded_share(sizes: NDArray[np.int64], batches: Sequence[NDArray[np.int64]]) -> float:
    """Return the part of all padded slots that holds no token, 0 to 1."""
    slots = sum(len(batch) * int(sizes[batch].max()) for batch in batches)
    return 1 - float(sizes.sum()) / slots if slots else 0.0
