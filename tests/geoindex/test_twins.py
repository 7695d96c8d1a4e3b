"""A thing of one index, its like in another."""

from dataclasses import replace

import numpy as np
import pytest

import geoindex
from geoindex.errors import NotInIndexError, UsageError
from tests.osm_files import OsmFile


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another town; its node/1 is node/1 of the small map by number alone."""
    osm = OsmFile()
    for i in range(12):
        osm.node(13 + i / 1000, 55.5, **({"amenity": "cafe"} if i % 2 else {"shop": "bakery"}))
    osm.square(13, 55.51, 0.001, building="school", name="Schule")
    folder = tmp_path_factory.mktemp("twin")
    return geoindex.build(osm.write(folder / "other.osm"), folder / "other.geoindex", resolution=9)


def cafe(index):
    row = index.entities.where_equal("kind", "amenity=cafe")[0]
    return int(row), index.entities.record(int(row))["feature_id"]


@pytest.mark.parametrize("focus", ["own", "context", "both"])
def test_hits_are_of_the_other_and_brute_force_agrees(small_index, other, focus):
    row, name = cafe(small_index)
    hits = small_index.query(name, among=other, k=99, focus=focus)
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


def test_a_path_will_do_and_filters_speak_of_the_other(small_index, other):
    name = cafe(small_index)[1]
    hits = small_index.query(name, among=str(other.path), where="shop=bakery", k=99)
    assert {hit["kind"] for hit in hits} == {"shop=bakery"}
    assert hits.to_geopandas()["index"].unique().tolist() == [str(other.path)]


def test_it_is_explained_across(small_index, other):
    name = cafe(small_index)[1]
    hits = small_index.query(name, among=other, k=4).explain()
    for hit, why in zip(hits, hits.why, strict=True):
        assert why.first == name
        assert why.similarity == pytest.approx(hit["similarity"], abs=2e-6)
        assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
    alike, why = small_index.similar(name, hits.ids[0], among=other)
    assert alike == pytest.approx(hits.table["similarity"][0].as_py(), abs=2e-6)


def test_cells_are_compared_across(small_index, other):
    home = f"{int(small_index.entities.column('cell')[0]):x}"
    hits = small_index.query(home, cells=True, among=other, k=9).explain()
    assert len(hits) == min(9, len(other.cells))
    assert hits.why[0].similarity == pytest.approx(hits.table["similarity"][0].as_py(), abs=2e-6)


def test_what_is_asked_must_be_in_the_first(small_index, other):
    with pytest.raises(NotInIndexError, match="Schule"):
        small_index.query("Schule", among=other)


def test_another_encoder_is_refused(small_index, other):
    foreign = geoindex.open(other.path)
    made_by = {**foreign.manifest.encoder, "fingerprint": "0" * 32}
    foreign.manifest = replace(foreign.manifest, encoder=made_by)
    name = cafe(small_index)[1]
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.query(name, among=foreign)
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.query_many([{"like": name}], among=foreign)
    with pytest.raises(UsageError, match="cannot be compared"):
        small_index.similar(name, name, among=foreign)
