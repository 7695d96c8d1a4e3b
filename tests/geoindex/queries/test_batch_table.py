"""Many queries at once are answered as one by one."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geoindex import Query
from geoindex.errors import SkippedItemsError, UsageError
from geoindex.queries import execute
from geoindex.queries.batch_table import read_query_table
from tests.support.maps import TOWN

SHARED = Query.without_examples()


def by_query(hits):
    found = {}
    for hit in hits:
        found.setdefault(hit["query"], []).append(hit)
    return found


def plain(hit):
    """Return a hit as one query has it."""
    return {name: value for name, value in hit.items() if name != "query"}


def same(ours, theirs):
    """Tell whether two lists of hits are the same, similarity as six digits may round."""
    for left, right in zip(ours, theirs, strict=True):
        for name in ("similarity", "distance"):
            assert left.pop(name) == pytest.approx(right.pop(name), abs=2e-6)
        assert left == right
    return True


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focus": "own", "k": 3},
        {"focus": "both", "own_weight": 0.2, "k": 4},
        {"where": "building", "min_similarity": 0.2},
        {"one_per": "kind", "k": 4},
        {"diversity": 0.4, "k": 4},
        {"not_within": 300, "k": 4},
        {"cells": True, "k": 4},
        {"cells": True, "one_per": "cell:8", "k": 4},
        {"where": "amenity=nothing"},
        {"focus": "both", "one_per": "kind", "diversity": 0.3, "k": 3},
        {"focus": "both", "where": "amenity", "min_similarity": 0.1, "k": 4},
        {"one_per": "amenity", "diversity": 0.5, "min_similarity": 0.1, "k": 2},
        {"one_per": "kind", "k": 99},
    ],
)
def test_each_is_answered_as_alone(small_index, options):
    ids = small_index.entities.table["feature_id"].to_pylist()
    queries = [{"query": f"q{i}", "like": name} for i, name in enumerate(ids[:9])]
    queries += [
        {"query": "two", "like": f"{ids[0]};{ids[5]}", "unlike": ids[7]},
        {"query": "point", "lon": TOWN[0], "lat": TOWN[1]},
        {"query": "text", "like": f"{TOWN[0]},{TOWN[1]}"},
    ]
    alone = [{"like": name} for name in ids[:9]]
    alone += [{"like": [ids[0], ids[5]], "unlike": ids[7]}, {"at": TOWN}, {"at": TOWN}]
    if "not_within" not in options:
        queries.append({"query": "tags", "tags": "amenity=cafe"})
        alone.append({"tags": "amenity=cafe"})
    found = by_query(small_index.query_many(queries, **options))
    for query, asked in zip(queries, alone, strict=True):
        expected = small_index.query(**asked, **options).records()
        assert same([plain(hit) for hit in found.get(query["query"], [])], expected)


@pytest.mark.parametrize("farthest", [0, 12, 5000])
def test_long_walks_down_the_ranking_end_alike_at_once_and_one_by_one(
    small_index, farthest, monkeypatch
):
    monkeypatch.setattr(execute, "_FARTHEST", farthest)
    ids = small_index.entities.table["feature_id"].to_pylist()[::5]
    for options in ({"one_per": "kind", "k": 4}, {"focus": "both", "one_per": "amenity", "k": 6}):
        hits = small_index.query_many([{"like": name} for name in ids], **options)
        found = by_query(hits)
        for number, name in enumerate(ids, 1):
            expected = small_index.query(name, **options).records()
            assert same([plain(hit) for hit in found[str(number)]], expected)


def test_they_come_in_the_order_of_the_table(small_index):
    queries = [{"like": "node/4"}, {"tags": "amenity=cafe"}, {"like": "node/1"}]
    hits = small_index.query_many(queries, k=2)
    assert hits.table["query"].to_pylist() == ["1", "1", "2", "2", "3", "3"]
    assert hits.table["rank"].to_pylist() == [1, 2] * 3
    assert hits.table.column_names[0] == "query"
    assert hits.index["num_queries"] == 3
    assert hits.to_geopandas()["query"].tolist() == hits.table["query"].to_pylist()
    assert hits.features()[0]["properties"]["query"] == "1"
    assert hits.ids == hits.to_arrow()["feature_id"].to_pylist()


def test_what_cannot_be_answered_is_left_out_and_said(small_index):
    queries = [
        {"query": "a", "like": "way/99999999"},
        {"query": "b", "like": "node/1"},
        {"query": "c", "like": ""},
        {"query": "d", "lon": 500, "lat": 3},
        {"query": "e", "tags": "nonsense"},
        {"query": "f", "like": "no such name"},
    ]
    hits = small_index.query_many(queries, k=1)
    assert hits.table["query"].to_pylist() == ["b"]
    assert hits.notes[0].startswith("left out 5 of 6 queries")
    assert "query a: way/99999999 is not among" in hits.notes[1]
    assert hits.notes[-1] == "  and 2 more"
    with pytest.raises(SkippedItemsError, match="query a"):
        small_index.query_many(queries, strict=True)
    with pytest.raises(UsageError, match="none of the queries"):
        small_index.query_many(queries[:1])


def test_files_of_all_kinds_ask_the_same(small_index, tmp_path):
    rows = [
        {"query": "x", "like": "node/1", "tags": None},
        {"query": "y", "like": None, "tags": "amenity=cafe,cuisine=pizza"},
    ]
    expected = small_index.query_many(rows, k=3).to_text("csv")
    with (tmp_path / "q.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["query", "like", "tags"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "q.parquet")
    sources = [tmp_path / "q.csv", str(tmp_path / "q.jsonl"), tmp_path / "q.parquet", table]
    for source in [*sources, table.to_pandas()]:
        assert small_index.query_many(source, k=3).to_text("csv") == expected


def test_vectors_are_queries(small_index, tmp_path):
    vectors = small_index.vectors("entities")[:4].tolist()
    listed = pa.table({"query": ["a", "b", "c", "d"], "embedding": vectors})
    pq.write_table(listed, tmp_path / "v.parquet")
    hits = small_index.query_many(tmp_path / "v.parquet", k=1)
    assert hits.table["similarity"].to_pylist() == pytest.approx([1] * 4, abs=1e-6)
    texts = [{"query": "a", "embedding": json.dumps(vectors[0])}]
    assert small_index.query_many(texts, k=1).ids == hits.ids[:1]


def test_answers_and_exports_are_queries(small_index, tmp_path):
    hits = small_index.query("node/1", k=4)
    (tmp_path / "hits.csv").write_text(hits.to_text("csv"), "utf-8")
    asked = read_query_table(tmp_path / "hits.csv", SHARED)
    assert [row.query.like for row in asked] == [(name,) for name in hits.ids]
    assert all(row.query.at is None and row.query.tags is None for row in asked)
    small_index.export(tmp_path / "export.parquet")
    asked = read_query_table(tmp_path / "export.parquet", SHARED)
    assert len(asked) == len(small_index.entities)
    assert not any(len(row.query.vectors) for row in asked)
    small_index.export(tmp_path / "cells.parquet", table="cells")
    found = small_index.query_many(tmp_path / "cells.parquet", cells=True, k=1)
    assert len(found) > 1


def test_many_search_another_index(small_index):
    hits = small_index.query_many([{"like": "node/1"}], target=small_index.path, k=3)
    assert hits.ids == small_index.query("node/1", k=3).ids, "the same map: itself is left out"
    assert set(hits.table["index"].to_pylist()) == {str(small_index.path)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focus": "both", "one_per": "kind"},
        {"cells": True},
        {"diversity": 0.4, "where": "amenity"},
        {"not_within": 300},
    ],
)
def test_each_hit_of_a_table_is_explained_as_alone(small_index, options):
    alone = [{"like": "node/1"}, {"like": ["node/4", "node/2"], "unlike": "node/3"}]
    alone += [] if "not_within" in options else [{"tags": "amenity=cafe"}]
    queries = [{"query": f"q{number}", **asked} for number, asked in enumerate(alone)]
    hits = small_index.query_many(queries, k=3, **options).explain()
    assert len(hits.why) == len(hits)
    whys = {}
    for hit, why in zip(hits, hits.why, strict=True):
        whys.setdefault(hit["query"], []).append(why)
    for query, asked in zip(queries, alone, strict=True):
        expected = small_index.query(**asked, k=3, **options).explain().why
        found = whys.get(query["query"], [])
        assert [why.as_dict() for why in found] == [why.as_dict() for why in expected]


def test_queries_that_cannot_be_answered_leave_no_gap_in_the_explanations(small_index):
    queries = [{"like": "node/1"}, {"like": "no such name"}, {"like": "node/4"}]
    hits = small_index.query_many(queries, k=2).explain()
    assert [why.first for why in hits.why] == ["node/1"] * 2 + ["node/4"] * 2
    assert [why.second for why in hits.why] == hits.ids


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([], "no row"),
        ([{"name": "x"}], "want like, lon and lat"),
        ([{"lon": 1.0}], "want like, lon and lat"),
        (5, "want a file, a table or dicts"),
        (["way/1"], "want a file, a table or dicts"),
        ("queries.xyz", "want one of"),
        ("none.csv", "there is no file"),
        ("none.parquet", "there is no file"),
    ],
)
def test_what_is_no_table_of_queries_is_refused(small_index, source, said):
    with pytest.raises(UsageError, match=said):
        small_index.query_many(source)


def test_what_each_query_asks_is_not_asked_of_all(small_index):
    with pytest.raises(UsageError, match="like is asked by each query"):
        small_index.query_many([{"like": "node/1"}], like="node/2")
    (line,) = read_query_table([{"query": 7, "like": ["node/1", "node/2"]}], SHARED)
    assert (line.name, line.query.like) == ("7", ("node/1", "node/2"))
