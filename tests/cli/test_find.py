"""`geoindex find` lists what a name may mean; hits fit a terminal and go to files of GIS."""

import json

import geopandas
import pytest
from rich.console import Console

from cli.output import _terminal_table, kind_in_words
from geoindex.errors import NotInIndexError, OutputError
from tests.support.command import run


def test_find_prints_what_python_finds(small_index):
    found = small_index.find("island")
    listed = json.loads(run("find", small_index.path, "island", "--json").stdout)
    assert [each["id"] for each in listed] == [each.id for each in found]
    assert listed[0].keys() == {
        "id", "name", "kind", "lon", "lat", "score", "matched", "num_entities",
    }  # fmt: skip
    lines = run("find", small_index.path, "island", "-n", 2).stdout.splitlines()
    assert lines[0].split() == ["#", "id", "kind", "name", "fits", "by", "at"]
    assert [line.split()[1] for line in lines[1:]] == [each.id for each in found[:2]]


def test_find_says_the_nearest_where_nothing_fits(small_index):
    done = run("find", small_index.path, "Iland 0")
    assert isinstance(done.exception, NotInIndexError)
    assert "'Island 0'" in str(done.exception)


def test_examples_need_no_option_and_limit_is_k(small_index):
    plain = run("query", small_index.path, "--like", "n1", "-k", 2, "-f", "csv").stdout
    assert run("query", small_index.path, "n1", "-n", 2, "-f", "csv").stdout == plain
    assert run("query", small_index.path, "n1", "--limit", 2, "-f", "csv").stdout == plain


@pytest.mark.parametrize("options", [{}, {"cells": True}])
def test_the_table_fits_80_columns(small_index, options):
    hits = small_index.query("n1", k=5, **options)
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(_terminal_table(hits))
    lines = console.export_text().splitlines()
    assert len(lines) == 1 + len(hits)
    for line, hit in zip(lines[1:], hits, strict=True):
        assert len(line) <= 80
        assert f"{hit['similarity']:.2f}" in line
        assert (hit.get("feature_id") or hit["region_id"]) in line


def test_kinds_are_words():
    assert kind_in_words("amenity=place_of_worship") == "place of worship"
    assert kind_in_words("building=yes") == "building"
    assert kind_in_words("highway=residential") == "residential highway"


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_hits_go_to_a_layer(small_index, tmp_path, suffix):
    path = tmp_path / f"hits.{suffix}"
    done = run("query", small_index.path, "n1", "-k", 3, "-o", path)
    assert f"wrote {path}: 3 hits" in done.stderr
    frame = geopandas.read_file(path)
    hits = small_index.query("n1", k=3)
    assert sorted(frame["feature_id"]) == sorted(hits.ids)
    by_id = {hit["feature_id"]: hit["tags"] for hit in hits}
    assert {
        i: json.loads(tags) for i, tags in zip(frame["feature_id"], frame["tags"], strict=True)
    } == by_id
    again = run("query", small_index.path, "n1", "-k", 3, "-o", path)
    assert isinstance(again.exception, OutputError)
    to_pipe = run("query", small_index.path, "n1", "-f", {"fgb": "flatgeobuf"}.get(suffix, suffix))
    assert "to a file alone" in str(to_pipe.exception)


def test_help_is_in_groups():
    lines = run("query", "-h").stdout.splitlines()
    heads = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    wanted = ["Arguments:", "Example:", "Filters:", "Where:", "Ranking:", "Output:", "Options:"]
    assert heads == wanted


def test_text_is_read_as_tags(small_index):
    hits = small_index.query(text="a cosy cafe", k=3)
    assert any("is read as --tags amenity=cafe" in note for note in hits.notes)
    assert hits.ids == small_index.query(tags="amenity=cafe", k=3).ids
    assert run("query", small_index.path, "--text", "12").exception is not None
