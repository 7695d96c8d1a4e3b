import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoindex.errors import InvalidLabelsError
from geoindex.evaluation.labels import read_labels
from tests.support.labels import write_csv


def as_csv(folder, header, *rows):
    return write_csv(folder / "labels.csv", header.split(","), rows)


def test_ids_and_text_make_a_classification(tmp_path):
    found = read_labels(as_csv(tmp_path, "feature_id,kind", ("way/1", "bar"), ("w2", " café ")))
    assert (found.by, found.name, found.task) == ("feature_id", "kind", "classification")
    assert found.keys.tolist() == ["way/1", "w2"]
    assert found.values.tolist() == ["bar", "café"]


@pytest.mark.parametrize(
    ("header", "by"),
    [
        ("feature_id,cell,lon,lat,label", "feature_id"),
        ("cell,lon,lat,label", "cell"),
        ("region_id,label", "cell"),
        ("lon,lat,label", "point"),
        ("latitude,longitude,label", "point"),
        ("wkt,label", "geometry"),
    ],
)
def test_what_a_row_is_about_is_told_by_its_columns(tmp_path, header, by):
    values = {"feature_id": "way/1", "cell": "891f1d48177ffff", "region_id": "891f1d48177ffff"}
    values |= {"lon": 24.9, "lat": 60.1, "longitude": 24.9, "latitude": 60.1, "label": 3.5}
    values["wkt"] = "POINT (24.9 60.1)"
    found = read_labels(as_csv(tmp_path, header, [values[name] for name in header.split(",")]))
    assert (found.by, found.task) == (by, "regression")
    if by == "point":
        assert found.keys.tolist() == [[24.9, 60.1]]


def test_by_can_be_chosen(tmp_path):
    path = as_csv(tmp_path, "cell,lon,lat,label", ("891f1d48177ffff", 24.9, 60.1, 3.5))
    assert read_labels(path, by="point").by == "point"


@pytest.mark.parametrize(
    ("texts", "task", "values"),
    [
        (("1", "2", "3"), "regression", [1, 2, 3]),
        (("0", "1", "1"), "classification", ["0", "1", "1"]),
        (("0.5", "1.5", "0.5"), "regression", [0.5, 1.5, 0.5]),
        (("true", "false", "true"), "classification", ["true", "false", "true"]),
        (("a", "1", "2"), "classification", ["a", "1", "2"]),
    ],
)
def test_the_type_of_the_labels_chooses_the_task(tmp_path, texts, task, values):
    found = read_labels(as_csv(tmp_path, "feature_id,label", *(("n1", text) for text in texts)))
    assert (found.task, found.values.tolist()) == (task, values)


def test_a_task_can_be_chosen(tmp_path):
    path = as_csv(tmp_path, "feature_id,label", ("n1", 10), ("n2", 20), ("n3", 30))
    assert read_labels(path, task="classification").values.tolist() == ["10", "20", "30"]


def test_missing_labels_are_counted(tmp_path):
    rows = (("n1", "1.5"), ("n2", ""), ("n3", "nan"), ("n4", "inf"), ("n5", "2.5"))
    found = read_labels(as_csv(tmp_path, "feature_id,label", *rows))
    assert (found.num_read, found.num_missing) == (5, 3)
    assert found.keys.tolist() == ["n1", "n5"]
    rows = (("n1", "bar"), ("n2", ""), ("n3", "  "))
    found = read_labels(as_csv(tmp_path, "feature_id,label", *rows))
    assert (found.num_missing, found.values.tolist()) == (2, ["bar"])


def test_parquet_keeps_numbers_of_cells_and_leaves_vectors_unread(tmp_path):
    columns = {
        "cell": pa.array([0x891F1D48177FFFF], pa.uint64()),
        "label": pa.array(["x"]).dictionary_encode(),
        "embedding": pa.array([[1.0, 2.0]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    found = read_labels(tmp_path / "labels.parquet")
    assert (found.by, found.keys.tolist()) == ("cell", [0x891F1D48177FFFF])


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_geometries_come_in_degrees_whatever_the_file_has(tmp_path, suffix):
    points = geopandas.GeoDataFrame(
        {"people": [1.5, 2.5]}, geometry=shapely.points([[24.9, 60.1], [25.0, 60.2]]), crs=4326
    )
    if suffix != ".geojson":
        points = points.to_crs(3067)
    path = tmp_path / f"labels{suffix}"
    points.to_parquet(path) if suffix == ".parquet" else points.to_file(path)
    found = read_labels(path)
    assert (found.by, found.name) == ("geometry", "people")
    np.testing.assert_allclose(shapely.get_x(found.keys), [24.9, 25.0], atol=1e-6)


@pytest.mark.parametrize(
    ("header", "row", "options", "word"),
    [
        ("a,b", (1, 2), {}, "feature_id,label"),
        ("feature_id,a,b", ("n1", 2, 3), {}, "--label b"),
        ("feature_id,a", ("n1", 2), {"label": "c"}, "--label a"),
        ("feature_id,cell", ("n1", 2), {}, "no column with labels"),
        ("feature_id,label", ("n1", 2), {"by": "cell"}, "region_id"),
        ("feature_id,label", ("n1", 2), {"by": "name"}, "--by cell"),
        ("feature_id,label", ("n1", 2), {"task": "ranking"}, "--task regression"),
        ("feature_id,label", ("n1", "x"), {"task": "regression"}, "--task classification"),
        ("lon,lat,label", ("east", 60.1, 2), {}, "24.94,60.17"),
        ("wkt,label", ("here", 2), {}, "POINT"),
        ("feature_id,label,label", ("n1", 2, 3), {}, "rename"),
    ],
)
def test_what_is_unclear_says_what_would_work(tmp_path, header, row, options, word):
    with pytest.raises(InvalidLabelsError, match=word):
        read_labels(as_csv(tmp_path, header, row), **options)


def test_files_that_cannot_be_read_say_so(tmp_path):
    with pytest.raises(InvalidLabelsError, match="no file"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(InvalidLabelsError, match=r"\.gpkg"):
        read_labels(tmp_path / "labels.xlsx")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InvalidLabelsError, match="cannot be read"):
        read_labels(tmp_path / "empty.csv")
    (tmp_path / "bad.gpkg").write_bytes(b"nothing")
    with pytest.raises(InvalidLabelsError, match="cannot be read"):
        read_labels(tmp_path / "bad.gpkg")
    with pytest.raises(InvalidLabelsError, match="no rows"):
        read_labels(as_csv(tmp_path, "feature_id,label"))
