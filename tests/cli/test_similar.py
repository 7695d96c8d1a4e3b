"""`geoindex similar` and `--explain` print what the library says."""

import csv
import io
import json

import pytest

from geoindex.errors import NotInIndexError
from tests.support.command import run


@pytest.fixture(scope="module")
def two(small_index):
    rows = small_index.entities.where_equal("kind", "amenity=cafe")[:2]
    return [small_index.entities.record(row)["feature_id"] for row in rows.tolist()]


@pytest.mark.parametrize("focus", ["own", "context"])
def test_similar_says_what_python_says(small_index, two, focus):
    similarity, why = small_index.similar(*two, focus=focus)
    asked = ("similar", small_index.path, *two, "--focus", focus)
    done = run(*asked)
    assert done.exit_code == 0
    assert done.stdout == why.text() + "\n"
    told = json.loads(run(*asked, "--json").stdout)
    assert told == why.as_dict()
    assert told["similarity"] == round(similarity, 6)


def test_similar_takes_ids_in_any_form(small_index, two):
    short = [feature_id.replace("node/", "n") for feature_id in two]
    assert (
        run("similar", small_index.path, *short).stdout
        == run("similar", small_index.path, *two).stdout
    )


def test_similar_refuses_what_is_not_there(small_index, two):
    assert isinstance(
        run("similar", small_index.path, two[0], "n99999999").exception, NotInIndexError
    )
    assert run("similar", small_index.path, *two, "--focus", "sideways").exit_code == 2


def test_explain_adds_why_to_every_form(small_index, two):
    asked = ("query", small_index.path, "--like", two[0], "-k", 3)
    for form in ("json", "geojson", "csv"):
        assert '"why"' not in run(*asked, "-f", form).stdout
    explained = (*asked, "--explain")
    hits = json.loads(run(*explained, "-f", "json").stdout)["hits"]
    whys = [hit["why"] for hit in hits]
    assert all(why["first"] == two[0] for why in whys)
    features = json.loads(run(*explained, "-f", "geojson").stdout)["features"]
    assert [feature["properties"]["why"] for feature in features] == whys
    rows = csv.DictReader(io.StringIO(run(*explained, "-f", "csv").stdout))
    assert [json.loads(row["why"]) for row in rows] == whys


def test_explain_stands_under_each_row(small_index, two):
    lines = run("query", small_index.path, "--like", two[0], "-k", 2, "--explain").stdout
    hits = small_index.query(two[0], k=2).explain()
    for why in hits.why:
        for line in why.text().split("\n"):
            assert f"   {line}\n" in lines
    assert lines.splitlines()[1].startswith("1 ")


def test_explain_of_nothing_is_no_fault(small_index, two):
    done = run(
        "query",
        small_index.path,
        "--like",
        two[0],
        "--where",
        "shop=none",
        "--explain",
        "-f",
        "csv",
    )
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
