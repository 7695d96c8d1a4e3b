"""A row's point lies on its entity, its box holds it, and its hash changes with its content."""

from collections import Counter
from pathlib import Path
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from geoindex.features.kinds import kinds_of
from geoindex.features.schema import ENTITY_SCHEMA, content_hash, entity_batch
from geoindex.features.tags import tag_map_of
from geoindex.geo.distance import BBox
from geoindex.sources.base import RawEntities
from geoindex.sources.osm.reader import OsmSource
from tests.support.maps import write_small_map
from tests.support.osm_files import real_maps

DEGREES = st.floats(-80, 80).map(lambda x: round(x, 7))


def rows_of(
    *geometries: shapely.Geometry | bytes | None,
    tags: dict[str, str] | None = None,
    bbox: BBox | None = None,
) -> tuple[pa.RecordBatch, Counter[str]]:
    wkb = [shapely.to_wkb(g) if isinstance(g, shapely.Geometry) else g for g in geometries]
    maps = tag_map_of([tags or {"natural": "wood"}] * len(wkb))
    raw = RawEntities(
        pa.array([f"way/{i}" for i in range(len(wkb))], pa.string()),
        pa.array(["way"] * len(wkb), pa.string()),
        pa.array(range(len(wkb)), pa.int64()),
        pa.array([None] * len(wkb), pa.int32()),
        kinds_of(maps),
        maps,
        np.array(wkb, object),
    )
    skipped: Counter[str] = Counter()
    return entity_batch(raw, resolution=9, bbox=bbox, skipped=skipped), +skipped


def stored(batch: pa.RecordBatch) -> list[shapely.Geometry]:
    return list(shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False)))


def box_of(batch: pa.RecordBatch, row: int = 0) -> tuple[float, ...]:
    return tuple(batch[side][row].as_py() for side in ("xmin", "ymin", "xmax", "ymax"))


@pytest.fixture(scope="module", params=["generated", *real_maps("monaco", "helsinki")], ids=str)
def batches(request: Any, tmp_path_factory: pytest.TempPathFactory) -> list[pa.RecordBatch]:
    path = request.param
    if path == "generated":
        path = write_small_map(tmp_path_factory.mktemp("maps") / "generated.osm")
    return [
        entity_batch(raw, resolution=9, bbox=None, skipped=Counter())
        for raw in OsmSource(Path(path)).read(Counter())
    ]


def test_rows_are_of_the_schema(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        assert batch.schema == ENTITY_SCHEMA
        batch.validate(full=True)
        for field in ENTITY_SCHEMA:
            assert field.nullable or batch[field.name].null_count == 0


def test_points_lie_on_their_entity(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        geometries, lon, lat = stored(batch), batch["lon"].to_numpy(), batch["lat"].to_numpy()
        wide = shapely.bounds(geometries)[:, 2] - shapely.bounds(geometries)[:, 0] > 180
        distance = shapely.distance(geometries, shapely.points(lon, lat))
        assert (distance[~wide] < 1e-9).all()
        cells = [h3.latlng_to_cell(y, x, 9) for x, y in zip(lon, lat, strict=True)]
        assert [f"{cell:x}" for cell in batch["cell"].to_pylist()] == cells


def test_areas_are_valid_and_boxes_hold_them(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        geometries = np.array(stored(batch), object)
        areas = shapely.get_dimensions(geometries) == 2
        assert shapely.is_valid(geometries[areas]).all()
        xmin, xmax = batch["xmin"].to_numpy(), batch["xmax"].to_numpy()
        bounds = shapely.bounds(geometries)
        assert (bounds[:, [1, 3]] == np.stack([batch["ymin"], batch["ymax"]], axis=1)).all()
        inside = xmin <= xmax
        assert (bounds[inside][:, [0, 2]] == np.stack([xmin, xmax], axis=1)[inside]).all()


def test_hashes_are_of_tags_and_geometry(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        columns = (batch[name].to_pylist() for name in ("tags", "geometry", "content_hash"))
        for tags, wkb, found in zip(*columns, strict=True):
            assert found == content_hash(dict(tags), wkb)


@given(st.dictionaries(st.text("ab=é\x1f", max_size=3), st.text("ab=🚲", max_size=3)))
def test_a_hash_does_not_depend_on_the_order_of_tags(tags: dict[str, str]) -> None:
    turned = dict(reversed(tags.items()))
    found = [
        rows_of(shapely.Point(1, 2), tags={"shop": "a", **item})[0]["content_hash"][0].as_py()
        for item in (tags, turned)
    ]
    assert found[0] == found[1]


def test_a_hash_changes_with_a_tag_a_node_or_a_direction() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    rows = [
        rows_of(line),
        rows_of(line, tags={"natural": "heath"}),
        rows_of(shapely.LineString([(0, 0), (1, 1.0000001)])),
        rows_of(line.reverse()),
    ]
    assert len({batch["content_hash"][0].as_py() for batch, _ in rows}) == len(rows)


BOWTIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
FLAT = shapely.Polygon([(0, 0), (1, 1), (2, 2)])
SPIKED = shapely.Polygon([(0, 0), (1, 0), (1, 3), (1, 1), (0, 1)])


def test_areas_that_cross_themselves_are_mended() -> None:
    batch, skipped = rows_of(BOWTIE, SPIKED, FLAT, shapely.box(0, 0, 1, 1))
    bowtie, spiked, flat, square = stored(batch)
    assert skipped == {"repaired": 3}
    assert bowtie.is_valid
    assert bowtie.area == 0.5
    assert spiked.equals(shapely.box(0, 0, 1, 1))
    assert flat.equals(shapely.LineString([(0, 0), (2, 2)]))
    assert square == shapely.box(0, 0, 1, 1)


def test_a_multipolygon_of_one_part_is_that_part() -> None:
    square = shapely.box(0, 0, 1, 1)
    batch, skipped = rows_of(shapely.MultiPolygon([square]))
    assert stored(batch) == [square]
    assert not skipped


def test_a_mended_multipolygon_of_one_part_stays_mended() -> None:
    batch, skipped = rows_of(shapely.MultiPolygon([BOWTIE]))
    assert stored(batch)[0].is_valid
    assert skipped == {"repaired": 1}


def test_heights_are_dropped() -> None:
    batch, _ = rows_of(shapely.Point(1, 2, 3))
    assert stored(batch) == [shapely.Point(1, 2)]


def test_what_is_nowhere_is_counted() -> None:
    batch, skipped = rows_of(
        None,
        b"no wkb",
        shapely.Point(),
        shapely.Point(500, 0),
        shapely.Point(0, -91),
        shapely.Point(float("nan"), 0),
        shapely.Point(180, 90),
    )
    assert batch["feature_id"].to_pylist() == ["way/6"]
    assert skipped.total() == 6
    assert set(skipped) == {"empty_geometry", "bad_coordinates"}


def test_nothing_is_no_rows() -> None:
    batch, skipped = rows_of()
    assert batch.num_rows == 0
    assert batch.schema == ENTITY_SCHEMA
    assert not skipped


# --- the antimeridian and the poles -------------------------------------------------------------

ISLAND = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])


def test_what_crosses_the_antimeridian_has_a_narrow_box() -> None:
    batch, _ = rows_of(ISLAND, shapely.LineString([(179.5, 0), (-179.5, 0)]))
    assert box_of(batch) == (179, 0, -179, 1)
    assert abs(batch["lon"][0].as_py()) == 180
    assert abs(batch["lon"][1].as_py()) == 180
    assert box_of(batch, 1) == (179.5, 0, -179.5, 0)


def test_what_spans_the_world_has_a_wide_box() -> None:
    world = shapely.LineString([(-179, 0), (-60, 0), (60, 0), (179, 0)])
    batch, _ = rows_of(world)
    assert box_of(batch) == (-179, 0, 179, 0)


@pytest.mark.parametrize("lat", [90, -90])
def test_poles_have_a_cell(lat: float) -> None:
    batch, skipped = rows_of(shapely.Point(0, lat), shapely.Point(135, lat))
    assert batch["lat"].to_pylist() == [lat, lat]
    assert not skipped
    assert len(set(batch["cell"].to_pylist())) == 1


def test_a_box_over_the_antimeridian_keeps_both_sides() -> None:
    points = [shapely.Point(x, 0) for x in (178, 179.5, 180, -180, -179.5, -178, 0)]
    batch, skipped = rows_of(*points, bbox=BBox(179, -1, -179, 1))
    assert batch["lon"].to_pylist() == [179.5, 180, -180, -179.5]
    assert skipped == {"outside_bbox": 3}


@given(DEGREES, DEGREES, st.floats(0.001, 3), st.floats(0.001, 3))
def test_a_box_keeps_whole_what_meets_it(x: float, y: float, width: float, height: float) -> None:
    shapes = [shapely.box(i, j, i + 5, j + 5) for i in (-40, 0, 40) for j in (-40, 0, 40)]
    bbox = BBox(x, y, x + width, y + height)
    batch, skipped = rows_of(*shapes, bbox=bbox)
    meets = [
        shape for shape in shapes if shape.intersects(shapely.box(x, y, x + width, y + height))
    ]
    assert stored(batch) == meets
    assert skipped["outside_bbox"] == len(shapes) - len(meets)


@example([(0.0, -1.0), (0.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (-2.0, 0.0)])
@given(st.lists(st.tuples(DEGREES, DEGREES), min_size=3, max_size=7, unique=True))
def test_any_ring_becomes_something_valid_with_its_point_on_it(
    points: list[tuple[float, float]],
) -> None:
    batch, _ = rows_of(shapely.Polygon(points))
    shape = stored(batch)[0]
    assert shape.is_valid
    assert shape.distance(shapely.Point(batch["lon"][0].as_py(), batch["lat"][0].as_py())) < 1e-6
