import pytest
import torch
from torch import nn

from encoder.geojepa.model import GeoJEPA
from tests.support.training import small_shape
from trainer.run.optimiser import decaying_names, make_optimiser, rate_at


def test_only_matrices_between_layers_decay() -> None:
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 3),
            "norm": nn.LayerNorm(3),
            "names": nn.Embedding(4, 3),
            "attention": nn.MultiheadAttention(4, 2),
        }
    )
    model.registers = nn.Parameter(torch.zeros(2, 3))
    assert decaying_names(model) == {
        "linear.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
    }


def test_every_parameter_is_in_one_group_and_decays_as_it_should() -> None:
    model = GeoJEPA(small_shape())
    optimiser = make_optimiser(model, rate=1e-3, decay=0.05)
    held = [id(part) for group in optimiser.param_groups for part in group["params"]]
    assert sorted(held) == sorted(id(part) for part in model.parameters())
    decays = {id(part) for part in optimiser.param_groups[0]["params"]}
    for name, part in model.named_parameters():
        is_matrix = part.ndim == 2 and name != "registers"
        assert (id(part) in decays) == is_matrix, name


def test_a_frozen_parameter_is_left_out() -> None:
    model = nn.Linear(2, 2).requires_grad_(requires_grad=False)
    model.bias.requires_grad_()
    optimiser = make_optimiser(model, rate=1e-3, decay=0.1)
    assert [len(group["params"]) for group in optimiser.param_groups] == [0, 1]


@pytest.mark.parametrize("schedule", ["cosine", "cooldown"])
def test_the_rate_warms_stays_and_cools(schedule: str) -> None:
    course = [rate_at(step, 1000, schedule=schedule) for step in range(1000)]  # type: ignore[arg-type]
    assert course[:50] == sorted(course[:50])
    assert course[49] == 1
    assert course[50:] == sorted(course[50:], reverse=True)
    assert all(0 < rate <= 1 for rate in course)
    assert course[-1] < 0.01
    assert (course[700] == 1) == (schedule == "cooldown")


def test_a_run_of_one_step_moves() -> None:
    assert rate_at(0, 1) == 1
