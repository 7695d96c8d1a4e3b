from dataclasses import replace

import numpy as np
import pytest
import shapely

from geoindex.errors import InvalidLabelsError, NotInIndexError
from geoindex.evaluation.label_joins import check_learnable, join_labels
from geoindex.evaluation.labels import Labels
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import cells_at, centres, format_cell
from geoindex.queries.region_embedding import embed_area
from tests.support.maps import TOWN


def labels(by, keys, values, task="regression"):
    held = np.empty(len(keys), object)
    held[:] = keys
    if by == "point":
        held = np.array(keys, float)
    return Labels("x", by, held, np.array(values), task, len(keys), 0)


def cells_of(index, resolution=9):
    rows = np.flatnonzero(index.cells.column("resolution") == resolution)
    return rows, index.cells.column("cell")[rows]


def test_ids_of_every_form_name_their_entities(small_index):
    ids = small_index.entities.table["feature_id"].to_pylist()
    nodes = [row for row, name in enumerate(ids) if name.startswith("node/")][:4]
    names = [ids[row] for row in nodes]
    version = small_index.entities.column("osm_version")[nodes[3]]
    forms = [
        names[0],
        names[1].replace("node/", "n"),
        f"https://www.openstreetmap.org/{names[2]}",
        f"{names[3]}@{version}",
        f"{names[0]}@99",
        "way/987654321",
        "nonsense",
    ]
    found = join_labels(small_index, labels("feature_id", forms, np.arange(7.0)))
    assert found.table == "entities"
    assert dict(zip(found.rows.tolist(), found.y, strict=True)) == dict(
        zip(nodes, [0, 1, 2, 3], strict=True)
    )
    assert (found.counts["unmatched"], found.first_unmatched) == (3, f"{names[0]}@99")


def test_cells_are_read_as_text_and_as_numbers(small_index):
    rows, cells = cells_of(small_index)
    keys = [format_cell(cells[0]), int(cells[1]), str(int(cells[2])), "891f1d48177ffff", None]
    found = join_labels(small_index, labels("cell", keys, np.arange(5.0)))
    assert (found.table, found.resolution) == ("cells", 9)
    assert found.rows.tolist() == rows[:3].tolist()
    assert found.counts["unmatched"] == 2


def test_cells_come_as_decimals_and_floats(small_index):
    rows, cells = cells_of(small_index)
    number = int(cells[0])
    for key in (number, str(number), float(number), np.float64(number), f"{number}.0",
                f"{float(number):.1f}", f"0x{number:x}", f" {number} "):  # fmt: skip
        found = join_labels(small_index, labels("cell", [key], [1.0]))
        assert found.rows.tolist() == rows[:1].tolist(), key
    # pandas turns whole numbers beside a gap into floats
    column = [float(cells[1]), float("nan"), None]
    found = join_labels(small_index, labels("cell", column, [1.0, 2.0, 3.0]))
    assert (found.rows.tolist(), found.counts["unmatched"]) == (rows[1:2].tolist(), 2)
    with pytest.raises(NotInIndexError, match="has lost digits"):
        join_labels(small_index, labels("cell", [f"{number:.5e}"], [1.0]))


def test_numbers_are_the_entities_that_alone_have_them(small_index):
    ids = small_index.entities.table["feature_id"].to_pylist()
    by_number = {}
    for row, name in enumerate(ids):
        by_number.setdefault(name.partition("/")[2], []).append(row)
    alone = [number for number, rows in by_number.items() if len(rows) == 1][:3]
    shared = [number for number, rows in by_number.items() if len(rows) > 1][:1]
    given = labels(
        "feature_id", [*alone, *shared, "987654321"], np.arange(len(alone + shared) + 1.0)
    )
    found = join_labels(small_index, given)
    assert sorted(found.rows.tolist()) == sorted(by_number[number][0] for number in alone)
    assert found.counts["unmatched"] == 1 + len(shared)
    assert bool(found.notes) is bool(shared)


def test_a_polygon_is_one_unit_embedded_as_one_region(small_index):
    x, y = TOWN
    here = shapely.box(x - 0.003, y - 0.003, x + 0.003, y + 0.003)
    near = shapely.box(x + 0.003, y - 0.003, x + 0.02, y + 0.003)
    far = shapely.box(0, 0, 0.1, 0.1)
    given = labels("geometry", [here, near, far, here, None], [1.0, 2, 3, 1, 5])
    found = join_labels(small_index, given, to="areas")
    assert (found.table, found.rows.tolist(), found.y.tolist()) == ("areas", [0, 1], [1.0, 2.0])
    assert (found.counts["unmatched"], found.counts["repeated"]) == (2, 1)
    for polygon, vector in zip([here, near], found.areas.vectors, strict=True):
        np.testing.assert_allclose(vector, embed_area(small_index, polygon)[0])
    with pytest.raises(InvalidLabelsError, match="cells or areas"):
        join_labels(small_index, given, to="entities")


@pytest.mark.parametrize("width", [0.004, 0.03, 0.2])
def test_polygons_are_split_by_cells_as_wide_as_they_are(small_index, width):
    x, y = TOWN
    squares = [shapely.box(x, y, x + width, y + width / 2)]
    found = join_labels(small_index, labels("geometry", squares, [1.0]), to="areas")
    outline = boundaries(found.areas.cells)[0]
    reach = outline.bounds[2] - outline.bounds[0]
    assert width / 4 < reach


@pytest.mark.parametrize(("west", "east"), [(179.5, -179.5), (179.0, -179.9), (179.9, -178.0)])
def test_polygons_over_the_antimeridian_are_narrow(small_index, west, east):
    ring = [(west, -20), (east, -20), (east, -10), (west, -10), (west, -20)]
    given = labels("geometry", [shapely.Polygon(ring)], [1.0])
    try:
        found = join_labels(small_index, given)
    except NotInIndexError:
        return
    lon, _ = centres(small_index.cells.column("cell")[found.rows])
    assert (np.abs(lon) > 177).all()


def test_cells_of_another_resolution_say_which_there_are(small_index):
    _, coarse = cells_of(small_index, 8)
    _, fine = cells_of(small_index, 9)
    assert join_labels(small_index, labels("cell", [format_cell(coarse[0])], [1.0])).resolution == 8
    with pytest.raises(InvalidLabelsError, match=r"\[8, 9\]"):
        join_labels(small_index, labels("cell", [int(coarse[0]), int(fine[0])], [1.0, 2.0]))
    with pytest.raises(InvalidLabelsError, match="--resolution 7"):
        join_labels(small_index, labels("cell", ["871f1d481ffffff"], [1.0]))


def test_points_speak_of_the_cell_that_holds_them(small_index):
    found = join_labels(small_index, labels("point", [TOWN, (0, 0), (np.nan, 1)], [3.0, 4.0, 5.0]))
    here = cells_at([TOWN[0]], [TOWN[1]], resolution=9)
    assert small_index.cells.column("cell")[found.rows].tolist() == here.tolist()
    assert (found.y.tolist(), found.counts["unmatched"]) == ([3.0], 2)
    coarse = join_labels(small_index, labels("point", [TOWN], [3.0]), resolution=8)
    assert small_index.cells.column("resolution")[coarse.rows].tolist() == [8]


def test_points_speak_of_entities_on_request(small_index):
    row = 3
    place = [float(small_index.entities.column(name)[row]) for name in ("lon", "lat")]
    found = join_labels(
        small_index, labels("point", [place], ["a"], "classification"), to="entities"
    )
    assert found.table == "entities"
    own = small_index.entities.record(int(found.rows[0]))
    assert shapely.from_wkb(own["geometry"]).distance(shapely.Point(place)) < 1e-4


def test_geometries_that_are_points_are_points(small_index):
    by_point = join_labels(small_index, labels("point", [TOWN], [3.0]))
    by_geometry = join_labels(small_index, labels("geometry", [shapely.Point(TOWN)], [3.0]))
    assert by_geometry.rows.tolist() == by_point.rows.tolist()


def test_a_cell_takes_the_mean_of_its_polygons_by_area(small_index):
    cells = cells_at([TOWN[0]], [TOWN[1]], resolution=9)
    outline = boundaries(cells)[0]
    west, south, east, north = outline.bounds
    middle = (west + east) / 2
    left, right = (shapely.box(west, south, middle, north), shapely.box(middle, south, east, north))
    halves = labels("geometry", [left, right], [10.0, 20.0])
    found = join_labels(small_index, halves)
    at = np.flatnonzero(small_index.cells.column("cell")[found.rows] == cells[0])
    share = shapely.intersection(outline, left).area / outline.area
    assert found.y[at].tolist() == pytest.approx([10 * share + 20 * (1 - share)])


def test_a_cell_takes_the_class_of_the_largest_area_and_none_if_little_is_covered(small_index):
    cells = cells_at([TOWN[0]], [TOWN[1]], resolution=9)
    outline = boundaries(cells)[0]
    west, south, east, north = outline.bounds
    cut = west + 0.7 * (east - west)
    large, small = shapely.box(west, south, cut, north), shapely.box(cut, south, east, north)
    both = labels("geometry", [large, small], ["wood", "town"], "classification")
    found = join_labels(small_index, both)
    own = small_index.cells.column("cell")[found.rows] == cells[0]
    assert found.y[own].tolist() == ["wood"]
    with pytest.raises(NotInIndexError):
        join_labels(small_index, labels("geometry", [small], ["town"], "classification"))


def test_a_polygon_over_everything_labels_every_cell(small_index):
    rows, _ = cells_of(small_index)
    whole = labels("geometry", [shapely.box(-180, -90, 180, 90)], [1.0])
    assert join_labels(small_index, whole).rows.tolist() == rows.tolist()


def test_a_ring_over_the_antimeridian_labels_the_cells_there(small_index):
    ring = shapely.Polygon([(179.9, -80), (-179.9, -80), (-179.9, 80), (179.9, 80)])
    joined = join_labels(small_index, labels("geometry", [ring], [7.0]))
    lon = small_index.cells.column("lon")
    assert len(joined.rows)
    assert (np.abs(lon[joined.rows]) > 179.8).all()


@pytest.mark.parametrize("area", [shapely.box(179, 0, 181, 1), shapely.box(2e6, 1e6, 3e6, 2e6)])
def test_areas_beyond_the_earth_say_what_to_do(small_index, area):
    with pytest.raises(InvalidLabelsError, match=r"RFC 7946|in metres"):
        join_labels(small_index, labels("geometry", [area], [7.0]))


def test_what_is_said_again_counts_once_and_what_differs_is_settled(small_index):
    _, cells = cells_of(small_index)
    one, two, three = (format_cell(cell) for cell in cells[:3])
    found = join_labels(small_index, labels("cell", [one, one, two, two, three], [1.0, 1, 2, 4, 7]))
    assert found.y.tolist() == [1, 3, 7]
    assert (found.counts["repeated"], found.counts["conflicting"]) == (1, 1)
    words = ["b", "a", "a", "z", "b"]
    found = join_labels(
        small_index, labels("cell", [one, one, one, two, two], words, "classification")
    )
    assert found.y.tolist() == ["a", "b"]
    assert (found.counts["repeated"], found.counts["conflicting"]) == (1, 2)


@pytest.mark.parametrize(
    ("given", "options", "error", "word"),
    [
        (labels("feature_id", ["way/987654321"], [1.0]), {}, NotInIndexError, "way/987654321"),
        (labels("cell", ["nonsense"], [1.0]), {}, NotInIndexError, "nonsense"),
        (labels("feature_id", ["n1"], [1.0]), {"to": "cells"}, InvalidLabelsError, "--to"),
        (labels("point", [TOWN], [1.0]), {"to": "roads"}, InvalidLabelsError, "entities"),
        (
            labels("point", [TOWN[::-1], (24, 160)], [1.0, 2.0]),
            {},
            InvalidLabelsError,
            "longitude first",
        ),
        (
            labels("geometry", [shapely.LineString([TOWN, (0, 0)])], [1.0]),
            {},
            InvalidLabelsError,
            "LineString",
        ),
    ],
)
def test_labels_that_speak_of_nothing_here_say_so(small_index, given, options, error, word):
    with pytest.raises(error, match=word):
        join_labels(small_index, given, **options)


def test_too_little_to_learn_from_says_so(small_index):
    _, cells = cells_of(small_index)
    keys = [format_cell(cell) for cell in cells[:12]]
    found = join_labels(small_index, labels("cell", keys, np.ones(len(keys))))
    with pytest.raises(InvalidLabelsError, match="too few"):
        check_learnable(found, 5)
    with pytest.raises(InvalidLabelsError, match="nothing to learn"):
        check_learnable(found, 1)
    check_learnable(replace(found, y=np.arange(len(keys))), 1)
