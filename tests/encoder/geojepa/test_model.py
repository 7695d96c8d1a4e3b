"""GeoJEPA's latents belong to the tile alone: not to its batch, nor to the order of its tokens."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.errors import CheckpointError
from encoder.geojepa.batch import padded_layout, relative_places, token_runs
from encoder.geojepa.config import CONFIG_NAME, WEIGHTS_NAME, GeoJEPAConfig
from encoder.geojepa.layers import place_features
from encoder.geojepa.model import GeoJEPA, mean_max
from tests.support.geojepa import MODEL, SMALL, make_batch, make_model, near, only

sizes_of_tiles = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@given(sizes_of_tiles, st.integers(0, 99))
def test_latents_do_not_depend_on_the_batch(sizes, seed):
    batch = make_batch(sizes, seed=seed)
    together = MODEL(batch)
    for tile in range(len(sizes)):
        alone = MODEL(only(batch, tile))
        torch.testing.assert_close(alone.region[0], together.region[tile], **near)
        torch.testing.assert_close(alone.counts[0], together.counts[tile], **near)
        of_tile = together.tokens[batch.offsets[tile] : batch.offsets[tile + 1]]
        torch.testing.assert_close(alone.tokens, of_tile, **near)


@given(st.integers(1, 12), st.integers(0, 99))
def test_the_order_of_tokens_changes_no_latent(size, seed):
    batch = make_batch([size], seed=seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(size))
    straight, turned = MODEL(batch), MODEL(only(batch, 0, order))
    torch.testing.assert_close(turned.region, straight.region, **near)
    torch.testing.assert_close(turned.tokens, straight.tokens[order], **near)


def test_a_token_hears_of_the_others_and_of_what_lies_around():
    batch = make_batch([3, 3])
    before = MODEL(batch)
    louder = batch.tags.clone()
    louder[0] += 3
    after = MODEL(batch.replace(tags=louder))
    assert (after.tokens[1] - before.tokens[1]).abs().max() > 1e-3
    torch.testing.assert_close(after.tokens[3:], before.tokens[3:], **near)
    elsewhere = MODEL(batch.replace(around=batch.around + 1))
    assert (elsewhere.tokens - before.tokens).abs().max() > 1e-3


def test_counts_are_those_of_a_loop():
    batch = make_batch([2, 0, 5])
    found = MODEL(batch).counts
    kinds = MODEL.kinds(batch.tags, batch.geometry)
    assert kinds.min() >= 0
    sums = [kinds[0:2].sum(0), torch.zeros(SMALL.num_counts), kinds[2:7].sum(0)]
    torch.testing.assert_close(found, torch.log1p(torch.stack(sums)), **near)


def test_twice_as_many_count_more_where_a_mean_would_not():
    batch = only(make_batch([4]), 0)
    twice = only(batch, 0, torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
    assert (MODEL(twice).counts > MODEL(batch).counts).all()


def test_without_counts_none_are_told():
    model = make_model(replace(SMALL, has_counts=False))
    assert not model(make_batch([3])).counts.any()


def test_without_geometry_none_is_seen():
    model, batch = make_model(replace(SMALL, has_geometry=False)), make_batch([3])
    other = model(batch.replace(geometry=batch.geometry * 2 + 1))
    torch.testing.assert_close(other.region, model(batch).region)


def test_a_missing_part_is_not_a_part_of_zeros():
    features = MODEL.entity_features(torch.zeros(1, 6), torch.ones(1, 4))
    assert features[0, -2:].tolist() == [1, 0]


def test_a_large_tile_attends_to_a_few_of_its_tokens():
    batch = make_batch([50])
    few = make_model(replace(SMALL, max_keys=10))(batch)
    assert few.tokens.isfinite().all()
    assert (few.tokens - MODEL(batch).tokens).abs().max() > 1e-4
    torch.testing.assert_close(few.counts, MODEL(batch).counts)


@given(sizes_of_tiles, st.integers(0, 3))
def test_a_layout_brings_every_row_back(sizes, num_registers):
    offsets = torch.from_numpy(np.append(0, np.cumsum(sizes)).astype(np.int64))
    layout = padded_layout(offsets, num_registers)
    rows = torch.arange(sum(sizes) + num_registers * len(sizes))
    assert torch.equal(rows[layout.index].flatten()[layout.back], rows)
    assert (~layout.is_pad).sum(1).tolist() == [size + num_registers for size in sizes]


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 100))
def test_runs_hold_every_tile_once_and_keep_the_budget(sizes, most_tokens):
    runs = list(token_runs(np.array(sizes, np.int64), most_tokens=most_tokens))
    assert sorted(tile for run in runs for tile in run.tolist()) == list(range(len(sizes)))
    for run in runs:
        assert len(run) == 1 or len(run) * (max(sizes[i] for i in run) + 2) <= most_tokens


def test_places_are_metres_from_the_centre_across_the_antimeridian():
    boxes = np.array([[-179.999, 60, 30, 10, 1, 0], [0, 0, 0, 0, 0, 0]], np.float64)
    place, has_place = relative_places(boxes, np.array([[179.999, 60], [179.999, 60]]))
    assert has_place.tolist() == [True, False]
    assert place[0, 0] == pytest.approx(0.002 * 111_195 / 2, rel=1e-3)
    assert place[0, 2:].tolist() == [30, 10, 1, 0]
    assert not place[1].any()


def test_no_place_has_no_features():
    features = place_features(torch.ones(2, 6), torch.tensor([True, False]))
    assert features[0].any()
    assert not features[1].any()


def test_mean_and_max_of_an_empty_tile_are_zero():
    mean, largest = mean_max(torch.tensor([[-1.0], [-3.0]]), torch.tensor([1, 1]), 2)
    assert mean.tolist() == [[0], [-2]]
    assert largest.tolist() == [[0], [-1]]


@pytest.mark.parametrize(("pooling", "dim"), [("mean", 16), ("mean_max", 32)])
def test_plain_pooling_is_that_of_each_tile_alone(pooling, dim):
    model = make_model(replace(SMALL, pooling=pooling, region_dim=dim))
    batch = make_batch([3, 0, 5])
    found = model(batch)
    for tile, (start, stop) in enumerate([(0, 3), (3, 3), (3, 8)]):
        tokens = found.tokens[start:stop].numpy()
        wanted = np.zeros(dim)
        if len(tokens):
            wanted = np.concatenate([tokens.mean(0), tokens.max(0)])[:dim]
        np.testing.assert_allclose(found.region[tile].numpy(), wanted, **near)
        alone = model(only(batch, tile))
        torch.testing.assert_close(alone.region[0], found.region[tile], **near)


def test_plain_pooling_needs_the_width_it_makes():
    with pytest.raises(CheckpointError, match="want region_dim 32"):
        replace(SMALL, pooling="mean_max")


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    MODEL.save(tmp_path)
    again = GeoJEPA.load(tmp_path)
    assert again.config == SMALL
    batch = make_batch([3, 1])
    torch.testing.assert_close(again(batch).region, MODEL(batch).region)


@pytest.mark.parametrize("most", [3, 10, 40])
def test_what_a_large_tile_attends_to_does_not_depend_on_the_batch(most):
    model = make_model(replace(SMALL, max_keys=most))
    batch = make_batch([30, 2, 50])
    together = model(batch)
    for tile in range(3):
        torch.testing.assert_close(
            model(only(batch, tile)).region[0], together.region[tile], **near
        )
    # and it is bounded: what is not drawn shows in nothing but its own latent
    assert (together.region - MODEL(batch).region).abs().max() > 1e-4


def test_the_forward_pass_is_the_known_one():
    # of this seed, these weights; a change of the model's arithmetic is a change of every index
    found = MODEL(make_batch([3, 1, 4])).region
    assert found[:, 0].tolist() == pytest.approx(GOLDEN, abs=2e-4)


GOLDEN = [-0.351758, 0.148507, -0.235345]


def damage_schema(folder):
    content = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**content, "schema": 99}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / CONFIG_NAME).unlink(), "has no config.json"),
        (lambda folder: (folder / CONFIG_NAME).write_text("{"), "cannot read"),
        (lambda folder: (folder / WEIGHTS_NAME).unlink(), "cannot read"),
        (lambda folder: (folder / WEIGHTS_NAME).write_bytes(b"x" * 50), "cannot read"),
        (damage_schema, "schema 99, this version reads schema 3"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, damage, words):
    MODEL.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        GeoJEPA.load(tmp_path)


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(CheckpointError, match="width 10 is no multiple of num_heads 4"):
        GeoJEPAConfig(width=10)
