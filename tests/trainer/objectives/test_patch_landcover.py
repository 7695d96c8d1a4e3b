"""The straight line from patch to ground is scikit-learn's, and its R² that of ground left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from trainer.objectives.patch_landcover import _PENALTIES, fit_landcover


def some_patches(
    seed: int, *, groups: int = 4, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, what lies under them by a line and chance, and the group of each."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rng.integers(3, 40, groups))
    images = rng.normal(size=(len(group), 5)) + rng.normal(size=(groups, 5))[group]
    ground = images @ rng.normal(size=(5, 3)) + noise * rng.normal(size=(len(group), 3)) + 2
    order = rng.permutation(len(group))
    return images.astype(np.float32)[order], ground.astype(np.float32)[order], group[order]


def judge(
    images: np.ndarray, ground: np.ndarray, penalty: float, weight: np.ndarray | None = None
) -> Ridge:
    counts = np.ones(len(images)) if weight is None else weight
    line = Ridge(alpha=penalty * counts.sum())
    return line.fit(images.astype(float), ground.astype(float), sample_weight=counts)


def errors_left_out(
    images: np.ndarray, ground: np.ndarray, group: np.ndarray, penalty: float, weight: np.ndarray
) -> list[float]:
    found = []
    for g in np.unique(group):
        out = group == g
        line = judge(images[~out], ground[~out], penalty, weight[~out])
        wrong = (line.predict(images[out].astype(float)) - ground[out]) ** 2
        found.append(float((weight[out, None] * wrong).sum()))
    return found


def largest_as_good(errors: list[list[float]], size: np.ndarray) -> int:
    """The definition: a sum's standard error is that of its groups about their expected share."""
    sums = [sum(of_groups) for of_groups in errors]
    best = min(range(len(sums)), key=sums.__getitem__)
    mean = sums[best] / size.sum()
    squares = [(e - mean * n) ** 2 for e, n in zip(errors[best], size, strict=True)]
    return max(i for i, found in enumerate(sums) if found <= sums[best] + 0.5 * sum(squares) ** 0.5)


@pytest.mark.slow
@given(st.integers(0, 500), st.integers(2, 9), st.sampled_from([0.1, 2.0, 20.0]), st.booleans())
def test_it_is_the_largest_penalty_that_tells_ground_left_out_as_well_as_the_best(
    seed: int, groups: int, noise: float, is_weighed: bool
) -> None:
    images, ground, group = some_patches(seed, groups=groups, noise=noise)
    weight = np.random.default_rng(seed).uniform(1, 9, len(images)) if is_weighed else None
    counts = np.ones(len(images)) if weight is None else weight / weight.mean()
    size = np.bincount(group, counts)
    errors = [errors_left_out(images, ground, group, penalty, counts) for penalty in _PENALTIES]
    chosen = largest_as_good(errors, size[size > 0])
    want = judge(images, ground, _PENALTIES[chosen], counts)
    found = fit_landcover(images, ground, group, weight=weight)
    np.testing.assert_allclose(found.slope, want.coef_.T, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.mean, want.intercept_, rtol=1e-3, atol=1e-3)
    middle = np.average(ground, axis=0, weights=counts)
    spread = (counts[:, None] * (ground - middle) ** 2).sum()
    assert found.r2 == pytest.approx(1 - sum(errors[chosen]) / spread, abs=1e-3)


def test_a_patch_that_counts_twice_is_two_patches() -> None:
    images, ground, group = some_patches(5, groups=6)
    twice = np.arange(len(images)) % 3 == 0
    found = fit_landcover(images, ground, group, weight=1.0 + twice)
    rows = np.concatenate([np.arange(len(images)), np.flatnonzero(twice)])
    want = fit_landcover(images[rows], ground[rows], group[rows])
    np.testing.assert_allclose(found.slope, want.slope, rtol=1e-4, atol=1e-5)


def test_ground_left_out_that_agrees_with_nothing_takes_a_larger_penalty() -> None:
    # a line that holds in one group and not in the others is not borne out
    images, ground, group = some_patches(7, groups=6, noise=0.1)
    turned = ground.copy()
    turned[group > 0] *= -1
    alike, unlike = (fit_landcover(images, told, group) for told in (ground, turned))
    assert np.abs(unlike.slope).max() < 0.5 * np.abs(alike.slope).max()


def test_of_one_group_the_largest_penalty_is_taken() -> None:
    images, ground, _ = some_patches(0)
    found = fit_landcover(images, ground, np.zeros(len(images), np.int64))
    want = judge(images, ground, max(_PENALTIES))
    np.testing.assert_allclose(found.slope, want.coef_.T, rtol=1e-4, atol=1e-4)
    assert np.isnan(found.r2)


def test_chance_is_told_by_the_mean() -> None:
    rng = np.random.default_rng(0)
    images, ground = (rng.normal(size=(200, 4)).astype(np.float32) for _ in range(2))
    found = fit_landcover(images, ground, np.arange(200) % 8)
    assert found.r2 < 0.05
    np.testing.assert_allclose(found.mean, ground.mean(axis=0), atol=0.05)


def test_tokens_that_do_not_vary_tell_nothing() -> None:
    images, ground, group = some_patches(1)
    images[:, 2] = 0
    found = fit_landcover(images, ground, group)
    assert np.isfinite(found.slope).all()
    assert not found.slope[2].any()


def test_the_order_of_patches_does_not_show() -> None:
    images, ground, group = some_patches(2)
    turned = fit_landcover(images[::-1], ground[::-1], group[::-1])
    np.testing.assert_allclose(turned.slope, fit_landcover(images, ground, group).slope, atol=1e-5)


def test_bounds_are_what_was_there_but_for_the_outermost() -> None:
    images, _, _ = some_patches(3, groups=40)
    share = np.linspace(0, 1, len(images)).clip(0.2, 0.7)
    share[-1] = 5  # two things above one another
    ground = np.outer(share, [1, -2, 0]).astype(np.float32)
    found = fit_landcover(images, ground, np.arange(len(images)) % 4)
    np.testing.assert_allclose(found.low, [0.2, -1.4, 0], rtol=1e-5)
    np.testing.assert_allclose(found.high, [0.7, -0.4, 0], rtol=1e-5)
