"""Fast products are torch's own but for rounding, and give way where they may not be used."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from encoder.geojepa import onednn_linear
from encoder.geojepa.onednn_linear import Linear, TwoLayers

near = {"rtol": 1e-4, "atol": 1e-4}


def frozen(layer):
    return layer.eval().requires_grad_(requires_grad=False)


torch.manual_seed(0)
LAYER, LAYERS = frozen(Linear(33, 24)), frozen(TwoLayers(33, 40, 24))
numbers = st.sampled_from([0, 1, 2, 63, 64, 65, 255, 256, 257, 700])


def plain(layers, x):
    first, _, second = layers
    hidden = functional.gelu(functional.linear(x, first.weight, first.bias))
    return functional.linear(hidden, second.weight, second.bias)


@given(numbers, st.integers(0, 9))
def test_products_are_those_of_torch(rows, seed):
    x = torch.randn(rows, 33, generator=torch.Generator().manual_seed(seed)) * 3
    wanted = functional.linear(x, LAYER.weight, LAYER.bias)
    torch.testing.assert_close(LAYER(x), wanted, **near)
    torch.testing.assert_close(LAYERS(x), plain(LAYERS, x), **near)


@given(numbers)
def test_a_row_does_not_depend_on_the_others(rows):
    x = torch.randn(700, 33, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(LAYERS(x[:rows]), LAYERS(x)[:rows], **near)


def test_rows_that_do_not_lie_side_by_side():
    x = torch.randn(40, 300).T[:, :33]
    torch.testing.assert_close(LAYER(x), functional.linear(x, LAYER.weight, LAYER.bias), **near)


@pytest.mark.skipif(not onednn_linear._has_onednn(), reason="this torch has no oneDNN")
def test_it_is_fast_where_it_may_be_and_learns_where_it_must(monkeypatch):
    asked = []
    product = onednn_linear._product
    monkeypatch.setattr(onednn_linear, "_product", lambda *args: asked.append(1) or product(*args))
    x = torch.randn(300, 33)
    LAYER(x)
    assert len(asked) == 1
    learning = TwoLayers(33, 40, 24)
    learning(x).sum().backward()
    assert len(asked) == 1
    assert learning[0].weight.grad.abs().sum() > 0
    LAYER(x.double().float().requires_grad_()).sum().backward()
    LAYER.to(torch.float64)(x.double())
    LAYER.to(torch.float32)
    LAYER(x[None])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LAYER(x).dtype == torch.bfloat16
    assert len(asked) == 1


@pytest.mark.parametrize(
    "broken",
    [
        lambda *args: (_ for _ in ()).throw(RuntimeError("no oneDNN")),
        lambda *args: (_ for _ in ()).throw(AttributeError("no such name")),
        lambda x, weight, *args: torch.zeros(len(x), len(weight)),
    ],
)
def test_an_oddity_of_torch_is_not_used(monkeypatch, broken):
    onednn_linear._has_onednn.cache_clear()
    monkeypatch.setattr(onednn_linear, "_product", broken)
    try:
        assert not onednn_linear._has_onednn()
        x = torch.randn(300, 33)
        torch.testing.assert_close(LAYERS(x), plain(LAYERS, x))
    finally:
        onednn_linear._has_onednn.cache_clear()


def test_names_and_first_weights_are_those_of_torch():
    torch.manual_seed(3)
    ours = TwoLayers(5, 6, 7).state_dict()
    torch.manual_seed(3)
    wanted = nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 7)).state_dict()
    assert list(ours) == list(wanted)
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
