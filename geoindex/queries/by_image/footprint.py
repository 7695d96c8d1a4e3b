"""Assign image patches to entities: all about an entity's point, and all on its geometry.

An entity's ground is a square about its point (`lon`, `lat`), as wide as the picture asked with,
and wherever the entity is larger, what lies under it too: the patches with their centre at most
half a patch from its geometry. So a building is seen with as much about it as the picture shows, a
road or a park as a whole, and nothing ends at the border of a cell. A patch that the border of the
square cuts counts as much as lies within: else a few metres would decide over whole patches. The
square is two patches wide or more: closer a patch may be missing where the chips of two cells meet.

An entity has no ground if no patch is known within a patch's width of its point, east and north,
nor on its own ground: what lies farther off is not it.

Offsets are told in metres by the radii of the ellipsoid at the entity's point; a hundred kilometres
off they are a percent wrong, where only half a patch counts.

Which patches lie in a box? Sorted by rows of latitude: a box is a run of each row it meets.

Boxes of degrees are many and small, some patches each: two searches a row are several times sooner
than a tree of points, and nothing has to be built but one sort.

What are geometries made of, for distances of many places? Pieces of lines, and polygons to
fill.

A place lies within reach of a geometry if it lies in one of its polygons or within reach of a piece
of its lines, rings or points. Of short pieces that can be told for all geometries and places at
once, in numbers, where GEOS wants an object for each place.
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.antimeridian import unwrapped
from geoindex.geo.cell_members import ranges
from geoindex.geo.h3 import centres
from geoindex.imagery.patch_store import Images
from geoindex.index import IndexReader
from geoindex.queries.by_image.local_plane import (
    columns_off_m,
    local,
    metres_per_degree,
    places_about,
)
from geoindex.storage.layout import CELLS

_FULL_TURN, _HALF_TURN = 360.0, 180.0
_TOP = 90.0
# the steps of a row; of longitude some centimetres
_COLUMNS = 1 << 31
_STEP = _FULL_TURN / _COLUMNS


class PatchGrid:
    """Points, by rows; those of a row lie side by side in memory.

    Parameters
    ----------
    lon_lat
        Degrees, shape ``(t, 2)``.
    row
        How high a row is, degrees.

    Attributes
    ----------
    order
        Which point stands where, shape ``(t,)``.
    lon, lat
        In that order.
    """

    def __init__(self, lon_lat: NDArray[np.float64], row: float) -> None:
        self._row = max(row, _STEP)
        keys = self._rows(lon_lat[:, 1]) * (2 * _COLUMNS) + _columns(lon_lat[:, 0])
        # of one key by number: the same order whatever else is there
        self.order = np.argsort(keys, kind="stable")
        self._keys = keys[self.order]
        self.lon, self.lat = lon_lat[self.order].T.copy()

    def in_boxes(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pairs of a box and the place of a point in it or near its border, by box.

        Parameters
        ----------
        low, high
            West and south, east and north of each, shape ``(n, 2)``. What runs over the
            antimeridian holds the points beyond it; no point counts twice.
        """
        box, west, east = _pieces(low[:, 0], high[:, 0])
        first, last = self._rows(low[box, 1]), self._rows(high[box, 1])
        counts = last - first + 1
        row, of = ranges(first, counts), np.repeat(np.arange(len(box)), counts)
        starts = np.searchsorted(self._keys, row * (2 * _COLUMNS) + _columns(west)[of])
        stops = np.searchsorted(self._keys, row * (2 * _COLUMNS) + _columns(east)[of], "right")
        sizes = np.maximum(stops - starts, 0)
        return np.repeat(box[of], sizes), ranges(starts, sizes)

    def _rows(self, lat: NDArray[np.float64]) -> NDArray[np.int64]:
        return ((lat.clip(-_TOP, _TOP) + _TOP) / self._row).astype(np.int64)


def _columns(lon: NDArray[np.float64]) -> NDArray[np.int64]:
    return ((lon.clip(-_HALF_TURN, _HALF_TURN) + _HALF_TURN) / _STEP).astype(np.int64)


def _pieces(
    west: NDArray[np.float64], east: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the pieces of boxes this side of the antimeridian: which box, west and east."""
    every = np.arange(len(west))
    if not len(west) or (west.min() >= -_HALF_TURN and east.max() <= _HALF_TURN):
        return every, west, east
    is_round = east - west >= _FULL_TURN - 2 * _STEP
    west, east = np.where(is_round, -_HALF_TURN, west), np.where(is_round, _HALF_TURN, east)
    over_west, over_east = np.flatnonzero(west < -_HALF_TURN), np.flatnonzero(east > _HALF_TURN)
    box = np.concatenate([every, over_west, over_east])
    order = np.argsort(box, kind="stable")
    beyond = np.full(len(over_east), -_HALF_TURN)
    west = np.concatenate([west, west[over_west] + _FULL_TURN, beyond])[order]
    ends = np.full(len(over_west), _HALF_TURN)
    east = np.concatenate([east, ends, east[over_east] - _FULL_TURN])[order]
    return box[order], west, east


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


# the ground of a large entity is looked for along pieces so many patches long, and where it has an
# inside in boxes so many wide
_PIECE_PATCHES, _BOX_PATCHES = 4, 32
# of latitude, rounded: the height of a grid's rows decides how soon a patch is found, not which
_DEGREE_M = 111_000.0


class Pairs(NamedTuple):
    """Which entity has which patch, by entity, then patch.

    Attributes
    ----------
    entity, patch
        Shape ``(m,)``.
    share
        How much of the patch is the entity's ground, 0 to 1, shape ``(m,)``.
    """

    entity: NDArray[np.int64]
    patch: NDArray[np.int64]
    share: NDArray[np.float64]

    def at(self, places: NDArray[Any]) -> "Pairs":
        """Return some of them, by number or by truth."""
        return Pairs(self.entity[places], self.patch[places], self.share[places])


class _Own(NamedTuple):
    """Which own patches of large entities are looked for.

    Attributes
    ----------
    inner_m
        A patch no farther off, east and north, lies wholly in the square: it counts fully anyway,
    has_ground
        if the entity is known to have ground, shape ``(n,)``.
    """

    inner_m: float
    has_ground: NDArray[np.bool_]


class Ground:
    """The places of the patches of a level.

    Parameters
    ----------
    index
        Built with imagery.
    images
        Its images.
    level
        See `geoindex.imagery.pyramid`.
    near
        Rows of entities, and the width of the square about them: no patch of others will be asked
        for. None: all will.

    Attributes
    ----------
    patch_m
        Width of a patch.
    """

    def __init__(
        self,
        index: IndexReader,
        images: Images,
        level: int = 1,
        *,
        near: tuple[NDArray[np.int64], float] | None = None,
    ) -> None:
        self._index = index
        self._patches = images.patches(level)
        self.patch_m: float = images.patch_m(level)
        self._chip_m = float(images.settings["side_m"])
        self._numbers = self._of_cells(None if near is None else self._cells_near(*near))

    def places(self, patches: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the centres of some patches, degrees, shape ``(p, 2)``."""
        row = np.searchsorted(self._patches.offsets, patches, side="right") - 1
        has = np.bincount(row, minlength=1) > 0
        rows, of = np.flatnonzero(has), (np.cumsum(has) - 1)[row]
        lon, lat = centres(self._index.rows_of(CELLS).column("cell")[rows])
        east, north = self._patches.places_m[patches].astype(np.float64).T
        return places_about(lon, lat, of, east, north)

    def _cells_near(self, rows: NDArray[np.int64], side_m: float) -> NDArray[np.int64]:
        """Return the rows of cells whose patches may be asked for."""
        counts = np.diff(self._patches.offsets)
        cells = np.flatnonzero(counts)
        if not (len(rows) and cells.size):
            return cells[:0]
        column = self._index.entities.column
        west, south, east, north = (column(side)[rows] for side in ("xmin", "ymin", "xmax", "ymax"))
        lon, lat = centres(self._index.rows_of(CELLS).column("cell")[cells])
        low, high = np.array([[west.min(), south.min()], [east.max(), north.max()]])
        # a geometry's box holds its point
        reach_m = side_m / 2 + 2 * self.patch_m + self._chip_m
        reach = reach_m / metres_per_degree(np.array([low[1], high[1]])).min(axis=0)
        low, high = low - reach, high + reach
        if (west > east).any() or low[0] < -_HALF_TURN or high[0] > _HALF_TURN:
            low[0], high[0] = -_HALF_TURN, _HALF_TURN
        is_near = (low[0] <= lon) & (lon <= high[0]) & (low[1] <= lat) & (lat <= high[1])
        return cells[is_near]

    def _of_cells(self, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Return the numbers of the patches of some rows of cells; None: of all."""
        offsets = self._patches.offsets
        if rows is None:
            return np.arange(offsets[-1])
        return ranges(offsets[rows], offsets[rows + 1] - offsets[rows])

    @cached_property
    def lon_lat(self) -> NDArray[np.float64]:
        """The centres of the patches that may be asked for, degrees, shape ``(t, 2)``."""
        return self.places(self._numbers)

    @cached_property
    def _grid(self) -> PatchGrid:
        # a degree north has nearly the same metres everywhere
        return PatchGrid(self.lon_lat, self.patch_m / _DEGREE_M)

    def about(self, rows: NDArray[np.int64], side_m: float) -> Pairs:
        """Return the patches of some entities.

        Parameters
        ----------
        rows
            Of entities, shape ``(n,)``; `Pairs.entity` counts from 0 in their order.
        side_m
            Width of the square about the point of each.
        """
        column = self._index.entities.column
        points = np.column_stack([column("lon")[rows], column("lat")[rows]])
        half_m = max(side_m / 2, self.patch_m)
        in_square, is_near = self._in_square(points, half_m)
        has_ground = np.zeros(len(rows), np.bool_)
        has_ground[in_square.entity[is_near]] = True
        own = self._own(rows, points, half_m, has_ground)
        has_ground[own.entity] = True
        found = _united(own, in_square, len(self.lon_lat))
        found = found.at(has_ground[found.entity])
        return found._replace(patch=self._numbers[found.patch])

    def _in_square(
        self, points: NDArray[np.float64], half_m: float
    ) -> tuple[Pairs, NDArray[np.bool_]]:
        """Return the patches in a square about each point, and which are a patch off at most."""
        metres = metres_per_degree(points[:, 1])
        half = (half_m + self.patch_m / 2) / metres
        entity, place = self._grid.in_boxes(points - half, points + half)
        off_m = columns_off_m(self._grid.lon[place], self._grid.lat[place], points, metres, entity)
        share, is_near = np.ones(len(entity)), np.ones(len(entity), np.bool_)
        for off in off_m:
            np.abs(off, out=off)
            is_near &= off <= self.patch_m
            within = np.subtract(half_m + self.patch_m / 2, off, out=off)
            within /= self.patch_m
            share *= within.clip(0, 1, out=within)
        keep = np.flatnonzero(share)
        entity, patch = entity[keep], self._grid.order[place[keep]]
        return Pairs(entity, patch, share[keep]), is_near[keep]

    def _own(
        self,
        rows: NDArray[np.int64],
        points: NDArray[np.float64],
        half_m: float,
        has_ground: NDArray[np.bool_],
    ) -> Pairs:
        """Return the patches on the ground of entities, but for what the squares hold wholly.

        Parameters
        ----------
        has_ground
            Which are known to have some: of the others all of their own patches are told.
        """
        import shapely

        # what is smaller has its own patches wholly within the square
        room = (half_m - self.patch_m) / metres_per_degree(points[:, 1])
        large, shapes = self._reaching(rows, points - room, points + room)
        points, own = points[large], _Own(half_m - self.patch_m / 2, has_ground[large])
        pieces, polygons, owners = parts_of(local(shapes, points), _PIECE_PATCHES * self.patch_m)
        reach_m = self.patch_m / 2
        low_m = np.minimum(pieces.start, pieces.end) - reach_m
        high_m = np.maximum(pieces.start, pieces.end) + reach_m
        piece, patch, x, y = self._asked(own, points, pieces.shape, low_m, high_m)
        at = np.flatnonzero(pieces.within(reach_m, piece, x, y))
        beside, beside_patch = pieces.shape[piece[at]], patch[at]
        shapely.prepare(polygons)
        polygon, low_m, high_m = quartered(polygons, _BOX_PATCHES * self.patch_m)
        box, patch, x, y = self._asked(own, points, owners[polygon], low_m, high_m)
        at = np.flatnonzero(shapely.intersects_xy(polygons[polygon[box]], x, y))
        entity = large[np.concatenate([beside, owners[polygon[box[at]]]])]
        return Pairs(entity, np.concatenate([beside_patch, patch[at]]), np.ones(len(entity)))

    def _asked(
        self,
        own: "_Own",
        points: NDArray[np.float64],
        shape: NDArray[np.int64],
        low_m: NDArray[np.float64],
        high_m: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return pairs of a box and a patch in it that may be own, and where it lies.

        Parameters
        ----------
        points
            Of some shapes.
        shape, low_m, high_m
            Of boxes: whose each is, west and south, east and north, metres from its point.

        Returns
        -------
        box, patch, x, y
            Metres east and north of the point; all of shape ``(m,)``.
        """
        metres = metres_per_degree(points[:, 1])
        low, high = (points[shape] + part / metres[shape] for part in (low_m, high_m))
        box, place = self._grid.in_boxes(low, high)
        east, north = self._grid.lon[place], self._grid.lat[place]
        x, y = columns_off_m(east, north, points, metres, shape[box])
        keep = np.maximum(np.abs(x), np.abs(y)) > own.inner_m
        keep |= ~own.has_ground[shape[box]]
        at = np.flatnonzero(keep)
        return box[at], self._grid.order[place[at]], x[at], y[at]

    def _reaching(
        self, rows: NDArray[np.int64], low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
        """Return which of some entities reach out of a box each, and their geometries, unwrapped.

        Parameters
        ----------
        low, high
            West and south, east and north of the boxes, degrees, shape ``(n, 2)``.
        """
        import shapely

        column = self._index.entities.column
        west, south, east, north = (column(side)[rows] for side in ("xmin", "ymin", "xmax", "ymax"))
        is_crossing = west > east
        reaches = np.flatnonzero(
            is_crossing | (west < low[:, 0]) | (east > high[:, 0]) | (south < low[:, 1])
            | (north > high[:, 1])
        )  # fmt: skip
        wkb = self._index.entities.take(rows[reaches])["geometry"].to_pylist()
        shapes = shapely.from_wkb(np.array(wkb, object))
        is_crossing = is_crossing[reaches]
        shapes[is_crossing] = unwrapped(shapes[is_crossing])
        return reaches, shapes


def _united(own: Pairs, square: Pairs, num_patches: int) -> Pairs:
    """Return the pairs of both, by entity and patch, each once: as its own where it is that too."""
    both = Pairs(*(np.concatenate(parts) for parts in zip(own, square, strict=True)))
    keys = both.entity * num_patches + both.patch
    # own ones come first
    order = np.argsort(2 * keys + (np.arange(len(keys)) >= len(own.entity)))
    keys = keys[order]
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    return both.at(order[is_first])
