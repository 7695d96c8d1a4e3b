"""Which entities share their fate, and how is a part of a tile's units drawn?

A unit is the entities of one tile that repeat each other: equal `link`. Choices are made by unit,
all tiles at once: sort by an order, and take from the front until a share of the tile's entities
is reached.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.data.ragged import owners, positions


def units_of(link: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unit of each member, shape ``(m,)``: one number for one link in one tile."""
    tile = owners(offsets)
    order = np.lexsort((link, tile))
    is_new = np.ones(len(link), np.bool_)
    is_new[1:] = np.diff(tile[order]).astype(bool) | np.diff(link[order]).astype(bool)
    unit = np.empty(len(link), np.int64)
    unit[order] = np.cumsum(is_new) - 1
    return unit


def least_of_each(values: NDArray[np.float64], unit: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the least value of each member's unit, shape ``(m,)``."""
    least = np.full(unit.max(initial=-1) + 1, np.inf)
    np.minimum.at(least, unit, values)
    return least[unit]


def one_of_each(flags: NDArray[np.bool_], unit: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which members' unit has a member whose flag is True, shape ``(m,)``."""
    return np.bincount(unit, flags, minlength=1)[unit] > 0


def first_in_tile(order: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the member of each tile that comes first by `order`, shape ``(t,)``.

    Of an empty tile the number means nothing.
    """
    ranked = np.lexsort((order, owners(offsets)))
    return (
        ranked[np.minimum(offsets[:-1], max(len(ranked) - 1, 0))] if len(ranked) else offsets[:-1]
    )


def choose_units(
    order: NDArray[np.float64],
    unit: NDArray[np.int64],
    offsets: NDArray[np.int64],
    frac: NDArray[np.float64],
    *,
    among: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Choose whole units from the front of an order.

    Parameters
    ----------
    order
        Shape ``(m,)``: small comes first; a unit comes where its first member does.
    unit
        Shape ``(m,)``, from `units_of`.
    offsets
        Of the tiles, shape ``(t + 1,)``.
    frac
        Shape ``(t,)``: the part of all the tile's members to choose, as near as whole units allow.
        At least one unit is chosen where there is one, and where all are eligible at least one is
        left, if there are two.
    among
        Shape ``(m,)``: only these may be chosen; a unit's members are all eligible or none is.

    Returns
    -------
    chosen
        Shape ``(m,)``.
    """
    tile = owners(offsets)
    wanted = frac * np.diff(offsets)
    ranked = np.lexsort((unit, least_of_each(order, unit), ~among, tile))
    place = np.empty(len(unit), np.int64)
    place[ranked] = positions(offsets)
    first = np.full(unit.max(initial=-1) + 1, len(unit))
    last = np.zeros(len(first), np.int64)
    np.minimum.at(first, unit, place)
    np.maximum.at(last, unit, place)
    # the middle of the unit decides: what is chosen is as often too much as too little
    is_chosen = (first + last + 1)[unit] / 2 <= wanted[tile]
    is_chosen |= first[unit] == 0
    is_whole = last[unit] == (np.diff(offsets) - 1)[tile]
    is_chosen &= ~is_whole | (first[unit] == 0)
    return is_chosen & among
