"""Vectors of float16 are searched exactly, and what they cost is measured and told."""

import json
import subprocess
import sys

import lance
import numpy as np
import pytest

import geoindex
from geoindex.errors import UsageError
from geoindex.pipeline import sidecar
from geoindex.pipeline.vector_recall import held_queries
from geoindex.pipeline.verify import check_index
from geoindex.search import exact
from geoindex.search.build_ann import reindex
from geoindex.storage.layout import table_path
from tests.support.maps import write_places


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return write_places(tmp_path_factory.mktemp("places") / "places.parquet")


@pytest.fixture(scope="module")
def half(places, tmp_path_factory):
    """Places with vectors of float16 and codes, searched as many are."""
    path = tmp_path_factory.mktemp("half") / "half.geoindex"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, "MIN_ROWS", 1000)
        for name, value in (("_FIRST_ROWS", 8), ("_LEAST_FACTOR", 1), ("_GROUPED_ROWS", 200)):
            patch.setattr(exact, name, value)
        yield geoindex.build(places, path, encoder="tagpool", vector_dtype="float16")


def brute_force(index, row, focus):
    """Return the similarity of every row, in float64 from what is stored."""
    wide = index.vectors("entities", focus=focus).astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide @ wide[row]


def test_tables_and_search_files_are_of_the_type_asked_for(half):
    for table in ("entities", "cells"):
        schema = lance.dataset(str(table_path(half.path, table))).schema
        assert str(schema.field("embedding").type.value_type) == "halffloat"
        assert half.vectors(table).dtype == np.float16
    assert half.files.codes("entities", "embedding").exists()
    assert all(finding.is_ok for finding in check_index(half, num_queries=5))


@pytest.mark.parametrize("focus", ["context", "own", "both"])
def test_answers_are_those_of_brute_force(half, focus):
    for row in range(0, len(half.entities), 97):
        name = half.entities.record(row)["feature_id"]
        found = half.query(name, k=12, focus=focus).table["similarity"].to_pylist()
        parts = ["own", "context"] if focus == "both" else [focus]
        similarity = np.mean([brute_force(half, row, part) for part in parts], axis=0)
        similarity[row] = -np.inf
        assert np.allclose(found, np.sort(similarity)[::-1][:12], atol=2e-6)
        (batch,) = half.query_many([{"like": name}], k=12, focus=focus).table.column(
            "similarity"
        ).to_numpy().reshape(1, -1)  # fmt: skip
        assert np.array_equal(batch, found)


def test_every_other_way_to_ask_works(half):
    name = half.entities.record(5)["feature_id"]
    assert len(half.query(name, k=5, diversity=0.5)) == 5
    assert len(half.query(name, k=5, one_per="cell")) == 5
    assert len(half.query(name, k=5, cells=True)) == 5
    assert len(half.query(tags="amenity=cafe", k=5)) == 5
    assert half.similar(name, half.entities.record(9)["feature_id"])[0] <= 1


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "lance"])
def test_approximate_indexes_are_made_of_them(places, tmp_path, kind):
    if kind != "lance":
        pytest.importorskip("faiss")
    path = tmp_path / "a.geoindex"
    geoindex.build(places, path, encoder="tagpool", vector_dtype="float16")
    records = reindex(path, kind)
    assert records["entities.embedding"]["approximate"]["recall"] > 0.9
    index = geoindex.open(path)
    assert not index.query("node/7", k=5).index["search"]["exact"]
    assert all(finding.is_ok for finding in check_index(index, num_queries=3))


def test_recall_is_measured_told_and_measured_again(half):
    recall = half.manifest.settings["vector_recall"]
    assert set(recall) == {"entities.embedding", "entities.own", "cells.embedding"}
    assert all(found["recall"] > 0.95 for found in recall.values())
    assert recall["entities.embedding"]["num_queries"] > 100
    done = subprocess.run(
        [sys.executable, "-m", "geoindex", "info", str(half.path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "vectors     float16; recall@10 against float32: entities.embedding 0.9" in done.stdout
    finding = {item.check: item for item in check_index(half, num_queries=1)}["recall"]
    told = recall["entities.own"]["recall"]
    assert f"entities.own {told:.3f} of float32 (built: {told:.3f})" in finding.detail
    # an answer that was right and is no longer found counts
    held = held_queries(half.path)
    whole = held.read_text()
    content = json.loads(whole)
    ids = half.entities.table["feature_id"].to_pylist()
    content["entities.own"]["nearest"] = [ids[:10]] * len(content["entities.own"]["queries"])
    held.write_text(json.dumps(content))
    finding = {item.check: item for item in check_index(half, num_queries=1)}["recall"]
    assert "recall of float16 of entities.own is 0." in finding.fault
    held.write_text(whole)


def test_deleted_rows_are_no_loss(places, tmp_path):
    path = tmp_path / "a.geoindex"
    geoindex.build(places, path, encoder="tagpool", vector_dtype="float16")
    lance.dataset(str(table_path(path, "entities"))).delete("osm_id % 3 = 0")
    with pytest.warns(UserWarning, match="made anew"):
        index = geoindex.open(path)
    assert all(finding.is_ok for finding in check_index(index, num_queries=3))


def test_no_other_type_is_taken(places, tmp_path):
    with pytest.raises(UsageError, match="no vector dtype 'int8'; want one of float32, float16"):
        geoindex.build(places, tmp_path / "a.geoindex", vector_dtype="int8")
