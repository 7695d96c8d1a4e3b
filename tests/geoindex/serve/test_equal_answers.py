"""Answers over HTTP are the command's, digit by digit: 200 random queries, in every form."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import geoindex
from geoindex.api import Index
from tests.support.command import run

_NUM_QUERIES = 200
_FORMS = ("geojson", "json", "csv", "geojsonseq", "parquet")


def random_query(index: Index, rng: np.random.Generator) -> dict[str, Any]:
    """Return the options of a query that can be answered."""

    def an_id() -> str:
        return str(index.entities.table["feature_id"][int(rng.integers(len(index.entities)))])

    def a_place() -> list[float]:
        row = int(rng.integers(len(index.entities)))
        return [float(index.entities.column(axis)[row]) for axis in ("lon", "lat")]

    examples: list[dict[str, Any]] = [
        {"like": [an_id()]},
        {"like": [an_id(), an_id()], "unlike": [an_id()]},
        {"at": a_place()},
        {"tags": {"amenity": "cafe", "outdoor_seating": "yes"}},
    ]
    options = dict(examples[int(rng.integers(len(examples)))])
    lon, lat = a_place()
    more: list[dict[str, Any]] = [
        {"where": "amenity=*"},
        {"where": "building=* & !name"},
        {"kind": "amenity=*"},
        {"bbox": [max(lon - 0.01, -180), lat - 0.01, min(lon + 0.01, 180), min(lat + 0.01, 90)]},
        {"near": [lon, lat], "radius_m": 700.0},
        {"min_similarity": 0.5},
        {"diversity": 0.3},
        {"one_per": "kind"},
        {"focus": "both", "own_weight": 0.25},
        {"focus": "own"},
        {"table": "cells"},
    ]
    for number in rng.choice(len(more), int(rng.integers(3)), replace=False).tolist():
        options |= more[number]
    if options.get("table") == "cells":
        options = {
            name: value
            for name, value in options.items()
            if name not in {"where", "kind", "focus", "own_weight"}
        }
        if options.get("one_per") == "kind":
            del options["one_per"]
    return {**options, "k": int(rng.integers(1, 15))}


def texts(text: str) -> Any:
    """Return JSON with its numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)


def test_200_random_queries(client: TestClient, real: Path) -> None:
    index = geoindex.open(real)
    rng = np.random.default_rng(15)
    num_hits = 0
    for number in range(_NUM_QUERIES):
        plain = random_query(index, rng)
        hits = index.query(geoindex.Query.from_dict(plain))
        form = _FORMS[number % len(_FORMS)]
        ask = {"query": plain, "format": form}
        found = client.post("/api/v1/indexes/real/query", json=ask)
        assert found.status_code == 200, (plain, found.text)
        num_hits += len(hits)
        if form == "parquet":
            table = pq.read_table(io.BytesIO(found.content)).select(hits.table.column_names)
            ours = [column.to_pylist() for column in table.drop_columns(["geometry"]).columns]
            theirs = hits.table.drop_columns(["geometry"])
            assert ours == [column.to_pylist() for column in theirs.columns], plain
        elif form in {"csv", "geojsonseq"}:
            assert found.text == hits.to_text(form), plain
        else:
            ours, command = texts(found.text), texts(hits.to_text(form))
            assert {name: ours[name] for name in command} == command, plain
    assert num_hits > 500


@pytest.mark.parametrize("form", ["geojson", "csv"])
def test_the_command_itself_prints_the_same(client: TestClient, real: Path, form: str) -> None:
    index = geoindex.open(real)
    name = index.query(tags="amenity=cafe", k=1).ids[0]
    printed = run("query", str(real), "--like", name, "-k", "7", "-f", form)
    address = f"/api/v1/indexes/real/query?like={name}&k=7&format={form}"
    found = client.get(address).text
    if form == "csv":
        assert found == printed.stdout
    else:
        ours, command = texts(found), texts(printed.stdout)
        assert {key: ours[key] for key in command} == command
