import json

import geopandas
import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from geoindex.errors import NotInIndexError, OutputError
from geoindex.evaluation.label_joins import join_labels
from geoindex.evaluation.labels import Labels, read_labels
from geoindex.evaluation.predict import predict_labels, write_predictions
from geoindex.geo.h3 import format_cell
from tests.support.labels import kinds_csv


@pytest.fixture(scope="module")
def grid(label_index):
    return label_index


@pytest.fixture(scope="module")
def some(grid, tmp_path_factory):
    path = kinds_csv(grid, tmp_path_factory.mktemp("labels") / "kinds.csv", step=3)
    return join_labels(grid, read_labels(path))


@pytest.fixture(scope="module")
def told(grid, some):
    return predict_labels(grid, some, k=5, focus="own")


def cell_labels(grid):
    rows = np.flatnonzero(grid.cells.column("resolution") == 9)[::2]
    keys = np.array([format_cell(cell) for cell in grid.cells.column("cell")[rows]], object)
    y = np.random.default_rng(0).normal(size=len(rows))
    return join_labels(grid, Labels("x", "cell", keys, y, "regression", len(rows), 0))


def test_every_row_without_a_label_gets_the_right_one(grid, some, told):
    assert told.num_rows == len(grid.entities) - len(some.rows)
    assert np.mean(np.array(told["kind"]) == np.array(told["prediction"])) > 0.98


def test_neighbours_are_those_that_brute_force_finds(grid, some, told):
    vectors = grid.vectors("entities", focus="own").astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in told.slice(0, 20).to_pylist():
        similarity = vectors[some.rows] @ vectors[grid.row_of(row["feature_id"])]
        best = np.sort(similarity)[::-1][:5]
        near = row["neighbours"]
        assert [one["similarity"] for one in near] == pytest.approx(best, abs=2e-6)
        for one in near:
            at = some.rows.tolist().index(grid.row_of(one["feature_id"]))
            assert one["label"] == some.y[at]


def test_confidence_is_the_share_of_the_votes(grid, some):
    for row in predict_labels(grid, some, k=5, weighted=False).slice(0, 50).to_pylist():
        labels = [one["label"] for one in row["neighbours"]]
        assert row["confidence"] == pytest.approx(labels.count(row["prediction"]) / 5)


def test_cells_get_numbers_and_their_spread(grid):
    labels = cell_labels(grid)
    told = predict_labels(grid, labels, k=3, weighted=False)
    for row in told.to_pylist():
        near = [one["label"] for one in row["neighbours"]]
        assert row["prediction"] == pytest.approx(np.mean(near), abs=2e-6)
        assert row["spread"] == pytest.approx(np.std(near), abs=2e-6)
    assert "region_id" in told.column_names


@pytest.mark.parametrize("head", ["logistic", "mlp"])
def test_other_heads_tell_without_neighbours(grid, some, head):
    told = predict_labels(grid, some, head=head, focus="own")
    assert np.mean(np.array(told["kind"]) == np.array(told["prediction"])) > 0.98
    assert told["neighbours"].null_count == told.num_rows
    assert min(told["confidence"].to_pylist()) > 0.25


def test_ridge_tells_numbers_without_spread(grid):
    told = predict_labels(grid, cell_labels(grid), head="ridge")
    assert told["spread"].null_count == told.num_rows
    assert told["prediction"].null_count == 0


def test_files_say_the_same(grid, told, tmp_path):
    for name in ("told.parquet", "told.csv", "told.geojson"):
        write_predictions(told, tmp_path / name, index=grid)
    wanted = dict(
        zip(*(told[name].to_pylist() for name in ("feature_id", "prediction")), strict=True)
    )
    text = pc.read_csv(tmp_path / "told.csv")
    layer = geopandas.read_file(tmp_path / "told.geojson")
    table = geopandas.read_parquet(tmp_path / "told.parquet")
    assert (
        dict(zip(*(text[name].to_pylist() for name in ("feature_id", "prediction")), strict=True))
        == wanted
    )
    assert dict(zip(layer["id"], layer["prediction"], strict=True)) == wanted
    assert dict(zip(table["feature_id"], table["prediction"], strict=True)) == wanted
    assert table.crs.to_epsg() in (4326, None) or "CRS84" in table.crs.to_string()
    near = json.loads(text["neighbours"][0].as_py())
    assert near == told["neighbours"][0].as_py()
    assert b"ODbL" in pq.read_metadata(tmp_path / "told.parquet").metadata[b"geoindex"]
    assert json.loads((tmp_path / "told.geojson").read_text())["index"]["attribution"]


def test_what_was_told_can_be_read_as_labels_by_id_and_by_geometry(grid, tmp_path):
    labels = cell_labels(grid)
    told = predict_labels(grid, labels)
    write_predictions(told, tmp_path / "told.parquet", index=grid)
    for by in ("cell", "geometry"):
        again = join_labels(grid, read_labels(tmp_path / "told.parquet", label="prediction", by=by))
        held = [format_cell(cell) for cell in grid.cells.column("cell")[again.rows]]
        assert held == told["region_id"].to_pylist()
        np.testing.assert_allclose(again.y, told["prediction"], atol=1e-3)


def test_a_file_is_not_replaced_unasked(grid, told, tmp_path):
    (tmp_path / "told.csv").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write_predictions(told, tmp_path / "told.csv", index=grid)
    write_predictions(told, tmp_path / "told.csv", index=grid, overwrite=True)
    with pytest.raises(OutputError, match="parquet"):
        write_predictions(told, tmp_path / "told.xlsx", index=grid)


def test_nothing_left_to_predict_says_so(grid, tmp_path):
    everything = join_labels(grid, read_labels(kinds_csv(grid, tmp_path / "kinds.csv")))
    with pytest.raises(NotInIndexError, match="nothing is left"):
        predict_labels(grid, everything)
