"""The focus `both` ranks by the weighed sum of two similarities, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex import Query
from geoindex.errors import UsageError
from geoindex.queries.vector_field import MatrixField, open_field


def unit_rows(rng, n, dim):
    rows = rng.normal(size=(n, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    # some say nothing, and some say the same
    rows[rng.random(n) < 0.1] = 0
    rows[rng.random(n) < 0.2] = rows[0]
    return rows.astype(np.float32)


def cosines(matrix, query):
    wide, unit = matrix.astype(np.float64), query.astype(np.float64)
    unit = unit / np.linalg.norm(unit)
    length = np.linalg.norm(wide, axis=1)
    return (wide @ unit) / np.where(length > 0, length, 1)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    k=st.integers(1, 70),
    weight=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    is_filtered=st.booleans(),
)
def test_brute_force_agrees(seed, n, k, weight, is_filtered):
    rng = np.random.default_rng(seed)
    own, context = unit_rows(rng, n, 4), unit_rows(rng, n, 4)
    queries = [rng.normal(size=4).astype(np.float32) for _ in range(2)]
    passing = np.flatnonzero(rng.random(n) < 0.6) if is_filtered else None
    exclude = np.flatnonzero(rng.random(n) < 0.2)
    field = MatrixField(("own", "context"), (own, context), (weight, 1 - weight))
    found = field.nearest(queries, k=k, passing=passing, exclude=exclude)
    both = weight * cosines(own, queries[0]) + (1 - weight) * cosines(context, queries[1])
    may = np.setdiff1d(np.arange(n) if passing is None else passing, exclude)
    assert found.num_passing == len(may)
    assert found.is_exact
    assert len(found.rows) == min(k, len(may))
    assert set(found.rows.tolist()) <= set(may.tolist())
    assert found.similarity == pytest.approx(both[found.rows], abs=1e-9)
    assert found.similarity == pytest.approx(np.sort(both[may])[::-1][: len(found.rows)], abs=1e-9)
    # ties go to the smaller row
    pairs = list(zip(-found.similarity, found.rows, strict=True))
    assert pairs == sorted(pairs)


@given(seed=st.integers(0, 2**32 - 1), weight=st.floats(0, 1))
def test_joined_rows_have_the_similarity_as_product(seed, weight):
    rng = np.random.default_rng(seed)
    own, context = unit_rows(rng, 9, 3), unit_rows(rng, 9, 3)
    field = MatrixField(("own", "context"), (own, context), (weight, 1 - weight))
    joined = field.joined(np.arange(9))
    for row in range(9):
        if own[row].any() and context[row].any():
            both = weight * cosines(own, own[row]) + (1 - weight) * cosines(context, context[row])
            assert joined @ joined[row] == pytest.approx(both, abs=1e-6)


def test_the_ends_of_the_weight_are_own_and_context(small_index):
    name = small_index.entities.table["feature_id"][3].as_py()
    for weight, focus in ((1.0, "own"), (0.0, "context")):
        plain = small_index.query(name, focus=focus, k=99)
        both = small_index.query(name, focus="both", own_weight=weight, k=99)
        assert both.ids == plain.ids
        assert both.table["similarity"].to_pylist() == pytest.approx(
            plain.table["similarity"].to_pylist(), abs=1e-6
        )


def test_both_says_its_weight_and_is_reranked(small_index):
    name = small_index.entities.table["feature_id"][3].as_py()
    hits = small_index.query(name, focus="both", own_weight=0.25, k=5, diversity=0.3)
    assert hits.query["own_weight"] == 0.25
    assert hits.query["focus"] == "both"
    one_per = small_index.query(name, focus="both", one_per="kind", k=99)
    assert len(one_per.table["kind"].unique()) == len(one_per)


def test_cells_have_one_vector_whatever_the_focus(small_index):
    fields = [open_field(small_index, table="cells", focus=f) for f in ("own", "context", "both")]
    assert {len(field.matrices) for field in fields} == {1}
    assert all(field.matrices[0] is small_index.vectors("cells") for field in fields)


@pytest.mark.parametrize("weight", [-0.1, 1.1, "half", None, True, float("nan")])
def test_a_weight_out_of_range_is_refused(small_index, weight):
    if weight is not None:
        with pytest.raises(UsageError, match="own weight is"):
            Query("node/1", focus="both", own_weight=weight)
        with pytest.raises(UsageError, match="own weight is"):
            small_index.similar("node/1", "node/4", focus="both", own_weight=weight)
    assert Query("node/1", focus="both", own_weight=None) == Query("node/1", focus="both")
