"""An index whose entities have one vector: built, checked, searched by parts, exported."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

import geoindex
from geoindex.geo.h3 import format_cell
from geoindex.pipeline.verify import check_index
from geoindex.queries.region_embedding import embed_area
from geoindex.queries.vector_field import open_field


@pytest.fixture(scope="module")
def index(small_map, tmp_path_factory):
    output = tmp_path_factory.mktemp("one") / "small.geoindex"
    return geoindex.build(small_map, output, resolution=(8, 9))


def wide(index):
    return np.asarray(index.vectors("entities"), np.float64)


def cosines(vectors, row):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit[row]


def test_it_has_one_vector_of_half_precision(index):
    assert index.manifest.has_one_vector
    assert index.manifest.settings["vector_dtype"] == "float16"
    assert index.vectors("entities").dtype == np.float16
    assert not (index.files.folder / "entities.own.npy").exists()
    assert all(finding.is_ok for finding in check_index(index, num_queries=10))
    recall = index.manifest.settings["vector_recall"]
    assert set(recall) == {"entities.embedding", "cells.embedding"}
    assert all(found["recall"] >= 0.99 for found in recall.values())


def test_two_builds_are_the_same_bytes(index, small_map, tmp_path):
    again = geoindex.build(small_map, tmp_path / "again.geoindex", resolution=(8, 9))
    for path in sorted(index.files.folder.iterdir()):
        if path.name not in {"sidecar.json", "checksums.txt"}:
            assert (again.files.folder / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    "options",
    [{}, {"focus": "own"}, {"focus": "context"}, {"focus": "both", "own_weight": 0.8}],
    ids=lambda options: options.get("focus", "whole"),
)
def test_answers_equal_brute_force(index, options):
    vectors, ids = wide(index), index.entities.table["feature_id"].to_pylist()
    columns = index.focus_columns
    for row in (0, 7, len(ids) - 1):
        own, context = (cosines(vectors[:, columns[name]], row) for name in ("own", "context"))
        expected = {
            "own": own,
            "context": context,
            "both": 0.8 * own + 0.2 * context,
        }.get(options.get("focus"), cosines(vectors, row))
        expected[row] = -np.inf
        hits = index.query(ids[row], k=12, parts=True, **options)
        found = hits.table["similarity"].to_numpy()
        assert found == pytest.approx(np.sort(expected)[::-1][:12], abs=1e-6)
        shown = [expected[ids.index(name)] for name in hits.ids]
        assert found == pytest.approx(shown, abs=1e-6)


def test_both_without_a_weight_is_the_vector_itself(index):
    name = index.entities.table["feature_id"][3].as_py()
    hits = index.query(name)
    assert hits.query["focus"] == "both"
    assert "own_weight" not in hits.query
    again = index.query(geoindex.Query.from_dict(hits.query))
    assert again.ids == hits.ids
    assert index.query(name, focus="both").ids == hits.ids


def test_many_queries_are_answered_as_one(index):
    field = open_field(index, table="entities", focus="context")
    rows = [np.array([row]) for row in range(5)]
    queries = [field.units(int(row[0])) for row in rows]
    many = field.nearest_many(queries, k=6, passing=None, exclude=rows)
    for query, row, found in zip(queries, rows, many, strict=True):
        one = field.nearest(query, k=6, passing=None, exclude=row)
        assert np.array_equal(found.rows, one.rows)
        assert np.array_equal(found.similarity, one.similarity)


@pytest.mark.parametrize("focus", [None, "own", "context"])
def test_parts_sum_to_the_similarity(index, focus):
    first, second = (index.entities.table["feature_id"][row].as_py() for row in (0, 5))
    similarity, why = index.similar(first, second, **({} if focus is None else {"focus": focus}))
    assert sum(why.parts.values()) == pytest.approx(similarity, abs=1e-9)
    expected = {"own": {"tags", "size", "importance"}, "context": {"context"}}
    assert set(why.parts) == expected.get(focus, expected["own"] | expected["context"])


def test_an_area_is_embedded_as_the_cell_it_covers(index):
    cells = index.cells.column("cell")
    counts = index.cells.table["num_entities"].to_numpy()
    levels = index.cells.column("resolution")
    # not at the pole: degrees are taken as a plane
    low = np.abs(index.cells.column("lat")) < 70
    row = int(np.argmax(np.where((levels == 9) & low, counts, 0)))
    import h3

    ring = [(lon, lat) for lat, lon in h3.cell_to_boundary(format_cell(int(cells[row])))]
    vector, num = embed_area(index, shapely.Polygon(ring))
    assert num == counts[row]
    stored = np.asarray(index.vectors("cells")[row], np.float64)
    assert vector @ stored == pytest.approx(1, abs=1e-3)


def test_exports_hold_the_whole_vector_or_its_first_columns(index, tmp_path):
    for focus, dim in (("context", 234), ("both", 234), ("own", index.focus_columns["own"].stop)):
        path = tmp_path / f"{focus}.parquet"
        index.export(path, focus=focus)
        table = pq.read_table(path)
        assert "embedding_own" not in table.column_names
        assert len(table["embedding"][0]) == (index.manifest.encoder["dim"] if dim == 234 else dim)


def test_tags_alone_find_what_has_them(index):
    hits = index.query(tags="amenity=cafe", k=3)
    kinds = hits.table["kind"].to_pylist()
    assert kinds[0] == "amenity=cafe"
