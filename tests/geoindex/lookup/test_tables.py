"""Tables of users are read as they are: encodings, separators, ids, layers and frames."""

import json

import geopandas
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoindex.errors import InvalidLabelsError, UsageError
from geoindex.lookup.tables import (
    as_numbers,
    decode,
    geometries_of,
    has_leading_zeros,
    id_columns,
    ids_of,
    listed_names,
    read_table,
    separator_of,
    texts_of,
)

EWKB = shapely.set_srid(shapely.Point(1, 2), 4326)
TEXT = "feature_id,kind\nway/1,Café Zoë\nway/2,Gasthöfe\nway/3,Straße\n"


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252",
        "iso-8859-15",
    ],
)  # fmt: skip
def test_text_is_read_in_its_encoding(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    found = read_table(path)
    assert texts_of(found.columns["kind"]) == ["Café Zoë", "Gasthöfe", "Straße"]
    assert bool(found.notes) is (encoding in {"latin-1", "cp1252", "iso-8859-15"})


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        (b"5 \x80", "5 €", "Windows-1252"),
        (b"\x93a\x94", "“a”", "Windows-1252"),
        (b"\x81\xe9", "\x81é", "Latin-1"),
        ("mašina".encode(), "mašina", "utf-8"),
    ],
)
def test_what_is_not_utf_8_is_windows_1252_or_latin_1(raw, text, encoding):
    assert decode(raw) == (text, encoding)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\nx, y\tz\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('a,b\n"x;y",2\n"u;v;w",3\n', ","),
        ('a;b\n"x, y";2\n', ";"),
        ("a\n1\n2\n", ","),
        ("a;b,c;d\n1;2,3;4\n", ";"),
    ],
)
def test_the_separator_is_the_one_of_the_rows(text, separator):
    assert separator_of(text) == separator


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_and_the_line_that_names_them(tmp_path, separator):
    rows = ["feature_id|v", "n1|1,5", "n2|-2,25", "n3|1.234,5"]
    text = "\r\n".join(rows).replace("|", separator)
    for name, head in (("a.csv", ""), ("b.txt", f"sep={separator}\r\n")):
        (tmp_path / name).write_text(head + text, "utf-8", newline="")
        found = read_table(tmp_path / name)
        numbers = as_numbers(found.columns["v"], decimal_comma=found.decimal_comma)
        assert numbers.tolist() == [1.5, -2.25, 1234.5]


@pytest.mark.parametrize(
    ("texts", "decimal_comma", "numbers"),
    [
        (["1,5", "2"], True, [1.5, 2]),
        (["1,234", "5"], True, [1.234, 5]),
        (["1,234", "5"], False, [1234, 5]),
        (["1,234.5"], False, [1234.5]),
        (["1.234.567,8"], True, [1234567.8]),
        (["1\u202f234,5", "1 234,5"], True, [1234.5, 1234.5]),
        ([",5", "-,25"], True, [0.5, -0.25]),
        (["1,5e3"], True, [1500]),
        (["1.5", "2.5"], True, [1.5, 2.5]),
        (["true", "False", ""], False, [1, 0, np.nan]),
        (["NA", "n/a", "NaN", "7"], False, [np.nan, np.nan, np.nan, 7]),
    ],
)
def test_numbers_are_read_with_the_marks_of_their_country(texts, decimal_comma, numbers):
    found = as_numbers(pa.chunked_array([texts]), decimal_comma=decimal_comma)
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("text", ["x", "1_000", "\u0661", "1,2,3", "1e", "--1", "1 2"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(ValueError, match="is no number"):
        as_numbers(pa.chunked_array([["1", text]]))


@pytest.mark.parametrize(
    ("texts", "is_code"),
    [(["01", "1"], True), (["007"], True), (["-01"], True), (["0", "10", "0.5"], False)],
)
def test_codes_with_leading_zeros_are_no_numbers(texts, is_code):
    assert has_leading_zeros(pa.chunked_array([texts])) is is_code


@pytest.mark.parametrize(
    ("columns", "used", "ids"),
    [
        ({"feature_id": ["way/1"], "id": ["2"]}, ("feature_id",), ["way/1"]),
        ({"osm_type": ["way", "n"], "osm_id": [1, 2]}, ("osm_type", "osm_id"), ["way/1", "node/2"]),
        ({"osm_type": ["W"], "osm_id": [1.0]}, ("osm_type", "osm_id"), ["way/1"]),
        ({"element": ["relation"], "id": [7]}, ("element", "id"), ["relation/7"]),
        ({"element_type": ["node"], "osmid": ["7"]}, ("element_type", "osmid"), ["node/7"]),
        ({"@type": ["way"], "@id": ["7"]}, ("@type", "@id"), ["way/7"]),
        ({"type": ["way"], "id": ["7"]}, ("type", "id"), ["way/7"]),
        ({"full_id": ["w7"], "osm_id": ["7"]}, ("full_id",), ["w7"]),
        ({"osm_type": ["ways"], "osmid": ["7"]}, ("osm_type", "osmid"), ["way/7"]),
        ({"type": ["N"], "osm_id": ["7"]}, ("type", "osm_id"), ["node/7"]),
        ({"element": ["node"], "osmid": ["7.0"]}, ("element", "osmid"), ["node/7"]),
        ({"@id": ["way/7"], "id": ["way/7"]}, ("@id",), ["way/7"]),
        ({"osm_id": [-7, 8]}, ("osm_id",), ["-7", "8"]),
        ({"osm_id": [8.0, None]}, ("osm_id",), ["8", None]),
        ({"id": ["way/7"]}, ("id",), ["way/7"]),
        ({"id": ["https://www.openstreetmap.org/way/7"]}, ("id",), None),
        # numbers of rows, and a type that is something else
        ({"id": [1, 2, 3]}, (), None),
        ({"type": ["shop"], "id": ["1"]}, (), None),
    ],
)
def test_ids_stand_where_their_writers_put_them(columns, used, ids):
    table = pa.table(columns)
    assert id_columns(table) == used
    if ids is not None:
        assert ids_of(table, used) == ids


def test_a_column_that_is_the_label_is_no_id():
    table = pa.table({"osm_type": ["way"], "osm_id": ["1"]})
    assert id_columns(table, exclude=["osm_type"]) == ("osm_id",)


def frames():
    values = {"id": ["way/1", "way/2"], "v": [1, 2], "kind": ["a", None]}
    yield pa.table(values)
    yield pd.DataFrame(values)
    yield pd.DataFrame(values).astype({"kind": "category", "v": "Int64", "id": "object"})
    yield pd.DataFrame(values).set_index("id")
    yield pl.DataFrame(values)
    yield pl.DataFrame(values).with_columns(
        pl.col("kind").cast(pl.Categorical), pl.col("v").cast(pl.Decimal(10, 2))
    )
    yield [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    yield geopandas.GeoDataFrame(values, geometry=shapely.points([[1, 2], [3, 4]]), crs=4326)


@pytest.mark.parametrize("frame", list(frames()), ids=lambda frame: type(frame).__module__)
def test_frames_of_every_kind_hold_the_same(frame):
    found = read_table(frame)
    assert texts_of(found.columns["id"]) == ["way/1", "way/2"]
    assert texts_of(found.columns["kind"]) == ["a", None]
    assert as_numbers(found.columns["v"]).tolist() == [1, 2]
    assert (found.geometries is not None) is isinstance(frame, geopandas.GeoDataFrame)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_parquet_text_of_every_type_is_text(tmp_path, kind):
    column = pa.array(["01", None, "x"]).cast(kind)
    pq.write_table(pa.table({"a": column}), tmp_path / "a.parquet")
    found = read_table(tmp_path / "a.parquet").columns["a"]
    assert texts_of(found) == ["01", None, "x"]
    assert has_leading_zeros(found)


def test_osmnx_keeps_ids_in_the_index():
    index = pd.MultiIndex.from_tuples([("node", 1), ("way", 1)], names=["element", "id"])
    frame = geopandas.GeoDataFrame(
        {"label": ["a", "b"]}, geometry=shapely.points([[1, 2], [3, 4]]), index=index, crs=4326
    )
    found = read_table(frame)
    assert ids_of(found.columns, id_columns(found.columns)) == ["node/1", "way/1"]


def test_a_file_of_several_layers_wants_the_name_of_one(tmp_path):
    path = tmp_path / "a.gpkg"
    for name, x in (("first", 1), ("second", 2), ("third", 3)):
        frame = geopandas.GeoDataFrame({"v": [x]}, geometry=[shapely.Point(x, 0)], crs=4326)
        frame.to_file(path, layer=name)
    with pytest.raises(UsageError, match="3 layers: first, second, third"):
        read_table(path)
    with pytest.raises(UsageError, match="no layer 'fourth'"):
        read_table(path, layer="fourth")
    found = read_table(path, layer="second")
    assert as_numbers(found.columns["v"]).tolist() == [2]
    assert shapely.get_x(found.geometries).tolist() == [2]


@pytest.mark.parametrize(
    "values",
    [
        ["POINT (1 2)", None],
        [shapely.to_wkb(shapely.Point(1, 2)), None],
        [shapely.to_wkb(shapely.Point(1, 2), hex=True), ""],
        [shapely.to_wkb(EWKB, hex=True, include_srid=True), ""],
    ],
)  # fmt: skip
def test_geometries_are_wkt_or_wkb(values):
    found = geometries_of(pa.chunked_array([pa.array(values)]))
    assert found[0].equals(shapely.Point(1, 2))
    assert found[1] is None


def test_rows_of_json_are_dicts_whatever_they_hold(tmp_path):
    rows = [{"id": "way/1", "v": 1, "tags": {"a": 1}}, {"id": "\ud800", "v": "x"}, {"id": "w2"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name in ("a.jsonl", "a.json"):
        found = read_table(tmp_path / name)
        assert found.columns.column_names == ["id", "v"]
        assert [row["id"] for row in found.records()] == ["way/1", "?", "w2"]
        assert texts_of(found.columns["v"]) == ["1", "x", None]
    assert read_table(tmp_path / "a.json", nested=True).records()[0]["tags"] == {"a": 1}


def test_damaged_text_of_parquet_is_found(tmp_path):
    pq.write_table(pa.table({"a": ["caf\u00e9s of the town"]}), tmp_path / "a.parquet",
                   compression="none", use_dictionary=False)  # fmt: skip
    raw = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(raw.replace("é".encode(), b"\xc3e"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(tmp_path / "a.parquet")


def test_names_with_line_ends_stay_on_one_line():
    assert listed_names(["a\nb", "c\u202ed", "é"]) == "a\\nb, c\\u202ed, é"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", b"[" * 100_000),
        ("deep.jsonl", b'{"a":' * 100_000),
        ("no.json", b"[1, 2]"),
        ("no.geojson", b"nothing"),
        ("no.parquet", b"PAR1 nothing PAR1"),
        ("no.csv", b""),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n"),
        ("twice.csv", b"a,a\n1,2\n"),
        ("zeros.csv", b"\0" * 64),
    ],
)
def test_files_that_cannot_be_read_end_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidLabelsError) as caught:
        read_table(tmp_path / name, error=InvalidLabelsError, example="Example: a.csv")
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith("Example: a.csv")
    with pytest.raises(UsageError, match="no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"want one of \.csv"):
        read_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize("crs", [4326, 3857, 32632])
@pytest.mark.parametrize("form", ["geoarrow", "wkb", "native"])
def test_geometries_come_in_degrees_whatever_names_their_system(tmp_path, crs, form):
    frame = geopandas.GeoDataFrame({"label": ["a"]}, geometry=[shapely.Point(9, 48)], crs=4326)
    moved = frame.to_crs(crs)
    if form == "native":
        source = tmp_path / "a.parquet"
        _write_native(source, moved)
    else:
        source = pa.table(moved.to_arrow(geometry_encoding=form))
    found = read_table(source)
    assert found.columns.column_names == ["label"]
    assert shapely.equals_exact(found.geometries[0], shapely.Point(9, 48), 1e-9)


def _write_native(path, frame):
    import geoarrow.pyarrow as ga

    wkb = ga.with_crs(ga.as_wkb(frame.geometry.to_wkb().to_numpy()), frame.crs)
    table = pa.table({"label": frame["label"], "geometry": wkb})
    pq.write_table(table, path, store_schema=False)


@pytest.mark.parametrize(
    "text", ["SRID=3857;POINT (1 2)", shapely.to_wkb(shapely.set_srid(EWKB, 3857), hex=True,
                                                     include_srid=True)],
)  # fmt: skip
def test_geometries_of_another_system_are_refused(text):
    with pytest.raises(ValueError, match="EPSG:3857"):
        geometries_of(pa.chunked_array([[text]]))
    same = text.replace("3857", "4326") if "SRID" in text else shapely.to_wkb(EWKB, hex=True)
    assert geometries_of(pa.chunked_array([[same]]))[0] == EWKB
