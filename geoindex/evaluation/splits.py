"""Cross-validation folds in which no test row has a neighbour in training.

Places close together are similar, so a random split leaks labels from training into test. Here a
test row is at least `gap` cells away from every row that a head has seen:

- Blocks are H3 parent cells. A block is never divided between training, validation and test.
- A row whose cell lies within `gap` rings (of the cells' own resolution) of a test cell is left
  out of training and validation; one within `gap` rings of a validation cell, out of training.
- Validation rows choose hyperparameters. Afterwards a head may learn from training and validation
  together: neither touches the test rows.

Folds hold row numbers, ascending, and depend on nothing but their arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geoindex.errors import InvalidResolutionError, TooFewBlocksError, UsageError
from geoindex.geo.h3 import parents, resolution_of, ring

DEFAULT_FOLDS = 5
# blocks a fold, so that a fold is more than one neighbourhood
_BLOCKS_PER_FOLD = 3
_FEWER_BLOCKS = 2
# of the rows that are not tested
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Fold:
    """The rows of one fold, as ascending row numbers without a row in common.

    Attributes
    ----------
    train, test, validation
        Shape ``(n,)`` each, never empty. What is in none of them was left out by the gap.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    validation: NDArray[np.int64]


class Folds(list[Fold]):
    """A list of folds, with how it was made.

    Parameters
    ----------
    folds
        The folds.
    description
        How the rows were split, one sentence.
    blocks
        A number for each row, the same within a block: what a bootstrap draws. Shape ``(n,)``.
    block_resolution
        Of spatial blocks, else None.
    """

    def __init__(
        self,
        folds: Sequence[Fold],
        *,
        description: str,
        blocks: NDArray[np.int64],
        block_resolution: int | None = None,
    ) -> None:
        super().__init__(folds)
        self.description = description
        self.blocks = blocks
        self.block_resolution = block_resolution


class CellGap:
    """The cells within a gap of each other.

    Parameters
    ----------
    cells
        The cell of each row, shape ``(n,)``.
    gap
        Rings of cells.

    Attributes
    ----------
    cells
        Each once, ascending.
    cell_of
        Place among `cells` of each row, shape ``(n,)``.
    resolution
        Of all of them.

    Raises
    ------
    TooFewBlocksError
        If there is no row.
    InvalidResolutionError
        If the cells are of several resolutions.
    """

    def __init__(self, cells: NDArray[np.uint64], gap: int) -> None:
        if not cells.size:
            msg = "no rows to split; want at least a few hundred. Example: all rows of an index"
            raise TooFewBlocksError(msg)
        self.cells, inverse = np.unique(cells, return_inverse=True)
        self.cell_of: NDArray[np.int64] = inverse.ravel().astype(np.int64)
        levels = np.unique(resolution_of(self.cells))
        if levels.size > 1:
            msg = (
                f"cells are of resolutions {levels.tolist()}; want one. Example: only {levels[-1]}"
            )
            raise InvalidResolutionError(msg)
        self.resolution = int(levels[0])
        around = ring(self.cells, gap)
        # cells that hold no row cannot leak
        place = np.searchsorted(self.cells, around.members)
        place = np.minimum(place, self.cells.size - 1)
        is_held = self.cells[place] == around.members
        self._from = np.repeat(np.arange(self.cells.size), np.diff(around.offsets))[is_held]
        self._to = place[is_held]

    def around(self, is_in: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which cells lie within the gap of those given, these included; both ``(cells,)``."""
        reached = is_in.copy()
        reached[self._to[is_in[self._from]]] = True
        return reached


def spatial_folds(
    cells: ArrayLike,
    *,
    num_folds: int = DEFAULT_FOLDS,
    block_resolution: int | None = None,
    gap: int = 1,
    seed: int = 0,
) -> Folds:
    """Return folds of H3 blocks, balanced by rows, with a gap around what is tested.

    Parameters
    ----------
    cells
        The cell of each row, all of one resolution, shape ``(n,)``. Each row is tested once.
    num_folds
        At least 2.
    block_resolution
        Of the blocks, at most the cells' own. None: two coarser than the cells; finer where that
        makes fewer than three blocks a fold.
    gap
        Rings of cells between training and test; 0 lets blocks touch. A wider gap is stricter,
        and leaves fewer rows to learn from.
    seed
        Orders blocks of equal size.

    Raises
    ------
    TooFewBlocksError
        If a fold would be left without training, validation or test rows.
    InvalidResolutionError
        If the cells are of several resolutions, or coarser than the blocks.
    """
    _check_num_folds(num_folds)
    if gap < 0:
        msg = f"gap is {gap}; want 0 or more rings of cells. Example: 1"
        raise UsageError(msg)
    near = CellGap(np.asarray(cells, np.uint64), gap)
    resolution = near.resolution
    if block_resolution is None:
        block_resolution = _choose_resolution(near.cells, resolution, num_folds)
    blocks = _codes(parents(near.cells, block_resolution))[near.cell_of]
    found = _folds(blocks, near, num_folds, seed)
    num_blocks = int(blocks.max()) + 1
    if not all(part.size for fold in found for part in (fold.train, fold.test, fold.validation)):
        msg = (
            f"{len(near.cells):,} cells in {num_blocks} blocks of resolution {block_resolution} "
            f"leave a fold of {num_folds} without rows to train, choose or test on, {gap} ring(s) "
            "apart. Want labels over a wider area, fewer folds, or finer blocks. Example: --folds 3"
        )
        raise TooFewBlocksError(msg)
    kept = np.mean([fold.train.size + fold.validation.size + fold.test.size for fold in found])
    description = (
        f"{num_folds} spatial folds: blocks are the {num_blocks:,} H3 cells of resolution "
        f"{block_resolution}, {gap} ring(s) of resolution {resolution} between training and test "
        f"({1 - kept / near.cell_of.size:.0%} of the rows left out in the gap)"
    )
    return Folds(found, description=description, blocks=blocks, block_resolution=block_resolution)


def place_folds(places: ArrayLike, *, num_folds: int | None = None, seed: int = 0) -> Folds:
    """Return folds that hold out whole places: train in some towns, test in another.

    Parameters
    ----------
    places
        The place (extract) of each row, names or numbers, shape ``(n,)``. Places are taken to lie
        apart; rows of extracts that overlap should bear one name.
    num_folds
        None: each place is held out in turn. Fewer than the places: they are grouped, balanced by
        rows.
    seed
        Draws the places for validation, of those that are not tested, until they hold a fifth of
        the rows; and orders places of equal size.

    Raises
    ------
    TooFewBlocksError
        If there are fewer than three places, or fewer than `num_folds`.
    """
    names, codes = np.unique(np.asarray(places), return_inverse=True)
    codes = codes.ravel().astype(np.int64)
    groups = len(names) if num_folds is None else num_folds
    if len(names) < 3 or not 3 <= groups <= len(names):
        msg = (
            f"{len(names)} place(s) in {groups} folds; want at least 3 folds and as many places: "
            "to train in, to choose in, to test in. Spatial folds need one place only"
        )
        raise TooFewBlocksError(msg)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(codes)
    group = np.arange(groups) if num_folds is None else _assign(sizes, groups, rng)
    found = []
    for test in range(groups):
        # by rows, not by places: a place of eleven cells would choose by chance
        is_validation = _pick_validation(sizes, group != test, rng)
        is_train = (group != test) & ~is_validation
        parts = (is_train, group == test, is_validation)
        found.append(Fold(*(_rows(part[codes]) for part in parts)))
    description = f"{groups} folds of whole places ({len(names)} of them), each held out once"
    return Folds(found, description=description, blocks=codes)


def random_folds(num_rows: int, *, num_folds: int = DEFAULT_FOLDS, seed: int = 0) -> Folds:
    """Return folds of random rows: they leak, and are here to show by how much.

    Parameters
    ----------
    num_rows
        At least ``2 * num_folds``.
    num_folds
        At least 2.

    Raises
    ------
    TooFewBlocksError
        If there are too few rows.
    """
    _check_num_folds(num_folds)
    if num_rows < 2 * num_folds:
        msg = f"{num_rows} rows in {num_folds} folds; want at least {2 * num_folds} rows"
        raise TooFewBlocksError(msg)
    order = np.random.default_rng(seed).permutation(num_rows)
    found = []
    for test in np.array_split(order, num_folds):
        rest = order[~np.isin(order, test)]
        cut = max(1, round(_VALIDATION_SHARE * rest.size))
        found.append(Fold(np.sort(rest[cut:]), np.sort(test), np.sort(rest[:cut])))
    description = (
        f"{num_folds} RANDOM folds: a test row's own neighbours are in training, so the scores are "
        "higher than in a place not seen before. Spatial folds are the honest ones"
    )
    return Folds(found, description=description, blocks=np.arange(num_rows, dtype=np.int64))


def _folds(blocks: NDArray[np.int64], near: CellGap, num_folds: int, seed: int) -> list[Fold]:
    rng = np.random.default_rng(seed)
    sizes = np.bincount(blocks)
    if sizes.size < num_folds:
        msg = (
            f"{sizes.size} blocks for {num_folds} folds; want at least one block a fold. Label a "
            "wider area, or take fewer folds or finer blocks. Example: --folds 3"
        )
        raise TooFewBlocksError(msg)
    group = _assign(sizes, num_folds, rng)
    block_of_cell = np.zeros(near.cells.size, np.int64)
    block_of_cell[near.cell_of] = blocks
    found = []
    for tested in range(num_folds):
        is_test_block = group == tested
        is_validation_block = _pick_validation(sizes, ~is_test_block, rng)
        is_test = is_test_block[block_of_cell]
        is_free = ~near.around(is_test)
        is_validation = is_validation_block[block_of_cell] & is_free
        is_train = is_free & ~is_validation_block[block_of_cell] & ~near.around(is_validation)
        parts = (is_train, is_test, is_validation)
        found.append(Fold(*(_rows(part[near.cell_of]) for part in parts)))
    return found


def _assign(
    sizes: NDArray[np.int64], num_groups: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Assign blocks to groups, the largest first, each to the group with the fewest rows."""
    order = rng.permutation(sizes.size)
    order = order[np.argsort(-sizes[order], kind="stable")]
    group = np.zeros(sizes.size, np.int64)
    rows = np.zeros(num_groups, np.int64)
    for block in order.tolist():
        group[block] = np.argmin(rows)
        rows[group[block]] += sizes[block]
    return group


def _pick_validation(
    sizes: NDArray[np.int64], is_open: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose blocks for validation among the open ones, until they hold their share of rows.

    One at least is left to learn from.
    """
    order = rng.permutation(np.flatnonzero(is_open))[:-1]
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = np.zeros(sizes.size, np.bool_)
    chosen[order[before < _VALIDATION_SHARE * sizes[is_open].sum()]] = True
    return chosen


def _choose_resolution(cells: NDArray[np.uint64], resolution: int, num_folds: int) -> int:
    coarser, coarse = max(0, resolution - 2), max(0, resolution - 1)
    # the finer the blocks, the more rows the gap takes: rather fewer blocks than single cells
    wanted = ((coarser, _BLOCKS_PER_FOLD), (coarse, _BLOCKS_PER_FOLD), (coarse, _FEWER_BLOCKS))
    for candidate, blocks_per_fold in wanted:
        if np.unique(parents(cells, candidate)).size >= blocks_per_fold * num_folds:
            return candidate
    return resolution


def _codes(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].ravel().astype(np.int64)


def _rows(is_in: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(is_in).astype(np.int64)


def _check_num_folds(num_folds: int) -> None:
    if num_folds < 2:
        msg = f"{num_folds} fold(s); want at least 2. Example: --folds {DEFAULT_FOLDS}"
        raise UsageError(msg)
