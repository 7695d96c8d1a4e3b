"""GeoParquet files as others write them are read, or refused in one sentence."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoindex.errors import SourceError
from geoindex.sources.geoparquet import ParquetSource

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
