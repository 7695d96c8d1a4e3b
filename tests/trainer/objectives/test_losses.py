import pytest
import torch

from trainer.objectives.config import ObjectiveConfig
from trainer.objectives.losses import (
    Predicted,
    balanced,
    covariance_loss,
    predicted_error,
    prediction_error,
    spread_of,
    variance_loss,
)

ONE = torch.ones(())


def rows(seed: int = 0, n: int = 300, width: int = 6) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_predicting_the_mean_costs_one(scale: float) -> None:
    target = rows() * scale + 5
    guess = target.mean(dim=0).expand_as(target)
    error = prediction_error(guess, target, spread=spread_of(target))
    assert float(error) == pytest.approx(1, rel=1e-4)


def test_what_is_right_costs_nothing() -> None:
    assert float(prediction_error(rows(), rows(), spread=ONE)) == 0


def test_smooth_l1_is_half_the_square_near_and_linear_far() -> None:
    near, far = torch.full((4, 2), 0.1), torch.full((4, 2), 9.0)
    zero = torch.zeros(4, 2)
    small = prediction_error(near, zero, spread=ONE, kind="smooth_l1")
    assert float(small) == pytest.approx(0.5 * 0.01, rel=1e-5)
    assert float(prediction_error(far, zero, spread=ONE, kind="smooth_l1")) == pytest.approx(8.5)


def test_the_error_is_the_same_in_other_units() -> None:
    target, guess = rows(), rows(1)
    want = prediction_error(guess, target, spread=spread_of(target))
    found = prediction_error(guess * 7, target * 7, spread=spread_of(target * 7))
    torch.testing.assert_close(found, want)


def test_no_token_costs_nothing_and_keeps_the_graph() -> None:
    nothing = torch.zeros(0, 3, requires_grad=True)
    error = prediction_error(nothing, torch.zeros(0, 3), spread=ONE)
    error.backward()
    assert float(error.detach()) == 0
    assert nothing.grad is not None


def test_modalities_count_alike_whatever_their_tokens() -> None:
    errors = {"tags": torch.tensor(1.0), "geometry": torch.tensor(3.0)}
    assert float(balanced(errors, {"tags": 1000, "geometry": 1})) == 2
    assert float(balanced(errors, {"tags": 1000, "geometry": 0})) == 1
    assert float(balanced(errors, {"tags": 0, "geometry": 0})) == 0


def test_variance_falls_short_where_coordinates_are_narrow() -> None:
    assert float(variance_loss(rows(n=5000) * 3)) == 0
    assert float(variance_loss(rows(n=5000) * 0.5)) == pytest.approx(0.5, abs=0.02)
    assert float(variance_loss(torch.zeros(10, 4))) == pytest.approx(0.99, abs=0.01)


def test_covariance_is_that_of_numpy() -> None:
    import numpy as np

    sample = rows()
    sample = torch.cat([sample, sample[:, :1] * 2], dim=1)
    square = np.cov(sample.numpy(), rowvar=False) ** 2
    want = (square.sum() - np.trace(square)) / square.shape[0]
    assert float(covariance_loss(sample)) == pytest.approx(float(want), rel=1e-4)
    one = rows()[:, :1]
    assert float(covariance_loss(one)) == pytest.approx(0, abs=1e-5)


def said(n: int, *, scale: float, seed: int) -> Predicted:
    drawn = torch.Generator().manual_seed(seed)
    predicted, target = (torch.randn(n, 5, generator=drawn) * scale for _ in range(2))
    return Predicted(predicted, target, torch.ones(n, dtype=torch.bool))


FOUND = {"tags": said(40, scale=1.0, seed=0), "geometry": said(8, scale=7.0, seed=1)}
NONE = {"image": said(0, scale=1.0, seed=2)}


def test_balanced_is_the_mean_of_modalities_in_units_of_their_spread() -> None:
    config = ObjectiveConfig(name="ema")
    parts = [
        (item.predicted - item.target).square().mean() / item.target.var(dim=0, correction=0).mean()
        for item in FOUND.values()
    ]
    torch.testing.assert_close(predicted_error(FOUND | NONE, config), torch.stack(parts).mean())
