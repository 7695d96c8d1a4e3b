"""What are geometries made of, for distances of many places? Pieces of lines, and polygons to fill.

A place lies within reach of a geometry if it lies in one of its polygons or within reach of a piece
of its lines, rings or points. Of short pieces that can be told for all geometries and places at
once, in numbers, where GEOS wants an object for each place.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_POINT, _POLYGON, _MULTI = 0, 3, 4


class Pieces(NamedTuple):
    """Straight pieces.

    Attributes
    ----------
    shape
        Of which geometry each is, shape ``(m,)``.
    start, end
        East and north, shape ``(m, 2)``; points start where they end.
    """

    shape: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    def within(
        self, reach: float, of: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Say which places lie within reach of a piece each.

        Parameters
        ----------
        of, x, y
            Numbers of pieces, and places east and north, shape ``(n,)``.
        """
        start, way = self.start, self.end - self.start
        squared = np.maximum((way * way).sum(axis=1), np.finfo(np.float64).tiny)
        east, north = x - start[of, 0], y - start[of, 1]
        along = (east * way[of, 0] + north * way[of, 1]) / squared[of]
        along = along.clip(0, 1, out=along)
        east -= along * way[of, 0]
        north -= along * way[of, 1]
        near: NDArray[np.bool_] = east * east + north * north <= reach * reach
        return near


def parts_of(
    shapes: NDArray[np.object_], most: float
) -> tuple[Pieces, NDArray[np.object_], NDArray[np.int64]]:
    """Return the pieces of geometries, their polygons, and whose each polygon is.

    Parameters
    ----------
    shapes
        Of any kind, shape ``(n,)``; empty ones have no parts.
    most
        No piece is longer.
    """
    import shapely

    parts, of = shapely.get_parts(shapes, return_index=True)
    while (shapely.get_type_id(parts) >= _MULTI).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        of = of[inner]
    is_polygon = shapely.get_type_id(parts) == _POLYGON
    polygons, owners = parts[is_polygon], of[is_polygon]
    rings, ring_of = shapely.get_rings(polygons, return_index=True)
    lines = np.concatenate([parts[~is_polygon], rings])
    of = np.concatenate([of[~is_polygon], owners[ring_of]])
    places, line = shapely.get_coordinates(lines, return_index=True)
    # each place and the next of its line; of a point itself
    is_point = shapely.get_type_id(lines)[line] == _POINT
    first = np.flatnonzero(np.append(line[1:] == line[:-1], False) | is_point)
    start, end = places[first], places[first + ~is_point[first]]
    return _cut(Pieces(of[line[first]], start, end), most), polygons, owners


def _cut(pieces: Pieces, most: float) -> Pieces:
    """Return pieces that are no longer."""
    way = pieces.end - pieces.start
    counts = np.maximum(np.ceil(np.hypot(*way.T) / most), 1).astype(np.int64)
    if not len(counts) or counts.max() == 1:
        return pieces
    of = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    step, start = (way / counts[:, None])[of], pieces.start[of]
    low, high = number[:, None], number[:, None] + 1
    return Pieces(pieces.shape[of], start + low * step, start + high * step)


def quartered(
    polygons: NDArray[np.object_], most: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return boxes that together hold polygons: theirs, quartered where they are large.

    Parameters
    ----------
    polygons
        Prepared, shape ``(n,)``.
    most
        A box is no wider nor higher.

    Returns
    -------
    polygon, low, high
        Whose each is, shape ``(m,)``; west and south, east and north, shape ``(m, 2)``.
    """
    import shapely

    bounds = shapely.bounds(polygons)
    polygon = np.flatnonzero(np.isfinite(bounds).all(axis=1))
    low, high = bounds[polygon, :2], bounds[polygon, 2:]
    done = []
    while len(polygon):
        is_small = (high - low).max(axis=1) <= most
        done.append((polygon[is_small], low[is_small], high[is_small]))
        polygon, low, high = polygon[~is_small], low[~is_small], high[~is_small]
        middle, polygon = (low + high) / 2, np.tile(polygon, 4)
        # south-west, south-east, north-west, north-east
        (west, south), (x, y), (east, north) = low.T, middle.T, high.T
        low = np.column_stack(
            [np.concatenate([west, x, west, x]), np.concatenate([south, south, y, y])]
        )
        high = np.column_stack(
            [np.concatenate([x, east, x, east]), np.concatenate([y, y, north, north])]
        )
        meets = shapely.intersects(polygons[polygon], shapely.box(*low.T, *high.T))
        polygon, low, high = polygon[meets], low[meets], high[meets]
    if not done:
        return polygon, low, high
    polygon, low, high = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return polygon, low, high
