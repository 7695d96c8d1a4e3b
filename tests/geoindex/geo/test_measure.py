"""Areas and lengths are those that pyproj measures one by one; ranges hold their ends."""

import numpy as np
import pytest
import shapely
from pyproj import Geod

from geoindex.errors import UsageError
from geoindex.geo.measure import Range, areas_m2, lengths_m, parse_area, parse_length

GEOD = Geod(ellps="WGS84")
SQUARE = shapely.box(7.40, 43.70, 7.42, 43.72)
HOLE = shapely.box(7.405, 43.705, 7.41, 43.71)
LINE = shapely.LineString([(7.4, 43.7), (7.5, 43.8), (7.5, 43.9)])


@pytest.mark.parametrize("turn", [False, True])
def test_measures_are_those_of_pyproj(turn):
    square, hole = (
        shapely.Polygon(shapely.get_exterior_ring(each).coords[:: -1 if turn else 1])
        for each in (SQUARE, HOLE)
    )
    holed = shapely.Polygon(square.exterior, [hole.exterior])
    both = shapely.GeometryCollection([shapely.MultiPolygon([holed]), LINE])
    shapes = np.array([square, holed, LINE, shapely.Point(1, 2), both], object)
    outer, inner = (abs(GEOD.geometry_area_perimeter(s)[0]) for s in (square, hole))
    expected = [outer, outer - inner, np.nan, np.nan, outer - inner]
    assert areas_m2(shapes) == pytest.approx(expected, nan_ok=True)
    round_m, along_m = GEOD.geometry_length(square), GEOD.geometry_length(LINE)
    expected = [round_m, round_m, along_m, np.nan, round_m + along_m]
    assert lengths_m(shapes) == pytest.approx(expected, nan_ok=True)


def test_what_crosses_the_antimeridian_is_as_large_as_elsewhere():
    corners = np.array([(179.99, -17), (-179.99, -17), (-179.99, -16.99), (179.99, -16.99)])
    here = shapely.Polygon(np.column_stack([corners[:, 0] % 360 - 90, corners[:, 1]]))
    across = np.array([shapely.Polygon(corners), here], object)
    assert np.ptp(areas_m2(across)) < 1e-3
    assert np.ptp(lengths_m(across)) < 1e-3


def test_no_geometries_have_no_measures():
    for measure in (areas_m2, lengths_m):
        assert measure(np.array([], object)).shape == (0,)


@pytest.mark.parametrize(
    ("text", "m2"), [("500", 500), ("500 m2", 500), ("2ha", 2e4), ("1.5km²", 1.5e6), ("0", 0)]
)
def test_areas_are_read(text, m2):
    assert parse_area(text) == m2


@pytest.mark.parametrize("text", ["", "5 acres", "-1", "1e999", "1..2", "5m", "km2"])
def test_no_area_is_refused(text):
    with pytest.raises(UsageError, match="Example: 500m2"):
        parse_area(text)


def test_lengths_are_read():
    assert parse_length("1.5km") == 1500
    with pytest.raises(UsageError, match=r"Example: 1\.5km"):
        parse_length("5m2")


def test_a_range_holds_its_ends_and_refuses_none():
    values = np.array([1, 2, 3, np.nan])
    assert Range("area", 1, 2).holds(values).tolist() == [True, True, False, False]
    assert Range("area", most=2).holds(values).tolist() == [True, True, False, False]
    for ends in ((2, 1), (-1, None), (float("nan"), None)):
        with pytest.raises(UsageError, match="Example"):
            Range("area", *ends)
