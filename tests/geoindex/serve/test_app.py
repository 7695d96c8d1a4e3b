"""The interface answers as the command does, and refuses in words."""

import csv
import gzip
import io
import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import geoindex
from geoindex.api import Index
from geoindex.queries.hits import Hits
from geoindex.serve import requests

API = "/api/v1"
TOWN = f"{API}/indexes/town"


@pytest.fixture(scope="module")
def index(town: Path) -> Index:
    return geoindex.open(town)


@pytest.fixture(scope="module")
def cafe(index: Index) -> str:
    return str(index.query(tags="amenity=cafe", k=1).ids[0])


def answer(hits: Hits) -> list[dict[str, object]]:
    return json.loads(hits.to_text("geojson"))["features"]


def test_query_by_address_and_by_body(client: TestClient, index: Index, cafe: str) -> None:
    hits = index.query(cafe, where="amenity=*", k=4)
    by_address = client.get(f"{TOWN}/query", params={"like": cafe, "where": "amenity=*", "k": 4})
    body = {"geoindex_query": 1, "query": {"like": [cafe], "where": "amenity=*", "k": 4}}
    by_body = client.post(f"{TOWN}/query", json=body)
    plain = client.post(f"{TOWN}/query", json=body["query"])
    assert by_address.headers["content-type"] == "application/geo+json"
    for found in (by_address, by_body, plain):
        assert found.status_code == 200
        assert found.json()["features"] == answer(hits)
        assert found.json()["query"] == hits.query
        assert found.json()["index"] == hits.index
        assert found.json()["exact"] is True
        assert found.json()["empty_reason"] is None


def test_forms_by_accept_and_by_name(client: TestClient, index: Index, cafe: str) -> None:
    hits = index.query(cafe, k=3)
    ask = {"like": cafe, "k": 3}
    as_csv = client.get(f"{TOWN}/query", params=ask, headers={"Accept": "text/csv"})
    assert as_csv.text == hits.to_text("csv")
    assert len(list(csv.reader(io.StringIO(as_csv.text)))) == 4
    lines = client.get(f"{TOWN}/query", params={**ask, "format": "geojsonseq"})
    assert lines.text == hits.to_text("geojsonseq")
    plain = client.get(f"{TOWN}/query", params={**ask, "format": "json"}).json()
    assert plain["hits"] == json.loads(hits.to_text("json"))["hits"]
    parquet = client.get(f"{TOWN}/query", params={**ask, "format": "parquet"})
    table = pq.read_table(io.BytesIO(parquet.content))
    assert table.drop_columns(["bbox"]).column_names[:3] == hits.table.column_names[:3]
    assert table["similarity"].to_pylist() == hits.table["similarity"].to_pylist()
    refused = client.get(f"{TOWN}/query", params=ask, headers={"Accept": "image/gif"})
    assert refused.status_code == 406


def test_geopackage_opens(client: TestClient, cafe: str, tmp_path: Path) -> None:
    found = client.get(f"{TOWN}/query", params={"like": cafe, "k": 3, "format": "gpkg"})
    path = tmp_path / "hits.gpkg"
    path.write_bytes(found.content)
    frame = geopandas.read_file(path)
    assert len(frame) == 3
    assert json.loads(frame["tags"][0])["amenity"]


def test_explained_hits_say_why(client: TestClient, index: Index, cafe: str) -> None:
    ask = {"query": {"like": [cafe], "k": 2}, "explain": True}
    found = client.post(f"{TOWN}/query", json=ask).json()
    assert found["features"] == answer(index.query(cafe, k=2).explain())


def test_another_index_as_target(client: TestClient, real: Path, index: Index, cafe: str) -> None:
    hits = index.query(cafe, k=3, target=[real])
    found = client.get(f"{TOWN}/query", params={"like": cafe, "k": 3, "target": "real"})
    assert found.json()["features"] == answer(hits)
    unknown = client.get(f"{TOWN}/query", params={"like": cafe, "target": "mars"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_index")


def test_batch_is_the_table_of_the_command(client: TestClient, index: Index, cafe: str) -> None:
    rows = [{"like": cafe, "query": "a"}, {"tags": "amenity=bank", "query": "b"}]
    hits = index.query_many(rows, k=2)
    found = client.post(f"{TOWN}/query/batch", json={"queries": rows, "options": {"k": 2}})
    assert found.json()["features"] == answer(hits)
    assert [one["properties"]["query"] for one in found.json()["features"]] == list("aabb")


def test_feedback_is_read_from_the_body(client: TestClient, index: Index, cafe: str) -> None:
    other = index.query(tags="amenity=bank", k=1).ids[0]
    labels = [(cafe, 1), (other, 0)]
    feedback = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": name, "geometry": None, "properties": {"label": label}}
            for name, label in labels
        ],
    }
    found = client.post(f"{TOWN}/query", json={"query": {"feedback": feedback, "k": 3}})
    assert found.json()["features"] == answer(index.query(feedback=feedback, k=3))


def test_nothing_found_says_why(client: TestClient, cafe: str) -> None:
    nowhere = client.get(f"{TOWN}/query", params={"like": cafe, "bbox": "0,0,1,1"})
    assert nowhere.status_code == 200
    assert nowhere.json()["empty_reason"] == "nothing passes the filters"


def test_find(client: TestClient) -> None:
    found = client.get(f"{TOWN}/find", params={"q": "old museum", "limit": 3}).json()
    assert found["found"][0]["name"] == "Old Museum"
    assert found["found"][0]["kind"] == "tourism=museum"
    assert client.get(f"{TOWN}/find").json()["code"] == "usage"


def test_entities_rows_and_cells(client: TestClient, index: Index, cafe: str) -> None:
    found = client.get(f"{TOWN}/entities/{cafe}").json()
    row = index.row_of(cafe)
    assert found["id"] == cafe
    assert found["properties"]["tags"] == index.entities.record(row)["tags"]
    assert client.get(f"{TOWN}/rows/{row}").json() == found
    cell = found["properties"]["cell"]
    hexagon = client.get(f"{TOWN}/cells/{cell}").json()
    assert hexagon["id"] == cell
    assert hexagon["properties"]["num_entities"] > 0
    assert client.get(f"{TOWN}/rows/999999").status_code == 404
    assert client.get(f"{TOWN}/cells/nonsense").status_code == 400


def test_similar_is_the_explanation_of_the_command(
    client: TestClient, index: Index, cafe: str
) -> None:
    other = index.query(cafe, k=1).ids[0]
    found = client.get(f"{TOWN}/similar", params={"a": cafe, "b": other, "focus": "both"})
    assert found.json() == index.similar(cafe, other, focus="both")[1].as_dict()


@pytest.mark.parametrize("table", ["entities", "cells"])
def test_scores_are_similarities_of_all_rows(
    client: TestClient, index: Index, cafe: str, table: str
) -> None:
    ask = {"like": [cafe], "table": table, "bbox": [24.9, 60.1, 24.946, 60.3], "k": 1000}
    found = client.post(f"{TOWN}/scores", json=ask)
    scores = np.frombuffer(found.content, "<f2")
    rows = index.rows_of(table)
    assert len(scores) == len(rows)
    hits = client.post(f"{TOWN}/query", json=ask).json()["features"]
    assert len(hits) > 2
    for hit in hits:
        row = index.row_of(hit["id"]) if table == "entities" else index.cell_row(int(hit["id"], 16))
        assert scores[row] == pytest.approx(hit["properties"]["similarity"], abs=1e-3)
    # the example itself may have a score, but is no hit
    assert np.isfinite(scores).sum() - len(hits) in {0, 1}


def test_tiles_are_kept_by_version_and_compressed(client: TestClient) -> None:
    about = client.get(f"{API}/tiles/town.json").json()
    west, south, east, north = about["bounds"]
    assert west < 24.95 < east
    assert south < 60.17 < north
    address = about["tiles"][0].replace("{z}/{x}/{y}", "13/4663/2371")
    tile = client.get(address)
    assert tile.status_code == 200
    assert tile.headers["content-encoding"] == "gzip"
    assert "immutable" in tile.headers["cache-control"]
    again = client.get(address, headers={"If-None-Match": tile.headers["etag"]})
    assert again.status_code == 304
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == tile.content
    assert "content-encoding" not in plain.headers
    assert client.get(address.partition("?")[0]).headers["cache-control"] == "no-cache"
    empty = client.get(f"{API}/tiles/town/13/0/0.mvt")
    assert (empty.status_code, empty.content) == (204, b"")


@pytest.mark.parametrize("place", ["17/0/0", "3/8/0", "3/0/8", "40/1/1"])
def test_no_such_tile(client: TestClient, place: str) -> None:
    assert client.get(f"{API}/tiles/town/{place}.mvt").status_code == 404


def test_items_page_by_page(client: TestClient, index: Index) -> None:
    address = f"{API}/collections/town/items?bbox=24.939,60.169,24.945,60.172&limit=40"
    found, pages = [], 0
    while address:
        page = client.get(address).json()
        found += [item["id"] for item in page["features"]]
        pages += 1
        links = {link["rel"]: link["href"] for link in page["links"]}
        address = links.get("next", "")
    assert pages > 1
    assert len(found) == len(set(found)) == page["numberMatched"]
    import shapely

    shapes = shapely.from_wkb(np.array(index.entities.table["geometry"].to_pylist(), object))
    meets = shapely.intersects(shapes, shapely.box(24.939, 60.169, 24.945, 60.172))
    names = np.array(index.entities.table["feature_id"].to_pylist())
    assert sorted(found) == sorted(names[meets].tolist())
    only = client.get(f"{API}/collections/town/items?where=amenity%3Dbank&limit=1000").json()
    assert {item["properties"]["kind"] for item in only["features"]} == {"amenity=bank"}
    assert client.get(f"{API}/collections/town/items?like=way/1").status_code == 400


def test_landmarks_are_known_places(client: TestClient) -> None:
    about = client.get(TOWN).json()
    assert {"Old Museum", "Town Park"} <= {each["name"] for each in about["landmarks"]}
    assert about["kinds"]["building=house"] == 96


def test_the_page_and_its_files(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/favicon.ico").status_code == 200
    assert "/api/v1" in client.get("/llms.txt").text
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/page/%2e%2e/app.py").status_code == 404


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("query?like=way/1", 404, "not_in_index"),
        ("query?like=12345", 400, "invalid_id"),
        ("query", 400, "usage"),
        ("query?like=node/1&lik=2", 400, "usage"),
        ("query?like=node/1&k=0", 400, "usage"),
        ("query?like=node/1&k=x", 400, "usage"),
        ("query?like=node/1&k=1001", 413, "too_large"),
        ("query?like=node/1&where=amenity%3D%3Dx", 400, "invalid_where"),
        ("query?like=node/1&bbox=1,2,3", 400, "invalid_place"),
        ("query?like=node/1&k=1&k=2", 400, "usage"),
        ("query?image=/etc/hostname", 400, "usage"),
        ("query?like=/etc/passwd.geojson", 400, "usage"),
        ("query?like=node/1&within=/etc/area.geojson", 400, "usage"),
        ("query?like=node/1&in_area=x.gpkg", 400, "usage"),
        ("query?vector=/tmp/x.npy", 400, "usage"),
        ("similar?a=node/1", 400, "usage"),
        ("similar?a=node/1&b=x.geojson", 400, "usage"),
        ("similar?a=node/1&b=node/2&c=3", 400, "usage"),
        ("entities/way/7", 404, "not_in_index"),
        ("chips/node/1.png", 404, "not_in_index"),
        ("find?q=x.parquet", 400, "usage"),
        ("nothing", 404, "no_such_page"),
    ],
)
def test_faults_are_problems(client: TestClient, address: str, status: int, code: str) -> None:
    found = client.get(f"{TOWN}/{address}")
    problem = found.json()
    assert (found.status_code, problem["code"]) == (status, code), problem
    assert found.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in found.text


def test_candidates_are_the_ids_nearby(client: TestClient, index: Index) -> None:
    last = max(index.entities.column("osm_id").tolist())
    problem = client.get(f"{TOWN}/query", params={"like": f"way/{last + 5}"}).json()
    assert len(problem["candidates"]) == 3
    assert f"way/{last + 5}" not in problem["candidates"]


@pytest.mark.parametrize(
    "query",
    [
        {"like": ["a.geojson"]},
        {"unlike": ["b.gpkg"], "like": ["node/1"]},
        {"within": "area.shp", "like": ["node/1"]},
        {"ids": "ids.txt", "like": ["node/1"]},
        {"vectors": "vectors.npy"},
        {"image": "chip.png"},
        {"feedback": "labels.geojson"},
        {"in_place": "c.fgb", "like": ["node/1"]},
        {"session": "labels.geojson"},
        {"tags": "amenity=cafe", "like": ["x\0y"]},
    ],
)
def test_bodies_name_no_files(client: TestClient, query: dict[str, object]) -> None:
    found = client.post(f"{TOWN}/query", json={"query": query})
    assert (found.status_code, found.json()["code"]) == (400, "usage")


def test_bodies_are_json_of_a_known_form(client: TestClient) -> None:
    address = f"{TOWN}/query"
    assert client.post(address, content=b"{}").status_code == 415
    kind = {"Content-Type": "application/json"}
    assert client.post(address, content=b"{", headers=kind).json()["code"] == "usage"
    deep = b"[" * 100_000 + b"]" * 100_000
    assert client.post(address, content=deep, headers=kind).status_code == 400
    for wrong in ([], {"query": 3}, {"query": {"k": 3}}, {"query": {}, "and": 1}, {"no": 1}):
        assert client.post(address, json=wrong).status_code == 400, wrong
    assert client.post(address, json={"geoindex_query": 2, "query": {}}).status_code == 400
    assert client.put(address).status_code == 405


def test_bodies_have_limits(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [[24.9 + 1e-6 * i, 60.1 + (i % 2) * 1e-3] for i in range(11_000)]
    ring = [*corners, [24.95, 60.5], corners[0]]
    area = {"type": "Polygon", "coordinates": [ring]}
    found = client.post(f"{TOWN}/query", json={"query": {"like": ["node/1"], "within": area}})
    assert (found.status_code, found.json()["code"]) == (413, "too_large")
    big = {"query": {"like": ["x" * 4_100_000]}}
    assert client.post(f"{TOWN}/query", json=big).status_code == 413
    monkeypatch.setattr(requests, "MOST_HITS", 10)
    rows = [{"like": "node/1"}] * 3
    found = client.post(f"{TOWN}/query/batch", json={"queries": rows, "options": {"k": 4}})
    assert found.status_code == 413


def test_answers_compressed_on_request(client: TestClient) -> None:
    found = client.get(TOWN, headers={"Accept-Encoding": "gzip"})
    assert found.headers["content-encoding"] == "gzip"
    assert gzip.decompress(gzip.compress(found.content)) == found.content
