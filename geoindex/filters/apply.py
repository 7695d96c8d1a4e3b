"""Find the rows that pass all filters of a query, each by its exact rule, before the search.

Rows are in cell order, so a cell is one run of rows, and most points of a place are judged block by
block (`geoindex.storage.zone_map`). What a filter means is in `geoindex.filters.definitions`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.filters.definitions import FILTERS
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import cell_ranges, format_cell, resolution_of
from geoindex.geo.measure import Range
from geoindex.index import IndexReader
from geoindex.storage.layout import CELLS
from geoindex.storage.zone_map import InGeometry, Place
from geoindex.types import check_table

#: The rows that may answer, ascending; None for all.
Rows = NDArray[np.int64] | None


class Selection:
    """Collects what each filter lets through.

    Attributes
    ----------
    index, table
        The rows to choose from.
    given
        The filters, by name, as their options parsed them.
    places
        Where the examples of the query lie.
    notes
        What was decided on the way, for the user.
    """

    def __init__(
        self, index: IndexReader, table: str, given: Mapping[str, Any], places: Sequence[LonLat]
    ) -> None:
        self.index, self.table, self.given, self.places = index, table, given, places
        self.notes: list[str] = []
        self._kept: Rows = None
        self._inside: list[Place] = []
        self._dropped: list[NDArray[np.int64]] = []
        self._limits: dict[str, dict[str, float]] = {"area": {}, "length": {}}

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Let only these rows through, ascending."""
        self._kept = rows if self._kept is None else _both(self._kept, rows)

    def keep_inside(self, place: Place) -> None:
        """Let only rows through whose point lies in a place."""
        self._inside.append(place)

    def keep_measured(self, name: str, end: str, limit: float) -> None:
        """Let only entities through whose ``"area"`` or ``"length"`` is within a limit."""
        self._limits[name][end] = limit

    def drop(self, rows: NDArray[np.int64]) -> None:
        """Do not let these rows through."""
        self._dropped.append(rows)

    def note(self, text: str) -> None:
        """Say what was decided."""
        self.notes.append(text)

    def rows_of_ids(self, ids: Sequence[str], option: str) -> NDArray[np.int64]:
        """Return the rows of some ids; note those that the index does not hold."""
        from geoindex.lookup.ids import missing_text, rows_of_ids

        rows, missing = rows_of_ids(self.index, ids, table=self.table)
        if missing:
            self.note(missing_text(ids, missing, option))
        return rows

    def rows(self) -> Rows:
        """Return the rows that pass everything, ascending; None if all do."""
        if self._inside:
            # boxes and circles are quicker to judge than polygons
            places = sorted(self._inside, key=lambda place: isinstance(place, InGeometry))
            self.keep(self.index.zones(self.table).rows_in(places))
        passing = self._kept
        table = self.index.rows_of(self.table)
        if self._dropped:
            is_left = np.ones(len(table), np.bool_)
            is_left[np.concatenate(self._dropped)] = False
            passing = np.flatnonzero(is_left) if passing is None else passing[is_left[passing]]
        if not any(self._limits.values()):
            return passing
        area, length = (
            Range(name, limits.get("min"), limits.get("max"))
            for name, limits in self._limits.items()
        )
        from geoindex.filters.size import rows_in_ranges

        # last, when the fewest are left: each is measured by itself
        return rows_in_ranges(table, passing, area=area, length=length)


def select_rows(
    index: IndexReader, filters: Mapping[str, Any], *, table: str, places: Sequence[LonLat] = ()
) -> tuple[Rows, list[str]]:
    """Return the rows that pass every filter, and what was decided on the way.

    Parameters
    ----------
    filters
        By name, as parsed: `Query.filters`.
    table
        ``"entities"`` or ``"cells"``.
    places
        Where the examples lie; ``not_within`` is measured from them.

    Returns
    -------
    rows
        Ascending; None if no filter was given.
    notes
        For the user.

    Raises
    ------
    UsageError
        If a filter for entities is given for cells, or a cell finer than the rows' is.
    InvalidIdError
        If an id of ``ids`` or ``exclude`` is none.
    NotInIndexError
        If the index does not hold what ``in_area`` names.
    """
    if not filters:
        return None, []
    if check_table(table) == CELLS:
        _check_of_cells(filters)
    selection = Selection(index, table, filters, places)
    for name, definition in FILTERS.items():
        if name in filters:
            definition.apply(selection, filters[name])
    return selection.rows(), selection.notes


def _check_of_cells(filters: Mapping[str, Any]) -> None:
    for name, definition in FILTERS.items():
        if definition.not_of_cells and name in filters:
            option = f"--{name.replace('_', '-')}"
            msg = (
                f"{option} is for entities; cells have no {definition.not_of_cells}. "
                "Leave it or --cells out"
            )
            raise UsageError(msg)


def rows_in_cell(index: IndexReader, cell: int, *, table: str) -> NDArray[np.int64]:
    """Return the rows in a cell: entities by their point, cells of its resolution or finer.

    Raises
    ------
    UsageError
        If the cell is finer than those of the index.
    """
    finest = index.manifest.resolutions[-1]
    _check_not_finer(cell, finest)
    held = index.rows_of(table).column("cell")
    if table != CELLS:
        # entities are in cell order, so these are one run
        low, high = cell_ranges([cell], at_resolution=finest)
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
