"""The checkpoint keeps the promises of every embedder: unit vectors of the entity and its tile."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch

from encoder.errors import CheckpointError
from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.embedder import DEFAULT_CHECKPOINT, GeoJEPAEmbedder
from encoder.geojepa.model import GeoJEPA
from encoder.protocol import TagCodes, Tiles
from encoder.tagpool import TagPool

SMALL = GeoJEPAConfig(width=16, depth=1, num_heads=2, num_counts=8, region_dim=12)
TAGS = [["amenity=cafe"], ["shop=bakery", "name=Zum Löwen"], ["building=yes"], ["highway=path"], []]
near = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(1)
    model = GeoJEPA(SMALL)
    model.prototypes.copy_(torch.nn.functional.normalize(torch.randn(8, 192), dim=1))
    model.region_scale.fill_(3)
    model.untrained_scale.fill_(2)
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(folder):
    return GeoJEPAEmbedder(folder)


def tokens_of(embedder, *, is_placed=True):
    unique = sorted({tag for tags in TAGS for tag in tags})
    codes = np.array([unique.index(tag) for tags in TAGS for tag in tags], np.int32)
    offsets = np.cumsum([0, *map(len, TAGS)])
    shapes = [
        shapely.Point(24.9, 60.1),
        shapely.box(24.9, 60.1, 24.901, 60.101),
        shapely.box(24.9005, 60.1, 24.9007, 60.1001),
        shapely.LineString([(24.9, 60.1), (24.903, 60.1)]),
        shapely.Point(24.902, 60.1),
    ]
    geometries = np.array(shapes, object) if is_placed else None
    return embedder.tokens(TagCodes(unique, codes, offsets), geometries)


def tiles_of(*tiles, centres=True):
    """Make tiles of members and halo; members are read."""
    members = np.array([row for inside, halo in tiles for row in (*inside, *halo)], np.int64)
    is_halo = np.array([i >= len(inside) for inside, halo in tiles
                        for i in range(len(inside) + len(halo))], np.bool_)  # fmt: skip
    offsets = np.cumsum([0, *(len(inside) + len(halo) for inside, halo in tiles)])
    middle = np.tile([24.901, 60.1], (len(tiles), 1)) if centres else None
    return Tiles(members, offsets.astype(np.int64), is_halo, ~is_halo, middle)


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
    replace(SMALL, context_share=0.3).write(tmp_path)
    assert GeoJEPAEmbedder(tmp_path).fingerprint != embedder.fingerprint


def test_another_tag_table_is_refused(folder, tmp_path):
    GeoJEPA.load(folder).save(tmp_path)
    replace(SMALL, tag_fingerprint="another").write(tmp_path)
    with pytest.raises(CheckpointError, match="trained with tag table another"):
        GeoJEPAEmbedder(tmp_path)


def test_the_shipped_checkpoint_is_whole_and_small():
    model = GeoJEPA.load(DEFAULT_CHECKPOINT)
    assert model.config.tag_fingerprint == TagPool().table_fingerprint
    assert model.region_scale.item() > 0
    size = sum(path.stat().st_size for path in DEFAULT_CHECKPOINT.iterdir())
    assert size < 16e6
