"""Of which class is an entity? The tasks that hide what an entity says it is.

The tags are hidden on all the entities that are asked about at once: the next piece of the same
street would tell. They stay in place, with their geometry, so that it and the surroundings answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from geoindex.evaluation.map_view import MapView, Telling
from geoindex.evaluation.tasks.base import Labels, common_classes

SMALLEST_CLASS = 30
MOST_CLASSES = 15


@dataclass(frozen=True)
class ValueClass:
    """A task whose classes are the values of one key.

    Attributes
    ----------
    key
        The key.
    others
        Values that say nothing.
    merged
        Values that count as another.
    of
        Only entities with one of these tags; empty for all.
    ways_only
        Leave nodes out.
    """

    name: str
    title: str
    key: str
    telling: Telling
    others: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    of: tuple[str, ...] = ()
    ways_only: bool = False
    unit: str = "entity"
    kind: str = "classification"
    metric: str = "macro_f1"

    def labels(self, view: MapView) -> Labels:
        """Return the class of each entity of the commonest classes."""
        values = view.values(self.key)
        classes = np.array([self.merged.get(value, value) for value in values], object)
        keep = common_classes(
            classes, smallest=SMALLEST_CLASS, most=MOST_CLASSES, others=("no", *self.others)
        )
        if self.of:
            keep &= view.has(*self.of)
        if self.ways_only:
            keep &= view.osm_type != "node"
        units = np.flatnonzero(keep)
        return Labels(units.astype(np.int64), classes[units].astype(str))
