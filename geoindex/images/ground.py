"""Which patches show the ground of an entity? All that lie about its point, and all of its own.

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
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.antimeridian import unwrapped
from geoindex.cells import centres
from geoindex.images.stored import Images
from geoindex.index import Index
from geoindex.layout import CELLS
from geoindex.membership import ranges

_AXIS_M, _ECCENTRICITY2 = 6_378_137.0, 0.00669437999014
_FULL_TURN, _HALF_TURN = 360.0, 180.0
# a buffer of few corners is up to an eighth too narrow
_MORE = 1.2
# at the poles a degree of longitude has no width
_LEAST_COSINE = 1e-9


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


class Ground:
    """The places of the patches of a level.

    Parameters
    ----------
    index
        Built with imagery.
    images
        Its images.
    level
        See `geoindex.images.coarse`.
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
        index: Index,
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
        from pyproj import Geod

        row = np.searchsorted(self._patches.offsets, patches, side="right") - 1
        rows, of = np.unique(row, return_inverse=True)
        lon, lat = centres(self._index.rows_of(CELLS).column("cell")[rows])
        east, north = self._patches.places_m[patches].astype(np.float64).T
        azimuth = np.degrees(np.arctan2(east, north))
        start = (lon[of], lat[of])
        lon, lat, _ = Geod(ellps="WGS84").fwd(*start, azimuth, np.hypot(east, north))
        return np.column_stack([lon, lat])

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
    def _tree(self) -> Any:
        import shapely

        return shapely.STRtree(shapely.points(self.lon_lat))

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
        # what is smaller has its own patches wholly within the square
        room_m = half_m - self.patch_m
        own = self._own(rows, points, room_m / metres_per_degree(points[:, 1]))
        has_ground = np.zeros(len(rows), np.bool_)
        has_ground[in_square.entity[is_near]] = True
        has_ground[own.entity] = True
        found = _united(in_square, own, len(self.lon_lat))
        found = found.at(has_ground[found.entity])
        return found._replace(patch=self._numbers[found.patch])

    def _in_square(
        self, points: NDArray[np.float64], half_m: float
    ) -> tuple[Pairs, NDArray[np.bool_]]:
        """Return the patches in a square about each point, and which are a patch off at most."""
        import shapely

        half = (half_m + self.patch_m / 2) / metres_per_degree(points[:, 1])
        boxes = shapely.box(*(points - half).T, *(points + half).T)
        entity, patch = self._meeting(boxes, is_box=True)
        off_m = np.abs(offsets_m(points[entity], self.lon_lat[patch]))
        within = (half_m + self.patch_m / 2 - off_m) / self.patch_m
        share = within.clip(0, 1).prod(axis=1)
        keep = np.flatnonzero(share > 0)
        is_near: NDArray[np.bool_] = off_m[keep].max(axis=1, initial=0) <= self.patch_m
        return Pairs(entity, patch, share).at(keep), is_near

    def _meeting(self, shapes: NDArray[np.object_], *, is_box: bool) -> NDArray[np.int64]:
        """Return pairs of a shape and a patch in it, shape ``(2, m)``.

        Parameters
        ----------
        shapes
            May run over the antimeridian, in one piece.
        is_box
            Whether each is its own bounding box.
        """
        import shapely

        west, _, east, _ = shapely.bounds(shapes).T
        turns = {
            0.0: np.ones(len(shapes), np.bool_),
            _FULL_TURN: west < -_HALF_TURN,
            -_FULL_TURN: east > _HALF_TURN,
        }
        found = []
        for turn, is_over in turns.items():
            at = np.flatnonzero(is_over)
            moved = _shifted(shapes[at], turn) if turn else shapes
            entity, patch = self._tree.query(moved, predicate=None if is_box else "intersects")
            found.append(np.stack([at[entity], patch]))
        return np.concatenate(found, axis=1).astype(np.int64)

    def _own(
        self, rows: NDArray[np.int64], points: NDArray[np.float64], room: NDArray[np.float64]
    ) -> Pairs:
        """Return the patches on the ground of entities that are larger than some room about them.

        Parameters
        ----------
        room
            Degrees east and north of the point of each, shape ``(n, 2)``.
        """
        import shapely

        column = self._index.entities.column
        west, south, east, north = (column(side)[rows] for side in ("xmin", "ymin", "xmax", "ymax"))
        low, high = points - room, points + room
        is_crossing = west > east
        large = np.flatnonzero(
            is_crossing | (west < low[:, 0]) | (east > high[:, 0]) | (south < low[:, 1])
            | (north > high[:, 1])
        )  # fmt: skip
        wkb = self._index.entities.take(rows[large])["geometry"].to_pylist()
        shapes = shapely.from_wkb(np.array(wkb, object))
        shapes[is_crossing[large]] = unwrapped(shapes[is_crossing[large]])
        # in degrees, and a little too many; then in metres
        reach_m = self.patch_m / 2
        reach = _MORE * reach_m / metres_per_degree(points[large, 1]).min(axis=1)
        wide = shapely.buffer(shapes, reach, quad_segs=2)
        entity, patch = self._meeting(wide, is_box=False)
        here = local(shapes, points[large])
        shapely.prepare(here)
        at = shapely.points(offsets_m(points[large[entity]], self.lon_lat[patch]))
        is_close = shapely.dwithin(here[entity], at, reach_m)
        entity, patch = large[entity[is_close]], patch[is_close]
        return Pairs(entity, patch, np.ones(len(entity)))


def _united(left: Pairs, right: Pairs, num_patches: int) -> Pairs:
    """Return the pairs of both, by entity and patch, each once and with the larger share."""
    both = Pairs(*(np.concatenate(parts) for parts in zip(left, right, strict=True)))
    keys = both.entity * num_patches + both.patch
    order = np.lexsort((-both.share, keys))
    _, first = np.unique(keys[order], return_index=True)
    return both.at(order[first])


def _shifted(shapes: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    import shapely

    return np.asarray(shapely.transform(shapes, lambda at: at + np.array([[degrees, 0.0]])), object)


def metres_per_degree(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many metres a degree east and a degree north are, shape ``(n, 2)``."""
    turn = np.radians(lat)
    bent = 1 - _ECCENTRICITY2 * np.sin(turn) ** 2
    east = np.maximum(np.cos(turn), _LEAST_COSINE) * _AXIS_M / np.sqrt(bent)
    north = _AXIS_M * (1 - _ECCENTRICITY2) / bent**1.5
    return np.radians(np.column_stack([east, north]))


def offsets_m(points: NDArray[np.float64], lon_lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where places lie from points: metres east and north, each shape ``(n, 2)``."""
    off = lon_lat - points
    off[:, 0] = (off[:, 0] + _HALF_TURN) % _FULL_TURN - _HALF_TURN
    return off * metres_per_degree(points[:, 1])


def local(shapes: NDArray[np.object_], points: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return geometries in metres east and north of a point each."""
    import shapely

    coordinates, of = shapely.get_coordinates(shapes, return_index=True)
    moved = offsets_m(points[of], coordinates)
    return np.asarray(shapely.set_coordinates(shapes.copy(), moved), object)
