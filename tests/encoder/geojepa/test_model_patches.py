"""A model that sees the ground: latents belong to the tile alone, with patches as without."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.geojepa.batch import Patches, padded_layout
from encoder.geojepa.inference import thinned
from encoder.geojepa.model import GeoJEPA
from encoder.protocol import TilePatches
from tests.support.geojepa import (
    MODEL,
    SEEING,
    SEES,
    make_batch,
    make_patches,
    near,
    of_tile,
    only,
)

tiles = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5)


@given(tiles, st.integers(0, 99))
def test_latents_do_not_depend_on_the_batch(sizes, seed):
    entities, looks = zip(*sizes, strict=True)
    batch, patches = make_batch(list(entities), seed=seed), make_patches(looks, seed=seed)
    together = SEES(batch.replace(patches=patches))
    for tile in range(len(sizes)):
        alone = SEES(only(batch, tile).replace(patches=of_tile(patches, tile)))
        torch.testing.assert_close(alone.region[0], together.region[tile], **near)
        ours = together.patches[patches.offsets[tile] : patches.offsets[tile + 1]]
        torch.testing.assert_close(alone.patches, ours, **near)
        tokens = together.tokens[batch.offsets[tile] : batch.offsets[tile + 1]]
        torch.testing.assert_close(alone.tokens, tokens, **near)


@given(st.integers(2, 8), st.integers(0, 99))
def test_the_order_of_patches_does_not_show(count, seed):
    batch, patches = make_batch([3], seed=seed), make_patches([count], seed=seed)
    order = np.random.default_rng(seed).permutation(count)
    found = SEES(batch.replace(patches=patches))
    turned = SEES(batch.replace(patches=of_tile(patches, 0, order)))
    torch.testing.assert_close(turned.region, found.region, **near)
    torch.testing.assert_close(turned.patches, found.patches[order], **near)


def test_patches_show_in_the_region_and_in_the_entities():
    batch = make_batch([3])
    without, with_them = SEES(batch), SEES(batch.replace(patches=make_patches([4])))
    assert (without.region - with_them.region).abs().max() > 1e-3
    assert (without.tokens - with_them.tokens).abs().max() > 1e-4


def test_no_patches_is_the_same_as_none_of_any_tile():
    batch = make_batch([3, 2])
    empty = SEES(batch.replace(patches=make_patches([0, 0])))
    torch.testing.assert_close(empty.region, SEES(batch).region)
    torch.testing.assert_close(empty.tokens, SEES(batch).tokens)


def test_a_tile_of_patches_alone_has_a_region_of_its_own():
    batch, patches = make_batch([0, 0, 0]), make_patches([4, 3, 0])
    found = SEES(batch.replace(patches=patches, around=torch.zeros_like(batch.around)))
    assert found.region.isfinite().all()
    assert len(found.patches) == 7
    one, two, nothing = found.region
    for left, right in ((one, two), (one, nothing), (two, nothing)):
        assert (left - right).abs().max() > 1e-3


def test_where_a_patch_lies_shows():
    batch, patches = make_batch([2]), make_patches([3])
    moved = Patches(patches.images, patches.place + torch.tensor([9.0, 0, 0]), patches.offsets)
    here, there = (SEES(batch.replace(patches=looks)) for looks in (patches, moved))
    assert (here.region - there.region).abs().max() > 1e-4


@given(tiles, st.integers(0, 3))
def test_a_layout_brings_every_row_back_and_keeps_each_in_its_tile(sizes, num_registers):
    entities, looks = (np.array(part) for part in zip(*sizes, strict=True))
    offsets, patch_offsets = (
        torch.from_numpy(np.append(0, np.cumsum(part)).astype(np.int64))
        for part in (entities, looks)
    )
    layout = padded_layout(offsets, num_registers, patch_offsets)
    tile = np.arange(len(sizes))
    of_row = torch.from_numpy(
        np.concatenate([np.repeat(tile, part) for part in (entities, num_registers, looks)])
    )
    rows = torch.arange(len(of_row))
    assert torch.equal(rows[layout.index].flatten()[layout.back], rows)
    assert (~layout.is_pad).sum(1).tolist() == (entities + num_registers + looks).tolist()
    for i in tile.tolist():
        assert (of_row[layout.index[i][~layout.is_pad[i]]] == i).all()


def test_the_forward_pass_is_the_known_one():
    # as that of a model without images: a change of the arithmetic is a change of every index
    found = SEES(make_batch([3, 0, 4]).replace(patches=make_patches([2, 5, 0])))
    assert found.region[:, 0].tolist() == pytest.approx(GOLDEN, abs=2e-4)


GOLDEN = [0.175994, 0.187668, 0.165623]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    SEES.save(tmp_path)
    again = GeoJEPA.load(tmp_path)
    assert again.config == SEEING
    batch = make_batch([3, 1]).replace(patches=make_patches([2, 3]))
    torch.testing.assert_close(again(batch).region, SEES(batch).region)


def test_a_model_without_images_does_not_see_them():
    batch = make_batch([3, 2])
    seen = MODEL(batch.replace(patches=make_patches([4, 1])))
    torch.testing.assert_close(seen.region, MODEL(batch).region)
    assert seen.patches is None


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 6))
def test_a_tile_keeps_at_most_so_many_patches_in_order(counts, most):
    total = sum(counts)
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    images, place = np.arange(total, dtype=np.float32)[:, None], np.zeros((total, 3), np.float32)
    found = thinned(TilePatches(images, place, offsets), most)
    assert np.diff(found.offsets).tolist() == [min(count, most) for count in counts]
    for tile, count in enumerate(counts):
        kept = found.images[found.offsets[tile] : found.offsets[tile + 1], 0] - offsets[tile]
        assert (np.diff(kept) >= 1).all()
        if count:
            # evenly: no gap is more than one longer than it must be
            ends = np.concatenate([[-1], kept, [count]])
            assert np.diff(ends).max() <= -(-count // len(kept)) + 1
