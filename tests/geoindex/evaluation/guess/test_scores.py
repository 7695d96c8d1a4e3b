import numpy as np
import pytest
import shapely

from geoindex.evaluation.guess.scores import SimpleFeatures, calibration_error, score_guesses
from geoindex.evaluation.load_view import make_view
from tests.geoindex.evaluation.guess.test_guesser import neighbours, street_town


@pytest.fixture(scope="module")
def scores():
    moved = [
        (tags, shapely.transform(shape, lambda xy: xy + np.array([1, 0])))
        for tags, shape in street_town()
    ]
    view = make_view({"a": street_town(), "b": moved})
    return list(score_guesses(view, {"neighbours": neighbours}))


def test_all_methods_are_scored_in_both_places_and_ways(scores):
    found = {(s.method, s.references, s.place) for s in scores}
    assert len(scores) == len(found) == 3 * 2 * 2
    assert len({s.num_entities for s in scores if s.place == "a"}) == 1


def test_who_sees_the_neighbours_beats_the_majority(scores):
    def mean(method):
        return np.mean([s.top1 for s in scores if s.method == method])

    assert mean("neighbours") > mean("majority")
    assert all(s.top1 <= s.top3 for s in scores)


def test_calibration_by_hand():
    right = np.array([True] * 5 + [False] * 5)
    assert calibration_error(np.full(10, 0.5), np.array([True, False] * 5)) == pytest.approx(0.5)
    sure = np.repeat([0.9, 0.1], 50)
    assert calibration_error(sure, np.repeat(right, 10)) == pytest.approx(0.1)


def test_simple_features_see_form_and_surroundings_but_not_the_entity_itself():
    view = make_view({"a": street_town(4)})
    found = SimpleFeatures(view)(view, np.array([0, 1]))
    assert len(found) == 2
    assert found[0, :3].tolist() == [0, 0, 1]
    assert found[1, :3].tolist() == [1, 0, 0]
    # one thing within 100 m: what stands beside it
    assert found[:, 7].tolist() == pytest.approx([np.log(2)] * 2)
