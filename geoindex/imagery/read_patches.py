"""Read and tokenise the chips of cells in several threads.

A tokeniser of NumPy alone works on one core, and NumPy lets the other threads go on meanwhile: the
thread that read a chip tokenises it too, so that all cores work. A network takes all cores itself,
and several chips at once: they are read ahead of the one thread that calls it. Order and bytes are
the same, whatever the number of threads.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from itertools import islice
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geoindex._threads import num_threads
from geoindex.imagery.base import Chip, ChipFrame, Imagery
from geoindex.imagery.cell_mask import CellPatches, cell_patches
from geoindex.imagery.chips import DEFAULT_WORKERS, ChipGrid, read_ahead
from geoindex.imagery.pyramid import level_patches

if TYPE_CHECKING:
    from encoder.images.base import ImageTokeniser

# as many as a network takes at once; more would only wait for their reading
BATCH_CHIPS = 4
# of chips tokenised at once; each takes some 60 bytes meanwhile
_MOST_PX = 4 << 20

Levels = dict[int, CellPatches]


class _CellChip(NamedTuple):
    """The chip of a cell."""

    cell: int
    frame: ChipFrame
    chip: Chip


def read_patches(
    imagery: Imagery,
    tokenisers: "Mapping[int, ImageTokeniser]",
    grid: ChipGrid,
    cells: Iterable[int],
    *,
    workers: int = DEFAULT_WORKERS,
) -> Generator[Levels, None, None]:
    """Yield the patches of each cell by level, in order.

    Parameters
    ----------
    imagery, grid
        What is read, in chips of which size.
    tokenisers
        By level, of which 1 is one.
    workers
        Threads that read; the chips or patches of twice as many cells wait at most. So many of
        them tokenise at once as threads may work, fewer if chips are large.

    Raises
    ------
    SourceError
        As `Imagery.chip` does, for the first cell that fails.
    """

    def read_chip(cell: int) -> _CellChip:
        (frame,) = grid.frames(np.array([cell], np.uint64))
        return _CellChip(cell, frame, imagery.chip(frame))

    if all(tokeniser.by_chip for tokeniser in tokenisers.values()):
        return read_ahead(_tokenised_by_reader(read_chip, tokenisers, grid), cells, workers=workers)
    return _tokenised_by_one(read_ahead(read_chip, cells, workers=workers), tokenisers)


def _tokenised_by_reader(
    read_chip: Callable[[int], _CellChip],
    tokenisers: "Mapping[int, ImageTokeniser]",
    grid: ChipGrid,
) -> Callable[[int], Levels]:
    """Return what reads and tokenises the chip of a cell, in any thread."""
    fitting = _MOST_PX // round(grid.side_m / grid.gsd_m) ** 2
    is_free = BoundedSemaphore(num_threads(most=max(1, fitting)))

    def made(cell: int) -> Levels:
        chip = read_chip(cell)
        with is_free:
            (levels,) = _tokenised([chip], tokenisers)
        return levels

    return made


def _tokenised_by_one(
    chips: Generator[_CellChip, None, None], tokenisers: "Mapping[int, ImageTokeniser]"
) -> Generator[Levels, None, None]:
    """Yield the patches of cells whose chips are read by others."""
    with closing(chips):
        while batch := list(islice(chips, BATCH_CHIPS)):
            yield from _tokenised(batch, tokenisers)


def _tokenised(
    chips_of: list[_CellChip], tokenisers: "Mapping[int, ImageTokeniser]"
) -> list[Levels]:
    """Return the patches of some cells by level."""
    ids, frames, chips = (list(part) for part in zip(*chips_of, strict=True))
    rgb, is_valid = (np.stack(part) for part in zip(*chips, strict=True))
    found = tokenisers[1].tokens(rgb, is_valid, gsd_m=frames[0].gsd_m)
    made = [{1: patches} for patches in cell_patches(found, frames, ids)]
    for level, tokeniser in tokenisers.items():
        if level > 1:
            coarse = level_patches(chips, frames, ids, level, tokeniser)
            for levels, patches in zip(made, coarse, strict=True):
                levels[level] = patches
    return made
