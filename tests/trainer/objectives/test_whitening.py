import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.objectives.whitening import Whitener, principal_directions

ROWS = np.random.default_rng(0).normal(size=(500, 6)) @ np.diag([9.0, 4, 2, 1, 0.5, 0.1]) + 3


@given(st.floats(0, 1), st.integers(1, 6))
def test_the_mean_variance_is_one(power: float, dims: int) -> None:
    mean, matrix = principal_directions(ROWS, dims=dims, power=power)
    turned = (ROWS - mean) @ matrix
    assert turned.shape[1] == dims
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(turned.var(axis=0).mean(), 1, rtol=1e-6)
    covariance = turned.T @ turned / len(turned)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-6)


def test_power_is_how_even_the_spread_becomes() -> None:
    def spread(power: float) -> np.ndarray:
        mean, matrix = principal_directions(ROWS, dims=6, power=power)
        return ((ROWS - mean) @ matrix).var(axis=0)

    np.testing.assert_allclose(spread(1), 1, rtol=1e-6)
    own = np.sort(np.linalg.eigvalsh(np.cov(ROWS, rowvar=False, bias=True)))[::-1]
    np.testing.assert_allclose(spread(0) / spread(0)[0], own / own[0], rtol=1e-6)


def test_directions_without_variance_are_left_out() -> None:
    flat = np.hstack([ROWS, np.ones((500, 3))])
    _, matrix = principal_directions(flat, dims=9, power=1)
    assert np.isfinite(matrix).all()
    assert (np.abs(matrix).sum(axis=0) > 0).sum() == 6


def test_a_whitener_maps_as_it_was_fitted() -> None:
    vectors = ROWS.astype(np.float32)
    vectors[:5] = 0  # says nothing, and is not fitted to
    whitener = Whitener(6, 3).fit(vectors, power=1)
    turned = whitener(torch.from_numpy(vectors[5:]))
    np.testing.assert_allclose(turned.mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(turned.var(dim=0, correction=0), 1, rtol=1e-3)
    assert not list(whitener.parameters())
