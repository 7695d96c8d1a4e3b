import json

import numpy as np
import pytest

from geoindex.errors import UsageError
from geoindex.evaluation.load_view import make_view
from geoindex.evaluation.search_judge import SearchJudge
from geoindex.evaluation.search_judge.results import compare, place_interval
from geoindex.evaluation.search_judge.run import judge_search
from tests.geoindex.evaluation.search_judge.test_judge import town

_WANTED = ["kind_hidden", "kind_visible", "own_cell", "landmark_hidden"]


@pytest.fixture(scope="module")
def judge():
    places = {f"town{i}": town(i, size=300) for i in range(3)}
    return SearchJudge(make_view(places), measures=_WANTED, seeds=2)


@pytest.fixture(scope="module")
def results(judge):
    return judge_search(judge, methods=["constant", "svd", "counts"])


def test_there_is_a_record_for_each_measure_method_and_focus(results):
    assert len(results.records) == len(_WANTED) * 4
    record = next(r for r in results.records if r.measure == "kind_visible" and r.row == "counts")
    assert record.low <= record.value <= record.high
    assert [len(values) for values in record.per_place.values()] == [2, 2, 2]
    assert results.notes == ["constant: no vectors of entities that differ; left out"]


def test_the_json_is_finite(results, tmp_path):
    results.write(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["format"] == "geoindex-search"
    assert {place["name"] for place in content["meta"]["places"]} == {"town0", "town1", "town2"}


def test_tables_name_measures_and_methods(results):
    assert results.text().startswith("measure")
    text = results.markdown()
    assert "| kind_hidden | 3 |" in text
    assert "own_cell (less)" in text
    assert "| counts context less | svd own | svd context | counts own |" in text


def test_scores_are_kept(judge, tmp_path, monkeypatch):
    first = judge_search(judge, methods=["counts"], cache=tmp_path)
    # were it asked again, it would fail
    monkeypatch.setattr(SearchJudge, "run", None)
    second = judge_search(judge, methods=["counts"], cache=tmp_path)
    assert [r.value for r in second.records] == [r.value for r in first.records]
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_a_pair_is_compared_where_both_have_a_value():
    first = {"tall": np.array([[0.5, 0.7], [0.9, 0.9], [np.nan, np.nan]])}
    second = {"tall": np.array([[0.4, 0.4], [0.6, 0.6], [0.1, 0.1]])}
    (item,) = compare([("a", "own", first), ("b", "own", second)], {"tall": True})
    assert item["difference"] == pytest.approx(0.25)
    assert item["verdict"] == "wins"
    assert (item["places_better"], item["num_places"]) == (2, 2)
    (item,) = compare([("a", "own", first), ("b", "own", second)], {"tall": False})
    assert item["verdict"] == "loses"


def test_an_interval_needs_two_places():
    assert np.isnan(place_interval(np.array([[0.5, 0.6]]))).all()
    low, high = place_interval(np.array([[0.2, 0.2], [0.4, 0.4]]))
    assert (low, high) == (0.2, 0.4)


def test_methods_without_entities_are_refused(judge):
    with pytest.raises(UsageError, match="constant: no vectors of entities"):
        judge_search(judge, methods=["constant"])
