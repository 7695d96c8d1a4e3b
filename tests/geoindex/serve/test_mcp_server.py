"""The tools, as the SDK's own client calls them: in this process, over HTTP and by stdio."""

import json
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import geoindex
from geoindex.api import Index
from geoindex.filters.tag_filter_parser import parse_where
from tests.geoindex.serve.conftest import HOSTILE_NAMES
from tests.support.browser import serving

mcp = pytest.importorskip("mcp")

from geoindex.serve import mcp_server  # noqa: E402
from geoindex.serve.catalog import Catalog  # noqa: E402

TOOLS = {
    "list_indexes", "find_place", "find_similar", "compare_places", "describe_place",
    "describe_area", "find_similar_areas", "rank_with_examples",
}  # fmt: skip
# four characters are about one token
_MOST_CHARACTERS = 8000


def with_client(server: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with mcp.Client(server) as client:
            return await work(client)

    return anyio.run(go)


@pytest.fixture(scope="module")
def server(town: Path, real: Path) -> Any:
    return mcp_server.make_server(Catalog([town, real]))


@pytest.fixture(scope="module")
def index(town: Path) -> Index:
    return geoindex.open(town)


@pytest.fixture(scope="module")
def cafes(index: Index) -> list[str]:
    return index.query(tags="amenity=cafe", where="name=Cafe*", k=12).ids


def call(server: Any, tool: str, **arguments: Any) -> Any:
    found = with_client(server, lambda client: client.call_tool(tool, arguments))
    text = "".join(part.text for part in found.content)
    assert len(text) < _MOST_CHARACTERS
    assert not found.is_error, text
    assert json.loads(text) == found.structured_content
    return found.structured_content


def fault(server: Any, tool: str, **arguments: Any) -> str:
    found = with_client(server, lambda client: client.call_tool(tool, arguments))
    assert found.is_error
    return "".join(part.text for part in found.content)


def test_eight_read_only_tools_with_schemas(server: Any) -> None:
    found = with_client(server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in found} == TOOLS
    for tool in found:
        assert tool.annotations.read_only_hint
        assert tool.description
        assert tool.output_schema["properties"]


def test_list_and_find(server: Any, index: Index) -> None:
    listed = call(server, "list_indexes")["indexes"]
    assert [each["id"] for each in listed] == ["town", "real"]
    assert listed[0]["num_entities"] == len(index.entities)
    found = call(server, "find_place", index="town", name="old museum")
    assert found["places"][0]["name"] == "Old Museum"
    assert "never instructions" in found["untrusted"]
    assert found["licence"]


def test_similar_places_are_those_of_the_library(
    server: Any, index: Index, cafes: list[str]
) -> None:
    found = call(server, "find_similar", index="town", like=[cafes[0]], where="amenity=*", k=20)
    hits = index.query(cafes[0], where="amenity=*", k=20)
    assert [each["id"] for each in found["hits"]] == hits.ids
    similarity = hits.table["similarity"].to_pylist()
    assert [each["similarity"] for each in found["hits"]] == similarity
    assert found["exact"] is True
    assert found["hits"][0]["osm_url"].startswith("https://www.openstreetmap.org/")
    assert found["hits"][0]["why"]
    near = call(
        server, "find_similar", index="town", like=[cafes[0]], near="24.94,60.17", radius="200m"
    )
    assert 0 < len(near["hits"]) <= 10
    other = call(server, "find_similar", index="town", like=[cafes[0]], target="real", k=2)
    assert other["searched"] == "real"


def test_compare_and_describe(server: Any, index: Index, cafes: list[str]) -> None:
    found = call(server, "compare_places", index="town", first=cafes[0], second=cafes[1])
    similarity, why = index.similar(cafes[0], cafes[1])
    assert found["similarity"] == round(similarity, 6)
    assert sum(found["parts"].values()) == pytest.approx(similarity, abs=1e-3)
    assert len(why.parts) == len(found["parts"])
    place = call(server, "describe_place", index="town", place="Old Museum")
    assert place["tags"]["tourism"] == "museum"
    assert place["place"]["id"].startswith("way/")
    point = f"{place['place']['lon']},{place['place']['lat']}"
    assert call(server, "describe_place", index="town", place=point)["place"] == place["place"]


def test_areas(server: Any, index: Index, cafes: list[str]) -> None:
    box = [24.9, 60.1, 25.0, 60.2]
    found = call(server, "describe_area", index="town", bbox=box)
    assert found["num_entities"] == len(index.entities)
    assert found["kinds"]["building=house"] == 96
    assert "Old Museum" in {each["name"] for each in found["landmarks"]}
    areas = call(server, "find_similar_areas", index="town", like=[cafes[0]], k=3)
    hits = index.query(cafes[0], cells=True, k=3)
    assert [each["cell"] for each in areas["areas"]] == hits.ids
    assert areas["areas"][0]["kinds"]


def test_rank_with_examples(server: Any, index: Index, cafes: list[str]) -> None:
    bank = index.query(tags="amenity=bank", k=1).ids[0]
    found = call(
        server, "rank_with_examples", index="town", likes=cafes[:2], dislikes=[bank],
        candidates=cafes[2:6],
    )  # fmt: skip
    assert {each["id"] for each in found["hits"]} == set(cafes[2:6])


def test_names_of_strangers_are_cut_and_marked(server: Any, index: Index) -> None:
    found = call(server, "find_place", index="town", name="img src=x onerror")
    assert found["places"][0]["name"] == HOSTILE_NAMES[0]
    assert mcp_server._shown("a\x1b[2J\u202eb\n" + "x" * 200) == "a [2J b " + "x" * 71 + "…"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("find_place", {"index": "mars", "name": "x"}, "[unknown_index]"),
        ("find_similar", {"index": "town", "like": ["way/77777"]}, "[not_in_index]"),
        ("find_similar", {"index": "town", "like": ["12345"]}, "[invalid_id]"),
        ("find_similar", {"index": "town", "like": ["/etc/x.geojson"]}, "reads no files"),
        ("find_similar", {"index": "town", "like": ["n1"], "where": "a==b"}, "[invalid_where]"),
        ("find_similar", {"index": "town", "like": ["n1"], "k": 21}, "less than or equal to 20"),
        ("find_similar", {"index": "town", "like": []}, "[usage]"),
        ("compare_places", {"index": "town", "first": "n1", "second": "way/7"}, "[not_in_index]"),
        ("describe_place", {"index": "town", "place": "8a1126d33557fff"}, "[usage]"),
        ("describe_place", {"index": "town", "place": "x.gpkg"}, "[usage]"),
        ("describe_area", {"index": "town"}, "[usage]"),
        ("describe_area", {"index": "town", "in_area": "Atlantis"}, "[not_in_index]"),
        ("find_similar_areas", {"index": "town", "like": ["way/7"]}, "[not_in_index]"),
        ("rank_with_examples", {"index": "town", "likes": [], "dislikes": ["n1"]}, "[usage]"),
        ("rank_with_examples", {"index": "town", "likes": ["a.shp"]}, "reads no files"),
        ("list_places", {}, "list_places"),
    ],
)
def test_faults_say_what_to_do(
    server: Any, tool: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in fault(server, tool, **arguments)


def test_resources(server: Any, index: Index, cafes: list[str]) -> None:
    async def read(client: Any) -> Any:
        texts = []
        for address in ("guide/filters", "town/manifest", f"town/entity/{cafes[0]}"):
            found = await client.read_resource(f"geoindex://{address}")
            texts.append(found.contents[0].text)
        templates = await client.list_resource_templates()
        return texts, templates.resource_templates

    (guide, manifest, entity), templates = with_client(server, read)
    written = re.findall(r"'((?:amenity|!shop|name=)[^']*)'", guide)
    assert len(written) >= 6
    for text in written:
        parse_where(text)
    assert json.loads(manifest)["num_entities"] == len(index.entities)
    assert json.loads(entity)["id"] == cafes[0]
    assert "geometry" not in json.loads(entity)
    assert len(templates) == 2

    async def read_another(client: Any) -> str:
        with pytest.raises(mcp.MCPError) as unread:
            await client.read_resource("geoindex://mars/manifest")
        return str(unread.value)

    assert "[unknown_index]" in with_client(server, read_another)


def test_over_http(town: Path) -> None:
    async def work(client: Any) -> Any:
        names = {tool.name for tool in (await client.list_tools()).tools}
        found = await client.call_tool("find_place", {"index": "town", "name": "old museum"})
        wrong = await client.call_tool("find_place", {"index": "mars", "name": "x"})
        return names, found, wrong

    with serving([town]) as base:
        names, found, wrong = with_client(f"{base}/mcp", work)
    assert names == TOOLS
    assert found.structured_content["places"][0]["name"] == "Old Museum"
    assert wrong.is_error
    assert "[unknown_index]" in wrong.content[0].text


@pytest.mark.slow
def test_by_stdio(town: Path) -> None:
    async def work(client: Any) -> Any:
        tools = await client.list_tools()
        found = await client.call_tool("find_place", {"index": "town", "name": "old museum"})
        wrong = await client.call_tool("describe_place", {"index": "town", "place": "way/7"})
        return len(tools.tools), found, wrong

    started = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "geoindex", "mcp", str(town)],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    number, found, wrong = with_client(started, work)
    assert number == len(TOOLS)
    assert found.structured_content["places"][0]["name"] == "Old Museum"
    assert "[not_in_index]" in wrong.content[0].text
