"""The parts of geometries tell what is near as shapely tells it of the whole."""

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from geoindex.queries.by_image.footprint import parts_of, quartered

SHAPES = [
    "POINT (1 2)",
    "MULTIPOINT ((0 0), (9 9), EMPTY)",
    "LINESTRING (0 0, 3 4, 3 4, 10 -2)",
    "LINESTRING (5 5, 5 5)",
    "LINEARRING (0 0, 8 0, 4 6, 0 0)",
    "MULTILINESTRING ((0 0, 0 9), (4 1, 9 2, 9 9))",
    "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0), (3 3, 3 6, 6 6, 6 3, 3 3))",
    "MULTIPOLYGON (((0 0, 4 0, 2 3, 0 0)), ((6 6, 9 6, 9 9, 6 6)))",
    "GEOMETRYCOLLECTION (POINT (9 0), GEOMETRYCOLLECTION (LINESTRING (0 9, 4 7), POLYGON EMPTY))",
    "GEOMETRYCOLLECTION (MULTIPOLYGON (((0 0, 4 0, 2 3, 0 0))), MULTIPOINT ((8 8)))",
    "POLYGON EMPTY",
    "GEOMETRYCOLLECTION EMPTY",
]


def near(
    shapes: NDArray[np.object_], reach: float, most: float, places: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Say which shape is near which place, by parts, shape ``(shapes, places)``."""
    pieces, polygons, owners = parts_of(shapes, most)
    assert np.hypot(*(pieces.end - pieces.start).T).max(initial=0) <= most * (1 + 1e-9)
    out = np.zeros((len(shapes), len(places)), np.bool_)
    for i, (x, y) in enumerate(places.tolist()):
        every = np.arange(len(pieces.shape))
        is_near = pieces.within(reach, every, np.full(len(every), x), np.full(len(every), y))
        out[pieces.shape[is_near], i] = True
        out[owners[shapely.intersects_xy(polygons, x, y)], i] = True
    return out


@pytest.mark.parametrize("reach", [0.3, 2.0])
@pytest.mark.parametrize("most", [0.5, 3.0, 100.0])
def test_what_is_near_is_what_shapely_says(reach: float, most: float) -> None:
    shapes = shapely.from_wkt(np.array(SHAPES, object))
    places = np.random.default_rng(0).uniform(-4, 14, (2000, 2))
    found = near(shapes, reach, most, places)
    wanted = shapely.dwithin(shapes[:, None], shapely.points(places)[None], reach)
    np.testing.assert_array_equal(found, wanted)
    assert found[:-2].any(axis=1).all()
    assert not found[-2:].any()


def test_no_shapes_have_no_parts() -> None:
    pieces, polygons, owners = parts_of(np.array([], object), 1.0)
    assert (len(pieces.shape), len(polygons), len(owners)) == (0, 0, 0)


@pytest.mark.parametrize("most", [0.7, 4.0, 100.0])
def test_quarters_hold_the_polygon_and_little_more(most: float) -> None:
    """A ring with a hole, a long thin one, and none."""
    shapes = shapely.from_wkt(np.array([SHAPES[6], SHAPES[-2]], object))
    thin = shapely.buffer(shapely.from_wkt("LINESTRING (0 0, 40 37)"), 0.1)
    polygons = np.append(shapes, thin)
    shapely.prepare(polygons)
    polygon, low, high = quartered(polygons, most)
    assert (high - low).max() <= most or most == 100.0
    boxes = shapely.box(*low.T, *high.T)
    for i in (0, 2):
        whole = shapely.union_all(boxes[polygon == i])
        assert shapely.area(shapely.difference(polygons[i], whole)) < 1e-9
        assert shapely.intersects(polygons[i], boxes[polygon == i]).all()
    assert 1 not in polygon
    assert most == 100.0 or shapely.area(boxes[polygon == 2]).sum() < 40 * 37 / 4
