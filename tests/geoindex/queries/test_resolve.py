"""A query becomes the vector that its examples promise, or a fault that says what to do."""

import h3
import numpy as np
import pytest
from pyproj import Geod

from geoindex import Query
from geoindex.errors import NotInIndexError, UsageError
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import parents
from geoindex.queries.options import NEGATIVE_WEIGHT, parse_tags
from geoindex.queries.resolve import resolve
from geoindex.queries.vector_field import open_field
from tests.support.maps import TOWN

GEOD = Geod(ellps="WGS84")


def resolved(index, like=None, *, focus="context", **options):
    query = Query(like, **options)
    return resolve(query, index, open_field(index, table=query.table, focus=focus))


def ids_of(index, kind):
    rows = index.entities.where_equal("kind", kind)
    return index.entities.take(rows)["feature_id"].to_pylist()


def unit(vector):
    wide = vector.astype(np.float64)
    return wide / np.linalg.norm(wide)


@pytest.mark.parametrize("focus", ["own", "context"])
def test_likes_are_averaged_and_unlikes_taken_away(small_index, focus):
    likes, unlikes = ids_of(small_index, "amenity=cafe")[:2], ids_of(small_index, "amenity=bar")[:1]
    asked = resolved(small_index, likes, unlike=unlikes, focus=focus)
    vectors = small_index.vectors("entities", focus=focus)
    rows = [small_index.row_of(name) for name in (*likes, *unlikes)]
    first, second, third = (unit(vectors[row]) for row in rows)
    expected = (first + second) / 2 - NEGATIVE_WEIGHT * third
    assert asked.vectors[0] == pytest.approx(expected, abs=1e-6)
    assert asked.rows.tolist() == sorted(rows)
    column = small_index.entities.column
    assert asked.places == [LonLat(column("lon")[row], column("lat")[row]) for row in rows[:2]]


def test_a_cell_is_the_mean_of_those_that_live_in_it(small_index):
    cell = int(parents(small_index.entities.column("cell")[:1], 5)[0])
    asked = resolved(small_index, cell=cell, focus="own")
    home = parents(small_index.entities.column("cell"), 5)
    rows = np.flatnonzero(home == cell)
    expected = unit(small_index.vectors("entities", focus="own")[rows].mean(axis=0))
    assert asked.vectors[0] == pytest.approx(expected, abs=1e-6)
    assert asked.rows.tolist() == rows.tolist()
    lat, lon = h3.cell_to_latlng(h3.int_to_str(cell))
    assert asked.places == [LonLat(lon, lat)]


def test_cells_are_asked_by_their_own_vectors(small_index):
    name = ids_of(small_index, "amenity=fuel")[0]
    home = int(small_index.entities.column("cell")[small_index.row_of(name)])
    row = small_index.cell_row(home)
    place = LonLat(*(float(small_index.cells.column(c)[row]) for c in ("lon", "lat")))
    for options in ({"like": [name]}, {"cell": home}, {"at": place}):
        asked = resolved(small_index, **options, cells=True)
        assert asked.rows.tolist() == [row]
        assert asked.vectors[0] == pytest.approx(small_index.vectors("cells")[row], abs=1e-6)


def test_tags_ask_for_what_need_not_exist(small_index):
    tags = {"amenity": "ice_cream"}
    asked = resolved(small_index, tags=tags, focus="own")
    assert asked.vectors[0].shape == (small_index.encoder.dim,)
    assert asked.rows.size == 0
    assert asked.places == []
    of_cells = resolved(small_index, tags=tags, cells=True)
    assert of_cells.vectors[0].shape == (small_index.encoder.region_dim,)


@pytest.mark.parametrize("cells", [False, True])
def test_tags_that_say_nothing_are_refused(small_index, cells):
    with pytest.raises(UsageError, match="source=survey say nothing"):
        resolved(small_index, tags={"source": "survey"}, cells=cells, focus="own")


def test_what_cancels_out_is_refused(small_index):
    vectors = small_index.vectors("entities")
    opposite = np.concatenate([vectors[:1], -vectors[:1]])
    small_index._matrices["entities", "embedding"] = opposite
    try:
        names = [small_index.entities.record(row)["feature_id"] for row in (0, 1)]
        with pytest.raises(UsageError, match="cancels out"):
            resolved(small_index, names)
    finally:
        small_index._matrices["entities", "embedding"] = vectors


def test_nothing_asked_is_refused():
    with pytest.raises(UsageError, match="nothing to search for"):
        Query(unlike=["way/1"])


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("amenity=cafe", {"amenity": "cafe"}),
        (" amenity = cafe , outdoor_seating=yes", {"amenity": "cafe", "outdoor_seating": "yes"}),
        (r"name=A\, B,shop=x", {"name": "A, B", "shop": "x"}),
        ("url=a=b", {"url": "a=b"}),
        ({"building:levels": 3}, {"building:levels": "3"}),
    ],
)
def test_tags_are_read(text, tags):
    assert parse_tags(text) == tags


@pytest.mark.parametrize(
    "text",
    ["", "amenity", "amenity=", "=cafe", "a=b,,c=d", "a=b,a=c", {"a": True}, {1: "a"}, {"": "a"}],
)
def test_tags_that_are_none_are_refused(text):
    with pytest.raises(UsageError):
        parse_tags(text)


def test_what_is_not_there_is_said(small_index):
    with pytest.raises(NotInIndexError, match=r"within 100 m of 24\.9,60; "):
        resolved(small_index, at=LonLat(24.9, 60.0), focus="own")
    with pytest.raises(NotInIndexError, match="nothing of the map touches it"):
        resolved(small_index, at=LonLat(0, 0), cells=True)
    cell = h3.str_to_int(h3.latlng_to_cell(0, 0, 5))
    with pytest.raises(NotInIndexError, match="lives in cell"):
        resolved(small_index, cell=cell)


def test_what_stands_at_a_point_is_asked_and_said(small_index):
    asked = resolved(small_index, at=LonLat(*TOWN), focus="own")
    name = small_index.entities.record(asked.rows[0])["feature_id"]
    assert asked.rows.tolist() == [small_index.row_of(name)]
    assert asked.places == [LonLat(*TOWN)]
    assert asked.notes == [f"at 24.94,60.17: {name} (amenity=cafe) 'Cafe 0, “Nr 0”'"]


def test_cells_of_two_resolutions_are_refused(small_index):
    cells = small_index.cells.column("cell")
    resolutions = small_index.cells.column("resolution")
    pair = [f"{int(cells[resolutions == r][0]):x}" for r in (8, 9)]
    with pytest.raises(UsageError, match="of the resolutions 8, 9"):
        resolved(small_index, pair, cells=True)
    assert resolved(small_index, pair[:1], cells=True).resolution == 8


def test_weights_sum_examples_to_the_vector(small_index):
    asked = resolved(small_index, ["node/1", "node/4"], unlike="node/2", negative_weight=0.25)
    assert [weight for _, weight in asked.weighted()] == [0.5, 0.5, -0.25]
    total = sum(weight * example.vectors[0] for example, weight in asked.weighted())
    assert asked.vectors[0] == pytest.approx(total, abs=1e-6)
    assert asked.lengths[0] == pytest.approx(np.linalg.norm(total))
