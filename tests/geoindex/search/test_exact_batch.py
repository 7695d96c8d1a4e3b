"""Many queries at once have the answers of one at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import UsageError
from geoindex.queries.spaces import Space
from geoindex.search import exact_batch
from geoindex.search.exact import nearest, nearest_many
from tests.support.vectors import fewer, searches, unit_rows


@fewer
@given(searches(), st.booleans(), st.integers(0, 9), st.sampled_from([1, 5, 8192]), st.booleans())
def test_each_is_answered_as_alone(asked, is_filtered, num_queries, block_rows, is_full):
    vectors, query, k, passing, exclude = asked
    rng = np.random.default_rng(num_queries)
    queries = np.array(
        [
            query * rng.uniform(0.5, 2) + rng.normal(size=query.shape) * 0.1
            for _ in range(num_queries)
        ],
        np.float32,
    ).reshape(num_queries, len(query))
    passing = passing if is_filtered else None
    unwanted = [exclude[i::2] for i in range(num_queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_batch, "_ROWS", block_rows)
        patch.setattr(exact_batch, "_QUERIES", 4)
        patch.setattr(exact_batch, "_SAMPLE_FACTOR", 1)
        patch.setattr(exact_batch, "_SAMPLE_STRIDE", 6)
        patch.setattr(exact_batch, "_MOST_FOUND", 20 if is_full else 4_000_000)
        found = nearest_many(vectors, queries, k=k, passing=passing, exclude=unwanted)
    alone = [
        nearest(vectors, queries[i], k=k, passing=passing, exclude=unwanted[i])
        for i in range(num_queries)
    ]
    for many, one in zip(found, alone, strict=True):
        assert many.rows.tolist() == one.rows.tolist()
        assert many.similarity.tobytes() == one.similarity.tobytes()
        assert many.num_passing == one.num_passing


@fewer
@given(searches(), st.integers(1, 9), st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_two_similarities_are_weighed_as_alone(asked, num_queries, weight, is_filtered):
    own, query, k, passing, exclude = asked
    rng = np.random.default_rng(num_queries)
    context = unit_rows(rng, len(own), 5)
    first = query * rng.uniform(0.5, 2, (num_queries, 1)).astype(np.float32)
    second = rng.normal(size=(num_queries, 5)).astype(np.float32)
    space = Space(("own", "context"), (own, context), (weight, 1 - weight))
    passing = passing if is_filtered else None
    unwanted = [exclude[i::2] for i in range(num_queries)]
    queries = list(zip(first, second, strict=True))
    found = space.nearest_many(queries, k=k, passing=passing, exclude=unwanted)
    for many, one, out in zip(found, queries, unwanted, strict=True):
        alone = space.nearest(one, k=k, passing=passing, exclude=out)
        assert many.rows.tolist() == alone.rows.tolist()
        assert many.similarity.tobytes() == alone.similarity.tobytes()
        assert many.num_passing == alone.num_passing


@pytest.mark.parametrize("num_alike", [50, 3000])
def test_many_rows_that_are_alike_are_measured_as_alone(num_alike):
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng, 5000, 16)
    vectors[rng.choice(5000, num_alike, replace=False)] = vectors[7]
    found = nearest_many(vectors, vectors[[7, 8, 9]], k=5)
    for row, many in zip((7, 8, 9), found, strict=True):
        one = nearest(vectors, vectors[row], k=5)
        assert many.rows.tolist() == one.rows.tolist()
        assert many.similarity.tobytes() == one.similarity.tobytes()


def test_hundreds_of_queries_of_a_larger_table():
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng, 20_000, 8)
    found = nearest_many(vectors, vectors[:300], k=3)
    assert [answer.rows[0] for answer in found] == list(range(300))
    for query in (0, 150, 299):
        assert found[query].rows.tolist() == nearest(vectors, vectors[query], k=3).rows.tolist()


def test_no_queries_have_no_answers():
    assert nearest_many(np.eye(3, dtype=np.float32), np.zeros((0, 3), np.float32), k=1) == []


def test_a_query_without_direction_is_refused():
    with pytest.raises(UsageError, match="length 0"):
        nearest_many(np.eye(3, dtype=np.float32), np.zeros((1, 3), np.float32), k=1)
