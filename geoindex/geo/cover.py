"""Find the cells that a geometry touches.

A geometry touches a cell where it shares a point with the cell's outline
(`geoindex.geo.cell_polygons`), both drawn straight in degrees; the border belongs to both sides.
The home cell, the one of the entity's point, always counts.

Most entities are decided in bulk. A point has its home cell alone. A geometry whose bbox
lies in the home cell touches no other: nothing is approximated, since outline, bbox and geometry
are all drawn in the same plane. What is so long or large that it must touch too many cells is
left to its home cell. The rest descends: from the few cells round its middle, at a
resolution whose cells are larger than it, to ever finer ones, dropping those whose cap is off the
geometry.

A finer cell sticks out over the border of its parent, so the descent must not judge a parent by
its own outline. It judges by a cap: the circle round the parent's centre that holds the outlines
of all descendants, and by the box round that circle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geoindex.geo.antimeridian import cut, singles
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import base_cells, cells_at, centres, check_resolution, children, parents, ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Radius of the cap at resolution 0, radians; each resolution is √7 smaller. Measured over
#: all cells of resolutions 0 and 1 and samples of 2 to 12, three resolutions down: at most
#: 0.2281. Deeper descendants add less than 1 %; 5 % of room.
_REACH_RAD = 0.24
#: No corner lies nearer to its cell's centre: 0.1235 at pentagons' neighbours, measured so.
_NEAREST_CORNER_RAD = 0.12


class Boxes(NamedTuple):
    """Boxes of longitude and latitude, degrees, each of shape ``(n,)``.

    `half_width` is 180 where all longitudes belong to it; `lon` is the middle, so
    ``lon ± half_width`` may lie outside -180 to 180.
    """

    lon: NDArray[np.float64]
    half_width: NDArray[np.float64]
    south: NDArray[np.float64]
    north: NDArray[np.float64]


def reach_rad(resolution: int) -> float:
    """Return the radius of the cap that holds a cell of `resolution` and its descendants."""
    return float(_REACH_RAD * 7 ** (-resolution / 2))


def nearest_corner_rad(resolution: int) -> float:
    """Return a distance that no corner of a cell is nearer to its centre, radians."""
    return float(_NEAREST_CORNER_RAD * 7 ** (-resolution / 2))


def cap_boxes(cells: NDArray[np.uint64], resolution: int) -> Boxes:
    """Return the boxes round the caps of cells, all of one resolution."""
    lon, lat = centres(cells)
    return circle_boxes(lon, lat, np.full(lon.shape, reach_rad(resolution)))


def circle_boxes(
    lon: NDArray[np.float64], lat: NDArray[np.float64], radius_rad: NDArray[np.float64]
) -> Boxes:
    """Return the boxes round circles on the sphere; a circle about a pole has all longitudes."""
    phi = np.radians(lat)
    holds_pole = np.abs(phi) + radius_rad >= np.pi / 2 - 1e-9
    # the meridian that touches the circle, not the one through its easternmost degree
    sine = np.sin(np.minimum(radius_rad, np.pi / 2)) / np.maximum(np.cos(phi), 1e-12)
    half_width = np.where(holds_pole, 180.0, np.degrees(np.arcsin(np.minimum(sine, 1.0))))
    # protect against floating point errors at the finest cells
    room = np.degrees(radius_rad) * 1e-6 + 1e-12
    south = np.maximum(lat - np.degrees(radius_rad) - room, -90.0)
    north = np.minimum(lat + np.degrees(radius_rad) + room, 90.0)
    return Boxes(lon, np.minimum(half_width * (1 + 1e-6) + 1e-12, 180.0), south, north)


def shapes_of(boxes: Boxes) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.object_]]:
    """Return the boxes as polygons within -180 to 180.

    Returns
    -------
    shapes, rows, others
        One polygon a box; and for the boxes `rows` that cross the antimeridian, the part
        on the other side.
    """
    import shapely

    west, east = boxes.lon - boxes.half_width, boxes.lon + boxes.half_width
    shapes: NDArray[np.object_] = shapely.box(
        np.maximum(west, -180.0), boxes.south, np.minimum(east, 180.0), boxes.north
    )
    over_west, over_east = west < -180, east > 180
    rows = np.flatnonzero(over_west | over_east)
    others: NDArray[np.object_] = shapely.box(
        np.where(over_west, west + 360.0, -180.0)[rows],
        boxes.south[rows],
        np.where(over_west, 180.0, east - 360.0)[rows],
        boxes.north[rows],
    )
    return shapes, rows, others


def touch_boxes(geometries: NDArray[np.object_], boxes: Boxes) -> NDArray[np.bool_]:
    """Say, pair by pair, which prepared geometry touches which box; all of shape ``(n,)``."""
    import shapely

    shapes, rows, others = shapes_of(boxes)
    touch: NDArray[np.bool_] = shapely.intersects(geometries, shapes)
    if rows.size:
        touch[rows] |= shapely.intersects(geometries[rows], others)
    return touch


# sides of cells are straight in degrees: off by a thousandth of themselves at most
_ROOM_FOR_SIDES = 1.01

# The boxes round caps overlap: one touched cell brings along at most some ten candidates.
_CANDIDATES_PER_CELL = 10


class Touching(NamedTuple):
    """Pairs of row and cell, sorted by row, then cell.

    `row_index` and `cell` have shape ``(m,)``; `too_wide` holds the rows, shape ``(t,)``,
    that touch more cells than allowed and so belong to their home cell alone.
    """

    row_index: NDArray[np.int64]
    cell: NDArray[np.uint64]
    too_wide: NDArray[np.int64]


def touching(
    geometries: NDArray[np.object_],
    home_cells: NDArray[np.uint64],
    *,
    resolution: int,
    max_cells: int = 1000,
) -> Touching:
    """Return every cell that each geometry touches.

    Parameters
    ----------
    geometries
        Shapely geometries of any kind, degrees, within -180 to 180; shape ``(n,)``. What crosses
        the antimeridian is cut there. None and empty ones have their home cell alone. They are
        left prepared or not, as before.
    home_cells
        The cell of each entity's point, of `resolution` or finer; shape ``(n,)``.
    resolution
        0 to 15.
    max_cells
        Geometries that touch more belong to their home cell alone: a country's border
        tells nothing of what it crosses.

    Raises
    ------
    InvalidResolutionError
        If `resolution` is not one of H3's sixteen, or a home cell is coarser.
    """
    import shapely

    resolution = check_resolution(resolution)
    home = parents(home_cells, resolution)
    geometries = cut(np.asarray(geometries, object))
    rows = np.arange(home.size, dtype=np.int64)
    # type 0 is a point; -1 is None
    rest = rows[(shapely.get_type_id(geometries) > 0) & ~shapely.is_empty(geometries)]
    rest = rest[~_is_in_cell(geometries[rest], home[rest])]
    is_wide = _is_surely_wide(geometries[rest], resolution, max_cells)
    wide, rest = rest[is_wide], rest[~is_wide]
    found = _Descent(geometries[rest], resolution, max_cells).run()

    pair_row = np.concatenate([rows, rest[found.row_index]])
    pair_cell = np.concatenate([home, found.cell])
    order = np.lexsort((pair_cell, pair_row))
    pair_row, pair_cell = pair_row[order], pair_cell[order]
    is_new = np.ones(pair_row.size, bool)
    is_new[1:] = (np.diff(pair_row) != 0) | (pair_cell[1:] != pair_cell[:-1])
    too_wide = np.sort(np.concatenate([wide, rest[found.too_wide]]))
    return Touching(pair_row[is_new], pair_cell[is_new], too_wide)


def _is_in_cell(geometries: NDArray[np.object_], home: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say which bbox lies inside its home cell, off the border."""
    import shapely

    cells, place = np.unique(home, return_inverse=True)
    outlines = boundaries(cells)
    shapely.prepare(outlines)
    inside: NDArray[np.bool_] = shapely.contains_properly(
        outlines[place], shapely.box(*shapely.bounds(geometries).T)
    )
    return inside


def _is_surely_wide(
    geometries: NDArray[np.object_], resolution: int, max_cells: int
) -> NDArray[np.bool_]:
    """Say which geometries touch more cells than allowed, as their bboxes and areas tell.

    All that touches n cells lies in n caps. So a connected part is no longer than n diameters of
    a cap, and a polygon no larger than n caps. This only says what is far too wide: a straight
    line touches about twice as many cells as caps fit on it.
    """
    import shapely

    reach = reach_rad(resolution) * _ROOM_FOR_SIDES
    widest_rad, largest_sr = 2 * reach * max_cells, np.pi * reach**2 * max_cells
    may = np.flatnonzero(_lengths_rad(geometries) > widest_rad)
    parts, owner = singles(geometries[may])
    is_wide = np.zeros(len(geometries), np.bool_)
    is_wide[may[owner[_lengths_rad(parts) > widest_rad]]] = True
    is_large = (_areas_sr(geometries) > largest_sr) & ~is_wide
    # an area that lies over itself counts double
    is_large[is_large] = shapely.is_valid(geometries[is_large])
    return is_wide | is_large


def _lengths_rad(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return a distance that two points of each connected geometry have at least."""
    import shapely

    west, south, east, north = np.radians(shapely.bounds(geometries)).T
    # of points on meridians so far apart, those nearest to the pole are nearest to one another
    across = np.cos(np.maximum(np.abs(south), np.abs(north)))
    across = 2 * np.arcsin(across * np.sin(np.minimum(east - west, np.pi) / 2))
    longest: NDArray[np.float64] = np.maximum(across, north - south)
    return longest


def _areas_sr(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return an area that each polygon has on the unit sphere at least."""
    import shapely

    _, south, _, north = np.radians(shapely.bounds(geometries)).T
    least = np.cos(np.maximum(np.abs(south), np.abs(north)))
    areas: NDArray[np.float64] = shapely.area(geometries) * np.radians(1.0) ** 2 * least
    return areas


class _Descent:
    """Pairs of geometry and cell, from coarse to fine."""

    def __init__(self, geometries: NDArray[np.object_], resolution: int, max_cells: int) -> None:
        self.geometries = geometries
        self.resolution = resolution
        self.max_cells = max_cells
        self.is_too_wide = np.zeros(geometries.size, bool)

    def run(self) -> Touching:
        """Return the pairs; rows count within the descent's own geometries."""
        import shapely

        fresh = self.geometries[~shapely.is_prepared(self.geometries)]
        shapely.prepare(fresh)
        try:
            row, cell = self._touched()
        finally:
            shapely.destroy_prepared(fresh)
        return Touching(row, cell, np.flatnonzero(self.is_too_wide))

    def _touched(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        import shapely

        starts, steps, middles = self._starts()
        row, cell = np.empty(0, np.int64), np.empty(0, np.uint64)
        for level in range(self.resolution + 1):
            row, cell = _finer(row, cell, level)
            for k in (1, 2):
                begin = np.flatnonzero((starts == level) & (steps == k))
                begin_row, begin_cell = _around(begin, middles, level, k)
                row, cell = np.concatenate([row, begin_row]), np.concatenate([cell, begin_cell])
            if level == self.resolution or not row.size:
                continue
            row, cell = self._without_too_wide(row, cell, _CANDIDATES_PER_CELL * self.max_cells)
            cells, place = np.unique(cell, return_inverse=True)
            boxes = Boxes(*(side[place] for side in cap_boxes(cells, level)))
            keep = touch_boxes(self.geometries[row], boxes)
            row, cell = row[keep], cell[keep]
        cells, place = np.unique(cell, return_inverse=True)
        outlines = boundaries(cells)
        # half of the candidates fall to a comparison of bboxes, at a tenth of the cost
        near = _do_overlap(shapely.bounds(self.geometries)[row], shapely.bounds(outlines)[place])
        row, cell, place = row[near], cell[near], place[near]
        keep = shapely.intersects(self.geometries[row], outlines[place])
        return self._without_too_wide(row[keep], cell[keep], self.max_cells)

    def _starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the finest resolution at which k steps round a middle cell hold all, k, middle.

        Let s be the distance from a cell's centre to its corners there. A touched point lies
        within the half diagonal d of the middle, the centre of its cell's ancestor within
        1.1 s of that point, the middle within s of its own cell's centre:
        together 2.1 s + d. Cells two steps off have their centres 3 s away or more, three
        steps off 4.5 s. So d up to 0.4 s for k = 1, and 1.7 s for k = 2, leave half an s of
        room and more for the distortion of H3's cells.
        """
        import shapely

        west, south, east, north = shapely.bounds(self.geometries).T
        middles = np.stack([(west + east) / 2, (south + north) / 2], -1)
        # from the middle to a corner, along the parallel nearest the equator: never too short
        is_across = south * north < 0
        flat = np.where(is_across, 0.0, np.minimum(np.abs(south), np.abs(north)))
        half_rad = np.hypot(
            np.radians(east - west) / 2 * np.cos(np.radians(flat)), np.radians(north - south) / 2
        )
        starts, steps = np.zeros(west.shape, np.int64), np.ones(west.shape, np.int64)
        # the cells of resolution 0 and 1 are too distorted for such reckoning
        for level in range(2, self.resolution + 1):
            is_small = half_rad <= 1.7 * nearest_corner_rad(level)
            starts[is_small] = level
            steps[is_small] = np.where(half_rad > 0.4 * nearest_corner_rad(level), 2, 1)[is_small]
        return starts, steps, middles

    def _without_too_wide(
        self, row: NDArray[np.int64], cell: NDArray[np.uint64], limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        self.is_too_wide |= np.bincount(row, minlength=self.geometries.size) > limit
        keep = ~self.is_too_wide[row]
        return row[keep], cell[keep]


def _around(
    rows: NDArray[np.intp], middles: NDArray[np.float64], level: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Pair rows with the cells at most `k` steps round their middle; at level 0 with all."""
    if not rows.size:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    if level == 0:
        every = base_cells()
        return np.repeat(rows, every.size), np.tile(every, rows.size)
    own = cells_at(*middles[rows].T, resolution=level)
    cells, place = np.unique(own, return_inverse=True)
    around = ring(cells, k)
    row, member = _spread(rows, around.offsets[:-1][place], np.diff(around.offsets)[place])
    return np.concatenate([rows, row]), np.concatenate([own, around.members[member]])


def _spread(
    rows: NDArray[np.int64], first: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Repeat each row `length` times, beside the indices ``first, first + 1, ...``."""
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(rows, length), np.repeat(first, length) + within


def _do_overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say, pair by pair, which bboxes share a point; each of shape ``(n, 4)``."""
    overlap = np.ones(len(one), bool)
    for low, high in ((0, 2), (1, 3)):
        overlap &= (one[:, low] <= other[:, high]) & (one[:, high] >= other[:, low])
    return overlap


def _finer(
    row: NDArray[np.int64], cell: NDArray[np.uint64], level: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    if not row.size:
        return row, cell
    cells, place = np.unique(cell, return_inverse=True)
    kids = children(cells)
    # children() ascends, and so do their parents: cut it where the parent changes
    first = np.searchsorted(parents(kids, level - 1), cells)
    length = np.diff(np.append(first, kids.size))[place]
    finer_row, member = _spread(row, first[place], length)
    return finer_row, kids[member]
