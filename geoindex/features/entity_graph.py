"""Join the relations of all rows of a map to one list of lists, as the encoder reads them."""

import numpy as np

from encoder.protocol import Relations
from geoindex.features.relations import LIMITS, RELATIONS, MapRows, extents_m, relate


def entity_graph(rows: MapRows) -> Relations:
    """Return how the rows of a map are related, row by row."""
    related = relate(rows)
    num = len(RELATIONS)
    counts = np.stack([np.diff(related[name].offsets) for name in RELATIONS], axis=1).ravel()
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    listed = np.empty(int(offsets[-1]), np.int32)
    for r, name in enumerate(RELATIONS):
        lists = related[name]
        start = offsets[r:-1:num]
        shift = np.repeat(start - lists.offsets[:-1], np.diff(lists.offsets))
        listed[np.arange(len(lists.rows)) + shift] = lists.rows
    return Relations(listed, offsets, extents_m(rows.bboxes) > LIMITS.reach_m)
