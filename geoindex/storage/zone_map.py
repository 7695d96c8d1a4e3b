"""Find the rows in a place, by blocks of rows, each with the box round its points.

Rows are in cell order, so the points of a block lie close together. A block whose box is off the
place is passed over, one whose box lies in it passes whole, and only the points of the others are
judged one by one (`geoindex.geo.distance`). The rules are exact whatever the order of the rows:
that
decides only how many are judged. Boxes take a millisecond or two to make of a million rows, and are
kept while the index is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from geoindex.geo.distance import (
    BBox,
    LonLat,
    haversine_m,
    in_bbox,
    within_geometry,
    within_radius,
)
from geoindex.geo.earth import MEAN_RADIUS_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# with fewer rows a block, more boxes are looked at; with more, more points are judged
_BLOCK_ROWS = 256
# more than a distance on the sphere is off by rounding, the other side of the Earth included
_SLACK_M = 1.0
# degrees that a box is widened by, so that even that of one point is an area to shapely
_ROOM = 1e-9


class Sorted(NamedTuple):
    """Of each block: whether a point of it may lie in a place, and whether all of them do."""

    may: NDArray[np.bool_]
    must: NDArray[np.bool_]


class ZoneMap:
    """The points of rows, and the box round each block of them.

    Parameters
    ----------
    lon, lat
        Degrees, shape ``(n,)``.
    block_rows
        How many rows a block has, the last one fewer.

    Attributes
    ----------
    west, south, east, north
        Of the boxes: the least and greatest values of each block, whatever the antimeridian.
    """

    def __init__(
        self,
        lon: NDArray[np.float64],
        lat: NDArray[np.float64],
        *,
        block_rows: int = _BLOCK_ROWS,
    ) -> None:
        self.lon, self.lat, self._block_rows = lon, lat, block_rows
        starts = np.arange(0, len(lon), block_rows)
        if not len(starts):
            self.west = self.east = self.south = self.north = np.zeros(0)
            return
        self.west, self.east = np.minimum.reduceat(lon, starts), np.maximum.reduceat(lon, starts)
        self.south, self.north = np.minimum.reduceat(lat, starts), np.maximum.reduceat(lat, starts)

    def rows_in(self, places: Sequence[Place]) -> NDArray[np.int64]:
        """Return the rows whose points lie in every one of some places, ascending."""
        may, must = np.ones(len(self.west), np.bool_), np.ones(len(self.west), np.bool_)
        for place in places:
            found = place.sort(self)
            may &= found.may
            must &= found.must
        judged = self._rows_of(np.flatnonzero(may & ~must))
        for place in places:
            judged = judged[place.judge(self.lon[judged], self.lat[judged])]
        return self._with_whole(judged, may & must)

    def _rows_of(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = (blocks[:, None] * self._block_rows + np.arange(self._block_rows)).ravel()
        return rows[: np.searchsorted(rows, len(self.lon))]

    def _with_whole(
        self, judged: NDArray[np.int64], is_whole: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Return the rows judged and those of the blocks that pass whole, ascending."""
        edges = np.flatnonzero(np.diff(is_whole, prepend=False, append=False))
        starts, stops = (
            edges[::2] * self._block_rows,
            np.minimum(edges[1::2] * self._block_rows, len(self.lon)),
        )
        cuts = np.searchsorted(judged, starts).tolist()
        pieces, last = [], 0
        for start, stop, cut in zip(starts.tolist(), stops.tolist(), cuts, strict=True):
            pieces += [judged[last:cut], np.arange(start, stop)]
            last = cut
        return np.concatenate([*pieces, judged[last:]])


class Place(Protocol):
    """Tells which points lie in it, and of blocks of points what can be told at once."""

    def sort(self, zones: ZoneMap) -> Sorted:
        """Tell of each block what can be told by its box."""

    def judge(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points lie in it."""


@dataclass(frozen=True)
class InBBox:
    """In a box, as `geoindex.geo.distance.in_bbox` has it."""

    bbox: BBox

    def sort(self, zones: ZoneMap) -> Sorted:
        """Tell of each block what can be told by its box."""
        west, south, east, north = self.bbox
        if self.bbox.crosses_antimeridian:
            may = (zones.east >= west) | (zones.west <= east)
            must = (zones.west >= west) | (zones.east <= east)
        else:
            may = (zones.east >= west) & (zones.west <= east)
            must = (zones.west >= west) & (zones.east <= east)
        if east == 180 or west == -180:
            may |= (zones.west == -180) | (zones.east == 180)
        # at a pole every longitude is the same point
        may |= (zones.south == -90) | (zones.north == 90)
        may &= (zones.north >= south) & (zones.south <= north)
        return Sorted(may, must & (zones.south >= south) & (zones.north <= north))

    def judge(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points lie in it."""
        return in_bbox(lon, lat, self.bbox)


@dataclass(frozen=True)
class InRadius:
    """At most so far from a point, as `geoindex.geo.distance.within_radius` has it."""

    centre: LonLat
    radius_m: float

    def sort(self, zones: ZoneMap) -> Sorted:
        """Tell of each block what can be told by the distance of its middle on the sphere.

        No point of a box is farther from its middle than half its height and half its width.
        """
        lon, lat = (zones.west + zones.east) / 2, (zones.south + zones.north) / 2
        nearest_equator = np.where(
            zones.south * zones.north < 0, 0.0, np.minimum(abs(zones.south), abs(zones.north))
        )
        reach = np.radians(zones.north - zones.south) / 2
        reach += np.radians(zones.east - zones.west) / 2 * np.cos(np.radians(nearest_equator))
        reach_m = MEAN_RADIUS_M * reach + _SLACK_M
        away_m = haversine_m(lon, lat, self.centre)
        # the sphere is off by less than 0.6 %; points within 1 % are measured on the ellipsoid
        may = away_m - reach_m <= self.radius_m * 1.01
        return Sorted(may, away_m + reach_m <= self.radius_m * 0.99)

    def judge(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points lie in it."""
        return within_radius(lon, lat, self.centre, self.radius_m)


@dataclass(frozen=True)
class InGeometry:
    """In a polygon or multipolygon in degrees; see `geoindex.geo.distance.within_geometry`."""

    geometry: object

    def sort(self, zones: ZoneMap) -> Sorted:
        """Tell of each block what shapely tells of its box."""
        import shapely

        shapely.prepare(self.geometry)
        west, south, east, north = shapely.bounds(self.geometry)
        may = (zones.east >= west) & (zones.west <= east)
        may &= (zones.north >= south) & (zones.south <= north)
        near = np.flatnonzero(may)
        boxes = shapely.box(
            zones.west[near] - _ROOM, zones.south[near] - _ROOM,
            zones.east[near] + _ROOM, zones.north[near] + _ROOM,
        )  # fmt: skip
        may[near] = shapely.intersects(self.geometry, boxes)
        must = np.zeros(len(may), np.bool_)
        must[near] = shapely.covers(self.geometry, boxes)
        return Sorted(may, must)

    def judge(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points lie in it."""
        return within_geometry(lon, lat, self.geometry)
