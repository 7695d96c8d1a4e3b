"""Places are read or clearly refused, and points are judged as shapely and pyproj judge them."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from pyproj import Geod

from geoindex.errors import InvalidPlaceError
from geoindex.geo.distance import (
    BBox,
    LonLat,
    check_point,
    check_radius,
    distances_m,
    in_bbox,
    parse_bbox,
    parse_point,
    parse_radius,
    within_geometry,
    within_radius,
)

SQUARE = "POLYGON((13 55,13.2 55,13.2 55.2,13 55.2,13 55))"
lons = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, 180.0]))
lats = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0]))
points = st.builds(LonLat, lons, lats)
GEOD = Geod(ellps="WGS84")


def arrays(places):
    return np.array([p.lon for p in places]), np.array([p.lat for p in places])


def test_places_are_read():
    assert parse_bbox("-71,42.1,-70.5, 42.5") == BBox(-71, 42.1, -70.5, 42.5)
    assert parse_bbox("179,-18,-179,-16").crosses_antimeridian
    assert str(parse_bbox("-71,42,-70,43")) == "-71,42,-70,43"
    assert parse_point("13.00,55.60") == (13.0, 55.6)


@pytest.mark.parametrize(
    ("text", "radius_m"),
    [("500m", 500), ("1.5km", 1500), ("0.3mi", 482.8032), ("1000", 1000), ("2 KM", 2000)],
)
def test_a_radius_is_in_metres(text, radius_m):
    assert parse_radius(text) == pytest.approx(radius_m)


@pytest.mark.parametrize("text", ["0", "-5m", "nan", "inf", "5 parsecs", "", "m", "1e9", "1.2.3m"])
def test_a_radius_is_positive_and_fits_on_earth(text):
    with pytest.raises(InvalidPlaceError, match="Example: 500m"):
        parse_radius(text)


def test_a_number_is_checked_as_a_text_is():
    with pytest.raises(InvalidPlaceError):
        check_radius(math.nan)
    with pytest.raises(InvalidPlaceError):
        check_point(math.nan, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2,3", "want --bbox W,S,E,N"),
        ("a,b,c,d", "want --bbox W,S,E,N"),
        ("nan,0,1,1", "want --bbox W,S,E,N"),
        ("١,2,3,4", "want --bbox W,S,E,N"),
        ("42,-100,43,-99", "Did you mean -100,42,-99,43"),
        ("13,56,14,55", "Did you mean 13,55,14,56"),
        ("190,0,200,1", "Did you mean -170,0,-160,1"),
        ("400,100,500,101", "latitude"),
    ],
)
def test_a_bbox_that_is_none(text, said):
    with pytest.raises(InvalidPlaceError, match=said):
        parse_bbox(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("13", "want LON,LAT"),
        ("13;55", "want LON,LAT"),
        ("55,113", "Did you mean 113,55"),
        ("200,10", "Did you mean -160,10"),
        ("inf,0", "want LON,LAT"),
    ],
)
def test_a_point_that_is_none(text, said):
    with pytest.raises(InvalidPlaceError, match=said):
        parse_point(text)


@given(st.lists(points), lons, lats, lons, lats)
def test_a_bbox_holds_what_its_boxes_hold(places, west, south, east, north):
    assume(south <= north)
    spans = [(west, east)] if west <= east else [(west, 180), (-180, east)]
    found = in_bbox(*arrays(places), BBox(west, south, east, north))
    for place, is_in in zip(places, found.tolist(), strict=True):
        # 180 is -180, and at a pole every longitude is the same
        turns = {place.lon, -place.lon} if abs(place.lon) == 180 else {place.lon}
        by_lon = abs(place.lat) == 90 or any(w <= t <= e for w, e in spans for t in turns)
        assert is_in == (by_lon and south <= place.lat <= north)


@given(st.lists(points), points)
def test_distances_are_those_of_the_geodesic(places, centre):
    found = distances_m(*arrays(places), centre)
    for place, metres in zip(places, found.tolist(), strict=True):
        assert metres == pytest.approx(GEOD.inv(*centre, *place)[2], abs=1e-6)


@given(points, points, st.floats(0.98, 1.02))
def test_a_radius_is_judged_by_the_geodesic(place, centre, factor):
    metres = GEOD.inv(*centre, *place)[2]
    radius_m = metres * factor
    assume(radius_m > 0)
    assert within_radius([place.lon], [place.lat], centre, radius_m)[0] == (metres <= radius_m)


@given(points, st.floats(0, 360), st.floats(1e-3, 2e7))
def test_the_cheap_sphere_never_decides_wrongly(centre, azimuth, radius_m):
    for factor in (0.9, 0.995, 1.005, 1.1):
        lon, lat, _ = GEOD.fwd(*centre, azimuth, radius_m * factor)
        metres = GEOD.inv(*centre, lon, lat)[2]
        assert within_radius([lon], [lat], centre, radius_m)[0] == (metres <= radius_m)


@given(st.lists(points))
def test_a_polygon_holds_what_shapely_says(places):
    area = shapely.box(-180, -45, 90, 90).difference(shapely.box(-90, -10, 10, 10))
    found = within_geometry(*arrays(places), area)
    assert found.tolist() == [area.intersects(shapely.Point(place)) for place in places]


def test_the_border_of_a_polygon_belongs_to_it():
    assert within_geometry(
        [13.0, 13.2, 12.9], [55.1, 55.0, 55.0], shapely.from_wkt(SQUARE)
    ).tolist() == [
        True,
        True,
        False,
    ]
