"""Take geometries apart: their vertices on OpenStreetMap's grid, and places along their outlines.

The outline of a line is the line, of an area its rings, of a point the point. Sides are straight
in degrees, as in GeoJSON. Everything about a geometry follows from it alone, to the last bit,
whatever else is in the batch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.geo.antimeridian import in_one_piece
from geoindex.geo.ecef import distances_to_box, earth_centred

#: OpenStreetMap stores degrees in steps of 1e-7, about 1 cm
GRID_DEG = 1e-7
_STEPS = round(1 / GRID_DEG)
_HALF_TURN = 180 * _STEPS
_QUARTER_TURN = 90 * _STEPS
_M_PER_DEG = 111_195.0
_MM = 1000
# at the least: ends and middle of a line, four places round a ring
_FEWEST_OF_LINE, _FEWEST_OF_RING = 2, 4
# places along an outline are kept or left out by stretches of this many
_STRETCH = 64
_POLYGON, _LAST_SINGLE = 3, 3


@dataclass(frozen=True)
class Outlines:
    """The outlines of n geometries, as p paths of v vertices.

    Attributes
    ----------
    lon, lat
        Degrees, shape ``(v,)``; longitudes of what crosses the antimeridian lie in 0 to 360.
    offsets
        Shape ``(p + 1,)``: path i has the vertices ``offsets[i]`` to ``offsets[i + 1]``.
    owner
        The geometry of each path, shape ``(p,)``.
    is_ring
        Shape ``(p,)``: whether it ends where it begins; the last vertex repeats the first.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    offsets: NDArray[np.int64]
    owner: NDArray[np.int64]
    is_ring: NDArray[np.bool_]

    @cached_property
    def path_of_vertex(self) -> NDArray[np.int64]:
        """The path of each vertex, shape ``(v,)``."""
        return np.repeat(np.arange(len(self.owner)), np.diff(self.offsets))

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """The vertices, Earth-centred metres, shape ``(v, 3)``."""
        return earth_centred(self.lon, self.lat)

    def is_end(self) -> NDArray[np.bool_]:
        """Say which vertices are the first or last of a path that is no ring."""
        ends = np.zeros(len(self.lon), bool)
        ends[self.offsets[:-1][~self.is_ring]] = True
        ends[self.offsets[1:][~self.is_ring] - 1] = True
        return ends

    def grid_keys(self) -> NDArray[np.int64]:
        """Return a number for the place of each vertex on OpenStreetMap's grid, shape ``(v,)``.

        Vertices have the same number if and only if they are the same place on the grid: 180 and
        -180 are one meridian, and a pole is one place.
        """
        x = np.rint(self.lon * _STEPS).astype(np.int64)
        y = np.rint(self.lat * _STEPS).astype(np.int64)
        x = (x + _HALF_TURN) % (2 * _HALF_TURN)
        x[np.abs(y) == _QUARTER_TURN] = 0
        return ((y + _QUARTER_TURN) << 32) | x

    def samples(
        self,
        *,
        spacing_m: float,
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        within_m: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return places along the outlines, equally spaced, at most `spacing_m` apart.

        Parameters
        ----------
        low, high
            Corners of a box, Earth-centred metres: all places that lie at most `within_m` from it
            are returned, and perhaps a few more.

        Returns
        -------
        places, owner
            Earth-centred metres ``(s, 3)``, and the geometry of each, ``(s,)``.
        """
        num_steps = self._num_steps(spacing_m)
        # a ring comes back to where it began, a point has no steps
        num_places = num_steps + (~self.is_ring | (num_steps == 0))
        path, stretch = counted(-(-num_places // _STRETCH))
        first = stretch * _STRETCH
        last = np.minimum(first + _STRETCH, num_places[path]) - 1
        middle = self._along(path, first + last, 2 * num_steps[path])
        step_m = self._length_mm[path] / _MM / np.maximum(num_steps[path], 1)
        # the Earth is no sphere, and lengths are rounded
        half_m = 1.02 * step_m * (last - first + 1) / 2 + 1
        is_near = distances_to_box(middle, low, high) <= within_m + half_m
        path, first, last = path[is_near], first[is_near], last[is_near]
        of_stretch, place = counted(last - first + 1)
        path, place = path[of_stretch], place + first[of_stretch]
        return self._along(path, place, num_steps[path]), self.owner[path]

    def _num_steps(self, spacing_m: float) -> NDArray[np.int64]:
        fewest = np.where(self.is_ring, _FEWEST_OF_RING, _FEWEST_OF_LINE)
        steps = np.maximum(-(-self._length_mm // round(spacing_m * _MM)), fewest)
        steps[np.diff(self.offsets) == 1] = 0
        return steps

    def _along(
        self, path: NDArray[np.int64], step: NDArray[np.int64], num_steps: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the place ``step / num_steps`` of the way along each path."""
        start_mm = self._reached_mm[self.offsets[path]]
        along_mm = start_mm + self._length_mm[path] * step // np.maximum(num_steps, 1)
        # whole millimetres add up to the same sum in any company
        vertex = np.searchsorted(self._reached_mm, along_mm, side="right") - 1
        vertex = np.clip(vertex, self.offsets[path], self.offsets[path + 1] - 1)
        following = np.minimum(vertex + 1, self.offsets[path + 1] - 1)
        passed = along_mm - self._reached_mm[vertex]
        share = passed / np.maximum(self._reached_mm[following] - self._reached_mm[vertex], 1)
        lon = self.lon[vertex] + share * (self.lon[following] - self.lon[vertex])
        lat = self.lat[vertex] + share * (self.lat[following] - self.lat[vertex])
        return earth_centred(lon, lat)

    @cached_property
    def _reached_mm(self) -> NDArray[np.int64]:
        """How far each vertex lies along all paths, one behind another, shape ``(v,)``."""
        if not len(self.lon):
            return np.zeros(0, np.int64)
        lat = self.lat
        cos = np.cos(np.radians(lat))
        east = np.diff(self.lon) * np.maximum(cos[:-1], cos[1:])
        metres = np.sqrt(east * east + np.diff(lat) ** 2) * _M_PER_DEG
        step_mm = np.append(0, np.rint(metres * _MM).astype(np.int64))
        step_mm[self.offsets[:-1]] = 0
        # a millimetre between paths, so that none begins where another ends
        step_mm[self.offsets[1:-1]] = 1
        return np.cumsum(step_mm)

    @cached_property
    def _length_mm(self) -> NDArray[np.int64]:
        if not len(self.lon):
            return np.zeros(0, np.int64)
        length: NDArray[np.int64] = (
            self._reached_mm[self.offsets[1:] - 1] - self._reached_mm[self.offsets[:-1]]
        )
        return length


def outlines_of(geometries: NDArray[np.object_]) -> Outlines:
    """Return the outlines of shapely geometries in degrees; an empty one has none."""
    whole = in_one_piece(geometries)
    single, owner = shapely.get_parts(whole, return_index=True)
    while (shapely.get_type_id(single) > _LAST_SINGLE).any():
        single, of_part = shapely.get_parts(single, return_index=True)
        owner = owner[of_part]
    is_polygon = shapely.get_type_id(single) == _POLYGON
    rings, of_polygon = shapely.get_rings(single[is_polygon], return_index=True)
    paths = np.concatenate((single[~is_polygon], rings))
    owner = np.concatenate((owner[~is_polygon], owner[is_polygon][of_polygon])).astype(np.int64)
    kept = ~shapely.is_empty(paths)
    paths, owner = paths[kept], owner[kept]
    coordinates, path = shapely.get_coordinates(paths, return_index=True)
    offsets = np.append(0, np.cumsum(np.bincount(path, minlength=len(paths)))).astype(np.int64)
    lon, lat = (np.ascontiguousarray(side) for side in coordinates.T)
    first, last = offsets[:-1], offsets[1:] - 1
    is_ring = (lon[first] == lon[last]) & (lat[first] == lat[last]) & (last > first)
    return Outlines(lon, lat, offsets, owner, is_ring)


def counted(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``i`` and ``0 .. counts[i] - 1`` for every i, one behind another."""
    owner = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - start[owner]
