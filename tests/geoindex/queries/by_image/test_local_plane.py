"""Places about points are those of PROJ's geodesics, to a tenth of a millimetre."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from geoindex.queries.by_image.local_plane import (
    columns_off_m,
    metres_per_degree,
    offsets_m,
    places_about,
)


@pytest.mark.parametrize("side_m", [300.0, 2999.0, 50_000.0])
@pytest.mark.parametrize("lats", [(0.0, 47.0, -33.0, 79.0), (89.9, -85.0, 10.0, 0.1)])
def test_places_are_those_of_geodesics(side_m: float, lats: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    lon, lat = np.array([9.5, 180.0, -179.9999, 0.0]), np.array(lats)
    of = rng.integers(0, 4, 2000)
    east, north = rng.uniform(-side_m, side_m, (2, 2000))
    found = places_about(lon, lat, of, east, north)
    assert np.abs(found[:, 0]).max() <= 180
    azimuth, _, away = Geod(ellps="WGS84").inv(lon[of], lat[of], *found.T)
    off = away * np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    assert np.abs(off - [east, north]).max() < 1e-4


def test_no_places() -> None:
    none = np.zeros(0)
    assert places_about(none, none, none.astype(int), none, none).shape == (0, 2)


@given(st.integers(0, 2**32 - 1), st.floats(-180, 180), st.integers(0, 20))
def test_columns_lie_where_pairs_do(seed, middle, count):
    rng = np.random.default_rng(seed)
    # about a meridian, the antimeridian among them
    points = np.column_stack([
        (rng.normal(middle, 0.1, 3) + 180) % 360 - 180, rng.uniform(-89, 89, 3)
    ])  # fmt: skip
    of = rng.integers(0, 3, count)
    lon_lat = points[of] + rng.normal(0, 0.05, (count, 2))
    lon_lat[:, 0] = (lon_lat[:, 0] + 180) % 360 - 180
    wanted = offsets_m(points[of], lon_lat)
    metres = metres_per_degree(points[:, 1])
    found = columns_off_m(lon_lat[:, 0].copy(), lon_lat[:, 1].copy(), points, metres, of)
    np.testing.assert_allclose(np.column_stack(found), wanted, atol=1e-6)
