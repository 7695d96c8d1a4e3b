"""Which rows lie too close together for one to teach and the other to be asked?"""

import numpy as np
from numpy.typing import NDArray

from geoindex.cells import resolution_of, ring
from geoindex.errors import InvalidResolutionError, TooFewBlocksError


class Near:
    """Answers which rows are close to which, by their cells.

    Parameters
    ----------
    cells
        The cell of each row, shape ``(n,)``.
    gap
        So many rings of cells are close.

    Attributes
    ----------
    cells
        Each once, ascending.
    cell_of
        Place among `cells` of each row, shape ``(n,)``.
    resolution
        Of all of them.

    Raises
    ------
    TooFewBlocksError
        If there is no row.
    InvalidResolutionError
        If the cells are of several resolutions.
    """

    def __init__(self, cells: NDArray[np.uint64], gap: int) -> None:
        if not cells.size:
            msg = "no rows to split; want at least a few hundred. Example: all rows of an index"
            raise TooFewBlocksError(msg)
        self.cells, inverse = np.unique(cells, return_inverse=True)
        self.cell_of: NDArray[np.int64] = inverse.ravel().astype(np.int64)
        levels = np.unique(resolution_of(self.cells))
        if levels.size > 1:
            msg = (
                f"cells are of resolutions {levels.tolist()}; want one. Example: only {levels[-1]}"
            )
            raise InvalidResolutionError(msg)
        self.resolution = int(levels[0])
        around = ring(self.cells, gap)
        # cells that hold no row cannot leak
        place = np.searchsorted(self.cells, around.members)
        place = np.minimum(place, self.cells.size - 1)
        is_held = self.cells[place] == around.members
        self._from = np.repeat(np.arange(self.cells.size), np.diff(around.offsets))[is_held]
        self._to = place[is_held]

    def around(self, is_in: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which cells lie within the gap of those given, these included; both ``(cells,)``."""
        reached = is_in.copy()
        reached[self._to[is_in[self._from]]] = True
        return reached
