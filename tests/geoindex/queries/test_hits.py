"""Hits read the same in every form, with fixed digits."""

import csv
import io
import json
import re

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely

import geoindex
from geoindex.errors import UsageError
from geoindex.queries.hits import TEXT_FORMATS, Hits
from tests.support.maps import TOWN
from tests.support.osm_files import OsmFile

KEYS = [
    *("rank", "feature_id", "similarity", "distance", "kind", "name", "tags", "cell"),
    *("distance_m", "osm_url", "exact", "lon", "lat"),
]


@pytest.fixture(scope="module")
def every(small_index) -> Hits:
    """Return all entities but one."""
    return small_index.query(small_index.entities.record(0)["feature_id"], k=10**12)


@pytest.fixture(scope="module")
def cells(small_index) -> Hits:
    return small_index.query(tags="amenity=cafe", cells=True, k=100)


def test_every_form_has_the_same_keys(every):
    assert list(every.records()[0]) == KEYS
    assert every.table.column_names == [*KEYS, "geometry"]
    assert list(json.loads(every.to_text("json"))["hits"][0]) == KEYS
    assert next(csv.reader(io.StringIO(every.to_text("csv")))) == KEYS
    feature = json.loads(every.to_text("geojson"))["features"][0]
    assert list(feature["properties"]) == [key for key in KEYS if key != "feature_id"]


def test_hits_are_in_order_and_of_the_index(every, small_index):
    assert [hit["rank"] for hit in every] == list(range(1, len(small_index.entities)))
    similarity = np.array([hit["similarity"] for hit in every])
    assert (np.diff(similarity) <= 0).all()
    for hit in every:
        held = small_index.entities.record(small_index.row_of(hit["feature_id"]))
        assert hit["tags"] == held["tags"]
        assert hit["kind"] == held["kind"]
        assert hit["cell"] == f"{held['cell']:x}"
        assert hit["osm_url"] == f"https://www.openstreetmap.org/{hit['feature_id']}"
        assert hit["distance"] == pytest.approx(1 - hit["similarity"], abs=1e-9)
        assert hit["exact"] is True


def test_numbers_have_fixed_digits(every, cells):
    digits_of = {"similarity": 6, "distance": 6, "lon": 7, "lat": 7, "distance_m": 1}
    for hits in (every, cells):
        for name, digits in digits_of.items():
            for value in hits.table[name].to_pylist():
                assert value is None or round(value, digits) == value
                assert str(value) != "-0.0"
    numbers = re.findall(r"-?\d+\.(\d+)", json.dumps([f["geometry"] for f in cells.features()]))
    assert max(map(len, numbers)) <= 7


@pytest.mark.parametrize("what", ["every", "cells"])
def test_geojson_is_that_of_rfc_7946(what, request):
    hits = request.getfixturevalue(what)
    document = json.loads(hits.to_text("geojson"))
    assert document["type"] == "FeatureCollection"
    assert document["query"] == hits.query
    assert document["index"] == hits.index
    assert [feature["id"] for feature in document["features"]] == hits.ids
    for feature in document["features"]:
        assert set(feature) == {"type", "id", "geometry", "properties"}
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        west, south, east, north = shape.bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
        parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
        for part in parts:
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)
            # cut at the antimeridian, no part runs round the Earth
            assert part.bounds[2] - part.bounds[0] < 180


def test_what_crosses_the_antimeridian_is_cut_in_two(every):
    shapes = {
        feature["properties"]["name"]: shapely.geometry.shape(feature["geometry"])
        for feature in every.features()
    }
    house, ferry = shapes["On the line"], shapes["Over"]
    assert house.geom_type == "MultiPolygon"
    assert house.area == pytest.approx(1e-6, rel=1e-3)
    assert ferry.geom_type == "MultiLineString"
    assert ferry.length == pytest.approx(0.003, rel=1e-3)


def test_a_sequence_has_one_feature_a_record(every):
    records = every.to_text("geojsonseq").split("\x1e")
    assert records[0] == ""
    assert all(record.endswith("}\n") for record in records[1:])
    assert [json.loads(record) for record in records[1:]] == every.features()


@pytest.mark.parametrize("what", ["every", "cells"])
def test_csv_reads_back(what, request):
    hits = request.getfixturevalue(what)
    rows = list(csv.DictReader(io.StringIO(hits.to_text("csv"), newline="")))
    for row, hit in zip(rows, hits.records(), strict=True):
        for name, value in hit.items():
            text = row[name]
            if value is None:
                assert text == ""
            elif isinstance(value, str):
                assert text == value
            else:
                assert json.loads(text) == value


def test_json_reads_back(every):
    document = json.loads(every.to_text("json"))
    assert document["hits"] == every.records()
    assert document["query"]["k"] == 10**12


@pytest.mark.parametrize("what", ["every", "cells"])
def test_a_geodataframe_has_rows_and_shapes(what, request):
    hits = request.getfixturevalue(what)
    frame = hits.to_geopandas()
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs == "OGC:CRS84"
    assert len(frame) == len(hits)
    assert frame.geometry.is_valid.all()
    if "tags" in frame:
        assert frame["tags"].tolist() == [hit["tags"] for hit in hits]


def test_arrow_has_types_that_do_not_depend_on_the_hits(every, small_index):
    table = every.to_arrow()
    assert isinstance(table, pa.Table)
    table.validate(full=True)
    none = small_index.query(tags="amenity=cafe", where="nothing()")
    assert none.to_arrow().schema == table.schema


@pytest.mark.parametrize("form", TEXT_FORMATS)
@pytest.mark.parametrize("is_cells", [False, True])
def test_no_hit_is_an_answer_too(small_index, form, is_cells):
    bbox = (0, 0, 1, 1)
    none = small_index.query(tags="amenity=cafe", bbox=bbox, cells=is_cells)
    assert len(none) == 0
    assert none.records() == none.features() == none.ids == []
    assert len(none.to_geopandas()) == 0
    assert isinstance(none.to_text(form), str)


def test_a_form_that_is_none_is_refused(every):
    with pytest.raises(UsageError, match="no text form 'xml'; want one of json, geojson"):
        every.to_text("xml")


def test_hits_show_themselves_in_one_line(every):
    assert repr(every).startswith(f"<{len(every)} hits of {len(every)}: ")
    assert repr(every).endswith(", ...>")


def test_ids_that_are_not_of_openstreetmap_have_no_page(tmp_path):
    gers = "08b2a100-d0d6-5fff-0200-8f5aaf2b2b2b"
    frame = geopandas.GeoDataFrame(
        {"feature_id": [gers, "way/5", "my shop"], "tags": [{"shop": "books"}] * 3},
        geometry=shapely.points([TOWN] * 3),
        crs="EPSG:4326",
    )
    frame.to_parquet(tmp_path / "places.parquet")
    index = geoindex.build(tmp_path / "places.parquet", tmp_path / "places.geoindex")
    hits = index.query("my shop")
    assert {hit["feature_id"]: hit["osm_url"] for hit in hits} == {
        gers: None,
        "way/5": "https://www.openstreetmap.org/way/5",
    }
    assert json.loads(hits.to_text("geojson"))["features"][0]["properties"]["osm_url"] is None


def test_a_map_of_one_entity_has_no_like(tmp_path):
    osm = OsmFile()
    name = f"node/{osm.node(*TOWN, amenity='cafe')}"
    index = geoindex.build(osm.write(tmp_path / "one.osm"), tmp_path / "one.geoindex")
    assert len(index.query(name)) == 0
    assert index.query(tags="amenity=bar").ids == [name]
