"""Tiles side by side by size hear what padded and masked tiles hear."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.geojepa.batch import drawn_keys, padded_layout
from encoder.geojepa.layers import Block
from encoder.geojepa.varlen_attention import length_buckets

near = {"rtol": 1e-4, "atol": 1e-5}
torch.manual_seed(0)
BLOCK = Block(16, 2, 3).eval().requires_grad_(requires_grad=False)

# tokens and patches of each tile
tiles = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=8)


def offsets_of(sizes):
    return torch.from_numpy(np.append(0, np.cumsum(sizes)).astype(np.int64))


@given(tiles, st.integers(1, 3), st.booleans())
def test_every_packed_row_has_one_place_in_its_tile(tiles, num_registers, has_patches):
    tokens, patches = offsets_of([n for n, _ in tiles]), offsets_of([p for _, p in tiles])
    runs = length_buckets(tokens, num_registers, patches if has_patches else None, max_keys=99)
    n, b = int(tokens[-1]), len(tiles)
    owners = [np.repeat(np.arange(b), np.diff(tokens)), np.repeat(np.arange(b), num_registers)]
    if has_patches:
        owners.append(np.repeat(np.arange(b), np.diff(patches)))
    owner = np.concatenate(owners)
    assert torch.equal(runs.order[runs.back], torch.arange(len(owner)))
    start = 0
    for run in runs.runs:
        for _ in range(run.num_tiles):
            rows = runs.order[start : start + run.size].tolist()
            tile = owner[rows[0]]
            first = n + tile * num_registers
            assert rows[:num_registers] == list(range(first, first + num_registers))
            assert sorted(rows) == np.flatnonzero(owner == tile).tolist()
            start += run.size
    assert start == len(owner)


@given(tiles, st.integers(1, 3), st.sampled_from([3, 8, 99]), st.integers(0, 9))
def test_it_is_what_padding_and_masks_make(tiles, num_registers, most, seed):
    tokens, patches = offsets_of([n for n, _ in tiles]), offsets_of([p for _, p in tiles])
    rows = int(tokens[-1] + patches[-1]) + num_registers * len(tiles)
    x = torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed))
    layout = padded_layout(tokens, num_registers, patches)
    wanted = BLOCK(x, layout, drawn_keys(layout, num_registers, most))
    runs = length_buckets(tokens, num_registers, patches, max_keys=most)
    torch.testing.assert_close(BLOCK(x[runs.order], runs)[runs.back], wanted, **near)


def test_gradients_are_those_of_padding():
    tokens, most = offsets_of([3, 0, 12, 3]), 8
    x = torch.randn(18 + 8, 16)
    layout = padded_layout(tokens, 2)
    runs = length_buckets(tokens, 2, max_keys=most)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    (BLOCK(one, layout, drawn_keys(layout, 2, most)) ** 2).sum().backward()
    (BLOCK(other[runs.order], runs)[runs.back] ** 2).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_many_rows_become_few_numbers_of_rows():
    places = {len(length_buckets(offsets_of([n]), 2, max_keys=9).order) for n in range(300, 600)}
    assert places == {512, 768}
