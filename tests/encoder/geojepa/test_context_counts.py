"""What lies around is counted by the prototype it is most like; a loop agrees."""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoder.geojepa.context_counts import log_counts, nearest_prototypes
from tests.support.vectors import unit_rows


@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 99))
def test_the_nearest_is_that_of_float64(n, num_prototypes, seed):
    rng = np.random.default_rng(seed)
    vectors, prototypes = unit_rows(rng, n, 5) * 3, unit_rows(rng, num_prototypes, 5)
    vectors[rng.random(n) < 0.2] = 0
    found = nearest_prototypes(vectors, prototypes)
    cosine = vectors.astype(np.float64) @ prototypes.T.astype(np.float64)
    for row, place in enumerate(found.tolist()):
        if vectors[row].any():
            assert cosine[row, place] >= cosine[row].max() - 1e-9
        else:
            assert place == -1


def test_of_equal_prototypes_the_first_is_meant():
    prototypes = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    assert nearest_prototypes(np.array([[2, 0]], np.float32), prototypes).tolist() == [1]


def test_the_batch_changes_nothing():
    rng = np.random.default_rng(0)
    vectors, prototypes = unit_rows(rng, 200, 16), unit_rows(rng, 40, 16)
    alone = [nearest_prototypes(vectors[i : i + 1], prototypes)[0] for i in range(200)]
    assert nearest_prototypes(vectors, prototypes).tolist() == alone


@given(
    hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(-1, 4)),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_counts_are_those_of_a_loop(nearest, cuts):
    offsets = np.array([0, *sorted(min(cut, len(nearest)) for cut in cuts), len(nearest)])
    found = log_counts(nearest, offsets, num_prototypes=5)
    assert found.shape == (len(offsets) - 1, 5)
    for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
        run = nearest[start:stop]
        np.testing.assert_allclose(
            np.expm1(found[i]), [(run == p).sum() for p in range(5)], atol=1e-5
        )
