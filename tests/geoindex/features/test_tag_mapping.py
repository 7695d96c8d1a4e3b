"""Columns of any table become tags by rules that are data, or a sentence says which is wrong."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.features.tag_mapping import MappingError, parse_mapping, read_mapping

TREES = """
licence = "CC-BY-4.0"
attribution = "City of Wien"
id = "OBJECTID"
id_prefix = "trees/"

[tags]
natural = "tree"

[columns]
NAME = "name"
HOEHE = {key = "height", decimals = 1}
GATTUNG = {key = "genus", values = {"Acer (Ahorn)" = "Acer", "unbekannt" = ""}, otherwise = "keep"}
ART = {values = {"Cafe" = "amenity=cafe, outdoor_seating=yes"}}
"""


def mapped(content: dict[str, Any], **columns: Any) -> tuple[list[dict[str, str]], Counter[str]]:
    counted: Counter[str] = Counter()
    mapping = parse_mapping(content, "mapping.toml")
    batch = pa.RecordBatch.from_pydict(columns)
    mapping.check(batch.schema, "trees.parquet")
    return [dict(row) for row in mapping.apply(batch, counted).to_pylist()], +counted


def test_a_file_of_rules_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trees.toml"
    path.write_text(TREES, "utf-8")
    mapping = read_mapping(path)
    assert (mapping.licence, mapping.attribution) == ("CC-BY-4.0", "City of Wien")
    assert (mapping.id, mapping.id_prefix) == ("OBJECTID", "trees/")
    batch = pa.RecordBatch.from_pydict({
        "NAME": ["Old oak", None], "HOEHE": [7.449, None], "ART": ["Cafe", "Kiosk"],
        "GATTUNG": ["Acer (Ahorn)", "Quercus"],
    })  # fmt: skip
    counted: Counter[str] = Counter()
    assert [dict(row) for row in mapping.apply(batch, counted).to_pylist()] == [
        {"natural": "tree", "name": "Old oak", "height": "7.4", "genus": "Acer",
         "amenity": "cafe", "outdoor_seating": "yes"},
        {"natural": "tree", "genus": "Quercus"},
    ]  # fmt: skip
    assert counted == {"unmapped_value": 1}


@pytest.mark.parametrize(
    ("otherwise", "tags", "count"),
    [
        ({}, {}, 1),
        ({"otherwise": "drop"}, {}, 0),
        ({"otherwise": "keep"}, {"shop": "x"}, 0),
        ({"otherwise": "amenity=yes"}, {"amenity": "yes"}, 0),
    ],
)
def test_what_is_not_listed_is_kept_dropped_or_counted(
    otherwise: dict[str, str], tags: dict[str, str], count: int
) -> None:
    rule = {"key": "shop", "values": {"a": "bakery"}, **otherwise}
    found, counted = mapped({"columns": {"ART": rule}}, ART=["x", "a", None])
    assert found == [tags, {"shop": "bakery"}, {}]
    assert counted["unmapped_value"] == count


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([True, False, None], ["yes", "no", None]),
        ([1, 20, None], ["1", "20", None]),
        ([1.0, 2.5, float("nan")], ["1", "2.5", None]),
        (["  a ", "", "b\0c"], ["a", None, "bc"]),
        (pa.array(["x", "y", None]).dictionary_encode(), ["x", "y", None]),
        (pa.nulls(3), [None] * 3),
    ],
)
def test_values_are_written_as_tags_are(column: Any, texts: list[str | None]) -> None:
    found, _ = mapped({"columns": {"A": "a"}}, A=column)
    assert found == [{} if text is None else {"a": text} for text in texts]


def test_nested_columns_are_read_by_their_path() -> None:
    names = [{"primary": "Nord", "rules": [{"kind": "short", "value": "N"}]}, None]
    content = {
        "columns": {"names.primary": "name"},
        "rules": [{"column": "names.rules.value", "key": "short_name",
                   "when": {"names.rules.kind": "short"}}],
    }  # fmt: skip
    assert mapped(content, names=names)[0] == [{"name": "Nord", "short_name": "N"}, {}]
    # a column may have a dot in its own name
    assert mapped({"columns": {"a.b": "c"}}, **{"a.b": ["x"]})[0] == [{"c": "x"}]


def test_the_first_of_a_list_stays_and_the_last_rule_counts() -> None:
    content = {"rules": [{"column": "a", "key": "k"}, {"column": "b", "key": "k"}]}
    found, _ = mapped(content, a=[["1", "2"], ["1", "2"], []], b=[None, "3", None])
    assert found == [{"k": "1"}, {"k": "3"}, {}]


def test_values_of_several_columns_are_joined_along_their_list() -> None:
    items = [[{"a": "1", "b": ["x", "y"]}, {"a": "2", "b": ["z"]}], None, [{"a": "3", "b": None}]]
    rule = {
        "columns": ["top", "items.a", "items.b"],
        "values": {"t/1/y": "p=1", "t/2/z": "q=2", "t/3/": "r=3"},
        "otherwise": "drop",
    }
    found, _ = mapped({"rules": [rule]}, items=items, top=["t", "t", "t"])
    assert found == [{"p": "1", "q": "2"}, {}, {}]


def test_a_rule_may_want_another_column_empty() -> None:
    rule = {"column": "a", "key": "k", "when": {"b": False, "c": ["x", "y"]}}
    found, _ = mapped(
        {"rules": [rule]}, a=["1"] * 4, b=[None, [], ["z"], None], c=["x", "y", "x", "z"]
    )
    assert found == [{"k": "1"}, {"k": "1"}, {}, {}]


def test_a_map_gives_a_tag_an_entry() -> None:
    kind = pa.map_(pa.string(), pa.string())
    column = pa.array([[("de", "Berg"), ("en", "Hill")], None, []], kind)
    assert mapped({"columns": {"m": "name:*"}}, m=column)[0] == [
        {"name:de": "Berg", "name:en": "Hill"}, {}, {},
    ]  # fmt: skip
    sliced = pa.array([[("x", "1")], [("y", "2")], [("z", "3")]], kind)[1:]
    assert mapped({"columns": {"m": "*"}}, m=sliced)[0] == [{"y": "2"}, {"z": "3"}]
    assert mapped({"columns": {"m.z": "k"}}, m=sliced)[0] == [{}, {"k": "3"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["maps nothing", "[columns]"]),
        ({"colums": {}}, ["'colums'", "nearest: columns"]),
        ({"columns": {"A": {"keys": "x"}}}, ["column 'A'", "'keys'", "nearest: key"]),
        ({"columns": {"A": {}}}, ["neither key nor values", 'key = "name"']),
        ({"columns": {"A": 5}}, ["column 'A'", "want a table"]),
        ({"columns": {"A": {"values": {"a": "cafe"}}}}, ["'cafe'", "no key", "amenity=cafe"]),
        ({"columns": {"A": {"values": {"a": "=cafe"}}}}, ["'=cafe'", "KEY=VALUE"]),
        ({"columns": {"A": {"key": "a", "decimals": "1"}}}, ["decimals", "decimals = 1"]),
        ({"columns": {"A": {"values": {"a": "b=c"}, "otherwise": "keep"}}}, ["no key for them"]),
        ({"columns": {"A": {"key": "a", "when": {"B": 3}}}}, ["when = 3", "false"]),
        ({"rules": [{"key": "a"}]}, ["rule 1", "names no column"]),
        ({"rules": {"key": "a"}}, ["no list", "[[rules]]"]),
        ({"licence": 4, "tags": {"a": "b"}}, ["licence = 4", "in quotes"]),
        ({"tags": {"a": True}}, ["tags.a = True"]),
    ],
)
def test_what_is_not_understood_is_said(content: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(MappingError) as error:
        parse_mapping(content, "mapping.toml")
    for word in ["mapping.toml", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"columns": {"HÖHE": "height"}}, ["'HÖHE'", "trees.parquet does not have"]),
        ({"columns": {"hoehe": "height"}}, ["'hoehe'", "nearest: HOEHE", "Want one of ART, HOEHE"]),
        ({"columns": {"names.primry": "name"}}, ["nearest: names.primary"]),
        ({"columns": {"names": "name"}}, ["no single value", "names.primary"]),
        ({"columns": {"ART": {"key": "a", "when": {"ARTT": "x"}}}}, ["'ARTT'", "nearest: ART"]),
        ({"id": "OBJECTID", "tags": {"natural": "tree"}}, ["'OBJECTID'"]),
        ({"geometry": "SHAPE", "tags": {"natural": "tree"}}, ["'SHAPE'"]),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_nearest(
    content: dict[str, Any], words: list[str]
) -> None:
    columns = {"ART": ["a"], "HOEHE": [1.5], "names": [{"primary": "x"}]}
    with pytest.raises(MappingError) as error:
        mapped(content, **columns)
    for word in ["mapping.toml", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("text", [b"a = ", b"\xff", b"[" * 5000])
def test_a_file_that_is_no_toml_is_said(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "mapping.toml"
    path.write_bytes(text)
    with pytest.raises(MappingError, match="no TOML"):
        read_mapping(path)
    with pytest.raises(MappingError, match="cannot read"):
        read_mapping(tmp_path / "not_there.toml")


TEXTS = st.one_of(st.none(), st.text("abc =/", max_size=4))
ROWS = st.lists(
    st.fixed_dictionaries({
        "plain": TEXTS,
        "items": st.one_of(
            st.none(),
            st.lists(st.fixed_dictionaries({"kind": TEXTS, "value": TEXTS}), max_size=4),
        ),
    }),
    max_size=8,
)  # fmt: skip
VALUES = {"a": "x=1, y=2", "b": "z", "ab": ""}


@given(rows=ROWS)
def test_rules_do_to_columns_what_they_say_of_a_row(rows: list[dict[str, Any]]) -> None:
    content = {
        "tags": {"fixed": "yes"},
        "columns": {"plain": {"key": "k", "values": VALUES, "otherwise": "keep"}},
        "rules": [{"column": "items.value", "key": "v", "when": {"items.kind": ["a", "b"]}}],
    }
    schema = pa.schema({
        "plain": pa.string(),
        "items": pa.list_(pa.struct({"kind": pa.string(), "value": pa.string()})),
    })  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    found = parse_mapping(content, "m").apply(batch, Counter())
    assert [dict(row) for row in found.to_pylist()] == [one_by_one(row) for row in rows]
    # whatever comes before it
    half = len(rows) // 2
    rest = parse_mapping(content, "m").apply(batch.slice(half), Counter())
    assert rest.to_pylist() == found.to_pylist()[half:]


def one_by_one(row: dict[str, Any]) -> dict[str, str]:
    tags = {"fixed": "yes"}
    plain = (row["plain"] or "").strip()
    if plain:
        expected = {"a": {"x": "1", "y": "2"}, "b": {"k": "z"}, "ab": {}}
        tags |= expected.get(plain, {"k": plain})
    for item in row["items"] or []:
        value = (item["value"] or "").strip()
        if item["kind"] in {"a", "b"} and value:
            tags.setdefault("v", value)
    return tags
