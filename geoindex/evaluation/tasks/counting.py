"""How many entities of one sort does a cell hold, or does it hold any? Half of the tasks."""

from dataclasses import dataclass

import numpy as np

from geoindex.evaluation.map_view import MapView, Telling
from geoindex.evaluation.tasks.base import Labels, cell_labels, counts, touched


@dataclass(frozen=True)
class Counted:
    """A task that counts entities.

    Attributes
    ----------
    counted
        Patterns of tags; an entity with any of them counts.
    carries
        If not empty, it must also have one of these.
    never
        One with any of these does not count.
    is_long
        Count an entity in every cell that it touches, not only where it lives.
    is_present
        Ask whether there is any, not how many.
    """

    name: str
    title: str
    counted: tuple[str, ...]
    telling: Telling
    carries: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    is_long: bool = False
    is_present: bool = False
    unit: str = "cell"

    @property
    def kind(self) -> str:
        """Classification where only presence is asked."""
        return "classification" if self.is_present else "regression"

    @property
    def metric(self) -> str:
        """AUROC of presence, R² of a count."""
        return "auroc" if self.is_present else "r2"

    def labels(self, view: MapView) -> Labels:
        """Return a number or a truth for every cell."""
        is_counted = view.has(*self.counted)
        if self.carries:
            is_counted &= view.has(*self.carries)
        if self.never:
            is_counted &= ~view.has(*self.never)
        found = (touched if self.is_long else counts)(view, is_counted)
        return cell_labels(np.asarray(found > 0) if self.is_present else found)
