"""The search is right when brute force in float64 agrees, however the rows were cut."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import UsageError
from geoindex.search import exact as scan
from geoindex.search.exact import nearest
from tests.support.vectors import brute_force, fewer, searches, unit_rows


@fewer
@given(searches(), st.booleans())
def test_brute_force_agrees(asked, is_filtered):
    vectors, query, k, passing, exclude = asked
    may_answer = passing if is_filtered else np.arange(len(vectors))
    found = nearest(vectors, query, k=k, passing=passing if is_filtered else None, exclude=exclude)
    rows = [row for row in may_answer.tolist() if row not in set(exclude.tolist())]
    expected, cosine = brute_force(vectors, query, rows, k)
    assert found.rows.tolist() == expected
    assert found.similarity == pytest.approx(cosine, abs=1e-12)
    assert found.num_passing == len(rows)


@fewer
@given(searches(), st.sampled_from([1, 2, 7, 50]), st.sampled_from([0, 0.5, 1]))
def test_the_same_bits_however_the_rows_are_cut(asked, block_rows, scan_share):
    vectors, query, k, passing, exclude = asked
    whole = nearest(vectors, query, k=k, passing=passing, exclude=exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_BLOCK_ROWS", block_rows)
        patch.setattr(scan, "_SCAN_SHARE", scan_share)
        cut = nearest(vectors, query, k=k, passing=passing, exclude=exclude)
    assert cut.rows.tolist() == whole.rows.tolist()
    assert cut.similarity.tobytes() == whole.similarity.tobytes()


@fewer
@given(searches())
def test_a_filter_that_passes_all_changes_no_bit(asked):
    vectors, query, k, _, exclude = asked
    free = nearest(vectors, query, k=k, exclude=exclude)
    every = nearest(vectors, query, k=k, exclude=exclude, passing=np.arange(len(vectors)))
    assert free.rows.tolist() == every.rows.tolist()
    assert free.similarity.tobytes() == every.similarity.tobytes()


@fewer
@given(searches())
def test_a_row_is_measured_alike_whatever_else_passes(asked):
    vectors, query, _, passing, _ = asked
    of_all = nearest(vectors, query, k=len(vectors) + 1)
    of_some = nearest(vectors, query, k=len(vectors) + 1, passing=passing)
    measured = dict(zip(of_all.rows.tolist(), of_all.similarity.tolist(), strict=True))
    for row, similarity in zip(of_some.rows.tolist(), of_some.similarity.tolist(), strict=True):
        assert measured[row] == similarity


@fewer
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_what_float32_cannot_tell_apart_float64_does(seed, k):
    rng = np.random.default_rng(seed)
    base = unit_rows(rng, 1, 256)[0]
    # differences at the last bits of float32: a product in float32 orders them by chance
    vectors = base + rng.normal(size=(200, 256)).astype(np.float32) * np.float32(3e-6)
    found = nearest(vectors, base, k=k)
    wide = vectors.astype(np.float64)
    cosine = wide @ base.astype(np.float64) / np.linalg.norm(wide, axis=1)
    cosine /= np.linalg.norm(base.astype(np.float64))
    assert found.similarity == pytest.approx(np.sort(cosine)[::-1][:k], abs=1e-14)


def test_ties_go_to_the_smaller_row():
    vectors = np.tile(unit_rows(np.random.default_rng(0), 1, 16), (100, 1))
    assert nearest(vectors, vectors[3], k=5).rows.tolist() == [0, 1, 2, 3, 4]


def test_similarity_never_leaves_minus_one_to_one():
    vectors = unit_rows(np.random.default_rng(1), 300, 300)
    both = np.vstack([vectors, -vectors])
    for row in range(30):
        found = nearest(both, vectors[row], k=600)
        assert found.similarity.max() <= 1
        assert found.similarity.min() >= -1


def test_a_memory_map_is_searched_like_an_array(tmp_path):
    vectors = unit_rows(np.random.default_rng(2), 300, 32)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    passing = np.arange(0, 300, 7)
    left = nearest(vectors, vectors[5], k=9, passing=passing)
    right = nearest(mapped, vectors[5], k=9, passing=passing)
    assert left.rows.tolist() == right.rows.tolist()
    assert left.similarity.tobytes() == right.similarity.tobytes()


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_query_without_direction_is_refused(value):
    query = np.full(4, value, np.float32)
    with pytest.raises(UsageError, match="length"):
        nearest(np.eye(4, dtype=np.float32), query, k=1)


@given(hnp.arrays(np.float32, 3, elements=st.floats(-(2**60), 2**60, width=32)))
def test_any_length_of_query_gives_the_same_order(query):
    if not np.linalg.norm(query.astype(np.float64)) > 1e-6:
        return
    vectors = unit_rows(np.random.default_rng(3), 20, 3)
    rows = list(range(20))
    expected, _ = brute_force(vectors, query, rows, 20)
    assert nearest(vectors, query, k=20).rows.tolist() == expected
