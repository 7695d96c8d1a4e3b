"""GeoParquet files as others write them are read, or refused in one sentence."""

import json
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

import geoindex
from geoindex.errors import SourceError, UsageError
from geoindex.exports.export import export_table
from geoindex.features.schema import entity_batch
from geoindex.features.tag_mapping import read_mapping
from geoindex.geo.distance import BBox
from geoindex.sources.geoparquet import ParquetSource, rights_of
from tests.support.command import run
from tests.support.osm_files import OsmFile

POINTS = [shapely.Point(7.4, 43.7), shapely.Point(7.5, 43.8)]
WKB = [shapely.to_wkb(point) for point in POINTS]
IDS = ["node/1", "way/2"]
TAGS = [{"amenity": "cafe", "name": "Nord"}, {"shop": "books"}]
GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB"}},
}


def write(path: Path, geo: dict[str, Any] | None = GEO, **columns: Any) -> Path:
    table = pa.table(columns or {"feature_id": IDS, "tags": maps(TAGS), "geometry": WKB})
    if geo is not None:
        table = table.replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, path)
    return path


def read(path: Path) -> tuple[dict[str, dict[str, str]], Counter[str]]:
    source = ParquetSource(path)
    source.describe()
    skipped: Counter[str] = Counter()
    found = {}
    for raw in source.read(skipped):
        rows = zip(raw.feature_id.to_pylist(), raw.tags.to_pylist(), strict=True)
        found.update({feature_id: dict(tags) for feature_id, tags in rows})
    return found, +skipped


def maps(rows: list[Any]) -> pa.Array:
    return pa.array(
        [None if row is None else list(row.items()) for row in rows],
        pa.map_(pa.string(), pa.string()),
    )


def frame(**columns: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=POINTS, crs="EPSG:4326")


EXPECTED = dict(zip(IDS, TAGS, strict=True))


@pytest.mark.parametrize(
    "tags",
    [maps(TAGS), pa.array(TAGS), pa.array([json.dumps(row) for row in TAGS])],
    ids=["map", "struct", "JSON"],
)
def test_tags_of_every_form_are_read(tmp_path: Path, tags: pa.Array) -> None:
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=tags, geometry=WKB)
    assert read(path) == (EXPECTED, {})


def test_quackosm_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "monaco_nofilter_noclip_compact.parquet"
    metadata = {**GEO, "columns": {"geometry": {"encoding": "WKB", "bbox": [7.4, 43.7, 7.5, 43.8]}}}
    write(path, metadata, feature_id=IDS, tags=maps(TAGS), geometry=WKB)
    raw = next(iter(ParquetSource(path).read(Counter())))
    assert read(path) == (EXPECTED, {})
    assert raw.osm_type.to_pylist() == ["node", "way"]
    assert raw.osm_id.to_pylist() == [1, 2]
    assert raw.version.null_count == len(IDS)
    assert ParquetSource(path).describe().bbox == (7.4, 43.7, 7.5, 43.8)


def test_exploded_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "exploded.parquet"
    frame(
        feature_id=IDS, amenity=["cafe", None], name=["Nord", None], shop=[None, "books"]
    ).to_parquet(path)
    assert read(path) == (EXPECTED, {})


def test_srai_files_are_read(tmp_path: Path) -> None:
    named = frame(amenity=["cafe", None], name=["Nord", None], shop=[None, "books"])
    named.index = geopandas.pd.Index(IDS, name="feature_id")
    unnamed = named.rename_axis(None)
    for table in (named, unnamed):
        table.to_parquet(tmp_path / "srai.parquet")
        assert read(tmp_path / "srai.parquet") == (EXPECTED, {})


def test_other_ids_stay_as_they_are(tmp_path: Path) -> None:
    gers = "08b2a1072b691fff0001d7e1c5ff1e5c"
    path = write(tmp_path / "a.parquet", feature_id=[gers, "42"], tags=maps(TAGS), geometry=WKB)
    raw = next(iter(ParquetSource(path).read(Counter())))
    assert raw.feature_id.to_pylist() == [gers, "42"]
    assert raw.osm_type.to_pylist() == [None, None]


def test_ids_are_brought_to_one_form(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", feature_id=["n1", " W2@7 "], tags=maps(TAGS), geometry=WKB)
    assert set(read(path)[0]) == set(IDS)


def test_rows_that_lack_something_are_counted(tmp_path: Path) -> None:
    cafe = {"amenity": "cafe"}
    rows = [
        (None, cafe, WKB[0]),
        ("", cafe, WKB[0]),
        ("node/1", None, WKB[0]),
        ("node/2", {}, WKB[0]),
        ("node/3", cafe, None),
        ("node/4", {**cafe, "name": None}, WKB[0]),
    ]
    ids, tags, shapes = zip(*rows, strict=True)
    path = write(tmp_path / "a.parquet", feature_id=ids, tags=maps(tags), geometry=shapes)
    found, skipped = read(path)
    assert found == {"node/4": cafe}
    assert skipped == {"no_feature_id": 2, "no_main_key": 2, "empty_geometry": 1}


@pytest.mark.parametrize("text", ["amenity=cafe", "[1, 2]", "{", '"x"', "7"])
def test_tags_that_are_no_json_object_are_shown(tmp_path: Path, text: str) -> None:
    rows = [json.dumps(TAGS[0]), text]
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    with pytest.raises(SourceError, match=r'tags that cannot be read: .*want .*"amenity": "cafe"'):
        read(path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", tags=maps(TAGS), geometry=WKB)
    with pytest.raises(SourceError, match="no column 'feature_id', but tags, geometry; want"):
        read(path)
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=maps(TAGS))
    with pytest.raises(SourceError, match="no column 'geometry', but feature_id, tags; want"):
        read(path)


def test_other_coordinates_are_refused_with_the_remedy(tmp_path: Path) -> None:
    table = frame(feature_id=IDS, amenity="cafe").to_crs(3857)
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"in EPSG:3857; want EPSG:4326.*to_crs\(4326\)"):
        read(tmp_path / "a.parquet")
    path = write(
        tmp_path / "b.parquet",
        {**GEO, "columns": {"geometry": {"encoding": "WKB", "crs": "my own system"}}},
    )
    with pytest.raises(SourceError, match="want EPSG:4326"):
        read(path)


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84"])
def test_degrees_are_taken_under_either_name(tmp_path: Path, crs: str) -> None:
    frame(feature_id=IDS, amenity="cafe").set_crs(crs, allow_override=True).to_parquet(
        tmp_path / "a.parquet"
    )
    assert len(read(tmp_path / "a.parquet")[0]) == len(IDS)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    table = frame(feature_id=IDS, amenity="cafe")
    table.to_parquet(tmp_path / "a.parquet", geometry_encoding="geoarrow")
    with pytest.raises(SourceError, match="has geometry as point; want WKB"):
        read(tmp_path / "a.parquet")
    texts = [point.wkt for point in POINTS]
    path = write(tmp_path / "b.parquet", None, feature_id=IDS, tags=maps(TAGS), geometry=texts)
    with pytest.raises(SourceError, match="has geometry as string; want WKB"):
        read(path)


def test_a_geometry_of_another_name_is_found(tmp_path: Path) -> None:
    frame(feature_id=IDS, amenity="cafe").rename_geometry("place").to_parquet(
        tmp_path / "a.parquet"
    )
    assert read(tmp_path / "a.parquet")[0] == {key: {"amenity": "cafe"} for key in IDS}


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.parquet").read_bytes()
    for name, content in (("noise", bytes(999)), ("empty", b""), ("cut", whole[: len(whole) // 2])):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"as Parquet: .*Want a whole file"):
            read(path)


def test_damage_within_a_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="as Parquet"):
        read(path)


# --- ids in two columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_column", "id_column", "spelled"),
    [
        ("element", "id", ("node", "way")),
        ("element_type", "osmid", ("node", "way")),
        ("osm_type", "id", ("node", "way")),
        ("osm_type", "osm_id", ("N", "W")),
        ("type", "id", ("nodes", "ways")),
        ("type", "osmid", ("Node", "Way")),
    ],
)
@pytest.mark.parametrize("number", [int, float, str], ids=lambda kind: kind.__name__)
def test_type_and_number_are_an_id(
    tmp_path: Path, type_column: str, id_column: str, spelled: tuple[str, str], number: Any
) -> None:
    table = frame(**{type_column: spelled, id_column: [number(77)] * 2, "amenity": "cafe"})
    table.to_parquet(tmp_path / "a.parquet")
    cafe = {"amenity": "cafe"}
    assert read(tmp_path / "a.parquet")[0] == {"node/77": cafe, "way/77": cafe}


@pytest.mark.parametrize("names", [("element", "id"), ("element_type", "osmid"), (None, None)])
def test_an_index_of_two_levels_is_an_id(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    table = frame(amenity=["cafe", "bar"])
    pairs = [("way", 5), ("node", 5)]
    table.index = pd.MultiIndex.from_tuples(pairs, names=names)
    table.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == {
        "way/5": {"amenity": "cafe"},
        "node/5": {"amenity": "bar"},
    }


def test_a_tag_named_type_is_no_type_of_an_id(tmp_path: Path) -> None:
    table = frame(id=["relation/1", "way/2"], type=["multipolygon", None], amenity="school")
    table.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == {
        "relation/1": {"amenity": "school", "type": "multipolygon"},
        "way/2": {"amenity": "school"},
    }


def test_a_number_of_no_known_type_stays_a_number(tmp_path: Path) -> None:
    table = frame(id=[1, 2], osm_type=["segment", None], amenity="cafe")
    table.to_parquet(tmp_path / "a.parquet")
    assert set(read(tmp_path / "a.parquet")[0]) == {"1", "2"}


# --- values that are no text --------------------------------------------------------------------

NUMBERS = [
    ([3, None], {"node/1": "3"}),
    ([10.5, float("nan")], {"node/1": "10.5"}),
    ([3.0, 1e20], {"node/1": "3", "way/2": "1e+20"}),
    ([True, False], {"node/1": "yes", "way/2": "no"}),
    (pd.array([3, None], "Int64"), {"node/1": "3"}),
    (pd.array([True, None], "boolean"), {"node/1": "yes"}),
    (pd.Categorical(["a", None]), {"node/1": "a"}),
    (pd.Categorical([5, 6]), {"node/1": "5", "way/2": "6"}),
    (np.array([10.1, 3], np.float32), {"node/1": "10.1", "way/2": "3"}),
    (np.array([200, 0], np.uint8), {"node/1": "200", "way/2": "0"}),
    (pd.array(["x", None], "string[pyarrow]"), {"node/1": "x"}),
]


@pytest.mark.parametrize(("column", "values"), NUMBERS, ids=lambda item: str(item)[:30])
@pytest.mark.parametrize("engine", ["geopandas", "polars"])
def test_columns_of_any_type_are_tags(
    tmp_path: Path, column: Any, values: dict[str, str], engine: str
) -> None:
    path = tmp_path / "a.parquet"
    table = frame(feature_id=IDS, building="yes", **{"building:levels": column})
    if engine == "geopandas":
        table.to_parquet(path)
    else:
        plain = table.drop(columns="geometry").assign(geometry=WKB)
        pl.from_pandas(plain).write_parquet(path)
    found, _ = read(path)
    assert {key: tags.get("building:levels") for key, tags in found.items()} == {
        **dict.fromkeys(IDS),
        **values,
    }


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_kind_of_text_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    path = write(
        tmp_path / "a.parquet",
        feature_id=pa.array(IDS, kind),
        amenity=pa.array(["cafe", "bar"], kind),
        geometry=pa.array(WKB, pa.large_binary()),
    )
    expected = {"node/1": {"amenity": "cafe"}, "way/2": {"amenity": "bar"}}
    assert read(path) == (expected, {})
    texts = pa.array([json.dumps(tags) for tags in expected.values()], kind)
    path = write(tmp_path / "b.parquet", feature_id=pa.array(IDS, kind), tags=texts, geometry=WKB)
    assert read(path) == (expected, {})
    pairs = pa.array([list(tags.items()) for tags in expected.values()], pa.map_(kind, kind))
    path = write(tmp_path / "c.parquet", feature_id=IDS, tags=pairs, geometry=WKB)
    assert read(path) == (expected, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("true", "yes"),
        ("false", "no"),
        ("3", "3"),
        ("3.0", "3"),
        ("2.5", "2.5"),
        ("null", None),
        ('["a", 5, null, true]', "a;5;yes"),
        ('{"a": "é"}', '{"a": "é"}'),
        ('"True"', "True"),
    ],
)
def test_typed_json_is_written_as_openstreetmap_writes_it(
    tmp_path: Path, value: str, text: str | None
) -> None:
    rows = [f'{{"amenity": "cafe", "x": {value}}}', '{"amenity": "bar"}']
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    assert read(path)[0]["node/1"] == {"amenity": "cafe"} | ({} if text is None else {"x": text})


def test_a_building_that_is_false_is_none(tmp_path: Path) -> None:
    rows = ['{"building": false}', '{"building": true}']
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    assert read(path) == ({"way/2": {"building": "yes"}}, {"no_main_key": 1})
    typed = pa.array([{"building": False, "height": 2.0}, {"building": True, "height": None}])
    path = write(tmp_path / "b.parquet", feature_id=IDS, tags=typed, geometry=WKB)
    assert read(path) == ({"way/2": {"building": "yes"}}, {"no_main_key": 1})


@pytest.mark.parametrize("empty", ["", "  ", "{}", "null", None, "nan", "None", "[]", '""'])
def test_a_row_without_tags_is_one_row_less(tmp_path: Path, empty: str | None) -> None:
    rows = [json.dumps(TAGS[0]), empty]
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    assert read(path) == ({"node/1": TAGS[0]}, {"no_main_key": 1})


@pytest.mark.parametrize(
    "tags",
    [
        pa.array([[{"key": k, "value": v} for k, v in row.items()] for row in TAGS]),
        pa.array([[{"k": k, "v": v} for k, v in row.items()] for row in TAGS]),
        pa.array([json.dumps(row).encode() for row in TAGS]),
        pa.array([",".join(f'"{k}"=>"{v}"' for k, v in row.items()) for row in TAGS]),
    ],
    ids=["key, value", "k, v", "bytes", "hstore"],
)
@pytest.mark.parametrize("column", ["tags", "other_tags"])
def test_tags_as_other_tools_write_them_are_read(
    tmp_path: Path, tags: pa.Array, column: str
) -> None:
    path = write(tmp_path / "a.parquet", feature_id=IDS, geometry=WKB, **{column: tags})
    assert read(path) == (EXPECTED, Counter())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([float("inf"), None]), None),
        (pa.array(["", None]), None),
        (pa.nulls(2), None),
        (pa.array([["a", "b"], None]), "a;b"),
        (pa.array(np.array([2.5, np.nan], np.float16)), "2.5"),
        (pa.array([3, None], pa.decimal128(5, 2)), "3"),
    ],
    ids=["infinite", "empty", "null", "list", "half", "decimal"],
)
def test_columns_hold_what_a_tag_can_be(tmp_path: Path, values: pa.Array, text: str | None) -> None:
    path = write(tmp_path / "a.parquet", feature_id=IDS, shop=["a", "b"], x=values, geometry=WKB)
    found, _ = read(path)
    assert found["node/1"] == {"shop": "a"} | ({} if text is None else {"x": text})


@pytest.mark.parametrize(
    "values", [pa.array([1, 2], pa.date32()), pa.array([b"a", b"b"]), pa.array([{"a": 1}, None])]
)
def test_columns_that_cannot_be_tags_are_named(tmp_path: Path, values: pa.Array) -> None:
    path = write(tmp_path / "a.parquet", feature_id=IDS, shop=["a", "b"], odd=values, geometry=WKB)
    (note,) = ParquetSource(path).notes()
    assert "odd (" in note
    assert ParquetSource(write(tmp_path / "b.parquet")).notes() == []


@pytest.mark.parametrize(("kind", "number"), [("@type", "@id"), ("osm_type", "id")])
def test_ids_of_overpass_are_ids(tmp_path: Path, kind: str, number: str) -> None:
    columns = {kind: ["nodes", "W"], number: ["77.0", "77"], "shop": ["a", "b"], "geometry": WKB}
    assert read(write(tmp_path / "a.parquet", **columns))[0].keys() == {"node/77", "way/77"}


def test_tags_that_are_no_unicode_are_counted(tmp_path: Path) -> None:
    rows = ['{"amenity": "cafe", "name": "\\ud800"}', '{"amenity": "bar"}']
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    assert read(path) == ({"way/2": {"amenity": "bar"}}, {"bad_text": 1})


def test_deep_json_is_one_sentence(tmp_path: Path) -> None:
    rows = ["[" * 100_000, "{}"]
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=rows, geometry=WKB)
    with pytest.raises(SourceError, match="tags that cannot be read"):
        read(path)
    deep = write(tmp_path / "b.parquet", None)
    table = pq.read_table(deep).replace_schema_metadata({"geo": "[" * 100_000})
    pq.write_table(table, deep)
    with pytest.raises(SourceError, match="no JSON object"):
        read(deep)


# --- tags and columns beside them ---------------------------------------------------------------


def test_columns_beside_tags_are_tags(tmp_path: Path) -> None:
    table = frame(
        id=[1, 2], osm_type=["node", "way"], version=[3, 4], timestamp=[5, 6], lon=[7.4, 7.5],
        name=["Sol", None], amenity=["cafe", None], building=[None, "school"], changeset=[0, 0],
        tags=['{"cuisine": "coffee"}', ""],
    )  # fmt: skip
    table.to_parquet(tmp_path / "pois.parquet")
    assert read(tmp_path / "pois.parquet")[0] == {
        "node/1": {"name": "Sol", "amenity": "cafe", "cuisine": "coffee"},
        "way/2": {"building": "school"},
    }


def test_of_a_key_in_both_that_of_the_tags_counts(tmp_path: Path) -> None:
    table = frame(feature_id=IDS, amenity="cafe", tags=['{"amenity": "bar"}', '{"amenity": null}'])
    table.to_parquet(tmp_path / "a.parquet")
    found, _ = read(tmp_path / "a.parquet")
    assert [tags["amenity"] for tags in found.values()] == ["bar", "cafe"]


def test_our_own_export_has_all_tags_in_its_tags(tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet")
    index = geoindex.build(source, tmp_path / "a.geoindex", encoder="tagpool")
    export_table(index, tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet") == (EXPECTED, {})


# --- geometries ---------------------------------------------------------------------------------


class WkbType(pa.ExtensionType):
    """As geoarrow-pyarrow registers it; pyarrow writes it as Parquet's own type."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps(self.metadata).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> "WkbType":
        return cls(json.loads(serialized or b"{}"))


@pytest.fixture
def registered() -> Iterator[None]:
    # geoarrow-pyarrow registers its own where it was imported
    with suppress(pa.ArrowKeyError):
        pa.unregister_extension_type("geoarrow.wkb")
    pa.register_extension_type(WkbType({}))
    yield
    pa.unregister_extension_type("geoarrow.wkb")


def native(path: Path, metadata: dict[str, Any], *, name: str, store_schema: bool) -> Path:
    """Write a column of Parquet's own type GEOMETRY or GEOGRAPHY."""
    column = pa.ExtensionArray.from_storage(WkbType(metadata), pa.array(WKB, pa.binary()))
    table = pa.table({"feature_id": IDS, "tags": maps(TAGS), name: column})
    with pq.ParquetWriter(path, table.schema, store_schema=store_schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"mine": "EPSG:3006"})
    logical = pq.ParquetFile(path).schema.column(3).logical_type
    assert json.loads(logical.to_json())["Type"] in {"Geometry", "Geography"}
    return path


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("store_schema", [True, False])
@pytest.mark.parametrize("name", ["geometry", "geom"])
@pytest.mark.parametrize(
    "metadata",
    [{}, {"crs": "OGC:CRS84"}, {"crs": "EPSG:4326"}, {"crs": "srid:4326"}, {"edges": "spherical"}],
    ids=str,
)
def test_a_native_geometry_in_degrees_is_read(
    tmp_path: Path, metadata: dict[str, Any], name: str, store_schema: bool
) -> None:
    path = native(tmp_path / "a.parquet", metadata, name=name, store_schema=store_schema)
    assert read(path) == (EXPECTED, {})
    assert list(next(iter(ParquetSource(path).read(Counter()))).wkb) == WKB


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("crs", "said"),
    [
        ("EPSG:3857", "EPSG:3857"),
        ("srid:3006", "EPSG:3006"),
        ("projjson:mine", "EPSG:3006"),
        ("projjson:missing", "unknown system"),
    ],
)
def test_a_native_geometry_in_other_coordinates_is_refused(
    tmp_path: Path, crs: str, said: str
) -> None:
    path = native(tmp_path / "a.parquet", {"crs": crs}, name="geometry", store_schema=False)
    with pytest.raises(SourceError, match=f"in .*{said}.*; want EPSG:4326"):
        read(path)


def test_a_system_that_only_the_arrow_schema_names_counts(tmp_path: Path) -> None:
    metadata = {
        "ARROW:extension:name": "geoarrow.wkb",
        "ARROW:extension:metadata": '{"crs": "EPSG:3006"}',
    }
    schema = pa.schema(
        [
            pa.field("feature_id", pa.string()),
            pa.field("amenity", pa.string()),
            pa.field("geometry", pa.binary(), metadata=metadata),
        ]
    )
    table = pa.table([IDS, ["cafe", "bar"], WKB], schema=schema)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="EPSG:3006; want EPSG:4326"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("srid", [3006, 3857, 32633])
def test_rows_that_name_another_system_are_refused(
    tmp_path: Path, srid: int, byte_order: int
) -> None:
    point = shapely.set_srid(POINTS[0], srid)
    shapes = [WKB[0], shapely.to_wkb(point, include_srid=True, byte_order=byte_order)]
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=maps(TAGS), geometry=shapes)
    with pytest.raises(SourceError, match=f"EPSG:{srid}; want EPSG:4326"):
        read(path)


def test_rows_that_name_degrees_are_read(tmp_path: Path) -> None:
    shapes = [
        shapely.to_wkb(shapely.set_srid(point, srid), include_srid=True)
        for point, srid in zip(POINTS, (4326, 0), strict=True)
    ]
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=maps(TAGS), geometry=shapes)
    assert read(path) == (EXPECTED, {})


CURVE = struct.pack("<BII6d", 1, 8, 3, 0, 0, 1, 1, 2, 0)  # a CircularString
COMPOUND = struct.pack("<BII", 1, 9, 1) + CURVE
COLLECTION = struct.pack("<BII", 1, 7, 1) + CURVE


@pytest.mark.parametrize("odd", [CURVE, COMPOUND, COLLECTION], ids=["circular", "compound", "in"])
def test_one_curve_among_others_is_one_row_less(tmp_path: Path, odd: bytes) -> None:
    path = write(tmp_path / "a.parquet", feature_id=IDS, tags=maps(TAGS), geometry=[WKB[0], odd])
    skipped: Counter[str] = Counter()
    (raw,) = ParquetSource(path).read(skipped)
    batch = entity_batch(raw, resolution=9, bbox=None, skipped=skipped)
    assert batch["feature_id"].to_pylist() == ["node/1"]
    assert +skipped == {"unsupported_geometry": 1}


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(SourceError, match="no regular file"):
        ParquetSource(tmp_path / "pipe.parquet").describe()


# --- licence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "rights"),
    [
        ({}, ("unknown", "unknown")),
        ({"licence": "CC0-1.0"}, ("CC0-1.0", "unknown")),
        ({"License": "CC-BY-4.0", "ATTRIBUTION": " Me "}, ("CC-BY-4.0", "Me")),
        ({"geoindex": '{"licence": "ODbL-1.0", "attribution": "©"}'}, ("ODbL-1.0", "©")),
        ({"emb": '{"license": "MIT"}'}, ("MIT", "unknown")),
        ({"emb": '{"license": "MIT"}', "license": "BSD"}, ("BSD", "unknown")),
        ({"emb": "[", "geoindex": "7", "licence": " "}, ("unknown", "unknown")),
    ],
)
def test_licence_and_attribution_are_those_of_the_metadata(
    tmp_path: Path, metadata: dict[str, str], rights: tuple[str, str]
) -> None:
    path = write(tmp_path / "a.parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert rights_of(pq.read_metadata(path).metadata) == rights
    info = ParquetSource(path).describe()
    assert (info.licence, info.attribution) == rights


def licences_of(index: Any, tmp_path: Path) -> list[tuple[str, str]]:
    """Return what manifest, sources, and the two keys of an export tell."""
    output = tmp_path / f"{index.path.stem}-export.parquet"
    export_table(index, output)
    footer = pq.read_metadata(output).metadata
    ours, emb = (json.loads(footer[key]) for key in (b"geoindex", b"emb"))
    return [
        (index.manifest.licence, index.manifest.attribution),
        *((each["licence"], each["attribution"]) for each in index.manifest.sources),
        (ours["licence"], ours["attribution"]),
        (emb["license"], emb["attribution"]),
        rights_of(footer),
    ]


def test_a_licence_is_carried_into_the_manifest_and_every_export(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    unknown = geoindex.build(path, tmp_path / "unknown.geoindex", encoder="tagpool")
    assert set(licences_of(unknown, tmp_path)) == {("unknown", "unknown")}
    named = geoindex.build(
        path,
        tmp_path / "named.geoindex",
        encoder="tagpool",
        licence="CC-BY-4.0",
        attribution="© Someone",
    )
    assert set(licences_of(named, tmp_path)) == {("CC-BY-4.0", "© Someone")}
    # an export, and an index, are sources with a licence of their own
    for source in (tmp_path / "named-export.parquet", named.path):
        output = tmp_path / f"again-from{source.suffix[1:]}.geoindex"
        again = geoindex.build(source, output, encoder="tagpool")
        assert set(licences_of(again, tmp_path)) == {("CC-BY-4.0", "© Someone")}


def test_the_command_tells_that_a_licence_is_unknown_and_takes_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    done = run("build", path, "-o", tmp_path / "a.geoindex")
    assert "licence unknown: a.parquet; give it with --licence" in done.output
    assert "OpenStreetMap" not in done.output
    rights = ["--licence", "CC0-1.0", "--attribution", "Someone"]
    done = run("build", path, "-o", tmp_path / "b.geoindex", *rights)
    assert "unknown" not in done.output
    assert "Someone" in done.output
    done = run("info", tmp_path / "b.geoindex")
    assert "CC0-1.0, Someone" in done.output


TREES = """
licence = "CC-BY-4.0"
attribution = "City of Wien"
id = "OBJECTID"
id_prefix = "trees/"
[tags]
natural = "tree"
[columns]
ART = "species"
"""


def trees(path: Path) -> tuple[Path, Path]:
    rules = path / "mapping.toml"
    rules.write_text(TREES, "utf-8")
    made = frame(OBJECTID=[7, 8], ART=["Acer", None], amenity=["cafe", "bar"])
    made.to_parquet(path / "trees.parquet", write_covering_bbox=True)
    return path / "trees.parquet", rules


def test_a_city_s_own_file_is_read_by_a_mapping(tmp_path: Path) -> None:
    path, rules = trees(tmp_path)
    output = tmp_path / "trees.geoindex"
    result = run("build", path, "--map", rules, "-o", output, "--encoder", "tagpool")
    assert result.exit_code == 0, result.output
    index = geoindex.open(output)
    tags = [dict(row) for row in index.entities.table["tags"].to_pylist()]
    ids = index.entities.table["feature_id"].to_pylist()
    assert dict(zip(ids, tags, strict=True)) == {
        "trees/7": {"natural": "tree", "species": "Acer"}, "trees/8": {"natural": "tree"},
    }  # fmt: skip
    assert (index.manifest.licence, index.manifest.attribution) == ("CC-BY-4.0", "City of Wien")
    assert index.query(like="trees/7", k=1).ids == ["trees/8"]
    # --licence comes before what the mapping names; other rules are another build
    rules.write_text(TREES.replace('"species"', '"genus"'), "utf-8")
    again = geoindex.build(
        path, output, mapping=rules, licence="CC0-1.0", overwrite=True, encoder="tagpool"
    )
    assert again.manifest.licence == "CC0-1.0"
    assert again.manifest.counts["tags"] == 2
    assert again.tag_index.key_codes("genus")


def test_a_box_leaves_row_groups_of_a_covered_file_unread(tmp_path: Path) -> None:
    path, rules = trees(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=1)
    source = ParquetSource(path, mapping=read_mapping(rules), bbox=BBox(7.45, 43.75, 8, 44))
    skipped: Counter[str] = Counter()
    assert sum(len(raw) for raw in source.read(skipped)) == 1
    assert +skipped == {"outside_bbox": 1}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (TREES.replace("ART", "ARTEN"), ["'ARTEN'", "nearest: ART"]),
        (TREES.replace("OBJECTID", "FID"), ["'FID'"]),
        ("[columns]\nART = 3", ["column 'ART'"]),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_sentence(
    tmp_path: Path, rules: str, words: list[str]
) -> None:
    path, mapping = trees(tmp_path)
    mapping.write_text(rules, "utf-8")
    output = tmp_path / "trees.geoindex"
    result = run("build", path, "--map", mapping, "-o", output)
    assert isinstance(result.exception, UsageError)
    assert not output.exists()
    for word in ("mapping.toml", *words):
        assert word in str(result.exception)


def test_a_mapping_goes_with_parquet_alone(tmp_path: Path) -> None:
    _, rules = trees(tmp_path)
    osm = OsmFile()
    osm.node(7.4, 43.7, amenity="cafe")
    path = osm.write(tmp_path / "map.osm")
    result = run("build", path, "--map", rules, "-o", tmp_path / "map.geoindex")
    assert isinstance(result.exception, UsageError)
    assert "GeoParquet" in str(result.exception)
