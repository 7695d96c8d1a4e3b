"""Vectors for tests of search, and the plainest search of them."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

# an example searches several times: a quarter as many do, of `make fuzz` too
fewer = settings(max_examples=settings.default.max_examples // 4)


def brute_force(vectors, query, rows, k):
    """Return the k nearest of some rows, ties by row."""
    unit = query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))
    cosine = []
    for row in rows:
        wide = vectors[row].astype(np.float64)
        length = np.linalg.norm(wide)
        cosine.append(float(wide @ unit) / length if length else 0.0)
    order = sorted(range(len(rows)), key=lambda i: (-round(cosine[i], 12), rows[i]))[:k]
    return [rows[i] for i in order], [cosine[i] for i in order]


def unit_rows(rng, n, dim):
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def searches(draw):
    """Draw vectors with duplicates and zero rows, a query, k, and rows that may answer."""
    n, dim = draw(st.integers(0, 60)), draw(st.sampled_from([1, 2, 7, 64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = unit_rows(rng, n, dim)
    if n:
        # exact ties, and rows that say nothing
        vectors[rng.random(n) < 0.3] = vectors[rng.integers(n)]
        vectors[rng.random(n) < 0.1] = 0
    query = unit_rows(rng, 1, dim)[0] * np.float32(draw(st.sampled_from([1e-3, 1, 1e3])))
    if n and draw(st.booleans()) and vectors[0].any():
        query = vectors[0]
    share = draw(st.sampled_from([0, 0.1, 0.5, 1]))
    passing = np.flatnonzero(rng.random(n) < share)
    exclude = np.flatnonzero(rng.random(n) < draw(st.sampled_from([0, 0.2, 1])))
    return vectors, query, draw(st.integers(1, 80)), passing, exclude
