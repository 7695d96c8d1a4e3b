"""Examples of one index, hits of another, or of several ranked together."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

import geoindex
from geoindex.errors import NotInIndexError, UsageError
from geoindex.queries.multi_index import multi_index_of
from tests.support.osm_files import OsmFile


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another town; its node/1 is node/1 of the small map by number alone."""
    osm = OsmFile()
    for i in range(12):
        osm.node(13 + i / 1000, 55.5, **({"amenity": "cafe"} if i % 2 else {"shop": "bakery"}))
    osm.square(13, 55.51, 0.001, building="school", name="Schule")
    folder = tmp_path_factory.mktemp("twin")
    return geoindex.build(
        osm.write(folder / "other.osm"), folder / "other.geoindex", resolution=9, encoder="geojepa"
    )


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    """A town of bakeries, with a school of the same name and a place of its own."""
    osm = OsmFile()
    for i in range(8):
        osm.node(-3 + i / 1000, 40.5, shop="bakery", name="BÄCKER", level=str(i))
    osm.square(-3, 40.51, 0.001, building="school", name="Schule")
    osm.square(-3, 40.5, 0.1, boundary="administrative", admin_level="8", name="Dorf")
    folder = tmp_path_factory.mktemp("third")
    return geoindex.build(
        osm.write(folder / "third.osm"), folder / "third.geoindex", resolution=9, encoder="geojepa"
    )


def cafe(index):
    row = index.entities.where_equal("kind", "amenity=cafe")[0]
    return int(row), index.entities.record(int(row))["feature_id"]


@pytest.mark.parametrize("focus", ["own", "context", "both"])
def test_hits_are_of_the_other_and_brute_force_agrees(small_index, other, focus):
    row, name = cafe(small_index)
    hits = small_index.query(name, target=other, k=99, focus=focus)
    assert set(hits.table["index"].to_pylist()) == {str(other.path)}
    assert hits.index["path"] == str(other.path)
    assert hits.query["index"] == str(small_index.path)
    both = 0.0
    for each in ("own", "context") if focus == "both" else (focus,):
        ours, theirs = (ix.vectors("entities", focus=each) for ix in (small_index, other))
        both = both + theirs.astype(np.float64) @ ours[row].astype(np.float64)
    both = both / 2 if focus == "both" else both
    rows = [other.row_of(found) for found in hits.ids]
    assert hits.table["similarity"].to_pylist() == pytest.approx(both[rows].tolist(), abs=2e-6)
    kept = np.setdiff1d(np.arange(len(other.entities)), [other.row_of(name)])
    assert sorted(rows) == kept.tolist(), "all but the one of the same id"


def test_a_path_will_do_and_filters_apply_to_the_other(small_index, other):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=str(other.path), where="shop=bakery", k=99)
    assert {hit["kind"] for hit in hits} == {"shop=bakery"}
    assert hits.to_geopandas()["index"].unique().tolist() == [str(other.path)]


def test_it_is_explained_across(small_index, other):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=other, k=4).explain()
    for hit, why in zip(hits, hits.why, strict=True):
        assert why.first == name
        assert why.similarity == pytest.approx(hit["similarity"], abs=2e-6)
        assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
    alike, why = small_index.similar(name, hits.ids[0], target=other)
    assert alike == pytest.approx(hits.table["similarity"][0].as_py(), abs=2e-6)


def test_multi_index_numbers_rows_end_to_end(small_index, other, third):
    indexes = multi_index_of(small_index, [other, third], table="entities")
    n = len(other.entities)
    assert indexes.indexes == (other, third)
    parts = [
        (i, places.tolist(), own.tolist())
        for i, places, own in indexes.split(np.array([n, 0, n - 1, n + 2]))
    ]
    assert parts == [(0, [1, 2], [0, n - 1]), (1, [0, 3], [0, 2])]
    lon = indexes.column("lon", np.array([n, 0]))
    assert lon.tolist() == [each.entities.column("lon")[0] for each in (third, other)]
    alone = multi_index_of(small_index, None, table="entities")
    assert alone.indexes == (small_index,)


def test_cells_are_compared_across(small_index, other):
    home = f"{int(small_index.entities.column('cell')[0]):x}"
    hits = small_index.query(home, cells=True, target=other, k=9).explain()
    assert len(hits) == min(9, len(other.cells))
    assert hits.why[0].similarity == pytest.approx(hits.table["similarity"][0].as_py(), abs=2e-6)


def test_what_is_asked_must_be_in_the_first(small_index, other):
    with pytest.raises(NotInIndexError, match="Schule"):
        small_index.query("Schule", target=other)


@pytest.mark.parametrize("focus", ["own", "context", "both"])
@pytest.mark.parametrize("k", [1, 7, 99])
def test_several_are_one_ranking(small_index, other, third, focus, k):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=[other, third, small_index], k=k, focus=focus)
    each = [small_index.query(name, target=one, k=k, focus=focus) for one in (other, third)]
    each.append(small_index.query(name, k=k, focus=focus))
    names = [str(one.path) for one in (other, third, small_index)]
    alone = [
        (-hit["similarity"], number, hit["rank"], names[number], hit["feature_id"])
        for number, found in enumerate(each)
        for hit in found
    ]
    expected = [found[3:] for found in sorted(alone)][:k]
    found = list(zip(hits.table["index"].to_pylist(), hits.ids, strict=True))
    assert sorted(found[:-1]) == sorted(expected[:-1]), "six digits may hide who comes first"
    assert hits.table["rank"].to_pylist() == list(range(1, len(hits) + 1))
    assert hits.num_passing == sum(found.num_passing for found in each)
    assert [one["path"] for one in hits.index["indexes"]] == names
    assert hits.index["search"] == {"backend": "exact", "exact": True, "recall": 1.0}
    similarity = hits.table["similarity"].to_pylist()
    assert similarity == sorted(similarity, reverse=True)


def test_several_are_thinned_out_together(small_index, other, third):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=[other, third], one_per="kind", k=99)
    kinds = [hit["kind"] for hit in hits]
    assert len(set(kinds)) == len(kinds)
    every = small_index.query(name, target=[other, third], k=99)
    best = {}
    for hit in every:
        best.setdefault(hit["kind"], (hit["index"], hit["feature_id"]))
    assert {hit["kind"]: (hit["index"], hit["feature_id"]) for hit in hits} == best
    schools = small_index.query(name, target=[other, third], name="schule", one_per="name", k=9)
    assert len(schools) == 1, "one name, whichever the index"
    various = small_index.query(name, target=[other, third], diversity=0.6, k=4)
    assert len({hit["index"] for hit in various}) == 2


def test_several_are_explained_each_by_its_own(small_index, other, third):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=[third, other], k=12).explain()
    for hit, why in zip(hits, hits.why, strict=True):
        assert (why.first, why.second) == (name, hit["feature_id"])
        assert why.similarity == pytest.approx(hit["similarity"], abs=2e-6)


def test_a_batch_looks_in_several_as_one_query_does(small_index, other, third):
    names = small_index.entities.table["feature_id"].to_pylist()[:6]
    for options in ({"k": 5}, {"k": 3, "focus": "both", "one_per": "kind"}, {"cells": True}):
        many = small_index.query_many(
            [{"like": name} for name in names], target=[other, third, small_index], **options
        )
        for number, name in enumerate(names, 1):
            alone = small_index.query(name, target=[other, third, small_index], **options)
            of_query = many.table.filter(pc.equal(many.table["query"], str(number)))
            ours = of_query.drop_columns(["query"]).to_pylist()
            theirs = alone.table.to_pylist()
            for left, right in zip(ours, theirs, strict=True):
                for inexact in ("similarity", "distance"):
                    assert left.pop(inexact) == pytest.approx(right.pop(inexact), abs=2e-6)
                assert left == right


def test_an_area_that_only_one_of_several_holds(small_index, other, third):
    name = cafe(small_index)[1]
    hits = small_index.query(name, target=[other, third], in_area="Dorf", k=99)
    assert {hit["index"] for hit in hits} == {str(third.path)}
    assert any(str(other.path) in note and "Dorf" in note for note in hits.notes)
    with pytest.raises(NotInIndexError, match="Nirgendwo"):
        small_index.query(name, target=[other, third], in_area="Nirgendwo")


def test_a_table_is_explained_across_several(small_index, other, third):
    names = small_index.entities.table["feature_id"].to_pylist()[:3]
    hits = small_index.query_many(
        [{"like": name} for name in names], target=[third, other], k=20
    ).explain()
    assert {hit["index"] for hit in hits} == {str(third.path), str(other.path)}
    for hit, why in zip(hits, hits.why, strict=True):
        assert (why.first, why.second) == (names[int(hit["query"]) - 1], hit["feature_id"])
        assert why.similarity == pytest.approx(hit["similarity"], abs=2e-6)


def test_among_is_still_read(small_index, other):
    name = cafe(small_index)[1]
    expected = small_index.query(name, target=other, k=5)
    for among in (other, str(other.path), [other]):
        assert small_index.query(name, among=among, k=5).to_text("json") == expected.to_text("json")
    many = small_index.query_many([{"like": name}], among=other, k=5)
    assert many.ids == expected.ids
    by_module = geoindex.query(small_index.path, name, among=other.path, k=5)
    assert by_module.ids == expected.ids


def test_an_index_named_twice_is_searched_once(small_index, other):
    name = cafe(small_index)[1]
    twice = small_index.query(name, target=[other, str(other.path)], k=99)
    assert twice.ids == small_index.query(name, target=other, k=99).ids
    with pytest.raises(UsageError, match="no index to look in"):
        small_index.query(name, target=[])


def test_another_encoder_is_refused(small_index, other):
    foreign = geoindex.open(other.path)
    made_by = {**foreign.manifest.encoder, "fingerprint": "0" * 32}
    foreign.manifest = replace(foreign.manifest, encoder=made_by)
    name = cafe(small_index)[1]
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.query(name, target=foreign)
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.query(name, target=[other, foreign])
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.query_many([{"like": name}], target=foreign)
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.similar(name, name, target=foreign)
