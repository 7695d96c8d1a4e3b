"""Which rows may be answers? All filters, applied before the search, each by its exact rule.

An entity lies where its point (`lon`, `lat`) lies: `bbox`, `within`, `near` and `in_cell` ask about
that point, borders included. A cell lies where its centre lies. Rows are in cell order, so a cell
is one run of rows, and a place a few runs; only these are judged one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.cells import cell_ranges, format_cell, resolution_of
from geoindex.choices import check_table
from geoindex.cover import cover_bbox, cover_polygon, cover_radius
from geoindex.errors import UsageError
from geoindex.identity import rows_of_ids, rows_of_kind, rows_of_name
from geoindex.index import Index
from geoindex.layout import CELLS
from geoindex.measures import ANY_AREA, ANY_LENGTH, Range, rows_in_ranges
from geoindex.names import NamePattern
from geoindex.places import BBox, LonLat, in_bbox, within_geometry, within_radius
from geoindex.rows import Rows
from geoindex.towns import place_named
from geoindex.where_rows import rows_where
from geoindex.where_tree import EVERYTHING, Where

# a point is held against a box in less time than a cell is: so the cover of a box is coarser
_BBOX_CELLS = 300

#: Judges points: longitude and latitude in, one boolean each out.
Judge = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Filters:
    """What an answer must satisfy; None and empty let everything through.

    Attributes
    ----------
    where
        A tag filter, parsed.
    bbox, within
        A box; a valid shapely polygon or multipolygon, degrees.
    in_place
        An id, a name or a point: in this area, or this town; see `geoindex.towns`.
    near, radius_m
        Both or neither: at most so far from a point, geodesic.
    in_cell
        An H3 cell, of the rows' finest resolution or coarser.
    apart_m
        Farther than this (``--not-within``) from every place that was asked about.
    kind
        ``key=value`` or ``key=*``.
    name
        What the name must be; see `geoindex.names`.
    ids, exclude
        Only these, where not None; not these. Of entities, or of cells where cells are searched.
    area, length
        m² and metres; see `geoindex.measures`.
    """

    where: Where = EVERYTHING
    bbox: BBox | None = None
    within: Any = None
    in_place: str | None = None
    near: LonLat | None = None
    radius_m: float | None = None
    in_cell: int | None = None
    apart_m: float | None = None
    kind: str | None = None
    name: NamePattern | None = None
    ids: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    area: Range = ANY_AREA
    length: Range = ANY_LENGTH

    def __post_init__(self) -> None:
        if (self.near is None) != (self.radius_m is None):
            msg = "near and radius go together. Example: --near 24.95,60.17 --radius 500m"
            raise UsageError(msg)


def rows_passing(
    index: Index, filters: Filters, *, table: str, places: Sequence[LonLat] = ()
) -> NDArray[np.int64] | None:
    """Return the rows that pass every filter, ascending; None if no filter was given.

    Parameters
    ----------
    table
        ``"entities"`` or ``"cells"``.
    places
        The places asked about; `Filters.apart_m` is measured from them.

    Raises
    ------
    UsageError
        If tags, names or measures are asked of cells, or a cell finer than the rows' is given.
    InvalidIdError
        If an id of `Filters.ids` or `Filters.exclude` is none.
    NotInIndexError
        If the index does not hold `Filters.in_place`.
    """
    if check_table(table) == CELLS:
        _check_of_cells(filters)
    ground = _ground(index, table)
    town = None if filters.in_place is None else place_named(index, filters.in_place)[0]
    passing = _inside(ground, filters, town)
    for fitting in _called(index, filters, table):
        passing = fitting if passing is None else _both(passing, fitting)
    unwanted = [ground.near(place, filters.apart_m) for place in dict.fromkeys(places)
                if filters.apart_m is not None]  # fmt: skip
    if filters.exclude:
        unwanted.append(rows_of_ids(index, filters.exclude, table=table)[0])
    if unwanted:
        keep = np.ones(len(ground.rows), np.bool_)
        keep[np.concatenate(unwanted)] = False
        passing = np.flatnonzero(keep) if passing is None else passing[keep[passing]]
    if filters.area.is_open and filters.length.is_open:
        return passing
    # last, when the fewest are left: each is measured by itself
    return rows_in_ranges(ground.rows, passing, area=filters.area, length=filters.length)


def _check_of_cells(filters: Filters) -> None:
    given = {
        "--where": filters.where != EVERYTHING,
        "--kind": filters.kind is not None,
        "--name": filters.name is not None,
        "--min-area and --max-area": not filters.area.is_open,
        "--min-length and --max-length": not filters.length.is_open,
    }
    for option, is_given in given.items():
        if is_given:
            thing = "tags" if option == "--where" else "kind, name or size of an entity"
            msg = f"{option} is for entities; cells have no {thing}. Leave it or --cells out"
            raise UsageError(msg)


def _called(index: Index, filters: Filters, table: str) -> Iterator[NDArray[np.int64]]:
    """Yield the rows that pass each filter of tags, kind, name and ids that was given."""
    if filters.ids is not None:
        yield rows_of_ids(index, filters.ids, table=table)[0]
    if filters.kind is not None:
        yield rows_of_kind(index.entities, filters.kind)
    if filters.name is not None:
        yield rows_of_name(index.tag_lists, filters.name)
    if filters.where != EVERYTHING:
        yield rows_where(filters.where, index.tag_lists, num_rows=len(index.entities))


class _Ground:
    """Where the rows of a table lie; entities in runs by cell, cells in any order."""

    def __init__(self, rows: Rows, *, finest: int) -> None:
        self.rows = rows
        self.finest = finest

    def near(self, place: LonLat, radius_m: float) -> NDArray[np.int64]:
        """Return the rows at most so far from a place."""
        return self.judged(
            self.in_cover(cover_radius(place, radius_m, resolution=self.finest)),
            partial(within_radius, centre=place, radius_m=radius_m),
        )

    def judged(self, rows: NDArray[np.int64] | None, judge: Judge) -> NDArray[np.int64]:
        """Keep the rows whose point passes; None: of all rows."""
        lon, lat = self.rows.column("lon"), self.rows.column("lat")
        if rows is None:
            return np.flatnonzero(judge(lon, lat))
        return rows[judge(lon[rows], lat[rows])]

    def in_cell(self, cell: int) -> NDArray[np.int64]:
        """Return the rows in a cell: entities by their point, cells of its resolution or finer."""
        return self._runs(np.array([cell], np.uint64))

    def in_cover(self, cover: NDArray[np.uint64] | None) -> NDArray[np.int64] | None:
        """Return the rows in the cells of a cover; None if that rules nothing out."""
        return None if cover is None else self._runs(cover)

    def _runs(self, cells: NDArray[np.uint64]) -> NDArray[np.int64]:
        held = self.rows.column("cell")
        low, high = cell_ranges(cells, at_resolution=self.finest)
        starts = np.searchsorted(held, low, side="left")
        stops = np.searchsorted(held, high, side="right")
        sizes = stops - starts
        # start, start + 1, ... of each run, end to end
        first = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        return (first + np.arange(sizes.sum())).astype(np.int64)


class _CellGround(_Ground):
    """Cells of several resolutions, and few: each is judged."""

    def in_cell(self, cell: int) -> NDArray[np.int64]:
        held = self.rows.column("cell")
        level = resolution_of(held)
        is_inside = np.zeros(len(held), np.bool_)
        for resolution in np.unique(level).tolist():
            if resolution >= resolution_of([cell])[0]:
                low, high = cell_ranges([cell], at_resolution=resolution)
                is_inside |= (level == resolution) & (held >= low[0]) & (held <= high[0])
        return np.flatnonzero(is_inside)

    def in_cover(self, cover: NDArray[np.uint64] | None) -> None:
        """Rule nothing out."""


def _ground(index: Index, table: str) -> _Ground:
    kind = _CellGround if table == CELLS else _Ground
    return kind(index.rows_of(table), finest=index.manifest.resolutions[-1])


def _inside(ground: _Ground, filters: Filters, town: Any) -> NDArray[np.int64] | None:
    """Return the rows that pass the filters of place, None if there is none."""
    passing: NDArray[np.int64] | None = None
    judges: list[Judge] = []
    if filters.in_cell is not None:
        _check_not_finer(filters.in_cell, ground.finest)
        passing = ground.in_cell(filters.in_cell)
    for cover, judge in _places(filters, town, ground.finest):
        rows = ground.in_cover(cover)
        judges.append(judge)
        if rows is not None:
            passing = rows if passing is None else _both(passing, rows)
    # all the runs first: fewer rows are left to be judged
    for judge in judges:
        passing = ground.judged(passing, judge)
    return passing


def _places(
    filters: Filters, town: Any, resolution: int
) -> Iterator[tuple[NDArray[np.uint64] | None, Judge]]:
    """Yield, for each place, cells that hold all of it, and its judge; the quick judges first."""
    if (bbox := filters.bbox) is not None:
        cover = cover_bbox(bbox, resolution=resolution, max_cells=_BBOX_CELLS)
        yield cover, partial(in_bbox, bbox=bbox)
    if (near := filters.near) is not None and (radius_m := filters.radius_m) is not None:
        cover = cover_radius(near, radius_m, resolution=resolution)
        yield cover, partial(within_radius, centre=near, radius_m=radius_m)
    for area in (filters.within, town):
        if area is not None:
            cover = cover_polygon(area, resolution=resolution)
            yield cover, partial(within_geometry, geometry=area)


def _both(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.intersect1d(left, right, assume_unique=True)


def _check_not_finer(cell: int, finest: int) -> None:
    resolution = int(resolution_of([cell])[0])
    if resolution > finest:
        msg = (
            f"cell {format_cell(cell)} is of resolution {resolution}, finer than the index's "
            f"{finest}; want a cell of resolution {finest} or coarser"
        )
        raise UsageError(msg)
