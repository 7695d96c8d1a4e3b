"""Any table with a geometry column becomes a GeoParquet file, whole or not at all."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoindex.errors import GeoindexError
from geoindex.storage.geoparquet import write_geoparquet

SCHEMA = pa.schema([pa.field("rank", pa.int32()), pa.field("geometry", pa.binary())])


def batch(*wkt, flavor="extended"):
    geometries = shapely.from_wkt(np.array(wkt, object))
    return pa.record_batch(
        [
            pa.array(range(len(wkt)), pa.int32()),
            pa.array(shapely.to_wkb(geometries, flavor=flavor)),
        ],
        schema=SCHEMA,
    )


def write(path, *batches, **options):
    return write_geoparquet(path, SCHEMA, batches, metadata={}, **options)


def geo(path):
    return json.loads(pq.read_metadata(path).metadata[b"geo"])["columns"]["geometry"]


def test_boxes_are_computed_where_there_are_none(tmp_path):
    path = tmp_path / "hits.parquet"
    assert write(path, batch("POINT (1 2)"), batch("LINESTRING (0 5, 3 4)")) == 2
    found = pq.read_table(path)
    assert found.column_names == ["rank", "geometry", "bbox"]
    assert found["bbox"].to_pylist() == [
        {"xmin": 1, "ymin": 2, "xmax": 1, "ymax": 2},
        {"xmin": 0, "ymin": 4, "xmax": 3, "ymax": 5},
    ]
    assert geo(path)["geometry_types"] == ["LineString", "Point"]
    assert geo(path)["bbox"] == [0, 2, 3, 5]
    assert geopandas.read_parquet(path).geometry[0] == shapely.Point(1, 2)


def test_boxes_that_are_there_are_kept(tmp_path):
    box = pa.array([{"xmin": 0.0, "ymin": 1.0, "xmax": 2.0, "ymax": 3.0}])
    plain = batch("POINT (1 2)")
    own = pa.Table.from_batches([plain]).append_column("bbox", box).combine_chunks()
    path = tmp_path / "hits.parquet"
    write_geoparquet(path, own.schema, own.to_batches(), metadata={})
    assert pq.read_table(path)["bbox"].to_pylist() == box.to_pylist()
    assert geo(path)["bbox"] == [0, 1, 2, 3]


def test_a_missing_geometry_has_no_box(tmp_path):
    path = tmp_path / "hits.parquet"
    write(path, batch(None, "POINT (1 2)"))
    assert pq.read_table(path)["bbox"].to_pylist()[0] is None
    assert geo(path)["geometry_types"] == ["Point"]
    assert geopandas.read_parquet(path).geometry.isna().tolist() == [True, False]


def test_height_is_written_as_iso_wkb(tmp_path):
    path = tmp_path / "hits.parquet"
    write(path, batch("POINT Z (1 2 3)", "POINT (1 2)"))
    # ISO 1001 little-endian; the extended form would set a high bit
    assert pq.read_table(path)["geometry"][0].as_py()[1:5] == (1001).to_bytes(4, "little")
    assert geo(path)["geometry_types"] == ["Point", "Point Z"]
    assert geopandas.read_parquet(path).geometry[0].z == 3


ACROSS = "MULTIPOLYGON (((179 0, 180 0, 180 1, 179 0)), ((-180 0, -178 0, -180 1, -180 0)))"


def test_a_box_across_the_antimeridian_has_its_west_in_the_east(tmp_path):
    path = tmp_path / "hits.parquet"
    write(path, batch(ACROSS, "POINT (177 5)"))
    assert pq.read_table(path)["bbox"][0].as_py() == {
        "xmin": 179, "ymin": 0, "xmax": -178, "ymax": 1,
    }  # fmt: skip
    assert geo(path)["bbox"] == [177, 0, -178, 5]


def test_with_something_across_the_prime_meridian_the_box_goes_all_round(tmp_path):
    path = tmp_path / "hits.parquet"
    write(path, batch(ACROSS, "LINESTRING (-1 50, 1 50)"))
    assert geo(path)["bbox"] == [-180, 0, 180, 50]


def test_row_groups_are_cut_across_batches(tmp_path):
    path = tmp_path / "hits.parquet"
    batches = [batch(*(f"POINT ({i} {j})" for j in range(7))) for i in range(5)]
    write(path, *batches, row_group_rows=10)
    groups = pq.read_metadata(path)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [10, 10, 10, 5]
    found = geopandas.read_parquet(path)
    assert found["rank"].tolist() == list(range(7)) * 5
    assert [(point.x, point.y) for point in found.geometry] == [
        (i, j) for i in range(5) for j in range(7)
    ]


def test_vectors_survive_slices_and_groups(tmp_path):
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(20, 8)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    points = pa.array([shapely.Point(i, 0).wkb for i in range(20)], pa.binary())
    whole = pa.table({"embedding": column, "geometry": points})
    path = tmp_path / "vectors.parquet"
    batches = whole.to_batches(max_chunksize=3)
    write_geoparquet(path, whole.schema, batches, metadata={}, row_group_rows=8)
    found = pq.read_table(path)["embedding"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(found.reshape(20, 8), vectors)


def test_metadata_is_json_or_text(tmp_path):
    path = tmp_path / "hits.parquet"
    metadata = {"query": {"like": ["way/1"], "name": "Café"}, "note": "plain"}
    write_geoparquet(path, SCHEMA, [batch("POINT (1 2)")], metadata=metadata)
    kept = pq.read_metadata(path).metadata
    assert json.loads(kept[b"query"]) == metadata["query"]
    assert kept[b"note"] == b"plain"


def test_a_symbolic_link_stays_one(tmp_path):
    target, link = tmp_path / "target.parquet", tmp_path / "link.parquet"
    link.symlink_to(target)
    write(link, batch("POINT (1 2)"))
    assert link.is_symlink()
    assert len(pq.read_table(target)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_explained(tmp_path, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode: opened(Path("/dev/full") if mode == "wb" else path, "wb")
    )
    with pytest.raises(GeoindexError, match=r"no room left for .*hits\.parquet .No space left"):
        write(tmp_path / "hits.parquet", batch("POINT (1 2)"))
    assert not list(tmp_path.iterdir())


def test_a_fault_of_the_batches_stays_what_it_is(tmp_path):
    def batches():
        yield batch("POINT (1 2)")
        message = "the source is gone"
        raise OSError(message)

    with pytest.raises(OSError, match="the source is gone") as caught:
        write_geoparquet(tmp_path / "hits.parquet", SCHEMA, batches(), metadata={})
    assert not isinstance(caught.value, GeoindexError)
    assert not list(tmp_path.iterdir())
