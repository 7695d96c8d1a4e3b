"""Vectors depend on nothing but what is stated, to the last bit."""

import pytest
import torch

from encoder.relational.config import RelationalConfig
from encoder.relational.model import EntityInputs, Graph, RelationalNet

_CONFIG = RelationalConfig(num_tokens=40)
_RELATIONS = _CONFIG.num_relations


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return RelationalNet(_CONFIG).eval()


def ragged(counts):
    return torch.cat((torch.zeros(1, dtype=torch.long), counts.cumsum(0)))


def a_map(num, seed=0):
    """Make random entities, each related to others of the same ten."""
    random = torch.Generator().manual_seed(seed)

    def whole(low, high, *shape):
        return torch.randint(low, high, shape, generator=random)

    token_offsets = ragged(whole(0, 6, num))
    offsets = ragged(whole(0, 4, num * _RELATIONS))
    owner = torch.arange(num).repeat_interleave(torch.diff(offsets[::_RELATIONS]))
    rows = (owner // 10 * 10 + whole(0, 10, len(owner))).clamp(max=num - 1)
    inputs = EntityInputs(
        tags=torch.randn(num, _CONFIG.tag_dim, generator=random),
        token_ids=whole(0, _CONFIG.num_tokens, int(token_offsets[-1])),
        token_offsets=token_offsets,
        geometry=torch.randn(num, _CONFIG.geometry_dim, generator=random),
        numbers=torch.randn(num, 2 * _CONFIG.num_numbers, generator=random),
        degrees=torch.log1p(torch.diff(offsets).view(num, -1).float()),
    )
    return inputs, Graph(rows, offsets, torch.rand(num, generator=random) < 0.2)


def taken(inputs, graph, kept):
    """Return some entities, in the order of `kept`, with the rows of their lists that are kept."""

    def ragged_take(values, offsets, width):
        starts, counts = offsets[:-1].view(-1, width), torch.diff(offsets).view(-1, width)
        starts, counts = starts[kept].flatten(), counts[kept].flatten()
        new = ragged(counts)
        place = torch.arange(int(new[-1])) - (new[:-1] - starts).repeat_interleave(counts)
        return values[place], new

    token_ids, token_offsets = ragged_take(inputs.token_ids, inputs.token_offsets, 1)
    rows, offsets = ragged_take(graph.rows, graph.offsets, _RELATIONS)
    place = torch.full((len(inputs),), -1)
    place[kept] = torch.arange(len(kept))
    assert (place[rows] >= 0).all()
    some = EntityInputs(
        inputs.tags[kept], token_ids, token_offsets, inputs.geometry[kept], inputs.numbers[kept],
        inputs.degrees[kept],
    )  # fmt: skip
    return some, Graph(place[rows], offsets, graph.is_wide[kept])


def test_embed_is_forward(net):
    inputs, graph = a_map(700)
    for found, wanted in zip(net.embed(inputs, graph), net(inputs, graph), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_company_and_order_change_no_bit(net, seed):
    inputs, graph = a_map(1000)
    whole = net.embed(inputs, graph)
    random = torch.Generator().manual_seed(seed)
    # rows are related within their ten
    tens = torch.randperm(100, generator=random)[: 1 + 33 * seed]
    kept = (tens[:, None] * 10 + torch.arange(10)).flatten()
    kept = kept[torch.randperm(len(kept), generator=random)]
    for found, wanted in zip(net.embed(*taken(inputs, graph, kept)), whole, strict=True):
        assert torch.equal(found, wanted[kept])


def chain(num):
    """Relate each entity to the next, by every relation."""
    inputs, _ = a_map(num)
    following = (torch.arange(num) + 1).clamp(max=num - 1)
    rows = following.repeat_interleave(_RELATIONS)
    offsets = torch.arange(num * _RELATIONS + 1)
    return inputs, Graph(rows, offsets, torch.zeros(num, dtype=torch.bool))


def changed_rows(net, graph, inputs, row):
    before = net.embed(inputs, graph)
    tags = inputs.tags.clone()
    tags[row] += 1
    after = net.embed(EntityInputs(**{**vars(inputs), "tags": tags}), graph)
    return [torch.flatten((one != other).any(dim=1).nonzero()).tolist()
            for one, other in zip(before, after, strict=True)]  # fmt: skip


def test_two_steps_and_no_more(net):
    inputs, graph = chain(9)
    assert changed_rows(net, graph, inputs, 5) == [[5], [3, 4, 5]]


def test_nothing_flows_through_the_wide(net):
    inputs, graph = chain(9)
    graph.is_wide[4] = True
    assert changed_rows(net, graph, inputs, 5) == [[5], [4, 5]]
    assert changed_rows(net, graph, inputs, 4) == [[4], [2, 3, 4]]


def test_who_stands_alone_is_heard_by_none(net):
    inputs, _ = a_map(5)
    alone = Graph(
        torch.zeros(0, dtype=torch.long),
        torch.zeros(5 * _RELATIONS + 1, dtype=torch.long),
        torch.zeros(5, dtype=torch.bool),
    )
    own, latent = net.embed(inputs, alone)
    assert own.isfinite().all()
    assert latent.isfinite().all()
    assert changed_rows(net, alone, inputs, 2) == [[2], [2]]


def test_no_entities(net):
    inputs, graph = a_map(1)
    nothing = taken(inputs, graph, torch.zeros(0, dtype=torch.long))
    assert [len(found) for found in net.embed(*nothing)] == [0, 0]


def test_gradients_reach_every_weight(net):
    inputs, graph = a_map(50)
    own, latent = net(inputs, graph)
    (own.square().mean() + latent.square().mean()).backward()
    assert all(weight.grad is not None for weight in net.parameters())
    net.zero_grad()
