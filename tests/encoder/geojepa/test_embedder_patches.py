"""The checkpoint that sees: region vectors of the ground and the map, still of the tile alone."""

from dataclasses import replace

import numpy as np
import pytest

from encoder.geojepa.embedder import GeoJEPAEmbedder
from encoder.geojepa.model import GeoJEPA
from encoder.protocol import TilePatches
from encoder.tagpool import TagPool
from tests.support.geojepa import SMALL_CHECKPOINT, near, save_checkpoint, tiles_of, tokens_of

SEEING = replace(SMALL_CHECKPOINT, image_dim=5, image_fingerprint="of these tokens", max_patches=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("seeing"), SEEING)


@pytest.fixture(scope="module")
def embedder(folder):
    return GeoJEPAEmbedder(folder)


def patches_of(*counts, seed=0):
    rng = np.random.default_rng(seed)
    total = sum(counts)
    place = np.column_stack([rng.normal(0, 40, (total, 2)), np.full(total, 9.6)])
    return TilePatches(
        rng.normal(size=(total, 5)).astype(np.float16),
        place.astype(np.float32),
        np.append(0, np.cumsum(counts)).astype(np.int64),
    )


def of_tile(patches, tile):
    at = slice(*patches.offsets[tile : tile + 2].tolist())
    images = patches.images[at]
    return TilePatches(images, patches.place[at], np.array([0, len(images)]))


def test_it_says_which_tokens_it_reads(embedder):
    assert embedder.image_fingerprint == "of these tokens"
    assert TagPool().image_fingerprint == ""
    parts = list(embedder.region_parts)
    assert parts == ["latent", "counts", "looks", "scale", "words", "rest"]
    assert embedder.region_parts["rest"].stop == embedder.region_dim


def test_tiles_do_not_depend_on_their_batch(embedder):
    tokens = tokens_of(embedder)
    tiles = [([0, 1], [2]), ([3, 4], []), ([0, 1, 2, 3, 4], []), ([], [0]), ([2], [0, 1, 3])]
    # more than it sees at once, none, a few, nothing but these, one
    patches = patches_of(20, 0, 3, 4, 1)
    contextual, regions = embedder.tiles(tokens, replace(tiles_of(*tiles), patches=patches))
    start = 0
    for i, (tile, region) in enumerate(zip(tiles, regions, strict=True)):
        one = replace(tiles_of(tile), patches=of_tile(patches, i))
        alone, of_alone = embedder.tiles(tokens, one)
        np.testing.assert_allclose(of_alone[0], region, **near)
        np.testing.assert_allclose(alone, contextual[start : start + len(alone)], **near)
        start += len(alone)


def test_what_holds_nothing_but_ground_is_like_the_ground(embedder):
    tiles = replace(tiles_of(([], [0, 1]), ([], [])), patches=patches_of(4, 0))
    _, (seen, nothing) = embedder.tiles(tokens_of(embedder), tiles)
    assert np.linalg.norm(seen) == pytest.approx(1, rel=1e-5)
    assert not nothing.any()


def test_looks_are_told_where_something_is_seen(folder, embedder):
    tiles = replace(tiles_of(([0], []), ([0], [])), patches=patches_of(3, 0))
    _, (seen, blind) = embedder.tiles(tokens_of(embedder), tiles)
    looks, scale = embedder.region_parts["looks"], embedder.region_parts["scale"]
    mean = patches_of(3).images.astype(np.float64).mean(axis=0)
    slope = GeoJEPA.load(folder).ground_slope.numpy()
    # of no width that was trained on: the second slope says nothing
    want = np.concatenate([mean / 2 @ slope[: len(mean)], mean])
    # unit length scales all parts; looks longer than nearly all of the constant are shortened
    length = np.linalg.norm(seen[looks.start : scale.stop])
    shown = want * min(1, 0.9 * 3 / np.linalg.norm(want))
    np.testing.assert_allclose(seen[looks] / length * 3, shown, rtol=1e-3, atol=1e-3)
    assert not blind[looks].any()
    _, (alone,) = embedder.tiles(tokens_of(embedder), tiles_of(([0], [])))
    np.testing.assert_allclose(alone, blind, **near)


def test_a_checkpoint_that_does_not_see_takes_no_notice(tmp_path):
    embedder = GeoJEPAEmbedder(save_checkpoint(tmp_path, SMALL_CHECKPOINT))
    assert embedder.image_fingerprint == ""
    assert "looks" not in embedder.region_parts
    tokens, tiles = tokens_of(embedder), tiles_of(([0, 1], [2]), ([3], []))
    seen = embedder.tiles(tokens, replace(tiles, patches=patches_of(4, 2)))
    for ours, theirs in zip(seen, embedder.tiles(tokens, tiles), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_random_weights_tell_every_part_in_the_same_proportion(folder, embedder):
    untrained = GeoJEPAEmbedder(folder, is_untrained=True)
    tiles = replace(tiles_of(([0, 1, 2], [3])), patches=patches_of(4))
    (ours,), (theirs,) = (
        found.tiles(tokens_of(found), tiles)[1] for found in (embedder, untrained)
    )
    # what goes past the network is the same, beside the constant; words are so wholly
    scale, words = embedder.region_parts["scale"], embedder.region_parts["words"]
    for part in ("counts", "looks"):
        at = embedder.region_parts[part]
        np.testing.assert_allclose(ours[at] / ours[scale], theirs[at] / theirs[scale], **near)
    np.testing.assert_allclose(ours[words], theirs[words], **near)
