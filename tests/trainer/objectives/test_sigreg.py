import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor

from trainer.objectives.sigreg import LAST_KNOT, SIGReg, unit_directions

N, D = 4000, 16


def cloud(seed: int = 0) -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed))


def statistic(embeddings: Tensor) -> float:
    return float(SIGReg(64)(embeddings, seed=1))


def test_a_standard_normal_has_the_least() -> None:
    normal = statistic(cloud())
    assert normal < 2
    uniform = (torch.rand(N, D, generator=torch.Generator().manual_seed(1)) - 0.5) * 12**0.5
    collapsed = torch.zeros(N, D)
    line = cloud()[:, :1].expand(N, D)
    for other in (cloud() * 1.5, cloud() * 0.5, cloud() + 0.3, collapsed, line):
        assert statistic(other) > 20 * normal
    # projections of many uniform coordinates are nearly normal: along axes they are not
    axes = SIGReg(64)(uniform[:, :1], seed=1)
    assert float(axes) > 5 * float(SIGReg(64)(cloud()[:, :1], seed=1))


def test_it_does_not_grow_with_a_normal_sample() -> None:
    small = np.mean([statistic(cloud(seed)[:200]) for seed in range(10)])
    large = np.mean([statistic(cloud(seed)) for seed in range(10)])
    assert small == pytest.approx(large, rel=0.25)


def test_one_direction_is_the_integral_of_epps_and_pulley() -> None:
    rows = cloud()[:50, :1].double() * 1.3 + 0.2
    found = float(SIGReg(1, num_knots=400)(rows.float(), seed=0))
    sign = float(unit_directions(1, 1, 0))
    x = rows[:, 0].numpy() * sign

    def gap(t: float) -> float:
        return abs(np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2)

    wanted = len(x) * integrate.quad(gap, -LAST_KNOT, LAST_KNOT)[0]
    assert found == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("start", ["shifted", "narrow", "wide"])
def test_its_gradient_pulls_towards_the_normal(start: str) -> None:
    rows = cloud()[:500]
    rows = {"shifted": rows + 1, "narrow": rows * 0.3, "wide": rows * 2}[start]
    embeddings = rows.clone().requires_grad_()
    optimiser = torch.optim.SGD([embeddings], lr=1.0)
    sigreg = SIGReg(32)
    for step in range(100):
        optimiser.zero_grad()
        sigreg(embeddings, seed=step).backward()
        optimiser.step()
    assert float(embeddings.detach().mean().abs()) < 0.15
    assert 0.75 < float(embeddings.detach().std()) < 1.35


def test_half_precision_is_summed_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = SIGReg(64)(cloud(), seed=1)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(statistic(cloud()), rel=1e-5)


def test_directions_are_unit_and_new_each_step() -> None:
    first, second = unit_directions(D, 8, 0), unit_directions(D, 8, 1)
    torch.testing.assert_close(first.norm(dim=0), torch.ones(8))
    assert not torch.equal(first, second)
    assert torch.equal(first, unit_directions(D, 8, 0))
