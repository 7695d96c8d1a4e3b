import numpy as np
import pytest
import shapely
from sklearn.tree import DecisionTreeClassifier

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.counts import Words
from geoindex.evaluation.leaks import find_leaks, remaining
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.tasks import TASKS, find_tasks
from geoindex.evaluation.tasks.base import Labels
from geoindex.evaluation.tasks.speeds import speed_km_h
from tests.support.map_views import at, grid_view, line, node, square, view_of


def labels(name, *entities):
    return TASKS[name].labels(view_of(*entities)).values.tolist()


def hidden_tags(name, *entities):
    view, task = view_of(*entities), TASKS[name]
    rows = task.labels(view).units if task.unit == "entity" else None
    hidden = view.hide(task.telling, rows)
    return [hidden.tags_of(row) for row in range(len(hidden))]


def test_signals_are_nodes_where_traffic_or_people_wait():
    entities = [
        node({"highway": "traffic_signals"}),
        node({"highway": "crossing", "crossing": "traffic_signals"}),
        node({"highway": "crossing", "crossing": "marked"}),
    ]
    assert labels("signals_count", *entities) == [2.0]
    assert labels("signals_present", *entities) == [True]


def test_a_hidden_crossing_is_like_any_other():
    tags = hidden_tags(
        "signals_count",
        node({"highway": "traffic_signals", "traffic_signals:direction": "both"}),
        node({"highway": "crossing", "crossing": "traffic_signals", "button_operated": "yes"}),
        node({"highway": "crossing", "crossing": "marked"}),
    )
    assert tags == [{"highway": "crossing"}, {"highway": "crossing"}]


def test_a_building_goes_with_its_outline_and_entrance_but_its_shop_stays():
    tags = hidden_tags(
        "buildings",
        square({"building": "yes", "addr:housenumber": "5"}),
        square({"building": "retail", "shop": "bakery", "roof:shape": "flat"}),
        node({"entrance": "main"}),
    )
    assert tags == [{"shop": "bakery"}]


def test_a_road_on_a_bridge_is_a_road_without_layer_or_name_of_a_bridge():
    road = {"highway": "primary", "bridge": "yes", "layer": "1", "name": "Rheinbrücke"}
    assert hidden_tags("bridges_count", line(road)) == [{"highway": "primary"}]
    assert labels("car_bridges", line(road), line({"highway": "path", "bridge": "yes"})) == [1.0]


def test_the_mean_speed_reads_miles():
    roads = [
        line({"highway": "primary", "maxspeed": "30 mph"}),
        line({"highway": "primary", "maxspeed": "50"}),
        line({"highway": "primary", "maxspeed": "none"}),
    ]
    assert labels("max_speed", *roads) == [pytest.approx((48.28032 + 50) / 2)]


@pytest.mark.parametrize(
    ("value", "speed"),
    [
        ("50", 50),
        ("30 mph", 48.28),
        ("20mph", 32.19),
        ("walk", None),
        ("DE:urban", None),
        ("0", None),
    ],
)
def test_speeds(value, speed):
    found = speed_km_h(value)
    assert np.isnan(found) if speed is None else found == pytest.approx(speed, abs=0.01)


def test_the_largest_area_is_the_land_use():
    x, y = at(0)
    wood = ({"natural": "wood"}, shapely.box(x - 0.002, y - 0.001, x + 0.001, y + 0.001))
    field = ({"landuse": "farmland"}, shapely.box(x + 0.001, y - 0.001, x + 0.002, y + 0.001))
    view = view_of(wood, field)
    found = TASKS["land_use"].labels(view)
    home = view.cell_index(view.home[:1])[0]
    assert dict(zip(found.units.tolist(), found.values.tolist(), strict=True))[home] == "forest"


def test_links_count_with_their_road_and_rare_classes_not_at_all():
    roads = [line({"highway": "primary"}, i) for i in range(20)]
    roads += [line({"highway": "primary_link"}, i) for i in range(20)]
    roads += [line({"highway": "track"}, i) for i in range(3)]
    assert labels("road_class", *roads) == ["primary"] * 40


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].unit == "cell"])
def test_no_telling_tag_of_a_real_map_is_left_on_cells(name, real_index):
    view = load_view([real_index])
    assert remaining(view.hide(TASKS[name].telling), TASKS[name]) == []


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].unit == "entity"])
def test_no_telling_tag_of_a_real_map_is_left_on_entities(name, real_index):
    view, task = load_view([real_index]), TASKS[name]
    units = task.labels(view).units
    assert remaining(view.hide(task.telling, units), task, units) == []


def shops_with(telltale):
    """Return shops that no hidden tag tells of, but for a telltale in every such cell."""
    rng = np.random.default_rng(0)
    entities = []
    for column in range(20):
        for row in range(10):
            entities.append(node({"highway": "bus_stop"}, column, row))
            if rng.random() < 0.5:
                entities.append(node({"shop": "bakery"}, column, row))
                if telltale:
                    entities.append(node({"amenity": "bench", "old_name": "kiosk"}, column, row))
    return view_of(*entities)


@pytest.mark.parametrize("telltale", [True, False])
def test_a_planted_leak_is_caught(telltale):
    view, task = shops_with(telltale), TASKS["shops"]
    found, hidden = task.labels(view), view.hide(task.telling)
    leaks = find_leaks(hidden, task, found)
    assert ("old_name=kiosk" in {leak.word for leak in leaks}) is telltale
    words = Words(hidden, 1000)
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    has = words.cell_counts(hidden).toarray() > 0
    is_shop = found.values > 0
    tree.fit(has[::2], is_shop[::2])
    accuracy = tree.score(has[1::2], is_shop[1::2])
    assert (accuracy > 0.99) is telltale


def test_a_class_that_another_tag_repeats_is_caught():
    schools = [square({"building": "school", "isced": "1"}, i) for i in range(40)]
    houses = [square({"building": "house"}, i, 2) for i in range(40)]
    view, task = view_of(*schools, *houses), TASKS["building_class"]
    found = task.labels(view)
    assert find_leaks(view.hide(task.telling, found.units), task, found) == []
    leaky = view.hide(type(task.telling)(("building",)), found.units)
    assert "isced=1" in {leak.word for leak in find_leaks(leaky, task, found)}


def test_unknown_tasks_are_refused_by_name():
    with pytest.raises(UsageError, match="no task 'cafes'"):
        find_tasks(["cafes"])


def test_labels_are_of_the_kind_that_the_task_promises():
    view = grid_view(columns=4, rows=4)
    for task in TASKS.values():
        found = task.labels(view)
        assert isinstance(found, Labels)
        assert len(found.units) == len(found.values)
        if task.kind == "regression":
            assert found.values.dtype == np.float64


def test_the_documented_example_runs():
    from geoindex.evaluation import evaluate
    from geoindex.evaluation.tasks import base

    text = (base.__doc__ or "").split("One of your own::\n")[1].split("    evaluate(")[0]
    lines = [line.removeprefix("    ") for line in text.splitlines()]
    assert len([line for line in lines if line.strip()]) <= 30
    names: dict = {"__name__": "geoindex.evaluation.tasks.base"}
    exec("\n".join(lines), names)  # noqa: S102 - the example as a user would paste it
    task = names["Benches"]()
    assert find_tasks(["buildings", task])[1] is task
    view = view_of(node({"amenity": "bench"}), node({"amenity": "bench"}), node({"shop": "yes"}))
    assert task.labels(view).values.tolist() == [2.0]
    assert len(view.hide(task.telling)) == 1
    assert callable(evaluate)
