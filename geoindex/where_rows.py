"""Which rows does a tag filter let through? The tree of `geoindex.where_tree` over the tag lists.

A node with one key is judged once for each value that the key has, not for each row, by the rule
that its plain form has in `where_tree`.
"""

import numpy as np
from numpy.typing import NDArray

from geoindex import where_tree as tree
from geoindex.tag_lists import TagLists
from geoindex.where_tree import Where


def rows_where(where: Where, tags: TagLists, *, num_rows: int) -> NDArray[np.int64]:
    """Return the rows whose tags match, ascending."""
    return np.flatnonzero(_mask(where, tags, num_rows))


def _mask(where: Where, tags: TagLists, num_rows: int) -> NDArray[np.bool_]:
    match where:
        case tree.All(parts):
            every = np.ones(num_rows, np.bool_)
            for part in parts:
                every &= _mask(part, tags, num_rows)
            return every
        case tree.Any(parts):
            found = np.zeros(num_rows, np.bool_)
            for part in parts:
                found |= _mask(part, tags, num_rows)
            return found
        case tree.Not(part):
            return ~_mask(part, tags, num_rows)
    found = np.zeros(num_rows, np.bool_)
    for codes in _matching_codes(where, tags):
        found[tags.rows(codes)] = True
    return found


def _matching_codes(
    where: tree.HasKey | tree.KeyIn | tree.KeyGlob | tree.Compare, tags: TagLists
) -> list[range]:
    """Return the codes of the key's tags that match, as runs: their rows lie end to end."""
    codes = tags.key_codes(where.key)
    if isinstance(where, tree.HasKey):
        return [codes]
    is_match = np.array([where.matches_value(value) for value in tags.values(codes)], np.bool_)
    # a run begins and ends where the next differs
    edges = np.flatnonzero(np.diff(is_match, prepend=False, append=False)) + codes.start
    return [
        range(start, stop)
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
