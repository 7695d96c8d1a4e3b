"""Outlines of cells are valid, hold their points and tile the Earth."""

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import base_cells, children
from tests.geoindex.geo.cells import cell, points


@settings(deadline=None)
@given(points, st.integers(0, 12))
@example((0.0, 90.0), 0)
@example((0.0, -90.0), 1)
@example((180.0, 0.0), 2)
def test_a_boundary_is_valid_and_holds_its_points(point, resolution):
    own = cell(point, resolution)
    (ground,) = boundaries(own)
    assert ground.is_valid
    assert ground.geom_type in {"Polygon", "MultiPolygon"}
    assert shapely.box(-180, -90, 180, 90).covers(ground)
    # a side is off by a thousandth of itself at most, and corners have rounding errors
    slack = max(0.01 * np.sqrt(ground.area), 1e-9)
    assert ground.buffer(slack).intersects(shapely.Point(point))


@pytest.mark.parametrize("resolution", [0, 1, 2])
def test_the_cells_tile_the_earth(resolution):
    cells = base_cells()
    for _ in range(resolution):
        cells = children(cells)
    whole = shapely.area(boundaries(cells)).sum()
    assert whole == pytest.approx(360 * 180, rel=1e-3)


def test_no_cells_have_no_outlines():
    assert boundaries(np.empty(0, np.uint64)).size == 0
