"""Settings of an evaluation: splits, folds, sample sizes and masking."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.splits import Folds, place_folds, random_folds, spatial_folds
from geoindex.evaluation.tasks.base import Labels, Task

SPLITS = ("spatial", "places", "random")
HIDE = ("each", "all")
DEFAULT_SEEDS = 3


@dataclass(frozen=True)
class Settings:
    """The settings that decide folds and units.

    Attributes
    ----------
    split
        ``"spatial"``: blocks of H3 cells; ``"places"``: whole indexes; ``"random"``: leaks, and is
        here to show by how much.
    num_folds
        Of spatial and random splits; places are held out in turn.
    block_resolution
        None: see `geoindex.evaluation.splits.spatial_folds`.
    gap
        Rings of cells between training and test.
    most_units
        A task with more is scored on a sample, the same for every method; more is surer but slower.
    least_rare
        A task with fewer units off its commonest label is left out: chance would decide.
    num_draws
        Of the bootstrap.
    hide
        ``"each"``: a task of cells is scored with its labels visible, and with them masked.
        ``"all"``: the labels of all tasks are masked at once, and never visible. All tasks then
        see one map, so that a method which has to be fitted to it is fitted once; but scores are
        lower, and not to be compared with others. Tasks of cells only.
    """

    split: str = "spatial"
    num_folds: int = 5
    block_resolution: int | None = None
    gap: int = 1
    most_units: int = 5000
    least_rare: int = 20
    num_draws: int = 300
    hide: str = "each"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            msg = f"no split {self.split!r}; want one of {', '.join(SPLITS)}. Example: spatial"
            raise UsageError(msg)
        if self.hide not in HIDE:
            msg = f"hide is {self.hide!r}; want one of {', '.join(HIDE)}. Example: each"
            raise UsageError(msg)

    def folds(self, view: MapView, task: Task, units: NDArray[np.int64], seed: int) -> Folds:
        """Return the folds of some units.

        Raises
        ------
        TooFewBlocksError
            If they lie too close together, or there are too few places.
        """
        is_cell = task.unit == "cell"
        if self.split == "places":
            place = (view.cell_place if is_cell else view.place)[units]
            return place_folds(place, seed=seed)
        if self.split == "random":
            return random_folds(len(units), num_folds=self.num_folds, seed=seed)
        return spatial_folds(
            view.cell_ids[units] if is_cell else view.home[units],
            num_folds=self.num_folds,
            block_resolution=self.block_resolution,
            gap=self.gap,
            seed=seed,
        )

    def sample(self, labels: Labels, is_usable: NDArray[np.bool_]) -> Labels:
        """Return the labels of the usable units, at most `most_units` of them."""
        places = np.flatnonzero(is_usable)
        if len(places) > self.most_units:
            rng = np.random.default_rng(0)
            places = np.sort(rng.choice(places, self.most_units, replace=False))
        return Labels(labels.units[places], labels.values[places])

    def too_few(self, labels: Labels) -> str:
        """Say what labels lack to be scored; "" if nothing."""
        if not len(labels.values):
            return "nothing has a label"
        _, sizes = np.unique(labels.values, return_counts=True)
        rare = int(sizes.sum() - sizes.max())
        if rare < self.least_rare:
            return f"{rare} of {len(labels.values):,} units differ from the commonest label"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return the settings that `meta` names."""
        return {
            "name": self.split,
            "num_folds": self.num_folds,
            "block_resolution": self.block_resolution,
            "gap": self.gap,
            "most_units": self.most_units,
            "hide": self.hide,
        }
