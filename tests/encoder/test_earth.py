import math

import pytest
from pyproj import Geod

from encoder.earth import (
    ECCENTRICITY2,
    EQUATORIAL_RADIUS_M,
    MEAN_RADIUS_M,
    TILE_METRES_PER_DEGREE,
)

WGS84 = Geod(ellps="WGS84")


def test_the_ellipsoid_is_that_of_proj():
    assert WGS84.a == EQUATORIAL_RADIUS_M
    assert WGS84.es == pytest.approx(ECCENTRICITY2, rel=1e-15)
    assert (2 * WGS84.a + WGS84.b) / 3 == pytest.approx(MEAN_RADIUS_M, abs=0.1)


def test_a_degree_of_a_tile_is_one_of_the_mean_radius_rounded():
    assert math.radians(MEAN_RADIUS_M) == pytest.approx(TILE_METRES_PER_DEGREE, abs=0.1)
