"""A box holds its geometry, also across the antimeridian, and the box of all holds all."""

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoindex.geo.antimeridian import Extent, bbox_column, bboxes

LON, LAT, WIDTH = st.floats(-180, 180), st.floats(-90, 90), st.floats(0, 179)


def wrapped(lon):
    return lon - 360 if lon > 180 else lon


@st.composite
def boxes(draw):
    west, south = draw(LON), draw(LAT)
    return (west, south, wrapped(west + draw(WIDTH)), min(90, south + draw(st.floats(0, 90))))


def holds(outer, lon):
    west, _, east, _ = outer
    near = 1e-9
    if west <= east:
        return west - near <= lon <= east + near
    return lon >= west - near or lon <= east + near


@given(st.lists(boxes(), min_size=1, max_size=6))
def test_the_box_of_all_holds_each(parts):
    extent = Extent()
    for part in parts:
        extent.add(np.array([part]))
    found = extent.bbox()
    for west, south, east, north in parts:
        assert found[1] <= south <= north <= found[3]
        middle = wrapped(west + ((east - west) % 360) / 2)
        assert all(holds(found, lon) for lon in (west, middle, east))


def test_nothing_has_no_box():
    extent = Extent()
    extent.add(np.zeros((0, 4)))
    extent.add(np.full((1, 4), np.nan))
    assert extent.bbox() is None


@pytest.mark.parametrize(
    ("wkt", "wanted"),
    [
        ("POINT (1 2)", (1, 2, 1, 2)),
        ("POLYGON ((-100 0, 100 0, 100 1, -100 0))", (100, 0, -100, 1)),
        ("POLYGON ((-180 80, 180 80, 180 90, -180 90, -180 80))", (-180, 80, 180, 90)),
    ],
)
def test_box_of_a_geometry(wkt, wanted):
    assert tuple(bboxes(np.array([shapely.from_wkt(wkt)]))[0]) == wanted


def test_no_geometry_has_a_null_box():
    found = bboxes(np.array([None, shapely.Point(1, 2)], object))
    column = bbox_column(found, is_null=pa.array([True, False]))
    assert column.is_null().to_pylist() == [True, False]
