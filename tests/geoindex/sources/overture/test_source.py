"""Overture's GeoParquet is read as OpenStreetMap's: ids, tags, licences, and only what is near."""

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import geoindex
from geoindex.errors import MissingExtraError, NotInIndexError, SourceError
from geoindex.features.raw import RawEntities
from geoindex.geo.distance import BBox
from geoindex.pipeline.read import open_source
from geoindex.sources.overture import parquet_files
from geoindex.sources.overture.source import OvertureSource
from geoindex.storage.row_groups import BBOX_COLUMNS, groups_meeting
from tests.support.command import run
from tests.support.overture import (
    gers_id,
    osm_source,
    sample,
    sample_as_parquet,
    write_overture,
)

CAFE = {"categories": {"primary": "cafe"}, "names": {"primary": "Nord"}}
HOUSE = {"class": "house", "geometry": shapely.box(0, 0, 1e-4, 1e-4)}


def read(path: Path, bbox: BBox | None = None) -> tuple[list[dict[str, Any]], Counter[str]]:
    source = open_source(path, bbox=bbox)
    assert isinstance(source, OvertureSource)
    source.describe()
    skipped: Counter[str] = Counter()
    found = [row for raw in source.read(skipped) for row in rows_of(raw)]
    return found, +skipped


def rows_of(raw: RawEntities) -> list[dict[str, Any]]:
    names = ("feature_id", "osm_type", "osm_id", "version", "kind", "tags")
    columns = (getattr(raw, name).to_pylist() for name in names)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return [{**row, "tags": dict(row["tags"])} for row in rows]


def test_a_place_has_its_category_and_who_it_is(tmp_path: Path) -> None:
    row = {
        **CAFE,
        "websites": ["https://a.example", "https://b.example"],
        "addresses": [{"freeform": "1 Hill Road", "locality": "Town", "country": "US"}],
        "brand": {"names": {"primary": "Nord"}, "wikidata": "Q1"},
    }
    found, skipped = read(write_overture(tmp_path / "places.parquet", "place", [row]))
    assert not skipped
    assert found[0]["feature_id"] == gers_id(0)
    assert found[0]["kind"] == "amenity=cafe"
    assert found[0]["tags"] == {
        "amenity": "cafe", "name": "Nord", "website": "https://a.example", "brand": "Nord",
        "brand:wikidata": "Q1", "addr:full": "1 Hill Road", "addr:city": "Town",
        "addr:country": "US",
    }  # fmt: skip


def test_places_that_are_none_are_counted(tmp_path: Path) -> None:
    rows = [
        CAFE,
        {**CAFE, "operating_status": "permanently_closed"},
        {**CAFE, "operating_status": "temporarily_closed"},
        {"names": {"primary": "Nothing"}},
        {"categories": {"primary": "quantum_teleporter"}},
        {**CAFE, "id": None},
        {**CAFE, "geometry": None},
    ]
    found, skipped = read(write_overture(tmp_path / "place.parquet", "place", rows))
    assert len(found) == 2
    assert skipped == {
        "permanently_closed": 1, "no_category": 1, "unmapped_category": 1, "no_feature_id": 1,
        "empty_geometry": 1,
    }  # fmt: skip


def test_without_the_table_of_categories_places_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_overture(tmp_path / "place.parquet", "place", [CAFE])

    def missing(_category: Any) -> Any:
        raise ModuleNotFoundError

    monkeypatch.setattr("geoindex.sources.overture.source.tags_of_category", missing)
    with pytest.raises(MissingExtraError, match="overture"):
        read(path)


def test_connectors_are_counted_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "2026-01-21.0" / "theme=transportation"
    write_overture(folder / "type=connector" / "part-0.parquet", "connector", [{}, {}, {}])
    road = {"subtype": "road", "class": "residential"}
    write_overture(folder / "type=segment" / "part-0.parquet", "segment", [road])
    found, skipped = read(folder)
    assert [row["kind"] for row in found] == ["highway=residential"]
    assert skipped == {"connector": 3}

    monkeypatch.setattr(parquet_files.ParquetFile, "batches", lambda *_: pytest.fail("it is read"))
    assert read(folder / "type=connector" / "part-0.parquet") == ([], {"connector": 3})


@pytest.mark.parametrize("with_type", [True, False])
@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("building", HOUSE, "building=house"),
        ("building_part", {}, "building:part=yes"),
        ("place", CAFE, "amenity=cafe"),
        ("segment", {"subtype": "rail", "class": "tram"}, "railway=tram"),
        ("division", {"subtype": "locality", "class": "town"}, "place=town"),
        ("division_area", {"subtype": "county"}, "place=county"),
        ("division_boundary", {"subtype": "county"}, "boundary=administrative"),
        ("water", {"class": "lake"}, "natural=water"),
        ("land_use", {"class": "park"}, "leisure=park"),
        ("land", {"class": "tree"}, "natural=tree"),
        ("land_cover", {"subtype": "forest"}, "natural=wood"),
        ("infrastructure", {"class": "bench"}, "amenity=bench"),
    ],
)
def test_the_type_is_in_a_column_or_told_by_the_columns(
    tmp_path: Path, kind: str, row: dict[str, Any], expected: str, with_type: bool
) -> None:
    path = write_overture(tmp_path / f"{kind}.parquet", kind, [row], with_type=with_type)
    assert [each["kind"] for each in read(path)[0]] == [expected]


def test_a_type_that_is_not_told_is_asked_for(tmp_path: Path) -> None:
    path = write_overture(tmp_path / "town.parquet", "land", [{"class": "tree"}])
    with pytest.raises(SourceError, match=r"type=land_use"):
        read(path)
    other = write_overture(tmp_path / "type=moon" / "a.parquet", "land", [{"class": "tree"}])
    with pytest.raises(SourceError, match=r"'moon'; want one of"):
        read(other)


def test_the_base_keeps_the_tags_it_was_made_of(tmp_path: Path) -> None:
    rows = [
        {"class": "park", "source_tags": [("leisure", "park"), ("opening_hours", "24/7")]},
        {"class": "park", "source_tags": [("note", "no kind of its own")]},
        {"class": "park", "source_tags": None, "names": {"primary": "Green"}},
    ]
    found, _ = read(write_overture(tmp_path / "land_use.parquet", "land_use", rows))
    assert [row["tags"] for row in found] == [
        {"leisure": "park", "opening_hours": "24/7"},
        {"leisure": "park"},
        {"leisure": "park", "name": "Green"},
    ]


def test_an_entity_names_the_objects_it_was_made_of(tmp_path: Path) -> None:
    sources = [
        [osm_source("w12@3")],
        [osm_source("w12@3"), osm_source("r7@1"), osm_source("n5", property="/names")],
        [{"property": "", "dataset": "Microsoft ML Buildings", "record_id": "w9@1"}],
        [osm_source("x1@1")],
        None,
    ]
    rows = [{**HOUSE, "sources": each} for each in sources]
    found, _ = read(write_overture(tmp_path / "building.parquet", "building", rows))
    names = ("osm_type", "osm_id", "version")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("way", 12, 3), ("way", 12, 3), (None,) * 3, (None,) * 3, (None,) * 3,
    ]  # fmt: skip
    assert [row["tags"].get("source:osm") for row in found] == [
        None, "way/12;relation/7", None, None, None,
    ]  # fmt: skip


def test_licences_are_those_of_the_rows_else_of_the_theme(tmp_path: Path) -> None:
    stated = [
        {**CAFE, "sources": [{"dataset": "meta", "license": "CDLA-Permissive-2.0"}]},
        {**CAFE, "sources": [{"dataset": "Foursquare", "license": "Apache-2.0"}]},
    ]
    path = write_overture(tmp_path / "place.parquet", "place", stated)
    info = open_source(path).describe()
    assert info.licence == "Apache-2.0 AND CDLA-Permissive-2.0"
    assert info.attribution == "Overture Maps Foundation"

    path = write_overture(tmp_path / "2026-01-21.0" / "building.parquet", "building", [HOUSE])
    info = open_source(path).describe()
    assert info.licence == "ODbL-1.0"
    assert info.attribution == "© OpenStreetMap contributors, Overture Maps Foundation"
    assert info.timestamp == "2026-01-21T00:00:00Z"


def test_licences_stay_to_the_end(tmp_path: Path) -> None:
    places = write_overture(tmp_path / "place.parquet", "place", [{**CAFE, "id": gers_id(9)}])
    houses = write_overture(tmp_path / "building.parquet", "building", [HOUSE])
    index = geoindex.build([places, houses], tmp_path / "a.geoindex", encoder="tagpool")
    assert index.manifest.licence == "CDLA-Permissive-2.0 AND ODbL-1.0"
    assert [source["licence"] for source in index.manifest.sources] == [
        "CDLA-Permissive-2.0", "ODbL-1.0",
    ]  # fmt: skip
    index.export(tmp_path / "a.parquet")
    again = geoindex.build(tmp_path / "a.parquet", tmp_path / "b.geoindex", encoder="tagpool")
    assert again.manifest.licence == index.manifest.licence
    assert again.manifest.attribution == index.manifest.attribution


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> geoindex.Index:
    """Way 5 is two segments, the second of which is of way 6 too."""
    road = {"subtype": "road", "class": "residential"}
    line = shapely.LineString([(0, 0), (0, 1e-3)])
    long = shapely.LineString([(0, 1e-3), (0, 5e-3)])
    rows = [
        {**road, "geometry": line, "sources": [osm_source("w5@2")]},
        {**road, "geometry": long, "sources": [osm_source("w5@2"), osm_source("w6@1")]},
        {**road, "id": "08b44d070ac63fff0200e0c2f6ae252d", "sources": [osm_source("w8@1")]},
    ]
    folder = tmp_path_factory.mktemp("streets")
    path = write_overture(folder / "segment.parquet", "segment", rows)
    return geoindex.build(path, folder / "streets.geoindex", encoder="tagpool")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (gers_id(0), 0),
        (gers_id(0).upper(), 0),
        (gers_id(0).replace("-", ""), 0),
        ("way/5", 1),
        ("w5@2", 1),
        ("https://www.openstreetmap.org/way/6", 1),
        ("way/8", 2),
        ("08b44d070ac63fff0200e0c2f6ae252d", 2),
        ("08B44D070AC63FFF0200E0C2F6AE252D", 2),
    ],
)
def test_examples_are_named_by_gers_or_openstreetmap_id(
    streets: geoindex.Index, written: str, expected: int
) -> None:
    ids = [gers_id(0), gers_id(1), "08b44d070ac63fff0200e0c2f6ae252d"]
    row = streets.row_of(written)
    assert streets.entities.record(row)["feature_id"] == ids[expected]
    hits = streets.query(like=written, k=3)
    assert len(hits)
    assert set(hits.ids) <= set(ids) - {ids[expected]}


def test_an_openstreetmap_id_says_what_it_was_taken_for(streets: geoindex.Index) -> None:
    notes = " ".join(streets.query(like="way/5").notes)
    assert f"way/5 is {gers_id(1)}" in notes
    assert "the largest of 2" in notes
    with pytest.raises(NotInIndexError, match=r"version 2 of way/5"):
        streets.row_of("w5@1")
    with pytest.raises(NotInIndexError, match=r"way/5"):
        streets.row_of("way/7")


def test_hits_and_exports_have_both_ids(streets: geoindex.Index, tmp_path: Path) -> None:
    hits = streets.query(like="08b44d070ac63fff0200e0c2f6ae252d", k=2)
    urls = dict(zip(hits.ids, hits.table["osm_url"].to_pylist(), strict=True))
    assert urls[gers_id(1)] == "https://www.openstreetmap.org/way/5"
    path = tmp_path / "streets.parquet"
    streets.export(path)
    columns = "feature_id, osm_type, osm_id, osm_version"
    rows = duckdb.read_parquet(str(path)).project(columns).fetchall()
    assert (gers_id(0), "way", 5, 2) in rows
    frame = geopandas.read_parquet(path).set_index("feature_id")
    assert frame.loc[gers_id(1), "osm_id"] == 5
    assert dict(frame.loc[gers_id(1), "tags"])["source:osm"] == "way/5;way/6"

    again = geoindex.build(path, tmp_path / "again.geoindex", encoder="tagpool")
    assert again.row_of("way/6") == streets.row_of("way/6")
    assert again.entities.table["osm_id"].equals(streets.entities.table["osm_id"])
    assert np.array_equal(again.vectors("entities"), streets.vectors("entities"))


def test_the_bridge_tag_is_not_read_by_the_encoder(tmp_path: Path) -> None:
    one = {**HOUSE, "sources": [osm_source("w1@1")]}
    two = {**HOUSE, "sources": [osm_source("w1@1"), osm_source("w2@1")]}
    vectors = []
    for i, row in enumerate((one, two)):
        path = write_overture(tmp_path / f"{i}-building.parquet", "building", [row])
        index = geoindex.build(path, tmp_path / f"{i}.geoindex", encoder="tagpool")
        vectors.append(index.vectors("entities", focus="own"))
    assert np.array_equal(*vectors)


BOXES = st.tuples(
    st.floats(-179, 179), st.floats(-80, 80), st.floats(0.1, 400), st.floats(0.1, 20)
).map(lambda b: BBox(b[0], b[1], (b[0] + b[2] + 180) % 360 - 180, min(b[1] + b[3], 90)))


@settings(max_examples=30)
@given(bbox=BOXES, group_rows=st.integers(1, 9), seed=st.integers(0, 9))
def test_no_row_that_meets_a_box_is_in_a_row_group_left_out(
    tmp_path_factory: pytest.TempPathFactory, bbox: BBox, group_rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = np.sort(rng.uniform((-180, -85), (180, 85), (20, 2)), axis=0)
    rows = [{**CAFE, "geometry": shapely.Point(point)} for point in points]
    path = tmp_path_factory.mktemp("groups") / "place.parquet"
    write_overture(path, "place", rows, row_group_rows=group_rows)
    metadata = pq.read_metadata(path)
    groups = groups_meeting(metadata, bbox, BBOX_COLUMNS)
    kept = {i for group in groups for i in range(group * group_rows, (group + 1) * group_rows)}
    west, south, east, north = bbox
    for i, (lon, lat) in enumerate(points):
        meets_lon = west <= lon or lon <= east if west > east else west <= lon <= east
        assert i in kept or not (meets_lon and south <= lat <= north)


def test_a_box_is_pushed_down_to_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**CAFE, "geometry": shapely.Point(i, i)} for i in range(80)]
    path = write_overture(tmp_path / "place.parquet", "place", rows, row_group_rows=10)
    opened: list[list[int]] = []
    batches = parquet_files.ParquetFile.batches

    def recorded(self: Any, groups: list[int], columns: list[str], batch_rows: int) -> Any:
        opened.append(groups)
        return batches(self, groups, columns, batch_rows)

    monkeypatch.setattr(parquet_files.ParquetFile, "batches", recorded)
    box = BBox(12.5, 12.5, 21.5, 21.5)
    index = geoindex.build(path, tmp_path / "a.geoindex", bbox=box, encoder="tagpool")
    assert set(map(tuple, opened)) == {(1, 2)}
    assert len(index.entities) == 9
    assert index.manifest.skipped == {"outside_bbox": 71}
    # as a reader that is not ours has it
    inside = "bbox.xmin BETWEEN 12.5 AND 21.5 AND bbox.ymin BETWEEN 12.5 AND 21.5"
    expected = duckdb.read_parquet(str(path)).filter(inside).project("id").fetchall()
    assert sorted(index.entities.table["feature_id"].to_pylist()) == sorted(i for (i,) in expected)


def test_a_row_across_the_antimeridian_keeps_its_row_group() -> None:
    class Statistics:
        has_min_max = True

        def __init__(self, low: float, high: float) -> None:
            self.min, self.max = low, high

    class Column:
        is_stats_set = True

        def __init__(self, side: str, values: list[float]) -> None:
            self.path_in_schema = f"bbox.{side}"
            self.statistics = Statistics(min(values), max(values))

    class Group:
        num_columns = 4
        # the second row runs from 179.5 to -179.5
        sides = ({"xmin": [10, 179.5], "xmax": [11, -179.5]}
                 | {"ymin": [0, 0], "ymax": [1, 1]})  # fmt: skip

        def column(self, i: int) -> Column:
            return Column(*list(self.sides.items())[i])

    class Metadata:
        num_row_groups = 1

        def row_group(self, _i: int) -> Group:
            return Group()

    for west, east in ((-179.9, -179.6), (179.6, 179.9), (10.5, 10.6)):
        assert groups_meeting(Metadata(), BBox(west, 0, east, 1), BBOX_COLUMNS) == [0]
    assert groups_meeting(Metadata(), BBox(10, 5, 11, 6), BBOX_COLUMNS) == []


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    release = tmp_path / "2026-01-21.0"
    write_overture(release / "theme=places" / "type=place" / "a.parquet", "place", [CAFE])
    houses = [{**HOUSE, "id": gers_id(7)}]
    write_overture(release / "theme=buildings" / "type=building" / "b.parquet", "building", houses)
    result = run("build", release, "-o", tmp_path / "a.geoindex", "--encoder", "tagpool")
    assert result.exit_code == 0, result.output
    index = geoindex.open(tmp_path / "a.geoindex")
    assert sorted(index.entities.table["kind"].to_pylist()) == ["amenity=cafe", "building=house"]
    assert index.manifest.licence == "CDLA-Permissive-2.0 AND ODbL-1.0"
    before = open_source(release).describe()
    assert before.blake2b == open_source(release).describe().blake2b
    write_overture(release / "theme=places" / "type=place" / "a.parquet", "place", [CAFE] * 2)
    assert before.blake2b != open_source(release).describe().blake2b


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-4], lambda b: b[:100], lambda b: b"", lambda b: b[:-8] + b"\xff" * 4 + b"PAR1"],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "theme=places" / "type=place"
    path = write_overture(folder / "a.parquet", "place", [CAFE])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=r"a\.parquet"):
        read(tmp_path / "theme=places")


def test_other_parquet_in_a_folder_is_refused(tmp_path: Path) -> None:
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs=4326).to_parquet(
        tmp_path / "a.parquet"
    )
    with pytest.raises(SourceError, match="not Overture's columns"):
        read(tmp_path)


def test_a_real_town_is_read_whole(tmp_path: Path) -> None:
    path = sample("boulder-co_transportation.parquet")
    if path is None:
        pytest.skip("no sample beside this checkout")
    found, skipped = read(path)
    assert skipped == {"connector": 11657}
    assert len(found) == 7355
    # every way that a segment was made of finds it
    rows = duckdb.read_parquet(str(path)).filter("type = 'segment'")
    rows = rows.project("id, unnest(list_transform(sources, x -> x.record_id))").fetchall()
    records = {row[0]: set() for row in rows}
    for gers, record in rows:
        records[gers].add(record or "")
    for row in found:
        named = row["tags"].get("source:osm", f"{row['osm_type']}/{row['osm_id']}").split(";")
        assert {f"w{each.partition('/')[2]}" for each in named if each != "None/None"} == {
            record.partition("@")[0]
            for record in records[row["feature_id"]]
            if record.startswith("w")
        }
    ways = Counter(row["kind"].split("=")[0] for row in found)
    assert ways == {"highway": 7351, "railway": 4}


def test_two_releases_share_their_ids(tmp_path: Path) -> None:
    ids = []
    for release in "ab":
        name = f"charleston-sc_buildings_release-{release}.geojson"
        path = sample_as_parquet(name, "building", tmp_path / f"{release}-building.parquet")
        if path is None:
            pytest.skip("no sample beside this checkout")
        found, skipped = read(path)
        assert not skipped
        ids.append({row["feature_id"] for row in found})
    assert (len(ids[0]), len(ids[0] & ids[1])) == (1361, 1281)


def test_real_places_are_nearly_all_mapped(tmp_path: Path) -> None:
    for release, num_places in (("a", 1191), ("b", 1314)):
        name = f"charleston-sc_places_release-{release}.geojson"
        path = sample_as_parquet(name, "place", tmp_path / f"{release}-place.parquet")
        if path is None:
            pytest.skip("no sample beside this checkout")
        found, skipped = read(path)
        assert len(found) + sum(skipped.values()) == num_places
        assert skipped["unmapped_category"] <= 0.02 * num_places
        assert set(skipped) <= {"unmapped_category", "no_category"}
