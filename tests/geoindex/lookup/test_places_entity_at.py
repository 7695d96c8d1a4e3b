"""What stands at a point is what a search of all geometries finds, also at 180° and the pole."""

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Geod

import geoindex
from geoindex.errors import NotInIndexError
from geoindex.geo.distance import LonLat
from geoindex.lookup.places import AT_REACH_M, entity_at
from tests.support.maps import ISLAND_LAT, OTHER_TOWN, TOWN
from tests.support.osm_files import OsmFile

GEOD = Geod(ellps="WGS84")


def test_the_smallest_area_there(small_index):
    lon, lat = TOWN[0] + 0.02, TOWN[1] + 0.01
    found = small_index.entities.record(entity_at(small_index, LonLat(lon, lat)))
    assert found["kind"] == "natural=water"
    # between the pond and the inner ring of the park there is only the hole
    in_park = entity_at(small_index, LonLat(lon + 0.0035, lat))
    assert small_index.entities.record(in_park)["kind"] == "leisure=park"


def test_of_areas_in_one_another_the_smallest_holds_the_point(tmp_path):
    osm, sides = OsmFile(), (0.004, 0.001, 0.008, 0.002, 0.006)
    for side in sides:
        osm.square(*TOWN, side, landuse="forest", name=str(side))
    index = geoindex.build(osm.write(tmp_path / "nested.osm"), tmp_path / "nested.geoindex")
    for side in sides:
        point = LonLat(TOWN[0] + side * 0.499, TOWN[1])
        assert index.entities.record(entity_at(index, point))["name"] == str(side)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    lon=st.floats(-0.003, 0.006),
    lat=st.floats(-0.003, 0.006),
    town=st.sampled_from([TOWN, OTHER_TOWN]),
)
def test_the_nearest_in_reach_by_geometry(small_index, lon, lat, town):
    point = LonLat(town[0] + lon, town[1] + lat)
    here = shapely.Point(point)
    shapes = shapely.from_wkb(small_index.entities.table["geometry"].to_pylist())
    holds = [i for i, s in enumerate(shapes) if s.intersects(here) and s.area > 0]
    if holds:
        assert entity_at(small_index, point) == min(holds, key=lambda i: shapes[i].area)
        return
    away = [_away_m(point, shape) for shape in shapes]
    if min(away) <= AT_REACH_M - 0.01:
        assert away[entity_at(small_index, point)] == pytest.approx(min(away), abs=0.01)
    elif min(away) > AT_REACH_M + 0.01:
        with pytest.raises(NotInIndexError, match="within 100 m"):
            entity_at(small_index, point)


def _away_m(point, shape):
    """Measure to the nearest of many points along a geometry, then around that one again."""
    if abs(shape.bounds[0] - point.lon) > 1:
        return np.inf
    lines = shape.boundary if shape.area else shape
    if lines.geom_type == "Point":
        return GEOD.inv(*point, lines.x, lines.y)[2]
    parts = list(getattr(lines, "geoms", [lines]))
    return min(_along(point, part, 0, 1) for part in parts)


def _along(point, line, low, high):
    for _ in range(4):
        shares = np.linspace(low, high, 400)
        points = shapely.line_interpolate_point(line, shares, normalized=True)
        places = shapely.get_coordinates(points)
        n = len(shares)
        metres = GEOD.inv(np.full(n, point.lon), np.full(n, point.lat), *places.T)[2]
        best, step = int(np.argmin(metres)), (high - low) / (n - 1)
        low, high = max(0, shares[best] - step), min(1, shares[best] + step)
    return metres.min()


@pytest.mark.parametrize("lon", [179.9999, 180.0, -180.0, -179.9999])
def test_the_antimeridian_is_no_border(small_index, lon):
    house = small_index.entities.record(entity_at(small_index, LonLat(lon, ISLAND_LAT - 0.002)))
    assert house["name"] == "On the line"


def test_what_is_near_across_the_antimeridian(small_index):
    found = small_index.entities.record(
        entity_at(small_index, LonLat(-179.99995, ISLAND_LAT + 0.0004))
    )
    assert found["name"] == "Island 4"


@pytest.mark.parametrize("lon", [-179.0, 0.0, 44.0, 133.0])
def test_at_the_pole_all_longitudes_meet(small_index, lon):
    found = small_index.entities.record(entity_at(small_index, LonLat(lon, 90.0)))
    assert dict(found["tags"])["ref"] == "0"


def test_nothing_there_says_how_far_the_nearest_is(small_index):
    with pytest.raises(NotInIndexError, match=r"within 100 m of 24\.9,60; .* km away") as caught:
        entity_at(small_index, LonLat(24.9, 60.0))
    assert caught.value.exit_code == 3
    with pytest.raises(NotInIndexError, match=r"is \d{3} m away, at"):
        entity_at(small_index, LonLat(TOWN[0] - 0.005, TOWN[1] + 0.001))
