"""Blocks of rows pass whole, in part or not: what comes out is what point by point comes out."""

import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given
from hypothesis import strategies as st

from geoindex.geo.distance import BBox, LonLat
from geoindex.storage.zone_map import InBBox, InGeometry, InRadius, ZoneMap

POLES = [(0.0, 90.0), (180.0, -90.0), (-180.0, 10.0), (180.0, -16.8), (0.0, 0.0)]
points = st.tuples(st.floats(-180, 180), st.floats(-90, 90)) | st.sampled_from(POLES)
spreads = st.sampled_from([0.0, 1e-7, 1e-3, 0.1, 3.0, 60.0])
seeds = st.integers(0, 2**32)
blocks = st.sampled_from([1, 2, 7, 64, 1000])


def cloud(centre, spread, seed, n=200):
    """Return points near one, in about the order of cells, wrapped, some of them the same."""
    rng = np.random.default_rng(seed)
    lon = (centre[0] + rng.normal(0, spread, n) + 180) % 360 - 180
    lat = np.clip(centre[1] + rng.normal(0, spread, n), -90, 90)
    lon[rng.random(n) < 0.05] = rng.choice([180.0, -180.0])
    order = np.lexsort((lat, np.round(lon / max(spread, 1e-9)), np.round(lat / max(spread, 1e-9))))
    again = rng.random(n) < 0.2
    lon[again], lat[again] = lon[0], lat[0]
    return lon[order], lat[order]


def check(lon, lat, block_rows, *places):
    found = ZoneMap(lon, lat, block_rows=block_rows).rows_in(places)
    expected = np.all([place.judge(lon, lat) for place in places], axis=0)
    assert found.tolist() == np.flatnonzero(expected).tolist()
    assert found.dtype == np.int64


def box_of(point, width, height):
    west, east = ((point[0] + side + 180) % 360 - 180 for side in (-width, width))
    south, north = (float(np.clip(point[1] + side, -90, 90)) for side in (-height, height))
    return BBox(west, south, east, north)


@given(points, spreads, seeds, blocks, st.floats(0, 3), st.floats(0, 3))
@example((180.0, 90.0), 1e-3, 0, 2, 1.0, 1.0)
def test_of_a_box(point, spread, seed, block_rows, width, height):
    lon, lat = cloud(point, spread, seed)
    width, height = (min(side * max(spread, 1e-7), 179) for side in (width, height))
    check(lon, lat, block_rows, InBBox(box_of(point, width, height)))
    check(lon, lat, block_rows, InBBox(BBox(-180, -90, 180, 90)))
    check(lon, lat, block_rows, InBBox(BBox(170, -90, -170, 90)))


@given(points, spreads, seeds, blocks, st.sampled_from([1e-3, 30.0, 5e3, 4e5, 9e6, 2e7]))
def test_of_a_radius(point, spread, seed, block_rows, radius_m):
    lon, lat = cloud(point, spread, seed)
    check(lon, lat, block_rows, InRadius(LonLat(*point), radius_m))
    check(lon, lat, block_rows, InRadius(LonLat(float(lon[0]), float(lat[0])), radius_m))


@given(points, spreads, seeds, blocks, st.booleans())
def test_of_a_polygon(point, spread, seed, block_rows, has_hole):
    lon, lat = cloud(point, spread, seed)
    corners = np.stack(cloud(point, max(spread, 1e-6), seed + 1, 12), -1)
    area = shapely.concave_hull(shapely.multipoints(corners), 0.4)
    assume(area.geom_type == "Polygon" and area.is_valid)
    if has_hole:
        area = area.difference(area.centroid.buffer(area.area**0.5 / 6))
    assume(not area.is_empty)
    check(lon, lat, block_rows, InGeometry(area))


@given(points, spreads, seeds, blocks)
def test_of_several_at_once(point, spread, seed, block_rows):
    lon, lat = cloud(point, spread, seed)
    width = min(max(spread, 1e-7), 100)
    places = [InBBox(box_of(point, width, width)), InRadius(LonLat(*point), width * 9e4)]
    check(lon, lat, block_rows, *places)


@pytest.mark.parametrize("place", [InBBox(BBox(0, 0, 1, 1)), InRadius(LonLat(0, 0), 5.0)])
def test_no_rows_are_nowhere(place):
    assert ZoneMap(np.zeros(0), np.zeros(0)).rows_in([place]).tolist() == []


def test_few_points_of_a_large_place_are_judged():
    sides = np.meshgrid(np.linspace(0, 1, 300), np.linspace(0, 1, 300))
    lon, lat = (side.ravel() for side in sides)
    judged = []

    class Counting(InBBox):
        def judge(self, lon, lat):
            judged.append(len(lon))
            return super().judge(lon, lat)

    found = ZoneMap(lon, lat).rows_in([Counting(BBox(-1, 0.2, 2, 0.8))])
    assert len(found) == int(((lat >= 0.2) & (lat <= 0.8)).sum())
    assert judged[0] < 0.05 * len(lon)
