"""Work on lists of unequal length, end to end, all at once.

A ragged array has `members` and `offsets`: list i is ``members[offsets[i]:offsets[i + 1]]``.
Letters of shapes: m members, t lists (tiles), g units.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.cell_members import ranges

Number = TypeVar("Number", bound=np.generic)


def owners(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the list that each member is in, shape ``(m,)``."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def positions(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each member's place in its own list, from 0, shape ``(m,)``."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def lengths_to_offsets(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Return the offsets of lists of these lengths, shape ``(t + 1,)``."""
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def take_lists(
    members: NDArray[Number], offsets: NDArray[np.int64], lists: NDArray[np.integer[Any]]
) -> tuple[NDArray[Number], NDArray[np.int64]]:
    """Return some lists, in the order asked for: their members and offsets."""
    places, taken = list_places(offsets, lists)
    return members[places], taken


def list_places(
    offsets: NDArray[np.int64], lists: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the members of some lists stand, and the offsets of those lists."""
    lengths = offsets[lists + 1] - offsets[lists]
    return ranges(offsets[lists], lengths), lengths_to_offsets(lengths)


def keep_members(offsets: NDArray[np.int64], keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the offsets that are left when only the members to `keep` stay; `keep` is ``(m,)``."""
    return np.append(0, np.cumsum(keep))[offsets].astype(np.int64)


def any_of(flags: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which lists have a member whose flag is True, shape ``(t,)``; empty lists have none."""
    return np.diff(keep_members(offsets, flags)) > 0
