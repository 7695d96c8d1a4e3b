"""Python's values mean what the command's words mean, and a wrong one shows a right one."""

import os
import subprocess
import sys
from pathlib import Path

import h3
import numpy as np
import pytest
import shapely

import geoindex
from geoindex.errors import (
    InvalidIdError,
    InvalidPlaceError,
    InvalidResolutionError,
    NotInIndexError,
    UsageError,
)
from geoindex.geo.distance import BBox, LonLat
from tests.support.maps import TOWN

LON, LAT = TOWN
CELL = h3.latlng_to_cell(LAT, LON, 9)
SQUARE = shapely.box(LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01)
COLD = """
import sys
import geoindex
geoindex.query(sys.argv[1], sys.argv[2]).to_text("json")
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def names(small_index):
    return small_index.entities.table["feature_id"].to_pylist()


@pytest.mark.parametrize(
    ("option", "spellings"),
    [
        ("at", [TOWN, list(TOWN), f"{LON},{LAT}", LonLat(*TOWN), np.array(TOWN)]),
        ("cell", [CELL, h3.str_to_int(CELL), np.uint64(h3.str_to_int(CELL)), CELL.upper()]),
        ("tags", [{"amenity": "cafe"}, "amenity=cafe"]),
    ],
)
def test_questions_may_be_spelled_in_python(small_index, option, spellings):
    answers = [small_index.query(**{option: value}) for value in spellings]
    assert len({tuple(answer.ids) for answer in answers}) == 1
    assert all(answer.query == answers[0].query for answer in answers)


@pytest.mark.parametrize(
    "spellings",
    [
        [{"bbox": box} for box in (SQUARE.bounds, BBox(*SQUARE.bounds), np.array(SQUARE.bounds))],
        [{"within": SQUARE}, {"within": SQUARE.wkt}, {"within": SQUARE.__geo_interface__}],
        [{"within": many([SQUARE])} for many in (shapely.MultiPolygon, shapely.GeometryCollection)],
        [{"near": TOWN, "radius": 500}, {"near": f"{LON},{LAT}", "radius": "0.5km"}],
        [{"in_cell": CELL}, {"in_cell": h3.str_to_int(CELL)}],
        [{"not_within": 500.0}, {"not_within": "500m"}],
        [{"where": "amenity=cafe"}, {"where": {"amenity": "cafe"}}, {"where": ["amenity=cafe"]}],
    ],
)
def test_filters_may_be_spelled_in_python(small_index, names, spellings):
    answers = [small_index.query(names[0], k=999, **options).ids for options in spellings]
    assert all(answer == answers[0] for answer in answers)
    assert 0 < len(answers[0]) < len(names) - 1


def test_a_polygon_may_lie_in_a_file(small_index, names, tmp_path):
    path = tmp_path / "area.geojson"
    path.write_text(shapely.to_geojson(SQUARE))
    wanted = small_index.query(names[0], within=SQUARE, k=99).ids
    for area in (path, str(path)):
        assert small_index.query(names[0], within=area, k=99).ids == wanted


def test_likes_may_be_one_or_several(small_index, names):
    assert small_index.query(names[0]).ids == small_index.query([names[0]]).ids
    assert small_index.query(like=iter(names[:2])).query["like"] == names[:2]


def test_the_module_asks_as_the_index_does(small_index, names):
    for path in (small_index.path, str(small_index.path)):
        assert geoindex.query(path, names[3], k=4).ids == small_index.query(names[3], k=4).ids


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, UsageError, "nothing to search for"),
        ({"like": 123}, UsageError, "like is 123; want ids as text"),
        ({"like": ["way/1", 2]}, UsageError, "want ids as text"),
        ({"unlike": [b"way/1"]}, UsageError, "unlike is"),
        ({"at": (1,)}, InvalidPlaceError, "at is"),
        ({"at": ("a", "b")}, InvalidPlaceError, "at is"),
        ({"at": 5}, InvalidPlaceError, "at is 5"),
        ({"at": (LAT, 200)}, InvalidPlaceError, "latitude 200"),
        ({"cell": "nonsense"}, InvalidIdError, "want an H3 cell"),
        ({"cell": 1}, InvalidIdError, "cell is 1"),
        ({"cell": -1}, InvalidIdError, "cell is -1"),
        ({"cell": 1 << 80}, InvalidIdError, "cell is"),
        ({"cell": 0.5}, InvalidIdError, "got '0.5'. Example: 891f1d48177ffff"),
        ({"tags": "amenity"}, UsageError, "want KEY=VALUE"),
        ({"tags": {"amenity": None}}, UsageError, "want tags as texts"),
        ({"tags": {}}, UsageError, "nothing to search for"),
        ({"bbox": (1, 2, 3)}, InvalidPlaceError, "bbox is"),
        ({"bbox": 3}, InvalidPlaceError, "bbox is 3"),
        ({"bbox": (1, 2, 3, None)}, InvalidPlaceError, "bbox is"),
        ({"bbox": (0, 5, 1, 2)}, InvalidPlaceError, "south 5 above"),
        ({"within": shapely.Point(1, 2)}, InvalidPlaceError, "no polygon, but Point"),
        ({"within": shapely.LineString([(1, 2), (3, 4)])}, InvalidPlaceError, "no polygon"),
        ({"within": shapely.Polygon()}, InvalidPlaceError, "no polygon"),
        ({"within": shapely.box(0, 0, 500, 1)}, InvalidPlaceError, "want degrees"),
        ({"within": 5}, InvalidPlaceError, "within is a int"),
        ({"within": {"type": "Polygon"}}, InvalidPlaceError, "within is a dict"),
        ({"near": TOWN}, UsageError, "go together"),
        ({"radius": 5}, UsageError, "go together"),
        ({"near": TOWN, "radius": -5}, InvalidPlaceError, "must be above 0"),
        ({"near": TOWN, "radius": float("nan")}, InvalidPlaceError, "must be above 0"),
        ({"near": TOWN, "radius": [5]}, InvalidPlaceError, "radius is"),
        ({"not_within": True}, InvalidPlaceError, "not_within is True"),
        ({"in_cell": "8a1f1d48177ffff"}, UsageError, "cell|H3"),
        ({"k": -1}, UsageError, "k is -1"),
        ({"focus": "all"}, UsageError, "no focus"),
        ({"focus": "both", "own_weight": 2}, UsageError, "own weight is 2"),
    ],
)
def test_a_value_that_is_none_shows_one_that_works(small_index, options, error, said):
    plain = {} if {"like", "at", "cell", "tags", "unlike"} & set(options) or not options else {
        "tags": "amenity=cafe"
    }  # fmt: skip
    with pytest.raises(error, match=said):
        small_index.query(**plain, **options)


def test_an_option_that_is_none_is_named(small_index):
    with pytest.raises(TypeError, match="wher"):
        small_index.query("way/1", wher="amenity=cafe")


def test_an_id_that_is_not_there(small_index):
    with pytest.raises(NotInIndexError):
        small_index.query("way/424242")


def test_huge_k_gives_all(small_index, names):
    assert len(small_index.query(names[0], k=2**70)) == len(names) - 1
    assert len(small_index.query(names[0], k=np.int64(3))) == 3


@pytest.mark.parametrize("resolution", [9, np.int64(9), [9], (9, 8), {8, 9}])
def test_build_takes_one_resolution_or_several(small_map, tmp_path, resolution):
    index = geoindex.build(str(small_map), tmp_path / "new.geoindex", resolution=resolution)
    assert index.manifest.resolutions[-1] == 9
    assert isinstance(index, geoindex.Index)


def test_build_refuses_what_is_no_resolution(small_map, tmp_path):
    for resolution in (16, 9.5, "9", True):
        with pytest.raises(InvalidResolutionError):
            geoindex.build(small_map, tmp_path / "new.geoindex", resolution=resolution)


def test_a_query_by_id_imports_nothing_heavy(small_index, names):
    run = subprocess.run(
        [sys.executable, "-c", COLD, str(small_index.path), names[0]],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(geoindex.__file__).parents[1],
        env={**os.environ, "PYTHONPATH": ""},
    )
    heavy = {"torch", "lance", "lancedb", "pandas", "geopandas", "shapely", "osmium", "scipy"}
    assert heavy.isdisjoint(run.stdout.split())
