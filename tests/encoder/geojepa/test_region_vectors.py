"""A region vector holds counts, words, what patches tell of the map, and a rest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.geojepa.inference import thinned
from encoder.geojepa.region_vectors import joined_parts, patch_looks, region_columns
from encoder.protocol import TilePatches
from tests.support.geojepa import (
    MODEL,
    SEEING,
    SEES,
    make_batch,
    make_model,
    make_patches,
    of_tile,
)


def draw_buffers(model, *names, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        shape = model.get_buffer(name).shape
        model.get_buffer(name).copy_(torch.from_numpy(rng.uniform(0.5, 2, shape)))


def as_arrays(patches):
    return TilePatches(patches.images.numpy(), patches.place.numpy(), patches.offsets.numpy())


@pytest.mark.parametrize(
    ("width_m", "at"), [(4, -1.0), (8, 0.0), (16, 1.0), (8 * 2**0.5, 0.5), (1, -1.0), (99, 1.0)]
)
def test_the_ground_under_a_patch_is_told_by_its_width_too(width_m, at):
    config = SEEING
    model = make_model(config)
    draw_buffers(model, "image_mean", "image_deviation", "ground_slope", "ground_mean")
    model.ground_widths.copy_(torch.tensor([2.0, 4.0]))
    patches = make_patches([3])
    patches.place[:, 2] = width_m
    (looks,) = patch_looks(model, as_arrays(patches))
    plain, by_width, alone = model.ground_slope.split([config.image_dim, config.image_dim, 1])
    slope = plain + at * by_width
    told = model.standard_images(patches.images) @ slope + at * alone + model.ground_mean
    np.testing.assert_allclose(looks[: config.tag_dim], told.mean(0), rtol=1e-4, atol=1e-4)


def test_of_one_width_nothing_is_told_by_it():
    model = make_model(SEEING)
    draw_buffers(model, "ground_slope")
    model.ground_widths.fill_(2)
    small, large = make_patches([3]), make_patches([3])
    large.place[:, 2] = 99
    found = [patch_looks(model, as_arrays(patches)) for patches in (small, large)]
    np.testing.assert_array_equal(*found)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 99))
def test_looks_are_what_patches_tell_of_the_map_and_their_mean(counts, seed):
    model = make_model(SEEING)
    draw_buffers(model, "image_mean", "image_deviation", "ground_slope", "ground_mean", seed=seed)
    model.ground_low.fill_(-1)
    model.ground_high.copy_(torch.linspace(0, 3, SEEING.tag_dim))
    patches = make_patches(counts, seed=seed)
    looks = patch_looks(model, as_arrays(patches))
    assert looks.shape == (len(counts), SEEING.look_dim)
    for tile, count in enumerate(counts):
        if not count:
            assert np.isnan(looks[tile]).all()
            continue
        images = of_tile(patches, tile).images
        # of each patch alone, within what can be there, then the mean
        # of no width that was trained on: the second slope says nothing
        slope = model.ground_slope[: SEEING.image_dim]
        told = model.standard_images(images) @ slope + model.ground_mean
        told = torch.minimum(torch.maximum(told, model.ground_low), model.ground_high)
        want = torch.cat([told.mean(0), images.mean(0)])
        np.testing.assert_allclose(looks[tile], want, rtol=1e-4, atol=1e-4)


def test_a_model_without_patch_tokens_reads_none():
    model = make_model(replace(SEEING, has_patch_tokens=False))
    batch = make_batch([3, 0])
    seen, blind = model(batch.replace(patches=make_patches([4, 2]))), model(batch)
    torch.testing.assert_close(seen.region, blind.region)
    assert seen.patches is None
    # how the ground looks goes past the network
    assert region_columns(model.config)["looks"] == region_columns(SEEING)["looks"]


@pytest.mark.parametrize("model", [MODEL, SEES])
def test_parts_of_a_region_fill_its_vector(model):
    config = model.config
    latents = np.ones((2, config.region_dim), np.float32)
    counts = np.zeros((2, config.num_counts), np.float32)
    words = np.zeros((2, config.num_words), np.float32)
    looks = np.full((2, config.look_dim), np.nan, np.float32)
    looks[0] = 3
    model.region_scale.fill_(100)
    joined = joined_parts(model, latents, counts, words, looks)
    columns = region_columns(config)
    assert [at.start for at in columns.values()] == [0, *(a.stop for a in columns.values())][:-1]
    assert joined.shape[1] == list(columns.values())[-1].stop
    assert ("looks" in columns) == bool(config.image_dim)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, rtol=1e-6)
    if config.image_dim:
        looked = joined[0, columns["looks"]]
        np.testing.assert_allclose(looked, 3 * joined[0, 0], rtol=1e-6)
        assert not joined[1, columns["looks"]].any()


def test_few_patches_are_all_kept():
    patches = TilePatches(np.ones((5, 2)), np.ones((5, 3), np.float32), np.array([0, 2, 5]))
    assert thinned(patches, 3) is patches


def test_parts_stand_side_by_side_standardised():
    model = make_model(SEEING)
    rng = np.random.default_rng(0)
    widths = {"count": 8, "word": SEEING.num_words, "look": SEEING.look_dim}
    draw_buffers(model, *(f"{name}_{part}" for name in widths for part in ("mean", "deviation")))
    drawn = {name: rng.normal(size=(3, width)).astype(np.float32) for name, width in widths.items()}
    model.region_scale.fill_(7)
    latents = rng.normal(size=(3, SEEING.region_dim)).astype(np.float32)
    model.word_deviation.mul_(100)
    unit = joined_parts(model, latents, drawn["count"], drawn["word"], drawn["look"])
    columns = region_columns(SEEING)
    ratio = np.linalg.norm(latents, axis=1) / np.linalg.norm(unit[:, columns["latent"]], axis=1)
    joined = unit * ratio[:, None]
    np.testing.assert_allclose(joined[:, columns["latent"]], latents, rtol=1e-5)
    # looks are taken from the scale: together they are as long as it is where nothing is seen
    both = joined[:, columns["looks"].start : columns["scale"].stop]
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 7, rtol=1e-5)
    # words are not scaled by what else there is
    words = unit * (1 + 0.9**2) ** 0.5
    for vectors, part, name in (
        (joined, "counts", "count"),
        (words, "words", "word"),
        (joined, "looks", "look"),
    ):
        mean, deviation = (
            getattr(model, f"{name}_{kind}").numpy() for kind in ("mean", "deviation")
        )
        np.testing.assert_allclose(
            vectors[:, columns[part]], (drawn[name] - mean) / deviation, rtol=1e-5, atol=1e-6
        )


def test_many_words_are_shortened_and_leave_the_length_of_words_and_rest():
    model = make_model(SEEING)
    model.region_scale.fill_(7)
    columns, ones = region_columns(SEEING), np.ones((3, SEEING.num_words), np.float32)
    said = ones * np.array([[0], [0.01], [100]], np.float32)
    zeros = [np.zeros((3, width), np.float32) for width in (SEEING.region_dim, 8)]
    joined = joined_parts(model, *zeros, said)
    words, rest = joined[:, columns["words"]], joined[:, columns["rest"]]
    long = np.linalg.norm(words, axis=1)
    both = 0.9 / (1 + 0.9**2) ** 0.5
    np.testing.assert_allclose(np.hypot(long, rest[:, 0]), both, rtol=1e-5)
    assert long[0] == 0
    assert 0 < long[1] < both / 2
    assert long[2] == pytest.approx(both, rel=1e-5)
    # the others are as long as before
    np.testing.assert_allclose(joined[:, columns["scale"]], (1 - both**2) ** 0.5, rtol=1e-5)


def test_looks_leave_the_rest_as_it_is_and_no_scale_is_used_up():
    model = make_model(SEEING)
    model.region_scale.fill_(7)
    columns = region_columns(SEEING)
    zeros = [np.zeros((3, w), np.float32) for w in (SEEING.region_dim, 8, SEEING.num_words)]
    looks = np.zeros((3, SEEING.look_dim), np.float32)
    looks[1, 2], looks[2, 2] = 5, 50
    joined = joined_parts(model, *zeros, looks)
    scale, looked = joined[:, columns["scale"]], joined[:, columns["looks"]]
    # nothing else is here: looks and scale are all that is not words
    share = (1 + 0.9**2) ** -0.5 / 7
    np.testing.assert_allclose(np.linalg.norm(np.hstack([looked, scale]), axis=1), 7 * share)
    assert not looked[0].any()
    assert looked[1, 2] == pytest.approx(5 * share)
    # too long: shortened, in the same direction
    assert 5 * share < looked[2, 2] < 7 * share
    assert scale[2] > 0


def test_an_ablation_tells_neither_counts_nor_words():
    model = make_model(replace(SEEING, has_counts=False, has_words=False))
    ones = [np.ones((2, width), np.float32) for width in (12, 8, SEEING.num_words)]
    joined, columns = joined_parts(model, *ones), region_columns(SEEING)
    assert not joined[:, columns["counts"]].any()
    assert not joined[:, columns["words"]].any()
    # of tiles of which nothing is seen, no look is told
    assert not joined[:, columns["looks"]].any()
