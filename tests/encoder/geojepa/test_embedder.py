"""The checkpoint keeps the promises of every embedder: unit vectors of the entity and its tile."""

from dataclasses import replace

import numpy as np
import pytest

from encoder.errors import CheckpointError
from encoder.geojepa.embedder import DEFAULT_CHECKPOINT, GeoJEPAEmbedder
from encoder.geojepa.model import GeoJEPA
from encoder.tagpool import TagPool
from tests.support.geojepa import SMALL_CHECKPOINT, near, save_checkpoint, tiles_of, tokens_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), SMALL_CHECKPOINT)


@pytest.fixture(scope="module")
def embedder(folder):
    return GeoJEPAEmbedder(folder)


def test_vectors_have_unit_length_and_the_said_parts(embedder):
    tokens = tokens_of(embedder)
    contextual, regions = embedder.tiles(tokens, tiles_of(([0, 1, 2, 3, 4], []), ([0], [1, 2])))
    own = embedder.own(tokens)
    assert contextual.shape == (6, embedder.dim)
    assert regions.shape == (2, embedder.region_dim)
    for parts, width in (
        (embedder.parts, embedder.dim),
        (embedder.region_parts, embedder.region_dim),
    ):
        columns = [column for part in parts.values() for column in range(part.start, part.stop)]
        assert columns == list(range(width))
    for vectors in (own, contextual, regions):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_an_entity_alone_is_that_of_the_untrained_pooling(embedder):
    tokens = tokens_of(embedder)
    own = embedder.own(tokens)
    np.testing.assert_allclose(own[:, : TagPool().dim], TagPool().own(tokens), **near)
    assert not own[:, embedder.parts["context"]].any()


def test_tiles_do_not_depend_on_their_batch(embedder):
    tokens = tokens_of(embedder)
    tiles = [([0, 1], [2]), ([3, 4], []), ([0, 1, 2, 3, 4], []), ([2], [0, 1, 3])]
    contextual, regions = embedder.tiles(tokens, tiles_of(*tiles))
    start = 0
    for tile, region in zip(tiles, regions, strict=True):
        alone, of_alone = embedder.tiles(tokens, tiles_of(tile))
        np.testing.assert_allclose(of_alone[0], region, **near)
        np.testing.assert_allclose(alone, contextual[start : start + len(alone)], **near)
        start += len(alone)


def test_the_order_of_entities_changes_nothing(embedder):
    tokens = tokens_of(embedder)
    order = np.array([3, 0, 4, 2, 1])
    contextual, regions = embedder.tiles(tokens, tiles_of(([0, 1, 2, 3, 4], [])))
    turned, same = embedder.tiles(tokens.take(order), tiles_of(([0, 1, 2, 3, 4], [])))
    np.testing.assert_allclose(turned, contextual[order], **near)
    np.testing.assert_allclose(same, regions, **near)


def test_the_halo_is_seen_but_not_counted(embedder):
    tokens = tokens_of(embedder)
    _, (alone, seen) = embedder.tiles(tokens, tiles_of(([0], []), ([0], [1, 2, 3])))
    counts, latent, scale = (embedder.region_parts[part] for part in ("counts", "latent", "scale"))
    # parts are compared beside the constant: unit length scales them all
    ratio = alone[scale] / seen[scale]
    np.testing.assert_allclose(alone[counts], seen[counts] * ratio, **near)
    assert np.abs(alone[latent] - seen[latent] * ratio).max() > 1e-3


def test_more_of_the_same_points_elsewhere(embedder):
    tokens = tokens_of(embedder)
    many = tokens.take(np.array([0] * 20))
    _, (one, twenty) = embedder.tiles(many, tiles_of(([0], []), (list(range(20)), [])))
    assert one @ twenty < 0.999


def test_what_holds_nothing_is_like_nothing(embedder):
    _, regions = embedder.tiles(tokens_of(embedder), tiles_of(([], [0, 1])))
    assert not regions.any()


def test_without_centres_the_middle_of_the_members_is_taken(embedder):
    tokens = tokens_of(embedder)
    one = tiles_of(([0], []), centres=False)
    at = replace(one, centres=np.array([[24.9, 60.1]]))
    np.testing.assert_allclose(
        embedder.tiles(tokens, one)[1], embedder.tiles(tokens, at)[1], **near
    )


def test_tags_without_a_place_have_a_region(embedder):
    tokens = tokens_of(embedder, is_placed=False)
    _, regions = embedder.tiles(tokens, tiles_of(([0], []), centres=False))
    np.testing.assert_allclose(np.linalg.norm(regions, axis=1), 1, rtol=1e-5)


def test_random_weights_make_other_latents_of_the_same_statistics(folder, embedder):
    untrained = GeoJEPAEmbedder(folder, is_untrained=True)
    assert untrained.name == "geojepa:untrained"
    assert untrained.fingerprint != embedder.fingerprint
    tokens, tiles = tokens_of(embedder), tiles_of(([0, 1, 2], [3]))
    (one,), (other,) = embedder.tiles(tokens, tiles)[1], untrained.tiles(tokens, tiles)[1]
    assert one @ other < 0.999
    again = GeoJEPAEmbedder(folder, is_untrained=True).tiles(tokens, tiles)[1][0]
    np.testing.assert_allclose(again, other, **near)


def test_a_folder_is_its_own_name(folder, embedder):
    assert embedder.name == str(folder.resolve())
    assert GeoJEPAEmbedder(DEFAULT_CHECKPOINT).name == "geojepa"


def test_the_fingerprint_is_of_weights_and_settings(folder, embedder, tmp_path):
    GeoJEPA.load(folder).save(tmp_path)
    assert GeoJEPAEmbedder(tmp_path).fingerprint == embedder.fingerprint
    replace(SMALL_CHECKPOINT, context_share=0.3).write(tmp_path)
    assert GeoJEPAEmbedder(tmp_path).fingerprint != embedder.fingerprint


def test_another_tag_table_is_refused(folder, tmp_path):
    GeoJEPA.load(folder).save(tmp_path)
    replace(SMALL_CHECKPOINT, tag_fingerprint="another").write(tmp_path)
    with pytest.raises(CheckpointError, match="trained with tag table another"):
        GeoJEPAEmbedder(tmp_path)


def test_the_shipped_checkpoint_is_whole_and_small():
    model = GeoJEPA.load(DEFAULT_CHECKPOINT)
    assert model.config.tag_fingerprint == TagPool().table_fingerprint
    assert model.region_scale.item() > 0
    size = sum(path.stat().st_size for path in DEFAULT_CHECKPOINT.iterdir())
    assert size < 16e6
