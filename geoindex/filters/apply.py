"""Which rows may be answers? All filters, applied before the search, each by its exact rule.

An entity lies where its point (`lon`, `lat`) lies: `bbox`, `within`, `near` and `in_cell` ask about
that point, borders included. A cell lies where its centre lies. Rows are in cell order, so a cell
is one run of rows, and most points of a place are told block by block
(`geoindex.storage.zone_map`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.filters.tag_filter import EVERYTHING, Where, rows_where
from geoindex.geo.distance import BBox, LonLat
from geoindex.geo.h3 import cell_ranges, format_cell, resolution_of
from geoindex.geo.measure import ANY_AREA, ANY_LENGTH, Range, rows_in_ranges
from geoindex.index import Index
from geoindex.lookup.ids import rows_of_ids, rows_of_kind, rows_of_name
from geoindex.lookup.name_match import NamePattern
from geoindex.lookup.places import place_named
from geoindex.storage.layout import CELLS
from geoindex.storage.zone_map import InBBox, InGeometry, InRadius, Place
from geoindex.types import check_table


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
        An id, a name or a point: in this area, or this town; see `geoindex.lookup.places`.
    near, radius_m
        Both or neither: at most so far from a point, geodesic.
    in_cell
        An H3 cell, of the rows' finest resolution or coarser.
    apart_m
        Farther than this (``--not-within``) from every place that was asked about.
    kind
        ``key=value`` or ``key=*``.
    name
        What the name must be; see `geoindex.lookup.name_match`.
    ids, exclude
        Only these, where not None; not these. Of entities, or of cells where cells are searched.
    area, length
        m² and metres; see `geoindex.geo.measure`.
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
    town = None if filters.in_place is None else place_named(index, filters.in_place)[0]
    passing = _inside(index, filters, town, table=table)
    for fitting in _called(index, filters, table):
        passing = fitting if passing is None else _both(passing, fitting)
    rows, apart_m = index.rows_of(table), filters.apart_m
    unwanted = [] if apart_m is None else [
        index.zones(table).rows_in([InRadius(place, apart_m)]) for place in dict.fromkeys(places)
    ]  # fmt: skip
    if filters.exclude:
        unwanted.append(rows_of_ids(index, filters.exclude, table=table)[0])
    if unwanted:
        keep = np.ones(len(rows), np.bool_)
        keep[np.concatenate(unwanted)] = False
        passing = np.flatnonzero(keep) if passing is None else passing[keep[passing]]
    if filters.area.is_open and filters.length.is_open:
        return passing
    # last, when the fewest are left: each is measured by itself
    return rows_in_ranges(rows, passing, area=filters.area, length=filters.length)


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


def _inside(index: Index, filters: Filters, town: Any, *, table: str) -> NDArray[np.int64] | None:
    """Return the rows that pass the filters of place, None if there is none."""
    passing: NDArray[np.int64] | None = None
    if filters.in_cell is not None:
        _check_not_finer(filters.in_cell, index.manifest.resolutions[-1])
        passing = _in_cell(index, filters.in_cell, table=table)
    if places := list(_places(filters, town)):
        found = index.zones(table).rows_in(places)
        passing = found if passing is None else _both(passing, found)
    return passing


def _places(filters: Filters, town: Any) -> Iterator[Place]:
    """Yield each place; those that are quick to judge first."""
    if filters.bbox is not None:
        yield InBBox(filters.bbox)
    if filters.near is not None and filters.radius_m is not None:
        yield InRadius(filters.near, filters.radius_m)
    for area in (filters.within, town):
        if area is not None:
            yield InGeometry(area)


def _in_cell(index: Index, cell: int, *, table: str) -> NDArray[np.int64]:
    """Return the rows in a cell: entities by their point, cells of its resolution or finer."""
    held = index.rows_of(table).column("cell")
    if table != CELLS:
        # entities are in cell order, so these are one run
        low, high = cell_ranges([cell], at_resolution=index.manifest.resolutions[-1])
        start, stop = np.searchsorted(held, low[0]), np.searchsorted(held, high[0], side="right")
        return np.arange(start, stop)
    level = resolution_of(held)
    is_inside = np.zeros(len(held), np.bool_)
    for resolution in np.unique(level).tolist():
        if resolution >= resolution_of([cell])[0]:
            low, high = cell_ranges([cell], at_resolution=resolution)
            is_inside |= (level == resolution) & (held >= low[0]) & (held <= high[0])
    return np.flatnonzero(is_inside)


def _both(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that two ascending lists share; a mark a row is quicker than sorting."""
    few, many = (left, right) if len(left) < len(right) else (right, left)
    if not len(few):
        return few
    is_there = np.zeros(max(few[-1], many[-1]) + 1, np.bool_)
    is_there[many] = True
    return few[is_there[few]]


def _check_not_finer(cell: int, finest: int) -> None:
    resolution = int(resolution_of([cell])[0])
    if resolution > finest:
        msg = (
            f"cell {format_cell(cell)} is of resolution {resolution}, finer than the index's "
            f"{finest}; want a cell of resolution {finest} or coarser"
        )
        raise UsageError(msg)
