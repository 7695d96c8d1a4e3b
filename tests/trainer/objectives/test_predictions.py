import pytest
import torch
from torch.nn import functional

from trainer.objectives.config import ObjectiveConfig
from trainer.objectives.losses import ErrorKind
from trainer.objectives.predictions import Predicted, predicted_error


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


@pytest.mark.parametrize("error", ["mse", "smooth_l1"])
def test_unbalanced_is_the_plain_sum_over_tokens_by_their_number(error: ErrorKind) -> None:
    config = ObjectiveConfig(name="ema", error=error, balanced=False)
    predicted = torch.cat([item.predicted for item in FOUND.values()])
    target = torch.cat([item.target for item in FOUND.values()])
    measure = functional.mse_loss if error == "mse" else functional.smooth_l1_loss
    each = measure(predicted, target, reduction="none").mean(dim=1)
    torch.testing.assert_close(predicted_error(FOUND | NONE, config), each.sum() / 48)


def test_unbalanced_without_tokens_is_nothing() -> None:
    config = ObjectiveConfig(name="ema", balanced=False)
    assert float(predicted_error(NONE, config)) == 0


def test_unbalanced_what_has_more_tokens_decides() -> None:
    many, few = said(1000, scale=1.0, seed=3), said(10, scale=1.0, seed=4)
    wrong = few._replace(predicted=few.predicted + 100)
    plain, even = (ObjectiveConfig(name="ema", balanced=balanced) for balanced in (False, True))
    right, found = {"tags": many, "geometry": few}, {"tags": many, "geometry": wrong}
    grows = [float(predicted_error(found, c) / predicted_error(right, c)) for c in (plain, even)]
    assert grows[0] < grows[1] / 10
