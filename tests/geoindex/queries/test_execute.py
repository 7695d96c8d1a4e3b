"""Queries of one index: exact, filtered before the search, the same every time."""

import shutil

import numpy as np
import pytest

import geoindex
from geoindex import Query
from geoindex.errors import NotInIndexError, UsageError
from geoindex.geo.distance import LonLat
from geoindex.queries.execute import execute
from geoindex.storage.layout import search_files
from tests.support.maps import OTHER_TOWN, TOWN
from tests.support.osm_files import OsmFile


def run(index, like=None, **options):
    return execute(index, [Query(like, **options)])[0]


def content(index):
    """Return the bytes of the search files, without the records of names that Lance draws."""
    files = search_files(index.path)
    records = {files.record, files.checksums}
    return {path.name: path.read_bytes() for path in files.folder.iterdir() if path not in records}


@pytest.mark.parametrize("focus", ["own", "context"])
def test_answers_equal_brute_force(real_index, focus):
    ids = real_index.entities.table["feature_id"].to_pylist()
    vectors = real_index.vectors("entities", focus=focus).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in range(0, len(ids), len(ids) // 7):
        cosine = vectors @ vectors[row]
        order = sorted(set(range(len(ids))) - {row}, key=lambda i: (-round(cosine[i], 12), i))[:15]
        hits = run(real_index, [ids[row]], k=15, focus=focus, parts=True)
        assert hits.ids == [ids[i] for i in order]
        assert hits.table["similarity"].to_pylist() == pytest.approx(cosine[order], abs=1e-6)


def test_what_was_asked_about_is_never_an_answer(small_index):
    for feature_id in small_index.entities.table["feature_id"].to_pylist():
        hits = run(small_index, [feature_id], k=10_000, parts=True)
        assert len(hits) == len(small_index.entities) - 1
        assert feature_id not in hits.ids
    for cell in small_index.cells.column("cell").tolist():
        assert f"{cell:x}" not in run(small_index, cell=cell, cells=True).ids


def test_unlikes_are_never_answers(small_index):
    first, second = small_index.entities.table["feature_id"].to_pylist()[:2]
    assert second not in run(small_index, [first], unlike=[second], k=999).ids


def test_filters_come_before_the_search(small_index):
    filters = {"where": "amenity=cafe", "near": LonLat(*TOWN), "radius": 1000.0}
    hits = run(small_index, tags={"natural": "tree"}, **filters, k=100)
    assert {hit["kind"] for hit in hits} == {"amenity=cafe"}
    assert len(hits) == hits.num_passing == 2


def test_not_within_is_measured_from_what_was_named(small_index):
    cafe = small_index.entities.where_equal("kind", "amenity=cafe")[0]
    name = small_index.entities.record(cafe)["feature_id"]
    near = run(small_index, [name], k=999)
    far = run(small_index, [name], not_within=10_000.0, k=999)
    assert far.ids == [hit["feature_id"] for hit in near if hit["distance_m"] > 10_000]
    with pytest.raises(UsageError, match="measured from a place"):
        run(small_index, tags={"amenity": "cafe"}, not_within=1.0)


def test_cells_answer_in_the_resolution_that_was_asked(small_index):
    coarse = int(small_index.cells.column("cell")[0])
    hits = run(small_index, cell=coarse, cells=True, k=99)
    assert set(hits.table["resolution"].to_pylist()) == {8}
    hits = run(small_index, tags={"amenity": "cafe"}, cells=True, k=99)
    assert set(hits.table["resolution"].to_pylist()) == {9}


def test_the_query_is_kept_with_the_answer(small_index):
    hits = run(small_index, at=LonLat(*OTHER_TOWN), where="!building", k=3)
    assert hits.query == {
        "at": list(OTHER_TOWN), "where": "!building", "k": 3, "table": "entities",
        "focus": "both", "own_weight": 0.5,
    }  # fmt: skip
    assert hits.index["fingerprint"] == small_index.encoder.fingerprint
    assert "at 7.42,43.73: node/" in hits.notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": "3"}, "k is '3'"),
        ({"k": True}, "k is True"),
        ({"focus": "image"}, "no focus 'image'; want one of context, own"),
        ({"table": "places"}, "no table 'places'; want one of entities, cells"),
    ],
)
def test_options_out_of_range(small_index, options, said):
    with pytest.raises(UsageError, match=said):
        run(small_index, tags={"amenity": "cafe"}, **options)


def test_queries_of_any_options_are_answered_together_as_alone(small_index):
    ids = small_index.entities.table["feature_id"].to_pylist()
    cell = int(small_index.cells.column("cell")[0])
    queries = [
        Query(ids[0], k=3),
        Query(tags="amenity=cafe", where="amenity", k=4),
        Query(ids[1:3], unlike=ids[5], focus="both", own_weight=0.3, one_per="kind"),
        Query(cell=cell, cells=True, k=4),
        Query(ids[4], where="amenity", k=4),
        Query(ids[0], not_within=300, diversity=0.4, k=5),
        Query(ids[1:3], focus="both", own_weight=0.7),
        Query(ids[1], cells=True, k=2),
        Query(ids[0], k=3),
    ]
    found = execute(small_index, queries)
    assert len(found) == len(queries)
    for query, hits in zip(queries, found, strict=True):
        alone = small_index.query(query)
        assert (hits.query, hits.num_passing, hits.notes) == (
            alone.query,
            alone.num_passing,
            alone.notes,
        )
        assert hits.ids == alone.ids
        for name in ("similarity", "distance_m"):
            ours, theirs = (one.table[name].to_pylist() for one in (hits, alone))
            assert ours == pytest.approx(theirs, abs=2e-6)
        whys = [[why.second for why in one.explain().why] for one in (hits, alone)]
        assert whys == [hits.ids, hits.ids]


def test_a_fault_of_one_query_is_raised(small_index):
    with pytest.raises(NotInIndexError, match="way/424242"):
        execute(small_index, [Query("node/1"), Query("way/424242")])


def test_the_same_map_gives_the_same_bytes(small_map, small_index, tmp_path):
    again = geoindex.build(
        small_map, tmp_path / "again.geoindex", resolution=(8, 9), encoder="geojepa"
    )
    assert content(again) == content(small_index)
    name = small_index.entities.table["feature_id"][3].as_py()
    ours, theirs = (
        index.query(name, k=20)
        .to_text("geojson")
        .replace(str(index.path), "INDEX")
        .replace(index.manifest.created, "THEN")
        for index in (small_index, again)
    )
    assert ours == theirs


def test_the_order_of_sources_changes_no_byte(small_map, tmp_path):
    other = OsmFile()
    for i in range(1, 4):
        other.node(TOWN[0] + 1 + i / 1000, TOWN[1], amenity="cafe")
    other.square(TOWN[0] + 1, TOWN[1] + 0.01, 0.001, building="school")
    renumbered = other.write(tmp_path / "other.osm")
    text = renumbered.read_text("utf-8")
    renumbered.write_text(text.replace('id="', 'id="9').replace('ref="', 'ref="9'), "utf-8")
    left = geoindex.build([small_map, renumbered], tmp_path / "left.geoindex")
    shutil.copy(renumbered, tmp_path / "copy.osm")
    right = geoindex.build([tmp_path / "copy.osm", small_map], tmp_path / "right.geoindex")
    assert len(left.entities) == len(right.entities)
    assert content(left) == content(right)


@pytest.mark.slow
def test_lancedb_finds_the_same(real_index):
    lancedb = pytest.importorskip("lancedb")
    database = lancedb.connect(str(real_index.path))
    listed = database.list_tables() if hasattr(database, "list_tables") else database.table_names()
    assert sorted(getattr(listed, "tables", listed)) == ["cells", "entities"]
    table = database.open_table("entities")
    assert table.count_rows() == len(real_index.entities)
    assert database.open_table("cells").count_rows() == len(real_index.cells)
    # entities whose like are all at different distances: LanceDB breaks ties as it likes
    for row in range(5, len(real_index.entities), len(real_index.entities) // 5):
        example = real_index.entities.record(row)["feature_id"]
        hits = run(real_index, [example], k=10, focus="context", parts=True)
        vector = real_index.vectors("entities")[row]
        search = table.search(vector, vector_column_name="embedding").distance_type("cosine")
        found = search.bypass_vector_index().limit(11).to_arrow()
        distance = np.sort(found["_distance"].to_numpy())[1:]
        assert distance == pytest.approx(hits.table["distance"].to_numpy(), abs=1e-5)
        clear = [hit["feature_id"] for hit in hits if hit["distance"] < distance[-1] - 1e-5]
        assert set(clear) <= set(found["feature_id"].to_pylist())
