import numpy as np
import pytest
import shapely

from geoindex.encoders import load_encoder
from geoindex.errors import UsageError
from geoindex.evaluation.load_view import load_view, make_view
from geoindex.evaluation.map_view import Telling, matches
from geoindex.evaluation.view_vectors import ViewEncoder
from tests.support.map_views import grid_view, line, node, square, view_of

SHOP = Telling(("shop", "shop:*"), strips=True, outline=True)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tagpool")


def all_tags(view):
    return [view.tags_of(row) for row in range(len(view))]


@pytest.mark.parametrize(
    ("tag", "pattern", "is_match"),
    [
        ("shop=bakery", "shop", True),
        ("shop:level=1", "shop", False),
        ("shop:level=1", "shop:*", True),
        ("crossing=Traffic_Signals", "*=traffic_signals", True),
        ("crossing=marked;traffic_signals", "crossing=traffic_signals", True),
        ("name=Lange Brücke", "*=*brücke*", True),
        ("highway", "highway", True),
    ],
)
def test_a_pattern_names_keys_or_tags(tag, pattern, is_match):
    assert matches([tag], [pattern]).tolist() == [is_match]


def test_what_is_nothing_else_goes_and_what_is_more_stays_as_a_point():
    view = view_of(
        node({"shop": "bakery", "name": "Alma"}),
        square({"building": "yes", "shop": "shoes", "opening_hours": "24/7"}),
        line({"highway": "path"}),
    )
    hidden = view.hide(SHOP)
    assert all_tags(hidden) == [{"building": "yes"}, {"highway": "path"}]
    assert shapely.get_type_id(hidden.geometries).tolist() == [0, 1]
    assert hidden.source_row.tolist() == [1, 2]
    assert hidden.is_changed.tolist() == [True, False]


def test_the_view_that_was_hidden_from_is_as_before():
    view = view_of(node({"shop": "bakery"}), node({"highway": "stop"}))
    view.hide(SHOP)
    assert all_tags(view) == [{"shop": "bakery"}, {"highway": "stop"}]


def test_what_a_task_asks_about_stays_even_without_tags():
    view = view_of(node({"shop": "bakery"}), node({"shop": "shoes"}))
    hidden = view.hide(Telling(("shop",)), np.array([1]))
    assert all_tags(hidden) == [{"shop": "bakery"}, {}]


def test_exceptions_stay():
    view = view_of(square({"building": "school", "building:levels": "2"}))
    hidden = view.hide(Telling(("*",), but=("building:levels",)), np.array([0]))
    assert all_tags(hidden) == [{"building:levels": "2"}]


def test_cells_keep_their_place_when_hiding_empties_them():
    view = view_of(node({"shop": "bakery"}, 0), node({"highway": "stop"}, 1))
    hidden = view.hide(SHOP)
    assert hidden.cells().cells.tolist() == view.cells().cells.tolist()
    assert sorted(np.diff(hidden.cells().offsets)) == [0, 1]


def test_shared_ground_belongs_to_the_first_place():
    here = node({"shop": "bakery"})
    view = make_view({"a": [here], "b": [here, node({"highway": "stop"}, 3)]})
    assert len(view) == 2
    assert sorted(view.place.tolist()) == [0, 1]
    assert sorted(view.cell_place.tolist()) == [0, 1]


def test_an_index_becomes_the_view_of_its_rows(small_index):
    view = load_view([small_index])
    assert view.feature_id.tolist() == small_index.entities.table["feature_id"].to_pylist()
    tags = small_index.entities.table["tags"].to_pylist()
    assert all_tags(view) == [dict(row) for row in tags]


def test_vectors_of_the_whole_view_are_those_of_the_index(small_index):
    view, rows = load_view([small_index]), np.arange(len(small_index.entities))
    made = ViewEncoder(small_index.encoder)
    is_nine = small_index.cells.column("resolution") == 9
    # the same sums, in batches of another size
    for ours, stored in (
        (made.own(view, rows), small_index.vectors("entities", focus="own")),
        (made.context(view, rows), small_index.vectors("entities")),
        (made.cells(view), small_index.vectors("cells")[is_nine]),
    ):
        np.testing.assert_allclose(ours, stored, atol=1e-5)


def test_tokens_taken_from_the_whole_map_are_those_made_anew(encoder):
    view = grid_view(columns=4, rows=4)
    hidden = view.hide(SHOP)
    kept = ViewEncoder(encoder)
    kept.tokens(view)
    np.testing.assert_allclose(kept.cells(hidden), ViewEncoder(encoder).cells(hidden), atol=1e-5)


def test_the_same_index_twice_is_refused(small_index):
    with pytest.raises(UsageError, match="each of its own name"):
        load_view([small_index, small_index])


def test_cells_finer_than_the_index_has_are_refused(small_index):
    with pytest.raises(UsageError, match="--resolution 11"):
        load_view([small_index], resolution=11)
