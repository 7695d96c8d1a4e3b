"""From five of each on a classifier ranks; its terms sum to the similarity; labels are asked."""

import numpy as np
import pytest

from geoindex.queries.classifier import classifier_shares
from geoindex.queries.suggest import suggested


def unit_rows(rng, n, dim=8):
    rows = rng.normal(size=(n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_direction_is_that_of_the_fitted_classifier():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    likes, unlikes = unit_rows(rng, 6), unit_rows(rng, 9)
    shares = classifier_shares(likes, unlikes)
    assert (shares[:6] > 0).all()
    assert (shares[6:] < 0).all()
    direction = shares @ np.concatenate([likes, unlikes])
    model = linear.LogisticRegression(C=10.0, class_weight="balanced", max_iter=5000, tol=1e-10)
    model.fit(np.concatenate([likes, unlikes]), [1] * 6 + [0] * 9)
    fitted = model.coef_[0]
    cosine = direction @ fitted / np.linalg.norm(direction) / np.linalg.norm(fitted)
    assert cosine == pytest.approx(1, abs=1e-4)


@pytest.fixture
def labels(small_index):
    ids = small_index.entities.table["feature_id"].to_pylist()
    return ids[:5], ids[20:26]


def test_it_ranks_from_five_of_each_and_says_so(small_index, labels):
    pytest.importorskip("sklearn")
    likes, unlikes = labels
    few = small_index.query(likes[:4], unlike=unlikes, k=5)
    assert not any("classifier" in note for note in few.notes)
    hits = small_index.query(likes, unlike=unlikes, k=5, parts=True).explain()
    said = "ranked by a linear classifier fitted to 5 examples and 6 counter-examples"
    assert said in hits.notes
    for hit, why in zip(hits, hits.why, strict=True):
        assert sum(each.adds for each in why.asked) == pytest.approx(hit["similarity"], abs=2e-6)
    assert not set(hits.ids) & {*likes, *unlikes}


def test_suggestions_are_near_the_border_and_unlike_each_other():
    units = np.eye(4)[[0, 0, 1, 2, 3]]
    similarity = np.array([0.9, 0.51, 0.5, 0.49, 0.1])
    assert suggested(similarity, units, 0.5, 3).tolist() == [2, 1, 3]
    assert suggested(similarity[:0], units[:0], 0.5, 3).tolist() == []
    # of two alike one is taken
    twins = np.eye(3)[[0, 0, 1]]
    assert suggested(np.array([0.5, 0.5, 0.4]), twins, 0.5, 2).tolist() == [0, 2]


def test_what_to_label_next_is_neither_labelled_nor_shown(small_index, labels):
    likes, unlikes = labels
    hits = small_index.query(likes, unlike=unlikes, k=5, suggest=4)
    ids = [each["id"] for each in hits.suggested]
    assert len(set(ids)) == 4
    assert not set(ids) & {*likes, *unlikes, *hits.ids}
    assert set(hits.suggested[0]) == {"id", "kind", "name", "lon", "lat", "similarity"}
    assert '"suggested"' in hits.to_text("json")
    assert small_index.query(likes, unlike=unlikes, k=5).suggested == ()
    assert len(small_index.query(tags="amenity=cafe", suggest=2).suggested) == 2
