"""Hold many OpenStreetMap ids in little memory."""

from array import array
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from geoindex.features.ids import OSM_TYPES, OsmType

# ids are merged as soon as there are so many
_NEW_IDS, _POSITIVE = 1 << 20, 1 << 63


class IdSet:
    """Unique ids by type in osmium's order: 0, -1, -2, and on, then 1, 2, and on; 8 bytes each."""

    def __init__(self) -> None:
        self._sorted = {kind: np.empty(0, np.uint64) for kind in OSM_TYPES}
        self._new: dict[OsmType, array[int]] = {kind: array("Q") for kind in OSM_TYPES}

    def __bool__(self) -> bool:
        return any(len(self._new[kind]) or len(self._sorted[kind]) for kind in OSM_TYPES)

    def add(self, kind: OsmType, osm_id: int) -> None:
        """Add an id, known or not."""
        new = self._new[kind]
        new.append(-osm_id if osm_id <= 0 else _POSITIVE + osm_id)
        if len(new) > max(_NEW_IDS, len(self._sorted[kind])):
            self._settle(kind)

    def number(self, kind: OsmType, osm_id: int) -> int:
        """Return the place of an id among all of its type, from 1; 0 where it is not there."""
        self._settle(kind)
        key = -osm_id if osm_id <= 0 else _POSITIVE + osm_id
        ids = self._sorted[kind].data
        i = bisect_left(ids, key)
        return i + 1 if i < len(ids) and ids[i] == key else 0

    def ids(self, kind: OsmType) -> NDArray[np.int64]:
        """Return the ids of a type, in order."""
        self._settle(kind)
        keys = self._sorted[kind]
        num_negative = int(np.searchsorted(keys, _POSITIVE, side="right"))
        found = (keys - np.uint64(_POSITIVE)).astype(np.int64)
        found[:num_negative] = -keys[:num_negative].astype(np.int64)
        return found

    def _settle(self, kind: OsmType) -> None:
        if self._new[kind]:
            both = [self._sorted[kind], np.array(self._new[kind], np.uint64)]
            self._sorted[kind] = np.unique(np.concatenate(both))
            self._new[kind] = array("Q")
