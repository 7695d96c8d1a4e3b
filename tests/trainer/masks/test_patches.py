"""No patch is both seen and asked for; each way hides what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import plain_masks, some_tiles
from trainer.data.ragged import lengths_to_offsets, owners
from trainer.masks.patches import IMAGE_WAYS, draw_patch_masks
from trainer.masks.sample import draw_masks


def drawn(seed, shares):
    tiles = some_tiles(seed)
    rng = np.random.default_rng(seed)
    masks = draw_masks(tiles, plain_masks(), rng)
    sizes = rng.integers(0, 6, len(tiles.offsets) - 1)
    offsets = lengths_to_offsets(sizes)
    return tiles, masks, offsets, *draw_patch_masks(tiles, masks, offsets, shares, rng)


@given(st.integers(0, 200))
def test_nothing_is_both_seen_and_asked_for(seed):
    tiles, _, offsets, masks, patches = drawn(seed, dict.fromkeys(IMAGE_WAYS, 1.0))
    assert not (patches.sees & patches.asks).any()
    assert (patches.sees | patches.asks).all()
    assert not (masks.sees_code & masks.asks_code).any()
    assert not (masks.sees_geometry & masks.asks_geometry).any()
    assert not (masks.asks_geometry & ~tiles.has_geometry).any()
    assert len(patches.sees) == offsets[-1]


@pytest.mark.parametrize("way", IMAGE_WAYS)
def test_a_way_hides_what_it_says(way):
    tiles, before, offsets, masks, patches = drawn(3, {way: 1.0})
    has_patches = np.diff(offsets) > 0
    entity = has_patches[owners(tiles.offsets)]
    code = entity[owners(tiles.code_offsets)]
    if way == "images":
        assert patches.sees.all()
        assert not masks.sees_code[code].any()
        assert not masks.sees_geometry[entity].any()
        assert masks.asks_code[code].all()
        assert (masks.asks_geometry[entity] == tiles.has_geometry[entity]).all()
        code, entity = ~code, ~entity  # where nothing is seen of the ground, nothing changes
    else:
        assert patches.sees.any() == (way != "map")
        assert patches.asks.any() == (way in {"map", "some"})
        code, entity = code | True, entity | True
    np.testing.assert_array_equal(masks.sees_code[code], before.sees_code[code])
    np.testing.assert_array_equal(masks.sees_geometry[entity], before.sees_geometry[entity])
