import numpy as np
import pytest
import shapely

from geoindex.errors import UsageError
from geoindex.evaluation.load_view import make_view
from geoindex.evaluation.search_judge import MEASURES, SearchJudge
from geoindex.evaluation.search_judge.maskings import CLASS, KIND

_KINDS = (
    ("amenity", "cafe"), ("amenity", "school"), ("shop", "bakery"), ("shop", "toys"),
    ("tourism", "hotel"), ("natural", "tree"),
)  # fmt: skip


def town(number, *, size=360):
    """Return nodes of six kinds, squares of two sizes, some landmarks, brands and towers."""
    rng = np.random.default_rng(number)
    found = []
    for i in range(size):
        x, y = 10 + number + rng.random() / 50, 50 + rng.random() / 50
        key, value = _KINDS[i % len(_KINDS)]
        tags = {key: value}
        if key == "tourism":
            tags["wikidata"] = f"Q{number}{i}"
        if key == "shop":
            tags |= {"brand": ("Aldi", "Lidl")[i % 2], "name": f"shop {i}"}
        if value == "school":
            tags |= {"height": str(70 + i % 50), "cuisine": "none"}
        width = 1e-5 * (1 + i % 30)
        is_area = value in {"school", "cafe"} and i % 4 > 1
        shape = shapely.box(x, y, x + width, y + width) if is_area else shapely.Point(x, y)
        found.append((tags, shape))
    return found


@pytest.fixture(scope="module")
def judge():
    return SearchJudge(make_view({f"town{i}": town(i) for i in range(3)}), seeds=2)


def one_hot_kinds(view):
    """A method that knows exactly the kinds that it is shown."""
    names = sorted({f"{key}={value}" for key, value in _KINDS})
    place = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(view), len(names)), np.float32)
    for row, kind in enumerate(view.kinds):
        if kind in place:
            found[row, place[kind]] = 1
    return found


def test_who_knows_visible_kinds_finds_them_and_hidden_ones_by_chance(judge):
    means = judge.means(judge.run(one_hot_kinds))
    assert means["kind_visible"] == 1
    assert means["landmark_visible"] == 1
    assert means["kind_hidden"] == pytest.approx(1 / 6, abs=0.05)
    assert means["untagged"] == pytest.approx(1 / 6, abs=0.05)
    # every school is tall, so are those it finds
    assert means["tall"] == 1
    assert means["own_cell"] < 0.3


def test_who_sees_through_the_masking_finds_all(judge):
    scores = judge.run(lambda _: one_hot_kinds(judge.view))
    means = judge.means(scores)
    for name in ("kind_hidden", "kind_visible_same_place", "untagged_to_visible"):
        assert means[name] == 1
    assert means["amenity_class"] == 1


def test_vectors_made_elsewhere_score_the_same(judge):
    vectors = {x.key: one_hot_kinds(x.view(judge.view)) for x in judge.maskings}
    assert judge.means(judge.score(vectors)) == pytest.approx(
        judge.means(judge.run(one_hot_kinds)), nan_ok=True
    )


def test_queries_are_the_same_for_all_methods(judge):
    def count(scores):
        return [(s.measure, s.place, s.seed, s.num_queries) for s in scores]

    rng = np.random.default_rng(0)
    noise = judge.run(lambda view: rng.normal(size=(len(view), 4)).astype(np.float32))
    knows = judge.run(lambda _: one_hot_kinds(judge.view))
    depends = {"area_rho", "height_rho", "same_form"}  # on what is found
    assert [x for x in count(noise) if x[0] not in depends] == [
        x for x in count(knows) if x[0] not in depends
    ]


def test_what_tells_the_kind_is_hidden_and_the_rest_is_not(judge):
    masking = next(x for x in judge.maskings if x.name == KIND)
    view = masking.view(judge.view)
    assert len(view) == len(judge.view)
    half = masking.is_masked & ~masking.is_untagged
    for row in np.flatnonzero(half).tolist():
        assert set(view.tags_of(row)) <= {"building", "opening_hours"}
    for row in np.flatnonzero(masking.is_untagged).tolist():
        assert view.tags_of(row) == {}
    seen = np.flatnonzero(~masking.is_masked)[:50].tolist()
    assert all(view.tags_of(row) == judge.view.tags_of(row) for row in seen)


def test_seeds_hide_others_where_they_do(judge):
    keys = [x.key for x in judge.maskings]
    assert len(set(keys)) == len(keys)
    first, second = (x.is_masked for x in judge.maskings if x.name == KIND)
    assert (first != second).any()
    assert sum(x.name == CLASS for x in judge.maskings) == 1


def test_only_what_is_wanted_is_embedded():
    places = {f"town{i}": town(i, size=120) for i in range(2)}
    judge = SearchJudge(make_view(places), measures=["landmark_hidden"], seeds=1)
    assert [x.key for x in judge.maskings] == ["landmark"]
    view = judge.maskings[0].view(judge.view)
    assert not view.has("wikidata").any()


def test_one_place_is_searched_within():
    judge = SearchJudge(make_view({"town": town(0)}), seeds=1)
    assert {x.name for x in judge.left_out} == {x.name for x in MEASURES if x.is_across}
    assert judge.means(judge.run(one_hot_kinds))["kind_visible_same_place"] == 1
    with pytest.raises(UsageError, match="give another index"):
        SearchJudge(judge.view, measures=["area_rho"])


def test_errors_name_what_is_wanted(judge):
    with pytest.raises(UsageError, match="no measure speed; want some of kind_hidden"):
        SearchJudge(judge.view, measures=["speed"])
    with pytest.raises(UsageError, match="seeds is 0"):
        SearchJudge(judge.view, seeds=0)
    with pytest.raises(UsageError, match="no masking noon"):
        judge.score({"noon": np.ones((len(judge.view), 1), np.float32)})
    with pytest.raises(UsageError, match="want a finite vector of each of 1,080 entities"):
        judge.score({"visible": np.ones((3, 1), np.float32)})
