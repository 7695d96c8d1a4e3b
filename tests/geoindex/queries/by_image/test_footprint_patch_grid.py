"""A grid tells the points of boxes as looking at every point does."""

import numpy as np
import pytest
from numpy.typing import NDArray

from geoindex.queries.by_image.footprint import PatchGrid

ROW = 0.003


def inside(
    lon_lat: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], slack: float
) -> NDArray[np.bool_]:
    """Say which points lie in a box that may run over the antimeridian."""
    turns = lon_lat[:, :1] + np.array([[-360.0, 0.0, 360.0]])
    west, east = low[0] - slack, high[0] + slack
    is_along = ((west <= turns) & (turns <= east)).any(axis=1)
    lat = lon_lat[:, 1]
    return is_along & (low[1] - slack <= lat) & (lat <= high[1] + slack)


@pytest.mark.parametrize(
    ("lon", "lat"), [(9.5, 47.1), (180.0, 1.0), (-180.0, -60.0), (0.0, 0.0), (30.0, 89.99)]
)
def test_boxes_hold_what_lies_in_them_once(lon: float, lat: float) -> None:
    rng = np.random.default_rng(0)
    points = np.array([lon, lat]) + rng.uniform(-0.02, 0.02, (3000, 2))
    points[:, 0] = (points[:, 0] + 180) % 360 - 180
    points[:, 1] = points[:, 1].clip(-90, 90)
    middle, half = rng.permutation(points)[:200], rng.uniform(0, 0.02, (200, 2))
    half[0] = 200.0, 0.01  # all round the Earth
    half[1] = 179.9999, 0.01
    low, high = middle - half, middle + half
    grid = PatchGrid(points, ROW)
    box, place = grid.in_boxes(low, high)
    assert (np.diff(box) >= 0).all()
    np.testing.assert_array_equal(points[grid.order], np.column_stack([grid.lon, grid.lat]))
    for i in range(len(low)):
        found = grid.order[place[box == i]]
        assert len(set(found.tolist())) == len(found)
        assert set(np.flatnonzero(inside(points, low[i], high[i], 0.0))) <= set(found.tolist())
        # a row more at most
        assert inside(points[found], low[i], high[i], ROW).all()


def test_the_order_in_a_box_does_not_depend_on_other_points() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 0.02, (500, 2))
    few = np.flatnonzero(points[:, 0] < 0.01)
    box = np.array([[0.001, 0.001]]), np.array([[0.009, 0.015]])
    whole, part = PatchGrid(points, ROW), PatchGrid(points[few], ROW)
    (_, at), (_, at_few) = whole.in_boxes(*box), part.in_boxes(*box)
    assert len(at) > 50
    assert whole.order[at].tolist() == few[part.order[at_few]].tolist()


def test_nothing_has_no_points() -> None:
    none = np.empty((0, 2))
    for grid, boxes in ((PatchGrid(none, ROW), np.zeros((2, 2))), (PatchGrid(none, ROW), none)):
        box, place = grid.in_boxes(boxes, boxes)
        assert (box.size, place.size) == (0, 0)
    assert PatchGrid(np.ones((3, 2)), ROW).in_boxes(none, none)[0].size == 0
