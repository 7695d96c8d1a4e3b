import pytest
import torch

from encoder.geojepa.model import GeoJEPA
from tests.support.training import small_shape
from trainer.objectives.ema import Ema, momentum_at


def changed(model: GeoJEPA) -> GeoJEPA:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
        model.geometry_mean += 2
    return model


def test_the_average_covers_every_parameter_from_tokens_to_embedding() -> None:
    model = GeoJEPA(small_shape())
    ema = Ema(model)
    before = {name: part.clone() for name, part in model.named_parameters()}
    ema.update(changed(model), momentum=0.75)
    averaged = dict(ema.module.named_parameters())
    assert set(averaged) == set(before)
    assert {name.split(".")[0] for name in averaged} >= {
        "token_in", "place_in", "registers", "blocks", "norm_out", "region_out", "count_in"
    }  # fmt: skip
    for name, old in before.items():
        torch.testing.assert_close(averaged[name], old + 0.25)


def test_the_average_shares_no_memory_and_takes_no_gradient() -> None:
    model = GeoJEPA(small_shape())
    ema = Ema(model)
    own = {part.data_ptr() for part in ema.module.state_dict().values()}
    assert not own & {part.data_ptr() for part in model.state_dict().values()}
    assert not any(part.requires_grad for part in ema.parameters())
    assert all(part.requires_grad for part in model.parameters())


def test_buffers_follow_at_once() -> None:
    model = GeoJEPA(small_shape())
    ema = Ema(model)
    ema.update(changed(model), momentum=0.99)
    assert torch.equal(ema.module.geometry_mean, model.geometry_mean)


def test_the_published_scope_averages_the_transformer_alone() -> None:
    model = GeoJEPA(small_shape())
    ema = Ema(model, is_averaged=lambda name: name.startswith("blocks."))
    ema.update(changed(model), momentum=0.75)
    online = dict(model.named_parameters())
    for name, part in ema.module.named_parameters():
        assert torch.equal(part, online[name]) != name.startswith("blocks."), name


def test_it_stays_in_evaluation_mode() -> None:
    ema = Ema(GeoJEPA(small_shape()))
    ema.train()
    assert not ema.module.training


def test_momentum_climbs_from_first_to_last() -> None:
    course = [momentum_at(step, 100, first=0.9, last=1.0) for step in range(100)]
    assert course == sorted(course)
    assert course[0] == pytest.approx(0.9)
    assert course[-1] == pytest.approx(1.0)
