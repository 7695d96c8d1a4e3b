"""A query can be printed, saved, and run again: it asks the same."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import geoindex
from geoindex import Query
from geoindex.errors import OutputError, UsageError
from geoindex.queries.options import OPTIONS
from tests.support.maps import TOWN

LON, LAT = TOWN
SQUARE = shapely.box(LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01)
CELL = "891f1d48177ffff"

FEEDBACK = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "id": f"node/{i}", "geometry": None, "properties": {"label": label}}
        for i, label in ((1, 1), (4, 0), (2, None))
    ],
}

# one value or more of each option, as its owner might write it
VALUES = {
    "like": ["node/1", ("node/1", "Café, “Engel”"), SQUARE, "7.42,43.73", CELL],
    "unlike": ["node/2", ["node/2", CELL]],
    "at": [TOWN, "24.94,60.17"],
    "cell": [CELL, int(CELL, 16)],
    "tags": ["amenity=cafe", {"name": "a, b", "building:levels": 3}],
    "text": ["quiet park"],
    "vector": [np.array([0.1, -1e-9, 3.0], np.float32), [[1, 2], [3, 4]]],
    "vectors_by": ["0" * 32],
    "image": ["chip.tif", Path("chip.png")],
    "feedback": [FEEDBACK],
    "negative_weight": [0.25, 0],
    "where": ["amenity=cafe|bar, !shop", {"amenity": ["bar", "pub"], "building": True}],
    "bbox": [(24, 60, 25, 61), "170,-10,-170,10"],
    "within": [SQUARE, SQUARE.wkt],
    "in_area": ["Vaduz", "9.5,47.1"],
    "not_within": ["1.5km", 20],
    "in_cell": ["851f1d4bfffffff"],
    "kind": ["amenity=*"],
    "name": ["~cafe engl"],
    "ids": [["way/1", "n2"], []],
    "exclude": ["way/1,n2"],
    "parts": [True],
    "suggest": [3],
    "min_area": ["2ha", 5],
    "max_area": [7.5e6],
    "min_length": ["1km"],
    "max_length": [1e6],
    "min_similarity": [-0.5, 0],
    "one_per": ["cell:7"],
    "diversity": [0.3],
    "cells": [True],
    "focus": ["own", "both"],
    "own_weight": [0.25],
    "k": [1, 500],
}


OTHER_EXAMPLES = {"like", "unlike", "at", "cell", "tags", "text", "vector", "feedback"}
WEIGHED = {"focus", "own_weight"}


@st.composite
def some_options(draw):
    names = draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=8)) | {"like"}
    if "image" in names:
        # a picture goes with no other example
        names -= OTHER_EXAMPLES
    if names & {"image", "cells"}:
        names -= WEIGHED
    found = {name: draw(st.sampled_from(VALUES[name])) for name in sorted(names)}
    if found.get("focus") == "own":
        found.pop("own_weight", None)
    if draw(st.booleans()):
        found |= {"near": TOWN, "radius": "500m"}
    return found


@given(some_options())
def test_what_is_printed_and_what_is_saved_ask_the_same(options):
    query = Query(**options)
    assert eval(repr(query), {"Query": Query}) == query  # noqa: S307 - that is the promise
    assert Query.from_dict(json.loads(json.dumps(query.as_dict()))) == query
    assert query.replace() == query


def test_every_option_is_tried():
    assert set(OPTIONS) - {"near", "radius"} == set(VALUES)


@pytest.mark.parametrize(
    "options",
    [
        {"like": ["node/1"], "unlike": "node/4", "k": 7, "negative_weight": 0.3},
        {"tags": "amenity=cafe", "within": SQUARE, "one_per": "name"},
        {"at": TOWN, "cells": True, "k": 3},
        {"like": SQUARE, "focus": "both", "own_weight": 0.2, "diversity": 0.4},
        {"like": "node/1", "ids": []},
    ],
)
def test_a_saved_query_is_run_again(small_index, tmp_path, options):
    query = Query(**options)
    hits = small_index.query(query)
    path = tmp_path / "query.json"
    query.save(path)
    assert Query.load(path) == query
    assert small_index.query(Query.load(path)).to_text("json") == hits.to_text("json")
    assert small_index.query(**options).to_text("json") == hits.to_text("json")
    for form in ("json", "geojson"):
        answers = tmp_path / f"hits.{form}"
        answers.write_text(hits.to_text(form), "utf-8")
        again = small_index.query(Query.load(answers))
        assert again.to_text("json") == hits.to_text("json")


def test_feedback_is_within_the_query(small_index):
    query = Query("node/3", feedback=FEEDBACK)
    assert query.as_dict()["like"] == ["node/3", "node/1"]
    assert query.as_dict()["unlike"] == ["node/4"]
    assert query.notes[0] == "left out of the feedback: 1 without a label"
    assert "(Rocchio)" in query.notes[1]
    assert small_index.query(query).notes[0] == query.notes[0]


def test_options_change_a_query(small_index):
    query = Query("node/1", where="amenity=cafe", k=2)
    changed = query.replace(k=1, where=None)
    assert changed == Query("node/1", k=1)
    assert small_index.query(query, k=1).query["k"] == 1
    assert repr(Query(like="node/1")) == "Query(like=['node/1'])"
    assert len({query, query.replace(), changed}) == 2
    assert query != "node/1"


def test_vectors_ask_as_the_thing_they_are_of(small_index, tmp_path):
    row = small_index.row_of("node/1")
    for cells, table in ((False, "entities"), (True, "cells")):
        vector = small_index.vectors(table)[row]
        hits = small_index.query(vector=vector, cells=cells, k=4)
        if not cells:
            assert hits.ids[0] == "node/1", "a vector has no name that could be left out"
            assert hits.table["similarity"][0].as_py() == pytest.approx(1, abs=1e-6)
        paths = [tmp_path / f"{table}{end}" for end in (".npy", ".json")]
        np.save(paths[0], vector)
        paths[1].write_text(json.dumps(vector.tolist()))
        for path in paths:
            assert small_index.query(vector=path, cells=cells, k=4).ids == hits.ids
    why = small_index.query(vector=small_index.vectors("entities")[row], k=2).explain().why
    assert sum(why[1].parts.values()) == pytest.approx(why[1].similarity, abs=1e-9)
    assert why[1].first == "the vector given"


def test_an_export_is_a_file_of_vectors(small_index, tmp_path):
    path = tmp_path / "export.parquet"
    small_index.export(path)
    query = Query(vector=path)
    assert query.vectors_by == small_index.manifest.encoder["fingerprint"]
    assert len(query.vectors) == len(small_index.entities)
    assert len(small_index.query(query, k=3)) == 3
    foreign = query.replace(vectors_by="f" * 32)
    with pytest.raises(UsageError, match="another encoder"):
        small_index.query(foreign)
    small_index.export(tmp_path / "small.parquet", vector_dtype="int8")
    with pytest.raises(UsageError, match="int8"):
        Query(vector=tmp_path / "small.parquet")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "shape"),
        ([[[1.0]]], "shape"),
        ("vector.txt", "ends in none of"),
        ("none.npy", "cannot read"),
        (["a"], "no vector of numbers"),
        ([[1, 2], [3]], "no vector of numbers"),
    ],
)
def test_what_is_no_vector_is_refused(value, said):
    with pytest.raises(UsageError, match=said):
        Query(vector=value)


@pytest.mark.parametrize("value", [[1.0, 2.0], [0.0] * 500, [float("nan")] * 500])
def test_vectors_that_do_not_fit_are_refused(small_index, value):
    dim = small_index.encoder.dim
    vector = np.array((value * dim)[: dim if len(value) > 2 else 2], np.float32)
    with pytest.raises(UsageError, match="the vector"):
        small_index.query(vector=vector)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[]", "holds no query"),
        ("{}", "holds no query"),
        ('{"query": {"like": "node/1", "wher": 1}}', "wher"),
        ('{"query": {"like": "node/1", "table": "places"}}', "no table 'places'"),
        ('{"query": {}}', "nothing to search for"),
        ('{"geoindex_query": 2, "query": {"like": "node/1"}}', "version 2"),
    ],
)
def test_what_is_no_query_is_refused(tmp_path, text, said):
    path = tmp_path / "query.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        Query.load(path)
    with pytest.raises(UsageError, match="cannot read"):
        Query.load(tmp_path / "none.json")


def test_a_file_that_is_there_is_kept(tmp_path):
    query = geoindex.Query("node/1")
    query.save(tmp_path / "query.json")
    with pytest.raises(OutputError, match="there already"):
        query.save(tmp_path / "query.json")
    query.replace(k=3).save(tmp_path / "query.json", overwrite=True)
    assert Query.load(tmp_path / "query.json").k == 3


def test_a_query_is_frozen():
    query = Query("node/1", k=3)
    for name, value in (("k", 5), ("like", "node/2"), ("notes", ()), ("no_such", 1)):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(query, name, value)
    assert query == Query("node/1", k=3)
    with pytest.raises(AttributeError, match="no option 'wher'"):
        _ = query.wher
    assert set(OPTIONS) <= set(dir(query))


def test_options_are_attributes():
    query = Query("node/1", where="shop", cells=True, near=TOWN, radius="1km")
    assert (query.like, query.k, query.unlike, query.diversity) == (("node/1",), 10, None, 0)
    assert (query.table, Query("node/1").table) == ("cells", "entities")
    assert list(query.filters) == ["where", "near", "radius"]
    assert query.filters["radius"] == query.radius == 1000
    assert Query("node/1").filters == {}


def test_a_query_may_be_pickled():
    query = Query("node/1", within=SQUARE, vector=[1, 2], k=3)
    assert pickle.loads(pickle.dumps(query)) == query  # noqa: S301 - made here


def test_the_vectors_compared_follow_from_the_query():
    expected = {
        "own": [{"tags": "amenity=cafe"}, {"like": "node/1", "focus": "own"}],
        "context": [{"like": "node/1", "focus": "context"}],
        "whole": [{"like": SQUARE}, {"vector": [1, 2]}, {"tags": "a=b", "cells": True}],
        "both": [{"like": "node/1"}, {"at": TOWN}, {"tags": "amenity=cafe", "unlike": "node/1"}],
        "image": [{"image": "chip.tif"}, {"image": "chip.tif", "cells": True}],
    }
    expected["whole"].append({"like": ["node/1", SQUARE]})
    for name, several in expected.items():
        assert {Query(**options).vector_field for options in several} == {name}


def test_options_of_a_table_become_queries_with_examples():
    shared = Query.without_examples(where="amenity", k=3, negative_weight=0.2)
    assert not shared.has_examples
    query = shared.with_examples(like="node/1", unlike=["node/2"])
    assert query == Query("node/1", unlike="node/2", where="amenity", k=3, negative_weight=0.2)
    assert shared.with_examples(image="a.tif") == Query(
        image="a.tif", where="amenity", k=3, negative_weight=0.2
    )
    assert not shared.has_examples, "it is as it was"
    for options in ({}, {"unlike": "node/1"}, {"like": ()}):
        with pytest.raises(UsageError, match="nothing to search for"):
            shared.with_examples(**options)
    with pytest.raises(UsageError, match="focus does not go with image"):
        Query.without_examples(focus="own").with_examples(image="a.tif")
    for name in ("like", "feedback", "image", "session", "vectors"):
        shown = {"session": "feedback", "vectors": "vector"}.get(name, name)
        with pytest.raises(UsageError, match=f"{shown} is asked by each query"):
            Query.without_examples(**{name: "x"})


@pytest.mark.parametrize(
    "others",
    [
        {"like": "node/1"},
        {"unlike": "node/1"},
        {"at": TOWN},
        {"cell": CELL},
        {"tags": "amenity=cafe"},
        {"vector": [1, 2]},
        {"feedback": FEEDBACK},
        {"focus": "own"},
    ],
)
def test_a_picture_goes_with_no_other_example(others):
    (name,) = others
    shown = "like" if name == "feedback" else name
    with pytest.raises(UsageError, match=f"{shown} does not go with image"):
        Query(image="chip.tif", **others)
    with pytest.raises(UsageError, match="does not go with image"):
        Query(image="chip.tif").replace(**others)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("wher", "did you mean 'where'"), ("in_aera", "'in_area'"), ("onlike", "'unlike'")],
)
def test_an_option_that_is_none_gives_a_hint(name, hint):
    with pytest.raises(TypeError, match=f"no option '{name}'; .*{hint}"):
        Query("node/1", **{name: "x"})
    with pytest.raises(TypeError, match=r"no option 'qqqqqq'$"):
        Query("node/1", qqqqqq=1)


def test_old_names_are_still_read(tmp_path):
    assert Query("node/1", in_place="Vaduz") == Query("node/1", in_area="Vaduz")
    assert Query(session=FEEDBACK) == Query(feedback=FEEDBACK)
    assert Query("node/1", in_place="Vaduz").as_dict()["in_area"] == "Vaduz"
    changed = Query("node/1", in_area="Vaduz").replace(in_place="Schaan", session=FEEDBACK)
    assert changed == Query(["node/1"], unlike="node/4", in_area="Schaan")
    path = tmp_path / "old.json"
    path.write_text('{"geoindex_query": 1, "query": {"like": ["node/1"], "in_place": "Vaduz"}}')
    assert Query.load(path) == Query("node/1", in_area="Vaduz")
    with pytest.raises(AttributeError):
        _ = changed.in_place


def test_like_is_given_once():
    with pytest.raises(UsageError, match="like is given twice"):
        Query("node/1", like="node/2")


@pytest.mark.parametrize(
    "options",
    [
        {"cells": True, "focus": "own"},
        {"cells": True, "focus": "both"},
        {"cells": True, "own_weight": 0.3},
        {"focus": "context", "own_weight": 0.3},
        {"focus": "own", "own_weight": 0.3},
    ],
)
def test_a_weight_or_focus_without_effect_is_refused(options):
    with pytest.raises(UsageError, match=r" does not go with (cells|focus)"):
        Query("way/1", **options)


def test_a_share_of_own_alone_weighs_both():
    assert Query("way/1", own_weight=0.3).vector_field == "both"
    assert Query("way/1", own_weight=0.3).as_dict()["own_weight"] == 0.3
    assert Query("way/1", cells=True, focus="context").vector_field == "whole"
