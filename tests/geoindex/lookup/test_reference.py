"""A text means one thing, and says again what it means."""

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import InvalidPlaceError, UsageError
from geoindex.features.ids import CellId
from geoindex.geo.distance import LonLat
from geoindex.lookup.reference import parse_place, point_text, shown, texts_of

SQUARE = shapely.box(7, 43, 8, 44)


@pytest.mark.parametrize("text", ["way/1", "w1", "Café Engel", "Rue 12, Nr. 5", "17", "", "12;13"])
def test_ids_and_names_mean_themselves(text):
    assert parse_place(text) == text


@pytest.mark.parametrize("text", ["891f1d48177ffff", "891F1D48177FFFF", "0891f1d48177ffff"])
def test_cells_mean_cells(text):
    assert parse_place(text) == CellId(0x891F1D48177FFFF)
    assert shown(parse_place(text)) == "891f1d48177ffff"


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_points_are_written_so_that_they_are_read(lon, lat):
    assert parse_place(point_text(LonLat(lon, lat))) == LonLat(lon, lat)


def test_a_point_off_the_earth_is_none():
    with pytest.raises(InvalidPlaceError, match="latitude 98"):
        parse_place("7.42, 98")


def test_areas_are_wkt_files_shapes_and_geojson(tmp_path):
    path = tmp_path / "area.geojson"
    path.write_text(shapely.to_geojson(SQUARE))
    spellings = [SQUARE.wkt, str(path), path, SQUARE, SQUARE.__geo_interface__]
    for spelled in spellings:
        (text,) = texts_of(spelled, "like")
        assert parse_place(text).equals(SQUARE)
    assert all(text.startswith("POLYGON") for text in texts_of(spellings, "like"))


def test_a_file_that_is_not_there_is_no_name(tmp_path):
    for ask in (parse_place, lambda text: texts_of(text, "like")):
        with pytest.raises(InvalidPlaceError, match="there is no file"):
            ask(str(tmp_path / "area.geojson"))


def test_several_are_each_once():
    assert texts_of(["way/1", "way/2", "way/1"], "like") == ("way/1", "way/2")
    assert texts_of("way/1", "like") == ("way/1",)
    assert texts_of((), "like") == ()


@pytest.mark.parametrize("value", [5, [5], [b"way/1"], None, ["way/1", 2]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(UsageError, match="want ids as text"):
        texts_of(value, "like")


@pytest.mark.parametrize("text", ["POINT (36.9 -1.3)", "linestring(1 2, 3 4)", "MULTIPOINT((1 2))"])
def test_wkt_without_an_area_may_be_an_id(text: str) -> None:
    assert parse_place(text) == text
