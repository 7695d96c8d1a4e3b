import json

import numpy as np
import pytest
import shapely

from geoindex.errors import UsageError
from geoindex.evaluation.guess import Guesser, Guesses
from geoindex.evaluation.load_view import make_view


def street_town(size=120):
    """Return houses beside roads, and schools beside fields: neighbours tell what it is."""
    found = []
    for i in range(size):
        x, y = 10 + i * 0.002, 50.0
        is_school = i % 3 == 0
        kind = {"building": "school"} if is_school else {"building": "house"}
        # one in five is mapped poorly
        tags = {"building": "yes"} if i % 5 == 0 else kind
        found.append(({**tags, "name": f"no. {i}"}, shapely.box(x, y, x + 1e-4, y + 1e-4)))
        beside = {"leisure": "pitch"} if is_school else {"highway": "street_lamp"}
        found.append((beside, shapely.Point(x + 2e-4, y)))
    return found


def neighbours(view, rows):
    """Embed an entity as what stands 20 m east of it shows."""
    found = np.zeros((len(rows), 3), np.float32)
    for place, row in enumerate(rows.tolist()):
        kind = view.kinds[row + 1] if row + 1 < len(view) else ""
        found[place, {"leisure=pitch": 0, "highway=street_lamp": 1}.get(kind, 2)] = 1
    return found


@pytest.fixture(scope="module")
def guesser():
    return Guesser(make_view({"town": street_town()}), neighbours)


def test_surroundings_tell_what_a_poor_building_is(guesser):
    rows = np.flatnonzero(guesser.view.has("building=yes"))
    found = guesser.guess(rows, num_guesses=2)
    for row, each in zip(rows.tolist(), found, strict=True):
        assert each.kind == "building=yes"
        want = "building=school" if (row // 2) % 3 == 0 else "building=house"
        best = each.guesses[0]
        assert best.tag == want
        assert best.probability > 0.5
        assert best.because
        assert all(view_kind(guesser, s.feature_id) == want for s in best.because)
        assert best.because[0].similarity >= best.because[-1].similarity


def view_kind(guesser, feature_id):
    row = int(np.flatnonzero(guesser.view.feature_id == feature_id)[0])
    return guesser.view.kinds[row]


def test_a_known_kind_is_hidden_from_its_own_guess(guesser):
    seen = []

    def watching(view, rows):
        seen.append([view.tags_of(row) for row in rows.tolist()])
        return neighbours(view, rows)

    watched = Guesser(guesser.view, watching)
    rows = np.flatnonzero(guesser.view.has("building=school"))[:4]
    watched.hidden_vectors(rows)
    assert all("building" not in tags and "name" not in tags for tags in seen[0])


def test_few_are_hidden_at_a_time(guesser):
    hidden = []

    def watching(view, rows):
        hidden.append(int((view.source_row != view.source_row).sum()) + int(view.is_changed.sum()))
        return neighbours(view, rows)

    watched = Guesser(guesser.view, watching)
    watched.hidden_vectors(np.arange(len(guesser.view)))
    assert len(hidden) == 7
    assert max(hidden) <= 0.15 * len(guesser.view) + 1


def test_a_guess_is_never_what_says_little(guesser):
    rows = np.arange(0, 40)
    tags = {guess.tag for each in guesser.guess(rows) for guess in each.guesses}
    assert "building=yes" not in tags


def test_probabilities_of_all_kinds_add_up(guesser):
    shares = guesser.probabilities(np.arange(6))
    assert shares.shape == (6, len(guesser.rows.kinds))
    assert shares.sum(axis=1) == pytest.approx(np.ones(6))


def test_too_small_a_map_is_refused():
    view = make_view({"town": street_town(2)})
    with pytest.raises(UsageError, match="Give a larger map"):
        Guesser(view, neighbours)


def test_wrong_numbers_of_guesses_are_refused(guesser):
    with pytest.raises(UsageError, match="number of guesses is 0"):
        guesser.guess(np.arange(2), num_guesses=0)


def test_guesses_as_csv_and_json(guesser):
    found = Guesses(tuple(guesser.guess(np.array([0]), num_guesses=1)), (), {"path": "town"})
    head, line = found.to_text("csv").splitlines()
    assert head.startswith("feature_id,kind,name,lon,lat,rank,guess,probability,because")
    assert line.startswith("way/1,building=yes,no. 0,10.0")
    entity = json.loads(found.to_text("json"))["entities"][0]
    assert entity["guesses"][0]["tag"] == "building=school"
    assert len(found) == 1
    assert found[0].guesses == next(iter(found)).guesses
