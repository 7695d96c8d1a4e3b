import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.metrics import (
    SCORE,
    CollapseWarning,
    Sums,
    lidar,
    mean_reciprocal_rank,
    warn_of_collapse,
)

RNG = np.random.default_rng(0)


@given(st.integers(2, 30), st.integers(0, 1000))
def test_mrr_is_that_of_a_plain_loop(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n, 3)).astype(np.float32)
    right = (left + rng.normal(size=(n, 3))).astype(np.float32)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    total = 0.0
    for i in range(n):
        there = sorted((cosine(left[i], right[j]) for j in range(n)), reverse=True)
        back = sorted((cosine(left[j], right[i]) for j in range(n)), reverse=True)
        own = cosine(left[i], right[i])
        total += 1 / (1 + np.argmin(np.abs(np.array(there) - own)))
        total += 1 / (1 + np.argmin(np.abs(np.array(back) - own)))
    assert mean_reciprocal_rank(left, right) == pytest.approx(total / n / 2, abs=1e-3)


def test_vectors_that_are_all_the_same_find_nobody() -> None:
    same = np.ones((20, 4), np.float32)
    assert mean_reciprocal_rank(same, same) == pytest.approx(1 / 20)
    eye = np.eye(20, dtype=np.float32)
    assert mean_reciprocal_rank(eye, eye) == 1


def test_lidar_counts_directions_that_tell_objects_apart() -> None:
    objects = np.zeros((400, 1, 10))
    objects[:, :, :3] = RNG.normal(size=(400, 1, 3)) * 5
    views = objects + RNG.normal(size=(400, 4, 10))
    assert 2.7 < lidar(views) < 3.6
    # what differs between views of one object tells nobody apart
    noisy = RNG.normal(size=(400, 4, 10))
    assert lidar(noisy) > 6
    assert np.isnan(lidar(views[:1]))


def test_lidar_does_not_depend_on_scale() -> None:
    views = RNG.normal(size=(100, 1, 6)) + 0.5 * RNG.normal(size=(100, 3, 6))
    assert lidar(views * 1000) == pytest.approx(lidar(views), rel=1e-6)


def test_r2_is_the_part_explained() -> None:
    assert Sums(error=25, squares=100).r2() == 0.75
    assert Sums(nearest=150, nearest_spread=100).r2_nearest() == -0.5
    assert np.isnan(Sums().r2())


def numbers(rank: float, score: float) -> dict[str, float]:
    return {"effective_rank": rank, "token_effective_rank": 20.0, SCORE: score}


def test_collapse_is_named_while_it_can_be_stopped(recwarn: pytest.WarningsRecorder) -> None:
    best = numbers(20, 0.6)
    # a fall of ranks alone is no collapse: a region that counts spreads along few directions
    warn_of_collapse(numbers(2, 0.7), best, step=5)
    warn_of_collapse(numbers(19, 0.1), best, step=5)
    assert not recwarn.list
    with pytest.warns(CollapseWarning, match="step 7: effective_rank is 5"):
        warn_of_collapse(numbers(5, 0.2), best, step=7)
    with pytest.warns(CollapseWarning, match="objective"):
        warn_of_collapse(numbers(1.0, 0.6), {}, step=7)
    with pytest.warns(CollapseWarning):
        warn_of_collapse(numbers(float("nan"), 0.6), {}, step=7)
