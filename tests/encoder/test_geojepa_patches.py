"""A model that sees the ground: latents belong to the tile alone, with patches as without."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.embedder import TilePatches
from encoder.geojepa_latents import thinned
from encoder.geojepa_regions import joined_parts, patch_looks, region_columns
from encoder.token_batch import Patches
from tests.encoder.test_geojepa import MODEL, SMALL, make_batch, make_model, near, only

SEEING = replace(SMALL, image_dim=5)
SEES = make_model(SEEING)


def make_patches(counts, *, seed=0):
    rng = np.random.default_rng(seed)
    total = sum(counts)
    place = np.column_stack([rng.normal(0, 40, (total, 2)), np.full(total, 9.6)])
    return Patches(
        images=torch.from_numpy(rng.normal(size=(total, 5)).astype(np.float32)),
        place=torch.from_numpy(place.astype(np.float32)),
        offsets=torch.from_numpy(np.append(0, np.cumsum(counts)).astype(np.int64)),
    )


def of_tile(patches, tile, order=None):
    at = torch.arange(*patches.offsets[tile : tile + 2].tolist())
    at = at[slice(None) if order is None else order]
    return Patches(patches.images[at], patches.place[at], torch.tensor([0, len(at)]))


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
    empty = batch.replace(patches=make_patches([0, 0]))
    torch.testing.assert_close(SEES(empty).region, SEES(batch).region)


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


def test_looks_are_mean_and_deviation_and_nothing_where_nothing_is_seen():
    images = np.array([[1.0, 2], [3, 2], [5, 5]], np.float16)
    looks = patch_looks(images, np.array([0, 2, 2, 3]))
    assert looks[0].tolist() == [2, 2, 1, 0]
    assert np.isnan(looks[1]).all()
    assert looks[2].tolist() == [5, 5, 0, 0]


@pytest.mark.parametrize("model", [MODEL, SEES])
def test_parts_of_a_region_fill_its_vector(model):
    config = model.config
    latents = np.ones((2, config.region_dim), np.float32)
    counts = np.zeros((2, config.num_counts), np.float32)
    words = np.zeros((2, config.num_words), np.float32)
    looks = np.full((2, 2 * config.image_dim), np.nan, np.float32)
    looks[0] = 3
    joined = joined_parts(model, latents, counts, words, looks)
    columns = region_columns(config)
    assert [at.start for at in columns.values()] == [0, *(a.stop for a in columns.values())][:-1]
    assert joined.shape[1] == list(columns.values())[-1].stop
    assert ("looks" in columns) == bool(config.image_dim)
    if config.image_dim:
        assert (joined[0, columns["looks"]] == 3).all()
        assert not joined[1, columns["looks"]].any()
