"""Relate each entity to those around it, from geometry alone.

An entity is a point, a line or an area, by the largest dimension that it has. Of each row there is
a list of other rows for each of the `RELATIONS`:

==============  =========================  ===================================================
relation        lists                      which
==============  =========================  ===================================================
near_points     points                     nearest to the row's point, at most `near_m` away
near_lines      lines                      the same, by their outlines
near_areas      areas                      the same, by their outlines
line_ends       lines, of a line           an end of both is one vertex
crossings       lines, of a line           they share a vertex that is not an end of both
walls           areas, of an area          they share a side
meets           areas of a line, and back  they share a vertex
on_ways         lines and areas            of a point: it is a vertex of theirs
way_points      points                     of a line or area: they are vertices of it
inside          areas                      the smallest that hold the row's point, or touch it
contains        all kinds                  of an area: their points lie in it, or touch it
==============  =========================  ===================================================

Vertices are one if they are the same place on OpenStreetMap's grid of 1e-7 degrees (1 cm): which
nodes a way had is not kept, and two nodes of one place count as one. A side is two vertices that
follow each other. Distances are those of places at most `SPACING_M` apart along the outline: by
half of that, at most, longer than those to the outline itself.

Lists are short (`Limits`): the nearest, by whole millimetres, then by key; of `inside` the
smallest; of `contains` those with the least keys, which are hashes: a sample that stays the same
but for what comes and goes.

**Reach.** All that decides the lists of a row lies within `reach_m` of its point, but for the areas
that hold the point, which are at most `inside_m` wide: shared vertices, middles of shared sides and
points inside are counted only as far as that. `reached_by` tells which rows a change may reach.
Lists depend neither on the order of rows, nor on blocks, nor on what else is there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from geoindex.geo.antimeridian import in_one_piece
from geoindex.geo.ecef import bounding_spheres, distances, distances_to_box, earth_centred
from geoindex.geo.outlines import counted, outlines_of

SPACING_M = 20.0
_MM = 1000
_BLOCK_ROWS = 32_768
# of targets and places around them
_PAIRS_AT_ONCE = 1 << 20
# odd numbers, of bits that look random
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
# what a row is at a vertex; what is looked for is a range of these
_END, _INNER, _AREA, _POINT = range(4)
_ROLES = 4


@dataclass(frozen=True)
class Limits:
    """How far and how much.

    Attributes
    ----------
    near_m, reach_m, inside_m
        Metres, in this order; see the module.
    near_points, ..., contains
        The most rows that a list holds.
    """

    near_m: float = 300.0
    reach_m: float = 600.0
    inside_m: float = 20_000.0
    near_points: int = 8
    near_lines: int = 6
    near_areas: int = 8
    line_ends: int = 8
    crossings: int = 12
    walls: int = 8
    meets: int = 8
    on_ways: int = 6
    way_points: int = 12
    inside: int = 4
    contains: int = 40


LIMITS = Limits()
RELATIONS = (
    "near_points", "near_lines", "near_areas", "line_ends", "crossings", "walls", "meets",
    "on_ways", "way_points", "inside", "contains",
)  # fmt: skip


@dataclass(frozen=True)
class MapRows:
    """The rows of a map, whose geometries are read when they are needed.

    Attributes
    ----------
    lon, lat
        The rows' points, degrees, shape ``(n,)``.
    bboxes
        xmin, ymin, xmax, ymax, shape ``(n, 4)``; ``xmin > xmax`` crosses the antimeridian.
    keys
        Shape ``(n,)``, uint64, different for all rows: hashes of what identifies them.
    geometries
        Returns the geometries of some rows: shapely, degrees, longitude first.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    bboxes: NDArray[np.float64]
    keys: NDArray[np.uint64]
    geometries: Callable[[NDArray[np.int64]], NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.lon)

    @classmethod
    def of_table(cls, table: pa.Table) -> Self:
        """Take the rows from a table with the columns of `geoindex.features.schema`."""
        wkb = table["geometry"]
        sides = [table[side].to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")]

        def geometries(rows: NDArray[np.int64]) -> NDArray[np.object_]:
            taken = wkb.take(pa.array(rows)).to_numpy()
            found: NDArray[np.object_] = shapely.from_wkb(taken)
            return found

        return cls(
            table["lon"].to_numpy(),
            table["lat"].to_numpy(),
            np.stack(sides, axis=1),
            row_keys(table["feature_id"]),
            geometries,
        )


class RowLists(NamedTuple):
    """A list of rows for each of t targets: ``rows[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    offsets
        Shape ``(t + 1,)``, int64.
    rows
        int32, in the order of the relation.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]


def row_keys(feature_ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return a hash of each id, shape ``(n,)``: BLAKE2b, 8 bytes."""
    from hashlib import blake2b

    hashes = b"".join(
        blake2b(text.encode(), digest_size=8).digest() for text in feature_ids.to_pylist()
    )
    return np.frombuffer(hashes, "<u8").astype(np.uint64)


def extents_m(bboxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how wide each bbox is, metres: the diameter of a sphere around it."""
    return 2 * bounding_spheres(bboxes)[1]


def relate(
    rows: MapRows,
    targets: NDArray[np.int64] | None = None,
    *,
    limits: Limits = LIMITS,
    block_rows: int = _BLOCK_ROWS,
) -> dict[str, RowLists]:
    """Return the lists of each target, by relation.

    Memory is 72 bytes a row, and about 5 kB for each row in and around a block.

    Parameters
    ----------
    rows
        All that may be listed: what lies within `limits.reach_m` of the targets, and around them.
    targets
        The rows whose lists are wanted, each once; None for all.
    block_rows
        Targets that are related at once.
    """
    wanted = np.arange(len(rows)) if targets is None else np.asarray(targets, np.int64)
    points = earth_centred(rows.lon, rows.lat)
    spheres = bounding_spheres(rows.bboxes)
    parts: dict[str, list[_Lists]] = {name: [] for name in RELATIONS}
    for block in _blocks(points[wanted], block_rows):
        found = _Block(rows, wanted[block], points, spheres, limits).lists()
        for name, lists in found.items():
            parts[name].append(_Lists(block[lists.target], lists.rows))
    return {name: _joined(lists, len(wanted)) for name, lists in parts.items()}


def reached_by(rows: MapRows, changed: MapRows, *, limits: Limits = LIMITS) -> NDArray[np.bool_]:
    """Say which rows may get other lists when others come, go or change.

    Parameters
    ----------
    rows
        Their points are read, and nothing else.
    changed
        What came, what went, and both states of what changed.

    Returns
    -------
    is_reached
        Shape ``(n,)``; all that are not keep their lists.
    """
    is_reached = np.zeros(len(rows), bool)
    if not len(rows) or not len(changed):
        return is_reached
    points = earth_centred(rows.lon, rows.lat)
    geometries = in_one_piece(changed.geometries(np.arange(len(changed))))
    within_m = limits.reach_m + SPACING_M
    places, _ = outlines_of(geometries).samples(
        spacing_m=SPACING_M, low=points.min(axis=0), high=points.max(axis=0), within_m=within_m
    )
    places = np.concatenate((places, earth_centred(changed.lon, changed.lat)))
    metres, _ = cKDTree(places).query(points, distance_upper_bound=within_m)
    is_reached |= np.isfinite(metres)
    is_holder = shapely.get_dimensions(geometries) == 2
    is_holder &= extents_m(changed.bboxes) <= limits.inside_m
    is_reached[_Holders(rows.lon, rows.lat).pairs(geometries[is_holder])[1]] = True
    return is_reached


class _Lists(NamedTuple):
    """Pairs of targets and rows, sorted by target."""

    target: NDArray[np.int64]
    rows: NDArray[np.int64]


def _joined(parts: list[_Lists], num_targets: int) -> RowLists:
    target = np.concatenate([part.target for part in parts] or [np.zeros(0, np.int64)])
    rows = np.concatenate([part.rows for part in parts] or [np.zeros(0, np.int64)])
    order = np.argsort(target, kind="stable")
    counts = np.bincount(target, minlength=num_targets)
    return RowLists(np.append(0, np.cumsum(counts)), rows[order].astype(np.int32))


def _blocks(points: NDArray[np.float64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield places ``0 .. n - 1`` in compact blocks: halves, across the longest axis."""
    left = [np.arange(len(points))]
    while left:
        block = left.pop()
        if len(block) <= most:
            if len(block):
                yield block
            continue
        axis = np.argmax(np.ptp(points[block], axis=0))
        middle = len(block) // 2
        order = np.argpartition(points[block, axis], middle)
        left += [np.sort(block[order[:middle]]), np.sort(block[order[middle:]])]


class _Holders:
    """Which points do areas hold? At the antimeridian and the poles too."""

    def __init__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> None:
        row = np.arange(len(lon))
        # areas that cross the antimeridian lie in 0 to 360; 180 and -180 are one
        again = np.flatnonzero(lon < 0)
        east = np.flatnonzero(lon == 180)
        self._row = np.concatenate((row, again, east))
        x = np.concatenate((lon, lon[again] + 360, lon[east] - 360))
        self._tree = shapely.STRtree(shapely.points(x, lat[self._row]))

    def pairs(self, areas: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pairs of areas and the points in them or on their border."""
        area, place = self._tree.query(areas, predicate="intersects")
        return area.astype(np.int64), self._row[place]


class _Vertices(NamedTuple):
    """Vertices, or sides, that rows have in common.

    `group` says which are one; `mm` is how far they are from the point of the row, if it is a
    target, and `row` a place in the block.
    """

    group: NDArray[np.int64]
    role: NDArray[np.int64]
    row: NDArray[np.int64]
    mm: NDArray[np.int64]


class _Block:
    """Some targets, and the rows that may be in their lists.

    Rows of the block are numbered in the order of their keys, so that numbers break ties.
    """

    def __init__(
        self,
        rows: MapRows,
        targets: NDArray[np.int64],
        points: NDArray[np.float64],
        spheres: tuple[NDArray[np.float64], NDArray[np.float64]],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._low, self._high = points[targets].min(axis=0), points[targets].max(axis=0)
        centre, radius_m = spheres
        away = distances_to_box(centre, self._low, self._high)
        around = np.flatnonzero(away <= radius_m + limits.reach_m)
        self._rows = around[np.argsort(rows.keys[around], kind="stable")]
        self._target = np.full(len(self._rows), -1, np.int64)
        place = np.full(len(rows), -1, np.int64)
        place[self._rows] = np.arange(len(self._rows))
        self._targets = place[targets]
        self._target[self._targets] = np.arange(len(targets))
        self._geometries = in_one_piece(rows.geometries(self._rows))
        self._dimension = shapely.get_dimensions(self._geometries)
        self._points = points[self._rows]
        self._radius_m = radius_m[self._rows]
        self._lon, self._lat = rows.lon[self._rows], rows.lat[self._rows]
        self._outlines = outlines_of(self._geometries)

    def lists(self) -> dict[str, _Lists]:
        """Return the lists of the targets, by relation; targets are numbered as they came."""
        found = self._near() | self._sharing() | self._holding()
        return {name: _Lists(target, self._rows[row]) for name, (target, row) in found.items()}

    # near ---------------------------------------------------------------------------------------

    def _near(self) -> dict[str, _Lists]:
        places, owner = self._outlines.samples(
            spacing_m=SPACING_M, low=self._low, high=self._high, within_m=self._limits.near_m
        )
        dimension = self._dimension[owner]
        found = {}
        for number, name in enumerate(("near_points", "near_lines", "near_areas")):
            of_kind = np.flatnonzero(dimension == number)
            most = getattr(self._limits, name)
            found[name] = self._nearest(places[of_kind], owner[of_kind], most)
        return found

    def _nearest(self, places: NDArray[np.float64], owner: NDArray[np.int64], most: int) -> _Lists:
        """Return the rows nearest to each target; a row is as near as the nearest of its places."""
        parts = [_Lists(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        left = np.arange(len(self._targets)) if len(places) and most else np.zeros(0, np.int64)
        places, owner = _first_of_each_place(places, owner, most + 1)
        tree = cKDTree(places, compact_nodes=False, balanced_tree=False)
        num_asked = most + 2
        while left.size:
            num_asked = min(2 * num_asked, len(places))
            unknown = []
            for start in range(0, len(left), _PAIRS_AT_ONCE // num_asked):
                some = left[start : start + _PAIRS_AT_ONCE // num_asked]
                lists, is_whole = self._nearest_of(tree, owner, some, num_asked, most)
                kept = is_whole[lists.target]
                parts.append(_Lists(some[lists.target[kept]], lists.rows[kept]))
                unknown.append(some[~is_whole])
            left = np.concatenate(unknown)
        target, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(target, kind="stable")
        return _Lists(target[order], rows[order])

    def _nearest_of(
        self,
        tree: cKDTree,
        owner: NDArray[np.int64],
        targets: NDArray[np.int64],
        num_asked: int,
        most: int,
    ) -> tuple[_Lists, NDArray[np.bool_]]:
        """Return the nearest rows among `num_asked` places, and whether no other can be nearer."""
        rows, near_m = self._targets[targets], self._limits.near_m
        # the same two places are equally far in every tree, to the last bit
        metres, place = tree.query(
            self._points[rows], k=[*range(1, num_asked + 1)], distance_upper_bound=near_m + 1
        )
        is_near = metres <= near_m
        # what was not found lies as far as the last, or farther
        last_mm = _in_mm(np.minimum(metres[:, -1], near_m + 1))
        if num_asked == tree.n:
            last_mm[:] = _in_mm(near_m + 1)
        asked = np.repeat(np.arange(len(rows)), is_near.sum(axis=1))
        row, mm = owner[place[is_near]], _in_mm(metres[is_near])
        is_other = row != rows[asked]
        lists, ranks = self._ranked(asked[is_other], row[is_other], mm[is_other], most)
        ends = np.cumsum(np.bincount(lists.target, minlength=len(rows)))
        is_full = np.diff(ends, prepend=0) == most
        is_whole = last_mm > near_m * _MM
        is_whole[is_full] |= ranks[ends[is_full] - 1] < last_mm[is_full]
        return lists, is_whole

    # shared vertices ----------------------------------------------------------------------------

    def _sharing(self) -> dict[str, _Lists]:
        vertices, sides = self._shared()
        limits = self._limits
        line, any_way = (_END, _INNER), (_END, _AREA)
        pairs = {
            "line_ends": [((_END, _END), (_END, _END))],
            "crossings": [((_END, _END), (_INNER, _INNER)), ((_INNER, _INNER), line)],
            "meets": [(line, (_AREA, _AREA)), ((_AREA, _AREA), line)],
            "on_ways": [((_POINT, _POINT), any_way)],
            "way_points": [(any_way, (_POINT, _POINT))],
        }
        own, sources = self._of_targets(vertices), self._sources(vertices)
        found = {
            name: self._meeting(own, sources, roles, getattr(limits, name))
            for name, roles in pairs.items()
        }
        both = ((_AREA, _AREA), (_AREA, _AREA))
        own, sources = self._of_targets(sides), self._sources(sides)
        found["walls"] = self._meeting(own, sources, [both], limits.walls)
        return found

    def _shared(self) -> tuple[_Vertices, _Vertices]:
        """Return the vertices that several rows have, and the sides that several areas have."""
        outlines = self._outlines
        reach_m = self._limits.reach_m
        is_near = distances_to_box(outlines.places, self._low, self._high) <= reach_m
        # a ring's last vertex is its first; a side needs it
        vertex = np.flatnonzero(is_near)
        keys = outlines.grid_keys()[vertex]
        row = outlines.owner[outlines.path_of_vertex[vertex]]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        group = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0)
        # rows of one place are many where it is a vertex of several rows
        first = np.flatnonzero(np.diff(group, prepend=-1))
        if len(first):
            low = np.minimum.reduceat(row[order], first)
            high = np.maximum.reduceat(row[order], first)
            is_shared = (low != high)[group]
        else:
            is_shared = np.zeros(0, bool)
        group, vertex, row = group[is_shared], vertex[order][is_shared], row[order][is_shared]
        dimension = self._dimension[row]
        is_end = outlines.is_end()[vertex]
        role = np.where(dimension == 2, _AREA, np.where(is_end, _END, _INNER))
        role[dimension == 0] = _POINT
        mm = self._mm_from_targets(row, outlines.places[vertex])
        return _Vertices(group, role, row, mm), self._sides(group, vertex)

    def _sides(self, group: NDArray[np.int64], vertex: NDArray[np.int64]) -> _Vertices:
        """Return the sides of areas between vertices that are shared, each by its two groups."""
        outlines = self._outlines
        group_of = np.full(len(outlines.lon) + 1, -1, np.int64)
        group_of[vertex] = group
        path = outlines.path_of_vertex
        start = np.flatnonzero(
            (group_of[:-2] >= 0) & (group_of[1:-1] >= 0) & (path[:-1] == path[1:])
        )
        row = outlines.owner[path[start]]
        is_side = (self._dimension[row] == 2) & outlines.is_ring[path[start]]
        start, row = start[is_side], row[is_side]
        one, other = group_of[start], group_of[start + 1]
        low, high = np.minimum(one, other), np.maximum(one, other)
        start, row, low, high = (part[low != high] for part in (start, row, low, high))
        pair = low * (group.max(initial=0) + 1) + high
        side = np.unique(pair, return_inverse=True)[1]
        middles = (outlines.places[start] + outlines.places[start + 1]) / 2
        mm = self._mm_from_targets(row, middles)
        return _Vertices(side, np.full(len(row), _AREA), row, mm)

    def _mm_from_targets(
        self, row: NDArray[np.int64], places: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        return _in_mm(distances(self._points[row], places))

    def _meeting(
        self,
        vertices: _Vertices,
        sources: tuple[NDArray[np.int64], NDArray[np.int64]],
        roles: list[tuple[tuple[int, int], tuple[int, int]]],
        most: int,
    ) -> _Lists:
        """Return who shares a vertex with each target.

        Parameters
        ----------
        vertices
            Of targets, within reach.
        sources
            Of `_sources`.
        roles
            First and last of what the target is there, and of what the other is.
        """
        source, source_row = sources
        pairs = []
        for (first, last), (least, greatest) in roles:
            own = np.flatnonzero((vertices.role >= first) & (vertices.role <= last))
            at = vertices.group[own] * _ROLES
            begin = np.searchsorted(source, at + least)
            counts = np.searchsorted(source, at + greatest, side="right") - begin
            of_own, place = counted(counts)
            other = source_row[place + begin[of_own]]
            pairs.append((vertices.row[own[of_own]], other, vertices.mm[own[of_own]]))
        target, other, mm = (np.concatenate(column) for column in zip(*pairs, strict=True))
        is_other = target != other
        target, other, mm = target[is_other], other[is_other], mm[is_other]
        return self._ranked(self._target[target], other, mm, most)[0]

    def _of_targets(self, vertices: _Vertices) -> _Vertices:
        """Return the vertices that are a target's, within its reach."""
        is_own = (self._target[vertices.row] >= 0) & (vertices.mm <= self._limits.reach_m * _MM)
        return _Vertices(*(column[is_own] for column in vertices))

    def _sources(self, vertices: _Vertices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return group and role, and the row, of all that may be in a list.

        At one vertex all others are equally far, so that the first by key are enough: a place that
        thousands of rows share costs no more than thousands of lists.
        """
        limits = self._limits
        most = max(limits.line_ends, limits.crossings, limits.meets, limits.walls)
        most = max(most, limits.on_ways, limits.way_points)
        row_bits = len(self._rows).bit_length()
        packed = ((vertices.group * _ROLES + vertices.role) << row_bits) | vertices.row
        packed = np.sort(packed)
        # the same row may have a vertex twice
        packed = packed[np.diff(packed, prepend=-1) != 0]
        source = packed >> row_bits
        is_among = _place_in_run(source) <= most
        return source[is_among], packed[is_among] & _ones(row_bits)

    # inside, contains ---------------------------------------------------------------------------

    def _holding(self) -> dict[str, _Lists]:
        limits = self._limits
        is_area = (self._dimension == 2) & (2 * self._radius_m <= limits.inside_m)
        areas = np.flatnonzero(is_area)
        area, row = _Holders(self._lon, self._lat).pairs(self._geometries[areas])
        area = areas[area]
        is_other = area != row
        area, row = area[is_other], row[is_other]
        held = self._target[row] >= 0
        # deg² by the cosine of the middle: no measure, but an order
        bounds = shapely.bounds(self._geometries[areas])
        middle = np.radians((bounds[:, 1] + bounds[:, 3]) / 2)
        size = np.zeros(len(self._rows))
        size[areas] = shapely.area(self._geometries[areas]) * np.cos(middle)
        # areas equally large are in the order of their numbers
        rank = np.empty(len(areas), np.int64)
        rank[np.lexsort((areas, size[areas]))] = np.arange(len(areas))
        rank_of = np.zeros(len(self._rows), np.int64)
        rank_of[areas] = rank
        inside, _ = self._ranked(
            self._target[row[held]], area[held], rank_of[area[held]], limits.inside
        )
        holds = self._target[area] >= 0
        area, row = area[holds], row[holds]
        mm = _in_mm(distances(self._points[area], self._points[row]))
        is_near = mm <= limits.reach_m * _MM
        area, row = area[is_near], row[is_near]
        contains, _ = self._ranked(
            self._target[area], row, np.zeros(len(row), np.int64), limits.contains
        )
        return {"inside": inside, "contains": contains}

    def _ranked(
        self,
        target: NDArray[np.int64],
        row: NDArray[np.int64],
        rank: NDArray[np.int64],
        most: int,
    ) -> tuple[_Lists, NDArray[np.int64]]:
        """Return the first rows of each target by rank, then number, each once; and their ranks."""
        # plain numbers are sorted many times faster than places by several columns
        row_bits = len(self._rows).bit_length()
        rank_bits = int(rank.max(initial=0)).bit_length()
        packed = np.sort((((target << row_bits) | row) << rank_bits) | rank)
        is_first = np.diff(packed >> rank_bits, prepend=-1) != 0
        packed = packed[is_first]
        target, row = packed >> (row_bits + rank_bits), (packed >> rank_bits) & _ones(row_bits)
        rank = packed & _ones(rank_bits)
        packed = np.sort((((target << rank_bits) | rank) << row_bits) | row)
        target = packed >> (row_bits + rank_bits)
        kept = _place_in_run(target) < most
        packed, target = packed[kept], target[kept]
        rank = (packed >> row_bits) & _ones(rank_bits)
        return _Lists(target, packed & _ones(row_bits)), rank


def _first_of_each_place(
    places: NDArray[np.float64], owner: NDArray[np.int64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return places and owners, but of one place no more than the first owners."""
    # sums of bits tell at a tenth of the cost that no place has many, as is usual
    bits = np.sort(places.view(np.uint64) @ _ODD)
    if not (bits[most:] == bits[:-most]).any():
        return places, owner
    order = np.lexsort((owner, *places.T))
    places, owner = places[order], owner[order]
    is_new = (np.diff(places, axis=0, prepend=np.nan) != 0).any(axis=1)
    is_other = is_new | (np.diff(owner, prepend=-1) != 0)
    places, owner, is_new = places[is_other], owner[is_other], is_new[is_other]
    kept = _place_in_run(np.cumsum(is_new)) < most
    return places[kept], owner[kept]


def _place_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2 ... for each run of equal values."""
    place = np.arange(len(values))
    is_first = np.diff(values, prepend=values[:1] - 1) != 0
    return place - np.maximum.accumulate(np.where(is_first, place, 0))


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _in_mm(metres: ArrayLike) -> NDArray[np.int64]:
    return np.rint(np.multiply(metres, _MM)).astype(np.int64)
