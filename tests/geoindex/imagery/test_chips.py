"""Chips hold their cells, come in order, and are read no further ahead than said."""

import threading
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geoindex.errors import SourceError, UsageError
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import cells_at
from geoindex.imagery.base import Chip, ChipFrame, empty_chip
from geoindex.imagery.chips import ChipGrid, chip_grid, read_chips


class Numbered:
    """Imagery whose chips say which frame was asked for."""

    name = fingerprint = "numbered"
    stretched = (0.0, 255.0)

    def __init__(self, fails_at: float | None = None) -> None:
        self.fails_at = fails_at
        self.num_open, self.most_open = 0, 0
        self._lock = threading.Lock()

    def gsd_at(self, lon: float, lat: float) -> float:
        return 0.1

    def chip(self, frame: ChipFrame) -> Chip:
        with self._lock:
            self.num_open += 1
            self.most_open = max(self.most_open, self.num_open)
        if frame.lon == self.fails_at:
            msg = f"tile of {frame.lon:g}"
            raise SourceError(msg)
        chip = empty_chip(frame)
        chip.rgb[:] = int(frame.lon)
        return chip


@given(
    st.floats(-179, 179), st.floats(-80, 80), st.sampled_from([7, 9, 11]), st.sampled_from([8, 32])
)
def test_a_chip_holds_its_cell(lon: float, lat: float, resolution: int, patch_px: int) -> None:
    cells = cells_at([lon], [lat], resolution=resolution)
    grid = chip_grid(cells, Numbered(), patch_px=patch_px)
    (frame,) = grid.frames(cells)
    half = frame.side_m / 2
    turn = Transformer.from_crs("EPSG:4326", frame.crs, always_xy=True)
    corners = shapely.get_coordinates(boundaries(cells)[0])
    east, north = turn.transform(*corners.T)
    assert max(np.abs(east).max(), np.abs(north).max()) <= half
    assert frame.size_px % patch_px == 0
    assert frame.size_px * frame.gsd_m == pytest.approx(frame.side_m)
    assert frame.size_px <= 512


def test_gsd_is_kept() -> None:
    cells = cells_at([36.9], [-1.3], resolution=9)
    grid = chip_grid(cells, Numbered(), patch_px=16, gsd_m=0.5)
    assert grid.gsd_m == 0.5
    assert grid.side_m % 8 == 0
    with pytest.raises(UsageError, match="gsd is"):
        chip_grid(cells, Numbered(), patch_px=16, gsd_m=0)
    with pytest.raises(UsageError, match="pixels wide"):
        chip_grid(cells, Numbered(), patch_px=16, gsd_m=0.01).frames(cells)


def test_chips_come_in_order_and_few_at_a_time() -> None:
    source: Any = Numbered()
    grid = ChipGrid(8.0, 1.0)
    taken = []
    for chip in read_chips(source, [grid.frame(i, 0) for i in range(100)], workers=3):
        taken.append(int(chip.rgb[0, 0, 0]))
        assert source.num_open - len(taken) <= 6
    assert taken == list(range(100))


def test_the_first_failure_is_told() -> None:
    grid = ChipGrid(8.0, 1.0)
    frames = [grid.frame(i, 0) for i in range(50)]
    chips = read_chips(Numbered(fails_at=7.0), frames, workers=4)
    assert [int(next(chips).rgb[0, 0, 0]) for _ in range(7)] == list(range(7))
    with pytest.raises(SourceError, match="tile of 7"):
        next(chips)
