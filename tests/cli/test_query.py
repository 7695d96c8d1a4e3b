"""`geoindex query` is what Python is: other indexes, tables of queries, saved queries."""

import csv
import io
import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from geoindex import Query
from geoindex.errors import SkippedItemsError
from geoindex.filters.base import Filter
from geoindex.filters.definitions import FILTERS
from geoindex.queries.options import OPTIONS
from tests.geoindex.filters.test_apply import north_of
from tests.support.command import run
from tests.support.maps import TOWN


def hits_of(done):
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["hits"]


@pytest.fixture
def asked(small_index):
    def ask(*args):
        return hits_of(run("query", small_index.path, *args, "-f", "json", "-q"))

    return ask


def test_likes_are_points_cells_names_and_areas(small_index, asked):
    cell = f"{int(small_index.entities.column('cell')[0]):x}"
    lon, lat = TOWN
    area = f"POLYGON(({lon} {lat},{lon + 0.01} {lat},{lon + 0.01} {lat + 0.01},{lon} {lat}))"
    for text in (f"{lon},{lat}", cell, area):
        assert asked("--like", text) == small_index.query(text).records()


def test_vectors_and_both_are_asked(small_index, asked, tmp_path):
    np.save(tmp_path / "v.npy", small_index.vectors("entities")[3])
    given = asked("--vector", tmp_path / "v.npy", "-k", 3)
    assert given == small_index.query(vector=tmp_path / "v.npy", k=3).records()
    both = asked("--like", "n1", "--focus", "both", "--own-weight", 0.2)
    assert both == small_index.query("n1", focus="both", own_weight=0.2).records()


def test_another_index_is_named_in_each_row(small_index):
    query = ("query", small_index.path, "--like", "n1", "--target", small_index.path, "-k", 2)
    hits = small_index.query("n1", target=small_index.path, k=2)
    assert hits_of(run(*query, "-f", "json")) == hits.records()
    lines = run(*query).stdout.splitlines()
    assert lines[0].startswith("index")
    assert all(line.startswith(str(small_index.path)) for line in lines[1:])


def test_a_query_is_saved_and_asked_again(small_index, asked, tmp_path):
    path = tmp_path / "query.json"
    first = asked("--like", "n1", "--where", "building", "-k", 4, "--save-query", path)
    assert Query.load(path) == Query("n1", where="building", k=4)
    assert asked("--query", path) == first
    assert asked("--query", path, "-k", 2) == first[:2]
    # what nobody said keeps what the file says, what is said replaces it
    more = small_index.query("n1", where="building", k=10)
    assert len(more) > 4
    assert asked("--query", path, "-k", 10) == more.records()
    other = asked("--query", path, "--like", "n2")
    assert other == small_index.query("n2", where="building", k=4).records()
    answers = tmp_path / "hits.geojson"
    assert run("query", small_index.path, "--query", path, "-o", answers).exit_code == 0
    assert asked("--query", answers) == first


def test_a_table_of_queries_is_answered(small_index, tmp_path):
    table = tmp_path / "queries.csv"
    table.write_text("query,like\nfirst,n1\nsecond,n4\nthird,n99999999\n")
    query = ("query", small_index.path, "--batch", table, "-k", 2)
    done = run(*query, "-f", "csv")
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["query"] for row in rows] == ["first", "first", "second", "second"]
    assert "left out 1 of 3 queries" in done.stderr
    assert run(*query).stdout.splitlines()[0].split()[:2] == ["query", "#"]
    output = tmp_path / "hits.parquet"
    assert run(*query, "-o", output).exit_code == 0
    assert output.stat().st_size
    assert isinstance(run(*query, "--strict").exception, SkippedItemsError)
    page = ("--html", tmp_path / "hits.html")
    for option in (("--query", table), ("--save-query", tmp_path / "q.json"), page):
        assert run(*query, *option).exit_code == 2


def test_a_table_of_queries_is_explained(small_index, asked, tmp_path):
    table = tmp_path / "queries.csv"
    table.write_text("query,like\nfirst,n1\nnone,n99999999\nsecond,n4\n")
    hits = asked("--batch", table, "-k", 2, "--explain")
    assert [hit["query"] for hit in hits] == ["first", "first", "second", "second"]
    alone = [hit for name in ("n1", "n4") for hit in asked("--like", name, "-k", 2, "--explain")]
    assert [hit["why"] for hit in hits] == [hit["why"] for hit in alone]
    done = run("query", small_index.path, "--batch", table, "-k", 1, "--explain")
    plain = run("query", small_index.path, "--batch", table, "-k", 1)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > len(plain.stdout.splitlines())


def test_old_names_are_hidden_and_still_read(small_index, asked, tmp_path):
    area = next(
        entity["feature_id"]
        for entity in small_index.entities.table.select(["feature_id", "kind"]).to_pylist()
        if entity["kind"] == "leisure=park"
    )
    expected = asked("--like", "n1", "--in-area", area)
    assert asked("--like", "n1", "--in-place", area) == expected
    assert expected == small_index.query("n1", in_area=area).records()
    labels = {"type": "Feature", "id": "node/1", "geometry": None, "properties": {"label": 1}}
    path = tmp_path / "labels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [labels]}))
    assert asked("--session", path) == asked("--feedback", path) == asked("--like", "n1")
    there = ("--like", "n1", "-k", 3)
    assert asked(*there, "--among", small_index.path) == asked(*there, "--target", small_index.path)
    config = tmp_path / "settings.toml"
    config.write_text(f'[query]\nin_place = "{area}"\n')
    assert asked("--like", "n1", "--config", config) == expected
    shown = run("query", "--help").stdout
    for name in ("--in-place", "--session", "--among"):
        assert name not in shown
    for name in ("--in-area", "--feedback", "--target", "--image"):
        assert name in shown


def test_every_option_of_a_query_is_one_of_the_command(small_index):
    from cli.query import _signature

    flags = set(_signature().parameters)
    assert {name for name, option in OPTIONS.items() if option.cli_type} <= flags
    assert "vectors_by" not in flags
    shown = " ".join(run("query", "--help").stdout.replace("│", " ").split())
    for name, option in OPTIONS.items():
        if option.cli_type:
            assert f"--{name.replace('_', '-')}" in shown
            assert option.help


def test_a_new_filter_is_an_option_of_the_command(small_index, monkeypatch):
    from cli import query as command

    new = Filter(help="Only north of this.", metavar="LAT", parse=float, cli_type=float,
                 apply=north_of)  # fmt: skip
    monkeypatch.setitem(FILTERS, "north_of", new)
    monkeypatch.setitem(OPTIONS, "north_of", new)
    signature = command._signature()
    annotations = {name: each.annotation for name, each in signature.parameters.items()}
    monkeypatch.setattr(command.query, "__signature__", signature)
    monkeypatch.setattr(command.query, "__annotations__", annotations)
    with_it = typer.Typer()
    command.register(with_it)
    asked = [str(small_index.path), "--like", "n1", "--north-of", "50", "-k", "99", "-f", "json"]
    found = hits_of(CliRunner().invoke(with_it, asked))
    every = small_index.query("n1", k=len(small_index.entities)).records()
    assert [hit["feature_id"] for hit in found] == [
        hit["feature_id"] for hit in every if hit["lat"] > 50
    ]
    assert 0 < len(found) < len(every)


def test_settings_hold_for_a_table_and_not_for_a_saved_query(small_index, asked, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("[query]\nk = 1\n")
    table = tmp_path / "queries.csv"
    table.write_text("like\nn1\nn4\n")
    assert len(asked("--batch", table, "--config", config)) == 2
    assert len(asked("--batch", table, "--config", config, "-k", 3)) == 6
    saved = tmp_path / "query.json"
    Query("n1", k=4).save(saved)
    assert len(asked("--query", saved, "--config", config)) == 4
    assert len(asked("--like", "n1", "--config", config)) == 1


def test_similar_takes_what_query_takes(small_index):
    cell = f"{int(small_index.entities.column('cell')[0]):x}"
    point = f"{TOWN[0]},{TOWN[1]}"
    for pair in ((cell, point), (point, "n4")):
        done = run("similar", small_index.path, *pair, "--json")
        assert json.loads(done.stdout) == small_index.similar(*pair)[1].as_dict()
    expected = small_index.similar("n1", "n4", focus="both", own_weight=0.2)[0]
    for target in ("--target", "--among"):
        both = ("--focus", "both", "--own-weight", 0.2, target, small_index.path, "--json")
        told = json.loads(run("similar", small_index.path, "n1", "n4", *both).stdout)
        assert told["similarity"] == pytest.approx(expected, abs=1e-6)
