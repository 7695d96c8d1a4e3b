"""The description of the interface is that of its routes and of its answers."""

import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from geoindex.queries.options import OPTIONS

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import openapi  # noqa: E402 - a script, not a package

API = "/api/v1"


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    text = (resources.files("geoindex.serve") / "openapi.json").read_text("utf-8")
    return json.loads(text)


def test_the_file_is_what_the_script_prints() -> None:
    text = (resources.files("geoindex.serve") / "openapi.json").read_text("utf-8")
    assert text == openapi.render(), "run: python scripts/openapi.py > geoindex/serve/openapi.json"


def test_every_route_is_described_and_no_other(client: TestClient, content: dict[str, Any]) -> None:
    routes = {
        (re.sub(r":\w+}", "}", route.path).removeprefix(API), method.lower())
        for route in client.app.routes  # type: ignore[attr-defined]
        if isinstance(route, Route) and route.path.startswith(API)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {(path, method) for path, item in content["paths"].items() for method in item}
    assert routes == described


def test_every_option_of_a_query_is_described(content: dict[str, Any]) -> None:
    query = content["components"]["schemas"]["Query"]["properties"]
    assert set(OPTIONS) - {"image", "vectors_by"} <= set(query)
    assert {option.key for option in OPTIONS.values() if option.key} <= set(query)


def schema_of(content: dict[str, Any], path: str, method: str, status: str, kind: str) -> Any:
    answer = content["paths"][path][method]["responses"][status]["content"][kind]
    return {**answer.get("schema", {}), "components": content["components"]}


def test_every_answer_is_as_described(client: TestClient, content: dict[str, Any]) -> None:
    town = f"{API}/indexes/town"
    found = client.get(f"{town}/query?tags=amenity=cafe&k=2").json()
    first, second = (hit["id"] for hit in found["features"])
    values = {
        "ix": "town", "fid": first, "row": "0", "z": "13", "x": "4663", "y": "2371",
        "cell": found["features"][0]["properties"]["cell"],
    }  # fmt: skip
    queries = {
        "find": "?q=museum", "query": f"?like={first}&k=3&explain=true",
        "similar": f"?a={first}&b={second}",
    }  # fmt: skip
    bodies = {
        "query_body": {"query": {"like": [first]}}, "scores": {"like": [first]},
        "batch": {"queries": [{"like": first}]},
    }  # fmt: skip
    validated = 0
    for path, item in content["paths"].items():
        for method, operation in item.items():
            name = operation["operationId"]
            if name == "chip":
                continue
            address = f"{API}{path.format(**values)}{queries.get(name, '')}"
            options = {"json": bodies[name]} if method == "post" else {}
            answer = client.request(method, address, **options)
            assert answer.status_code == 200, (name, answer.text)
            kind = answer.headers["content-type"].partition("; charset")[0]
            assert kind in operation["responses"]["200"]["content"], name
            schema = schema_of(content, path, method, "200", kind)
            if "json" in kind:
                jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
                validated += len(schema) > 1
    assert validated > 14
    for body, part in ((bodies["query_body"], "QueryBody"), (bodies["batch"], "BatchBody")):
        schema = {**content["components"]["schemas"][part], "components": content["components"]}
        jsonschema.validate(body, schema, cls=jsonschema.Draft202012Validator)


def test_problems_are_as_described(client: TestClient, content: dict[str, Any]) -> None:
    for address, status in (("query?like=way/7", "404"), ("query?k=0", "400")):
        answer = client.get(f"{API}/indexes/town/{address}")
        kind = answer.headers["content-type"]
        schema = schema_of(content, "/indexes/{ix}/query", "get", status, kind)
        jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)


def test_the_document_is_openapi_3_1(content: dict[str, Any]) -> None:
    assert content["openapi"] == "3.1.0"
    names = [
        operation["operationId"]
        for item in content["paths"].values()
        for operation in item.values()
    ]
    assert len(names) == len(set(names))
    text = json.dumps(content)
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in content["components"]["schemas"]
