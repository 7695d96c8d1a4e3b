import numpy as np
import pytest

from geoindex.evaluation.baselines import find_rows
from geoindex.evaluation.collapse import effective_rank, rankme, uniformity
from geoindex.evaluation.retrieval import nearest, ranks_of_partner, retrieval_of
from tests.support.map_views import node, view_of


def test_the_same_vectors_find_each_other_first():
    vectors = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    assert ranks_of_partner(vectors, vectors).tolist() == [1.0] * 20


def test_ranks_by_hand():
    asked = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    found = np.array([[1, 0.1], [1, 0], [0, 1]], np.float32)
    # row 1 asks (0, 1) and wants (1, 0): both others are nearer. Row 2: all but (1, .1) tie
    assert ranks_of_partner(asked, found).tolist() == [2.0, 3.0, 2.5]


def test_vectors_that_are_all_the_same_score_chance():
    same = np.ones((9, 3), np.float32)
    assert ranks_of_partner(same, same).tolist() == [5.0] * 9


def test_nobody_is_its_own_neighbour():
    vectors = np.eye(12, dtype=np.float32)
    near = nearest(vectors[:3], vectors, np.arange(3))
    assert near.shape == (3, 10)
    assert not (near == np.arange(3)[:, None]).any()


def test_rankme_of_known_matrices():
    assert rankme(np.eye(6)) == pytest.approx(6)
    assert rankme(np.ones((5, 4))) == pytest.approx(1)
    # singular values 3 and 1: entropy of (3/4, 1/4)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert rankme(np.diag([3.0, 1.0])) == pytest.approx(np.exp(entropy))


def test_effective_rank_is_blind_to_a_common_direction():
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((2000, 4))
    moved = spread + np.array([100, 0, 0, 0])
    assert effective_rank(moved) == pytest.approx(effective_rank(spread))
    assert effective_rank(spread) == pytest.approx(4, abs=0.02)
    assert rankme(moved) < 2


def test_uniformity_of_known_pairs():
    assert uniformity(np.ones((4, 2))) == pytest.approx(0)
    # opposite points are 2 apart: exp(-2 * 4)
    assert uniformity(np.array([[1, 0], [-1, 0]])) == pytest.approx(-8)


@pytest.fixture(scope="module")
def town():
    """Cells with six entities of one kind each: own vectors know kinds, halves know cells."""
    shops = ["bakery", "shoes", "books", "toys", "florist", "optician", "butcher", "bicycle"]
    entities = [node({"shop": name}, i) for i, name in enumerate(shops) for _ in range(12)]
    return view_of(*entities)


def scores_of(row, view):
    found = retrieval_of(find_rows([row])[0], view)["retrieval"]
    return {(item["score"], item["focus"]): item for item in found}


def test_cells_of_one_kind_find_their_other_half(town):
    for row in ("counts", "tagpool"):
        found = scores_of(row, town)
        assert found["half_to_half_mrr", None]["value"] == pytest.approx(1)
        assert found["half_to_half_recall@1", None]["chance"] == pytest.approx(1 / 8)


def test_neighbours_of_an_entity_are_of_its_kind_and_so_of_its_cell(town):
    found = scores_of("counts", town)
    assert found["tag_agreement@10", "own"]["value"] == pytest.approx(1)
    assert found["same_cell@10", "own"]["value"] == pytest.approx(1)
    assert not found["same_cell@10", "own"]["higher_is_better"]
    assert found["tag_agreement@10", "own"]["chance"] == pytest.approx(11 / 95)


def test_surroundings_know_a_tag_that_was_left_out(town):
    found = scores_of("counts", town)
    # alone, an entity without its only tag is nothing
    assert found["leave_one_tag_out@10", "context"]["value"] == pytest.approx(1)
    assert found["leave_one_tag_out@10", "own"]["value"] < 0.5


def test_tags_that_share_no_dimension_with_geometry_find_it_by_chance(town):
    item = scores_of("tagpool", town)["tags_to_geometry_mrr", None]
    assert item["value"] < 2.5 * item["chance"]
