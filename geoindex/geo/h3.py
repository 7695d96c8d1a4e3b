"""H3 cells: where they lie, their parents, children, neighbours, and the ids that they hold.

Coordinates are degrees, EPSG:4326, longitude first. h3 takes latitude first; this
module alone calls it, so the order turns round in one place. Cells are H3's 64-bit
ids as ``uint64``.

An H3 id is read from the left: mode (4 bits, 1 means cell), resolution (4 bits at
bit 52), base cell (7 bits at bit 45), then fifteen digits of 3 bits, each 0 to 6, or 7
where the cell is coarser than that digit. So the descendants of a cell share its
prefix, and among the ids of one resolution they are neighbours in sorted order:
`cell_ranges` needs no h3, nor do `parents` and `children`.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geoindex.errors import InvalidIdError, InvalidResolutionError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_RESOLUTION = 15
NUM_BASE_CELLS = 122
# the base cells that are pentagons: h3.get_pentagons(0)
_PENTAGON_BASES = np.array([4, 14, 24, 38, 49, 58, 63, 72, 83, 97, 107, 117], np.uint64)
_RESOLUTION_SHIFT = np.uint64(52)
_RESOLUTION_BITS = np.uint64(0xF << 52)
_BASE_SHIFT = np.uint64(45)
# DIGITS[d] has the digit d in all fifteen places
_DIGITS = [np.uint64(sum(d << (3 * place) for place in range(15))) for d in range(8)]


class Ragged(NamedTuple):
    """Lists of unequal length, end to end.

    Row ``i`` is ``members[offsets[i]:offsets[i + 1]]``.
    """

    offsets: NDArray[np.int64]
    members: NDArray[np.uint64]


def check_resolution(resolution: int) -> int:
    """Return `resolution` as an int, if it is one of H3's sixteen.

    Raises
    ------
    InvalidResolutionError
        If it is not.
    """
    is_whole = isinstance(resolution, (int, np.integer)) and not isinstance(resolution, bool)
    if not is_whole or not 0 <= resolution <= MAX_RESOLUTION:
        msg = (
            f"resolution is {resolution!r}; H3 has 0 (coarsest) to 15 (finest). "
            "Example: 9, cells of about 0.1 km²"
        )
        raise InvalidResolutionError(msg)
    return int(resolution)


# more digits than a cell has in hexadecimal
_FINEST_OF_FLOATS = 12
_DECIMAL = re.compile(r"[0-9]{17,20}(\.0*)?|[0-9](\.[0-9]+)?e\+?1[6-9]", re.IGNORECASE)


def parse_cell(text: str) -> int:
    """Parse an H3 cell written as 15 or 16 hexadecimal digits, or as its 64-bit number.

    DuckDB, pandas and Arrow write the number, of 18 or 19 decimal digits, and as a float where a
    column has gaps: a float64 rounds the ones in which a cell ends, which are put back, to
    resolution 12; of finer cells it has lost which they were.

    Raises
    ------
    InvalidIdError
        If the text is no valid H3 cell (an edge or a vertex is none).
    """
    import h3.api.basic_int as h3

    stripped = text.strip()
    if _DECIMAL.fullmatch(stripped):
        stripped = f"{_exact(stripped):015x}"
    if not re.fullmatch(r"[0-9a-fA-F]{15,16}", stripped):
        msg = f"want an H3 cell of 15 hexadecimal digits, got {text!r}. Example: 891f1d48177ffff"
        raise InvalidIdError(msg)
    cell = int(stripped, 16)
    if not h3.is_valid_cell(cell):
        kind = "an H3 edge or vertex, not a cell" if h3.is_valid_index(cell) else "no H3 cell"
        msg = f"{text!r} is {kind}: its bits do not fit. Example of a cell: 891f1d48177ffff"
        raise InvalidIdError(msg)
    return cell


def is_decimal_cell(text: str) -> bool:
    """Whether a text is the 64-bit number of a valid cell."""
    return _DECIMAL.fullmatch(text) is not None and _exact(text) > 0


def _exact(text: str) -> int:
    """Return the cell of a decimal number; 0 where a float64 has lost which it was."""
    import h3.api.basic_int as h3

    if text.isdigit() and _is_cell(int(text)):
        return int(text)
    # cells end in ones, three a resolution left out, which a float64 rounds up to the next number
    cell = int(float(text)) - 1
    is_whole = _is_cell(cell) and h3.get_resolution(cell) <= _FINEST_OF_FLOATS
    return cell if is_whole else 0


def _is_cell(number: int) -> bool:
    import h3.api.basic_int as h3

    return 0 < number < 1 << 63 and h3.is_valid_cell(number)


def format_cell(cell: int | np.uint64) -> str:
    """Write a cell as H3 does: 15 hexadecimal digits."""
    return f"{int(cell):x}"


def cells_at(lon: ArrayLike, lat: ArrayLike, *, resolution: int) -> NDArray[np.uint64]:
    """Return the H3 cell that holds each point.

    Parameters
    ----------
    lon, lat
        Degrees, finite, shape ``(n,)``. Longitudes outside -180 to 180 wrap.
    resolution
        0 (cells of about 4.4 million km²) to 15 (about 0.9 m²).

    Returns
    -------
    cells
        Shape ``(n,)``. About 0.4 µs a point.

    Raises
    ------
    InvalidResolutionError
        If `resolution` is not one of H3's sixteen.
    ValueError
        If a coordinate is not finite.
    """
    import h3.api.basic_int as h3

    resolution = check_resolution(resolution)
    lon, lat = _paired(lon, lat)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        msg = "lon and lat must be finite; drop the rows without a place first"
        raise ValueError(msg)
    found = map(h3.latlng_to_cell, lat.tolist(), lon.tolist(), [resolution] * lon.size)
    return np.fromiter(found, np.uint64, lon.size)


def resolution_of(cells: ArrayLike) -> NDArray[np.int64]:
    """Return each cell's resolution, 0 to 15, shape ``(n,)``."""
    bits = np.asarray(cells, np.uint64) & _RESOLUTION_BITS
    return (bits >> _RESOLUTION_SHIFT).astype(np.int64)


def parents(cells: ArrayLike, resolution: int) -> NDArray[np.uint64]:
    """Return each cell's ancestor at `resolution`; the cell itself where it is of that resolution.

    Exact by the bits of the id; no h3. Mixed resolutions may be given.

    Raises
    ------
    InvalidResolutionError
        If a cell is coarser than `resolution`.
    """
    resolution = check_resolution(resolution)
    cells = np.asarray(cells, np.uint64)
    _check_not_finer(cells, resolution, wanted_finer=False)
    tail = np.uint64((1 << (3 * (MAX_RESOLUTION - resolution))) - 1)
    return _with_resolution(cells, resolution) | tail


def cell_ranges(
    cells: ArrayLike, *, at_resolution: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the smallest and largest id that each cell's descendants can have.

    Where rows are sorted by their id at `at_resolution`, those inside a cell are exactly
    the rows from `low` to `high`, both included.

    Parameters
    ----------
    cells
        Shape ``(n,)``, each at `at_resolution` or coarser.
    at_resolution
        The resolution of the sorted rows.

    Returns
    -------
    low, high
        Shape ``(n,)``. `low` is the centre descendant, always a real cell.

    Raises
    ------
    InvalidResolutionError
        If a cell is finer than `at_resolution`.
    """
    resolution = check_resolution(at_resolution)
    cells = np.asarray(cells, np.uint64)
    _check_not_finer(cells, resolution, wanted_finer=True)
    coarse = resolution_of(cells).astype(np.uint64)
    # the digits between the cell's resolution and at_resolution, 3 bits each
    below = (np.uint64(1) << (np.uint64(45) - np.uint64(3) * coarse)) - np.uint64(1)
    unused = np.uint64((1 << (3 * (MAX_RESOLUTION - resolution))) - 1)
    prefix = _with_resolution(cells, resolution) & ~below
    free = below & ~unused
    return prefix | unused, prefix | (free & _DIGITS[6]) | unused


def children(cells: ArrayLike) -> NDArray[np.uint64]:
    """Return the cells one resolution finer, sorted: seven of a hexagon, six of a pentagon."""
    cells = np.asarray(cells, np.uint64)
    finer = resolution_of(cells) + 1
    if finer.size and finer.max() > MAX_RESOLUTION:
        msg = "cells of resolution 15 have no children; 14 is the finest that does"
        raise InvalidResolutionError(msg)
    place = np.uint64(3) * (MAX_RESOLUTION - finer).astype(np.uint64)
    head = (cells & ~_RESOLUTION_BITS) | (finer.astype(np.uint64) << _RESOLUTION_SHIFT)
    head &= ~(np.uint64(7) << place)
    kids = head[:, None] | (np.arange(7, dtype=np.uint64)[None, :] << place[:, None])
    is_real = np.ones(kids.shape, bool)
    # a pentagon lacks the neighbour in direction 1
    is_real[:, 1] = ~is_pentagon(cells)
    return np.sort(kids[is_real])


def is_pentagon(cells: ArrayLike) -> NDArray[np.bool_]:
    """Say which cells are among the twelve pentagons of their resolution."""
    cells = np.asarray(cells, np.uint64)
    base = (cells >> _BASE_SHIFT) & np.uint64(0x7F)
    unused = np.uint64(3) * (MAX_RESOLUTION - resolution_of(cells)).astype(np.uint64)
    used_digits = (cells & np.uint64((1 << 45) - 1)) >> unused
    is_first: NDArray[np.bool_] = used_digits == 0
    return is_first & np.isin(base, _PENTAGON_BASES)


def base_cells() -> NDArray[np.uint64]:
    """Return the 122 cells of resolution 0, sorted."""
    bases = np.arange(NUM_BASE_CELLS, dtype=np.uint64)
    return np.uint64(1 << 59) | (bases << _BASE_SHIFT) | _DIGITS[7]


def ring(cells: ArrayLike, k: int = 1) -> Ragged:
    """Return, of each cell, the cells at most `k` steps away, without itself.

    Parameters
    ----------
    cells
        Unique cells, shape ``(n,)``; 3 µs each at ``k=1``, so call it on unique ones.
    k
        Steps, 0 or more. ``3 k (k + 1)`` members, fewer around a pentagon.

    Returns
    -------
    ring
        Members ascend within each row.
    """
    import h3.api.basic_int as h3

    if k < 0:
        msg = f"k is {k}; a ring is 0 or more steps wide. Example: 1"
        raise ValueError(msg)
    ids: list[int] = np.asarray(cells, np.uint64).tolist()
    rows = [sorted(set(h3.grid_disk(cell, k)) - {cell}) for cell in ids]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Ragged(offsets, np.fromiter(chain.from_iterable(rows), np.uint64, offsets[-1]))


def centres(cells: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the longitude and latitude of each cell's centre, degrees, shape ``(n,)``."""
    import h3.api.basic_int as h3

    ids: list[int] = np.asarray(cells, np.uint64).tolist()
    flat = np.fromiter(
        chain.from_iterable(map(h3.cell_to_latlng, ids)), np.float64, 2 * len(ids)
    ).reshape(-1, 2)
    return np.ascontiguousarray(flat[:, 1]), np.ascontiguousarray(flat[:, 0])


def corners(cells: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the corners of each cell, in order, not closed.

    Returns
    -------
    offsets, lon_lat
        Cell ``i`` has the corners ``lon_lat[offsets[i]:offsets[i + 1]]``: five to ten of
        them, degrees, longitude first, -180 to 180 without regard to the antimeridian.
    """
    import h3.api.basic_int as h3

    ids: list[int] = np.asarray(cells, np.uint64).tolist()
    rings = list(map(h3.cell_to_boundary, ids))
    offsets = np.zeros(len(rings) + 1, np.int64)
    np.cumsum([len(corner) for corner in rings], out=offsets[1:])
    pairs = chain.from_iterable(chain.from_iterable(rings))
    lat_lon = np.fromiter(pairs, np.float64, 2 * int(offsets[-1])).reshape(-1, 2)
    return offsets, lat_lon[:, ::-1].copy()


def _with_resolution(cells: NDArray[np.uint64], resolution: int) -> NDArray[np.uint64]:
    return (cells & ~_RESOLUTION_BITS) | (np.uint64(resolution) << _RESOLUTION_SHIFT)


def _check_not_finer(cells: NDArray[np.uint64], resolution: int, *, wanted_finer: bool) -> None:
    own = resolution_of(cells)
    is_wrong = own > resolution if wanted_finer else own < resolution
    if is_wrong.any():
        cell, found = cells[is_wrong].flat[0], own[is_wrong].flat[0]
        side, limit = ("finer", "at least") if wanted_finer else ("coarser", "at most")
        msg = (
            f"cell {format_cell(cell)} has resolution {found}, {side} than {resolution}; "
            f"ask for {limit} {found}"
        )
        raise InvalidResolutionError(msg)


def _paired(lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lon, lat = np.asarray(lon, np.float64).ravel(), np.asarray(lat, np.float64).ravel()
    if lon.shape != lat.shape:
        msg = f"lon has {lon.size} values, lat {lat.size}; want as many"
        raise ValueError(msg)
    return lon, lat
