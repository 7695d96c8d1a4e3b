"""An area is read from WKT and from files of many kinds, and what is none says so."""

import json
import warnings

import geopandas
import pytest
import shapely

from geoindex.errors import InvalidPlaceError
from geoindex.geo.polygon_io import check_area, parse_within

SQUARE = "POLYGON((13 55,13.2 55,13.2 55.2,13 55.2,13 55))"


@pytest.mark.parametrize(
    "wkt", [SQUARE, f"SRID=4326;{SQUARE}", f"GEOMETRYCOLLECTION({SQUARE},POINT(1 1))"]
)
def test_wkt_is_read(wkt):
    assert parse_within(wkt).equals(shapely.from_wkt(SQUARE))


@pytest.mark.parametrize("suffix", ["gpkg", "parquet", "shp", "geojson", "wkt"])
def test_files_are_read_and_brought_to_degrees(tmp_path, suffix):
    path = tmp_path / f"area.{suffix}"
    table = geopandas.GeoDataFrame(geometry=[shapely.from_wkt(SQUARE)], crs="EPSG:4326")
    if suffix == "wkt":
        path.write_text(SQUARE)
    elif suffix == "parquet":
        table.to_crs("EPSG:3006").to_parquet(path)
    else:
        table.to_crs("EPSG:4326" if suffix == "geojson" else "EPSG:3006").to_file(path)
    area = parse_within(path)
    assert area.symmetric_difference(shapely.from_wkt(SQUARE)).area < 1e-6


@pytest.mark.parametrize("kind", ["FeatureCollection", "Feature", "Geometry"])
def test_every_kind_of_geojson_is_read(tmp_path, kind):
    geometry = json.loads(shapely.to_geojson(shapely.from_wkt(SQUARE)))
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    empty = {"type": "Feature", "properties": {}, "geometry": None}
    collection = {"type": "FeatureCollection", "features": [feature, empty]}
    path = tmp_path / "area.geojson"
    path.write_text(
        json.dumps(
            {"FeatureCollection": collection, "Feature": feature, "Geometry": geometry}[kind]
        )
    )
    assert parse_within(str(path)).equals(shapely.from_wkt(SQUARE))


def test_a_ring_that_crosses_itself_is_made_valid_and_said():
    with pytest.warns(UserWarning, match="made valid"):
        area = parse_within("POLYGON((0 0,1 1,1 0,0 1,0 0))")
    assert area.is_valid
    assert area.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.geojson", "", "is empty"),
        ("bad.geojson", "{", "no valid JSON"),
        ("odd.geojson", '{"type": "Polygon"}', "no valid GeoJSON"),
        ("list.geojson", "[1]", "no valid GeoJSON"),
        ("none.geojson", '{"type": "FeatureCollection", "features": []}', "no polygon"),
        ("point.geojson", '{"type": "Point", "coordinates": [1, 2]}', "no polygon, but Point"),
        ("bad.gpkg", "not a database", "cannot be read"),
        ("bad.parquet", "not a table", "cannot be read"),
        ("bad.wkt", "POLYGON((0 0", "no valid WKT"),
    ],
)
def test_a_file_that_is_none(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidPlaceError, match=said):
        parse_within(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.geojson", "no such file"),
        ("", "no such file"),
        ("POLYGON((0 0, 1", "no valid WKT"),
        ("POINT(1 2)", "no polygon, but Point"),
        ("POLYGON EMPTY", "no polygon"),
        ("POLYGON((0 0,1 1,0 0,0 0))", "without an area"),
        ("POLYGON((55 100,55 101,56 101,55 100))", "swapped"),
        ("POLYGON((170 0,190 0,180 1,170 0))", "antimeridian"),
        ("POLYGON((500000 0,500001 0,500000 1,500000 0))", "in metres"),
        (f"SRID=3006;{SQUARE}", "EPSG:3006"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*made valid")
def test_a_text_that_is_none(text, said):
    with pytest.raises(InvalidPlaceError, match=said):
        parse_within(text)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "wkt", "parquet"])
def test_a_ring_over_the_antimeridian_is_the_narrow_area(tmp_path, suffix):
    ring = shapely.Polygon([(179.5, -1), (-179.5, -1), (-179.5, 1), (179.5, 1)])
    path = tmp_path / f"area.{suffix}"
    table = geopandas.GeoDataFrame(geometry=[ring], crs="EPSG:4326")
    if suffix == "wkt":
        path.write_text(ring.wkt)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_file(path)
    wanted = shapely.MultiPolygon(
        [shapely.box(179.5, -1, 180, 1), shapely.box(-180, -1, -179.5, 1)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_within(path).equals(wanted)
        assert parse_within(wanted.wkt).equals(wanted)
    for same in (ring, ring.__geo_interface__, shapely.MultiPolygon([ring, ring])):
        assert check_area(same).equals(wanted)


def test_what_crosses_itself_and_the_antimeridian_is_made_valid_in_one_piece():
    with pytest.warns(UserWarning, match="made valid"):
        area = parse_within("POLYGON((179 0,-179 1,-179 0,179 1,179 0))")
    assert area.area == pytest.approx(1)
    assert area.bounds == (-180, 0, 180, 1)


def test_a_cap_round_the_pole_is_read_as_it_is_drawn():
    cap = shapely.box(-180, -90, 180, -60)
    assert parse_within(cap.wkt).equals(cap)


def test_polygons_of_all_layers_count(tmp_path):
    path = tmp_path / "areas.gpkg"
    boxes = [shapely.box(x, 0, x + 1, 1) for x in (0, 5, 9)]
    for name, box, crs in zip("abc", boxes, ("EPSG:4326", "EPSG:4326", "EPSG:3857"), strict=True):
        table = geopandas.GeoDataFrame(geometry=[box], crs="EPSG:4326").to_crs(crs)
        table.to_file(path, layer=name)
    geopandas.pd.DataFrame({"note": ["no places"]}).pipe(geopandas.GeoDataFrame).to_file(
        path, layer="notes"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        area = parse_within(path)
    assert area.symmetric_difference(shapely.union_all(boxes)).area < 1e-9
