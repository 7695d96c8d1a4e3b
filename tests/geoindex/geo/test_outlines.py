"""Places along outlines are as far apart as was wanted; vertices are one where OSM has one node."""

import numpy as np
import pytest
import shapely

from geoindex.geo.ecef import distances
from geoindex.geo.outlines import outlines_of

_EVERYWHERE = {"low": np.full(3, -1e8), "high": np.full(3, 1e8), "within_m": 1.0}


def outlines(*shapes):
    return outlines_of(np.array(shapes, object))


@pytest.mark.parametrize(
    ("shape", "num"),
    [
        (shapely.Point(1, 2), 1),
        (shapely.LineString([(0, 0), (1e-5, 0)]), 3),
        (shapely.LineString([(0, 0), (0, 1e-3)]), 13),
        (shapely.LineString([(0, 0), (0, 0)]), 4),
        (shapely.box(0, 0, 1e-5, 1e-5), 4),
        (shapely.box(0, 0, 1e-3, 1e-3), 45),
        (shapely.box(0, 0, 1e-3, 1e-3).difference(shapely.box(4e-4, 4e-4, 5e-4, 5e-4)), 50),
        (shapely.MultiPoint([(0, 0), (1, 1)]), 2),
        (shapely.GeometryCollection([shapely.Point(0, 0), shapely.box(0, 0, 1e-5, 1e-5)]), 5),
        (shapely.Point(), 0),
    ],
)
def test_number_of_places(shape, num):
    places, owner = outlines(shapely.Point(5, 5), shape).samples(spacing_m=10.0, **_EVERYWHERE)
    assert (owner == 1).sum() == num
    assert len(places) == len(owner)


def test_places_are_equally_spaced():
    line = shapely.LineString([(179.999, 60), (-179.9995, 60), (-179.998, 60)])
    places, _ = outlines(line).samples(spacing_m=10.0, **_EVERYWHERE)
    assert distances(places[1:], places[:-1]) == pytest.approx(10, abs=0.5)


def test_places_far_from_the_box_are_left_out():
    line = outlines(shapely.LineString([(0, 0), (10, 0)]))
    low = high = outlines(shapely.Point(5, 0)).places[0]
    places, _ = line.samples(spacing_m=10.0, low=low, high=high, within_m=100)
    away = distances(places, low[None])
    assert 20 <= (away <= 100).sum() <= 21
    assert away.max() < 2000


def test_places_of_one_outline_do_not_depend_on_the_others():
    shapes = [shapely.LineString([(i, i), (i + 0.01, i), (i + 0.01, i + 0.02)]) for i in range(9)]
    places, owner = outlines(*shapes).samples(spacing_m=7.0, **_EVERYWHERE)
    for i, shape in enumerate(shapes):
        alone, _ = outlines(shape).samples(spacing_m=7.0, **_EVERYWHERE)
        assert np.array_equal(places[owner == i], alone)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ((12.3456789, 55.1), (12.34567891, 55.1), True),
        ((12.3456789, 55.1), (12.345679, 55.1), False),
        ((180, 10), (-180, 10), True),
        ((20, 90), (-70, 90), True),
        ((0, -90), (100, -90), True),
        ((0, -90), (0, 90), False),
        ((0, 10), (10, 0), False),
    ],
)
def test_places_on_the_grid(one, other, is_same):
    one_key, other_key = outlines(shapely.Point(one), shapely.Point(other)).grid_keys()
    assert (one_key == other_key) is np.bool_(is_same)


def test_ends():
    ring = shapely.LineString([(0, 0), (1, 0), (1, 1), (0, 0)])
    line = shapely.LineString([(0, 0), (1, 0), (1, 1)])
    assert outlines(ring, line).is_end().tolist() == [False] * 4 + [True, False, True]
