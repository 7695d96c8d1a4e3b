"""Chords of near places are as long as geodesics, wherever they are; spheres hold their bbox."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from geoindex.geo.ecef import bounding_spheres, distances, distances_to_box, earth_centred

_GEOD = Geod(ellps="WGS84")


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0, 360), st.floats(0, 1000))
def test_chords_are_geodesics(lon, lat, azimuth, metres):
    there = _GEOD.fwd(lon, lat, azimuth, metres)[:2]
    places = earth_centred(*np.array([(lon, lat), there]).T)
    assert distances(places[0], places[1]) == pytest.approx(metres, abs=2e-6)


@given(
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(0, 180),
    st.floats(-90, 90),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_spheres_hold_their_bbox(west, south, width, north, x, y):
    south, north = sorted((south, north))
    east = west + width
    bbox = np.array([[west, south, east - 360 if east > 180 else east, north]])
    (centre,), (radius_m,) = bounding_spheres(bbox)
    place = earth_centred(np.array([west + x * width]), np.array([south + y * (north - south)]))
    assert distances(centre, place[0]) <= radius_m


def test_a_bbox_round_the_earth_is_boundless():
    assert bounding_spheres(np.array([[-180.0, -90.0, 180.0, -60.0]]))[1] == np.inf


def test_distances_to_a_box():
    places = np.array([[0.0, 0, 0], [3, 4, 0], [-1, -1, -1]])
    found = distances_to_box(places, np.array([-1.0, -1, -1]), np.array([0.0, 0, 0]))
    assert found.tolist() == [0, 5, 0]
