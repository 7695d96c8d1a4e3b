"""Vector tiles as GDAL reads them: a reader that is not ours."""

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoindex.serve import mvt

_WORLD_M = 20_037_508.342789244


def read(path: Path, layer: mvt.Layer) -> dict[int, shapely.Geometry]:
    """Return the features of a layer of tile 0/0/0, in tile units, by their ids."""
    path.write_bytes(mvt.tile_of([layer]))
    frame = pyogrio.read_dataframe(path, layer="things", X=0, Y=0, Z=0)
    unit = 2 * _WORLD_M / mvt.EXTENT

    def to_units(places: np.ndarray) -> np.ndarray:
        return np.stack([places[:, 0] + _WORLD_M, _WORLD_M - places[:, 1]], axis=1) / unit

    shapes = shapely.transform(frame.geometry.to_numpy(), to_units)
    return dict(zip(frame["mvt_id"].tolist(), shapes, strict=True))


def layer_of(shapes: list[shapely.Geometry], form: int) -> mvt.Layer:
    layer = mvt.Layer("things", ("number", "name", "no"))
    encoded = mvt.encode_geometries(np.array(shapes, object), form)
    for number, commands in zip(encoded.kept.tolist(), encoded.commands, strict=True):
        layer.add(number, form, commands, (number, f"n{number}", None))
    return layer


numbers = st.integers(0, mvt.EXTENT)
points = st.tuples(numbers, numbers)
boxes = st.tuples(
    st.integers(0, 4000), st.integers(0, 4000), st.integers(3, 90), st.integers(3, 90)
)


@settings(max_examples=12)
@given(st.lists(boxes, min_size=1, max_size=8), st.booleans())
def test_areas_and_their_holes_come_back(
    tmp_path_factory: pytest.TempPathFactory, several: list[tuple[int, ...]], has_hole: bool
) -> None:
    shapes = []
    for x, y, w, h in several:
        area = shapely.box(x, y, x + w, y + h)
        if has_hole:
            area = area.difference(shapely.box(x + 1, y + 1, x + w - 1, y + h - 1))
        shapes.append(area)
    path = tmp_path_factory.mktemp("tiles") / "tile.mvt"
    found = read(path, layer_of(shapes, mvt.POLYGON))
    assert sorted(found) == list(range(len(shapes)))
    for number, shape in enumerate(shapes):
        assert found[number].symmetric_difference(shape).area < 1e-3 * max(shape.area, 1)


@settings(max_examples=12)
@given(st.lists(st.lists(points, min_size=2, max_size=9, unique=True), min_size=1, max_size=6))
def test_lines_come_back(
    tmp_path_factory: pytest.TempPathFactory, several: list[list[tuple[int, int]]]
) -> None:
    shapes = [shapely.LineString(line) for line in several]
    path = tmp_path_factory.mktemp("tiles") / "tile.mvt"
    found = read(path, layer_of(shapes, mvt.LINE))
    assert len(found) == len(shapes)
    for number, shape in enumerate(shapes):
        assert shapely.hausdorff_distance(found[number], shape) < 1e-3


def test_points_single_and_several(tmp_path: Path) -> None:
    shapes = [shapely.Point(7, 9), shapely.MultiPoint([(1, 2), (3, 4), (4000, 5)])]
    found = read(tmp_path / "tile.mvt", layer_of(shapes, mvt.POINT))
    assert shapely.hausdorff_distance(found[0], shapes[0]) < 1e-3
    assert len(shapely.get_parts(found[1])) == 3


def test_what_is_nothing_in_whole_numbers_is_left_out() -> None:
    speck = shapely.box(5.1, 5.1, 5.3, 5.3)
    big = shapely.box(10, 10, 20, 20)
    assert mvt.encode_geometries(np.array([speck, big]), mvt.POLYGON).kept.tolist() == [1]
    dot = shapely.LineString([(1.1, 1.1), (1.2, 1.2)])
    assert not len(mvt.encode_geometries(np.array([dot]), mvt.LINE).kept)
    assert not len(mvt.encode_geometries(np.array([], object), mvt.POINT).kept)


def test_a_hole_goes_with_the_ring_that_is_left_out() -> None:
    speck = shapely.Polygon(
        [(0, 0), (0.4, 0), (0.4, 0.4), (0, 0.4)], [[(0.1, 0.1), (0.3, 0.1), (0.2, 0.3)]]
    )
    big = shapely.box(10, 10, 20, 20)
    several = shapely.MultiPolygon([speck, big])
    encoded = mvt.encode_geometries(np.array([several]), mvt.POLYGON)
    alone = mvt.encode_geometries(np.array([big]), mvt.POLYGON)
    assert encoded.commands == alone.commands


def test_values_of_all_types(tmp_path: Path) -> None:
    values = {"text": "ä\u2028", "whole": 1, "less": -70_000, "part": 0.25, "truth": True}
    layer = mvt.Layer("things", tuple(values))
    (commands,) = mvt.encode_geometries(np.array([shapely.Point(1, 1)]), mvt.POINT).commands
    layer.add(1 << 40, mvt.POINT, commands, tuple(values.values()))
    path = tmp_path / "tile.mvt"
    path.write_bytes(mvt.tile_of([layer]))
    frame = pyogrio.read_dataframe(path, layer="things")
    row = frame.iloc[0]
    assert row["mvt_id"] == 1 << 40
    assert {name: row[name] for name in values} == values
