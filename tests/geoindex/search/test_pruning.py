"""Codes bound every similarity from above, and an answer with them is the answer without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.search import exact as scan
from geoindex.search.exact import nearest
from geoindex.search.pruning import ROUNDING, make_codes, open_codes
from tests.support.vectors import brute_force, fewer


def paths(folder):
    return folder / "rows.npy", folder / "axes.npy"


def few_axes(rng, n, dim, held):
    """Draw unit rows of which a few directions hold most, as of embeddings."""
    spread = rng.normal(size=(held, dim))
    vectors = rng.normal(size=(n, held)) @ spread + 0.3 * rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dim", [3, 16, 64, 130])
@pytest.mark.parametrize("held", [1, 8, 1000])
def test_no_cosine_is_above_its_bound(dim, held, tmp_path):
    rng = np.random.default_rng(dim)
    vectors = few_axes(rng, 500, dim, held)
    vectors[7] = 0
    codes = make_codes(vectors, *paths(tmp_path))
    queries = np.vstack([vectors[:5], rng.normal(size=(20, dim)), np.eye(dim)[:3]])
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    wide = vectors.astype(np.float64)
    cosine = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30) @ units.T
    assert np.all(codes.rows @ codes.of_query(units).T >= cosine - ROUNDING)


def test_vectors_that_lie_in_few_axes_get_tight_bounds(tmp_path):
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 64))
    flat = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    codes = make_codes(flat, *paths(tmp_path))
    bounds = codes.rows @ codes.of_query(flat[:4].astype(np.float64)).T
    assert bounds == pytest.approx(flat @ flat[:4].T, abs=1e-3)


def test_codes_are_read_as_they_were_made(tmp_path):
    vectors = few_axes(np.random.default_rng(1), 200, 32, 4)
    made = make_codes(vectors, *paths(tmp_path))
    read = open_codes(*paths(tmp_path))
    assert np.array_equal(made.rows, read.rows)
    assert np.array_equal(made.axes, read.axes)


@fewer
@given(
    seed=st.integers(0, 2**32),
    held=st.sampled_from([1, 5, 200]),
    k=st.sampled_from([1, 3, 40]),
    share=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]),
    is_in_runs=st.booleans(),
    is_a_row=st.booleans(),
    left_share=st.sampled_from([0.1, 1.0]),
)
def test_brute_force_agrees(
    seed, held, k, share, is_in_runs, is_a_row, left_share, tmp_path_factory
):
    rng = np.random.default_rng(seed)
    vectors = few_axes(rng, 400, 24, held)
    # exact ties, and rows that say nothing
    vectors[rng.random(400) < 0.2] = vectors[rng.integers(400)]
    vectors[rng.random(400) < 0.05] = 0
    codes = make_codes(vectors, *paths(tmp_path_factory.mktemp("codes")))
    query = vectors[np.flatnonzero(vectors.any(axis=1))[0]] if is_a_row else rng.normal(size=24)
    passing = None
    if share is not None:
        start = int(rng.integers(400))
        is_kept = (np.arange(400) - start) % 400 < share * 400 if is_in_runs else None
        passing = np.flatnonzero(rng.random(400) < share if is_kept is None else is_kept)
    exclude = rng.integers(0, 400, 12)
    with pytest.MonkeyPatch.context() as patch:
        # small tables go the long way too
        for name, value in (
            ("_FIRST_ROWS", 8), ("_LEAST_FACTOR", 1), ("_GROUPED_ROWS", 100), ("_GROUP_ROWS", 4),
            ("_GAP_ROWS", 3), ("_SLICE_COST_ROWS", 1), ("_LEFT_SHARE", left_share),
        ):  # fmt: skip
            patch.setattr(scan, name, value)
        found = nearest(
            vectors, query.astype(np.float32), k=k, passing=passing, exclude=exclude, codes=codes
        )
    may_answer = range(400) if passing is None else passing.tolist()
    rows = [row for row in may_answer if row not in set(exclude.tolist())]
    expected, cosine = brute_force(vectors, query.astype(np.float32), rows, k)
    assert found.rows.tolist() == expected
    assert found.similarity == pytest.approx(cosine, abs=1e-12)
    assert found.num_passing == len(rows)
    assert found.is_exact


@fewer
@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.3, 0.9]))
def test_codes_change_no_bit(seed, share):
    rng = np.random.default_rng(seed)
    vectors, codes = _many(rng.integers(3))
    query = rng.normal(size=16).astype(np.float32) if rng.random() < 0.2 else vectors[seed % 9000]
    passing = None if rng.random() < 0.3 else np.flatnonzero(rng.random(len(vectors)) < share)
    with_codes = nearest(vectors, query, k=12, passing=passing, codes=codes)
    without = nearest(vectors, query, k=12, passing=passing)
    assert with_codes.rows.tolist() == without.rows.tolist()
    assert with_codes.similarity.tobytes() == without.similarity.tobytes()


_MADE = {}


def _many(seed):
    if seed not in _MADE:
        import tempfile
        from pathlib import Path

        vectors = few_axes(np.random.default_rng(seed), 52_000, 16, 3)
        with tempfile.TemporaryDirectory() as folder:
            codes = make_codes(vectors, *paths(Path(folder)))
        _MADE[seed] = vectors, codes
    return _MADE[seed]
