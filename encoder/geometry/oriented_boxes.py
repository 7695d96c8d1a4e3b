"""Fit the minimal rectangle about each geometry, turned as need be, sides in metres.

The rectangle of least area among those with a side along an edge of the convex hull, which is
where the least area is found (Freeman and Shapira 1975). Its long axis makes the angle θ with
east, counter-clockwise, known up to half a turn; hence cos 2θ and sin 2θ.

Ties are common (an acute triangle's three rectangles have one area), so they are broken by rule
and not by rounding: within 0.1 % of the least area the narrowest wins, of equally narrow ones the
axis nearest to east, then to north-east. Hulls come from shapely in degrees: a hull is the same
whichever way the axes are scaled. Supporting vertices are found by binary search among the
edges' directions, so hulls of any size cost the same a vertex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from encoder.geometry.edges import cross

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoder.geometry.edges import LocalFrames

AREA_TIE_FRAC = 1e-3
WIDTH_TIE_FRAC = 1e-6
SHORTEST_EDGE_M = 1e-9  # OSM's own grid is a centimetre
TURN = 2 * np.pi


@dataclass(frozen=True)
class Rectangles:
    """The minimal rectangles of n geometries, in metres of their local frames.

    Attributes
    ----------
    centre_m
        Shape ``(n, 2)``.
    width_m, height_m
        The long side and the short one, shape ``(n,)``.
    axis
        Unit vector of the long side, up to its sign, shape ``(n, 2)``; east for a point.
    hull_m2
        Area of the convex hull, shape ``(n,)``.
    """

    centre_m: NDArray[np.float64]
    width_m: NDArray[np.float64]
    height_m: NDArray[np.float64]
    axis: NDArray[np.float64]
    hull_m2: NDArray[np.float64]

    @property
    def elongation(self) -> NDArray[np.float64]:
        """1 - height / width: 0 for points and squares, 1 for straight lines, shape ``(n,)``."""
        has_width = self.width_m > 0
        width_m = np.where(has_width, self.width_m, 1.0)
        return np.where(has_width, 1.0 - self.height_m / width_m, 0.0)

    @property
    def orientation(self) -> NDArray[np.float64]:
        """Elongation times cos 2θ and sin 2θ, shape ``(n, 2)``.

        A square has two long axes and a point none: the factor takes both to 0 without a jump.
        """
        x, y = self.axis.T
        doubled = np.column_stack((x * x - y * y, 2 * x * y))
        scaled: NDArray[np.float64] = doubled * self.elongation[:, None]
        return scaled


def minimal_rectangles(geometries: NDArray[np.object_], frames: LocalFrames) -> Rectangles:
    """Return the least rectangle of each geometry, unwrapped and not empty, shape ``(n,)``."""
    n = len(geometries)
    lon_lat, owner = shapely.get_coordinates(shapely.convex_hull(geometries), return_index=True)
    xy = frames.to_metres(lon_lat, owner)
    start, end, owner = _hull_edges(xy, owner, n)
    hull_m2 = np.bincount(owner, cross(start, end), n) / 2
    centre, width, height, axis = (
        np.zeros((n, 2)),
        np.zeros(n),
        np.zeros(n),
        np.tile((1.0, 0), (n, 1)),
    )
    is_first = np.diff(owner, prepend=-1) > 0
    first = np.flatnonzero(is_first)
    has_extent = owner[first]
    if not len(first):  # nothing but points
        return Rectangles(centre, width, height, axis, hull_m2)

    along, low, high, depth = _candidates(start, end, owner, first)
    length = high - low
    is_turned = depth > length
    across = np.column_stack((-along[:, 1], along[:, 0]))
    long_axis = np.where(is_turned[:, None], across, along)
    long_m, short_m = np.maximum(length, depth), np.minimum(length, depth)
    best = _least(long_m, short_m, long_axis, first)

    base = np.einsum("ij,ij->i", across[best], start[best])
    middle = (low[best] + high[best]) / 2
    # single points have no edge: their hull is their only coordinate, the origin
    centre[has_extent] = along[best] * middle[:, None]
    centre[has_extent] += across[best] * (base + depth[best] / 2)[:, None]
    width[has_extent], height[has_extent] = long_m[best], short_m[best]
    axis[has_extent] = long_axis[best]
    return Rectangles(centre, width, height, axis, hull_m2)


def _hull_edges(
    xy: NDArray[np.float64], owner: NDArray[np.intp], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Close each hull, drop edges without length, and turn all counter-clockwise by direction."""
    first = np.searchsorted(owner, np.arange(n))
    following = np.arange(1, len(xy) + 1)
    following[np.append(first[1:], len(xy)) - 1] = first
    start, end = xy, xy[following]
    is_clockwise = (np.bincount(owner, cross(start, end), n) < 0)[owner][:, None]
    start, end = np.where(is_clockwise, end, start), np.where(is_clockwise, start, end)
    is_edge = (np.abs(end - start) > SHORTEST_EDGE_M).any(axis=1)
    start, end, owner = start[is_edge], end[is_edge], owner[is_edge]
    step = end - start
    order = np.argsort(_direction_key(owner, np.arctan2(step[:, 1], step[:, 0])))
    return start[order], end[order], owner[order]


def _direction_key(owner: NDArray[np.intp], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a number that sorts by owner, then by direction from east all the way round."""
    return owner * 8.0 + angle % TURN


def _candidates(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    owner: NDArray[np.intp],
    first: NDArray[np.intp],
) -> tuple[NDArray[np.float64], ...]:
    """Return, for a rectangle on each edge: axis, least and greatest extent along it, depth.

    The support of a convex polygon towards outward normal φ is the start of its first edge whose
    direction is at least φ + 90°.
    """
    step = end - start
    along = step / np.hypot(step[:, 0], step[:, 1])[:, None]
    angle = np.arctan2(step[:, 1], step[:, 0])
    keys = _direction_key(owner, angle)
    wrap = np.empty(owner[-1] + 1, np.intp)
    wrap[owner[first]] = first
    padded_owner = np.append(owner, -1)

    def support(quarter_turns: int) -> NDArray[np.float64]:
        at = np.searchsorted(keys, _direction_key(owner, angle + quarter_turns * (np.pi / 2)))
        at = np.where(padded_owner[at] == owner, at, wrap[owner])
        vertices: NDArray[np.float64] = start[at]
        return vertices

    high = np.einsum("ij,ij->i", along, support(1))
    low = np.einsum("ij,ij->i", along, support(3))
    depth = cross(along, support(2) - start)
    return along, low, high, depth.clip(0.0)


def _least(
    long_m: NDArray[np.float64],
    short_m: NDArray[np.float64],
    long_axis: NDArray[np.float64],
    first: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return the index of each geometry's rectangle; ties as the module's docstring says."""
    sizes = np.diff(first, append=len(long_m))

    def narrow(
        is_kept: NDArray[np.bool_], badness: NDArray[np.float64], slack: NDArray[np.float64] | float
    ) -> NDArray[np.bool_]:
        badness = np.where(is_kept, badness, np.inf)
        return badness <= np.repeat(np.minimum.reduceat(badness, first), sizes) + slack

    x, y = long_axis.T
    area = long_m * short_m
    kept = np.ones(len(area), np.bool_)
    kept = narrow(kept, area, area * AREA_TIE_FRAC)
    kept = narrow(kept, short_m, long_m * WIDTH_TIE_FRAC)
    kept = narrow(kept, y * y - x * x, WIDTH_TIE_FRAC)
    kept = narrow(kept, -x * y, 0.0)
    at = np.flatnonzero(kept)
    # exact ties are one rectangle found twice, from opposite edges: take the first
    group = np.searchsorted(first, at, side="right") - 1
    return at[np.diff(group, prepend=-1) > 0]
