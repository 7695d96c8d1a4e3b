from pathlib import Path

import numpy as np
import pytest
import torch

from encoder.geojepa.context_counts import log_counts
from tests.support.training import plain_masks
from trainer.data.batch import MODALITIES
from trainer.data.build_cache import cache_tokens
from trainer.data.cache import TokenCache
from trainer.data.collate import make_batch, part_batch, whole_batch
from trainer.data.image_cache import read_patches
from trainer.data.ragged import owners
from trainer.data.sample_entities import Drawn, draw_entities
from trainer.data.training_tiles import TrainingTiles, joined_tiles, pooled_tags


@pytest.fixture(scope="module")
def cache(towns: Path) -> TokenCache:
    return cache_tokens([towns], towns.parent / "tokens", resolutions=[9])


@pytest.fixture(scope="module")
def tiles(cache: TokenCache) -> TrainingTiles:
    nearest = np.arange(len(cache)) % 5 - 1
    level = cache.tiles(9)
    tags = pooled_tags(cache)
    patches = read_patches(cache.folder, 0, tags=tags, num_before=len(level))
    said = (np.arange(len(cache.tag_weights)) % 7 - 1).astype(np.int16)
    found = joined_tiles([level], nearest=nearest, num_prototypes=4, said=said, patches=patches)
    found.holds = np.zeros((len(found), 3), np.float32)
    return found


def drawn_of(tiles: TrainingTiles, most: int = 512) -> Drawn:
    rng = np.random.default_rng(0)
    return draw_entities(tiles, np.arange(len(tiles)), most=most, most_patches=8, rng=rng)


def test_a_whole_tile_is_its_entities(cache: TokenCache, tiles: TrainingTiles) -> None:
    batch = whole_batch(cache, drawn_of(tiles))
    np.testing.assert_array_equal(batch.offsets.numpy(), tiles.offsets)
    np.testing.assert_allclose(batch.tags.numpy(), pooled_tags(cache)[tiles.members], atol=1e-6)
    np.testing.assert_array_equal(batch.geometry.numpy(), cache.geometry[tiles.members])
    around = log_counts(tiles.nearest[tiles.halo], tiles.halo_offsets, num_prototypes=4)
    np.testing.assert_allclose(batch.around.numpy(), around)


def test_a_large_tile_is_drawn_from(cache: TokenCache, tiles: TrainingTiles) -> None:
    drawn = drawn_of(tiles, most=5)
    sizes = np.diff(drawn.offsets)
    np.testing.assert_array_equal(sizes, np.minimum(tiles.sizes, 5))
    tile = owners(drawn.offsets)
    pairs = set(zip(tile.tolist(), drawn.rows.tolist(), strict=True))
    assert len(pairs) == len(drawn.rows)
    everyone = zip(owners(tiles.offsets).tolist(), tiles.members.tolist(), strict=True)
    assert pairs <= set(everyone)


@pytest.mark.parametrize("name", ["area", "hole", "random", "modality", "class", "none"])
def test_what_is_hidden_leaves_no_trace(cache: TokenCache, tiles: TrainingTiles, name: str) -> None:
    drawn = drawn_of(tiles)
    batch = make_batch(
        cache,
        drawn,
        masks=plain_masks(shares={name: 1.0}),
        num_views=2,
        most_queries=10_000,
        rng=np.random.default_rng(1),
    )
    assert batch.whole is not None
    for view in batch.views:
        context, queries = view.context, view.queries
        tile_of_token = owners(drawn.offsets)
        # a token stays in its tile, and is what it is in the whole
        np.testing.assert_array_equal(
            context.tile.numpy(), tile_of_token[view.context_token.numpy()]
        )
        whole = batch.whole.geometry[view.context_token]
        shows = context.geometry.any(-1)
        torch.testing.assert_close(context.geometry[shows], whole[shows])
        # without geometry, a place has a centre and nothing more
        assert not context.place[~shows, 2:].any()
        of_shape = queries.modality == MODALITIES.index("geometry")
        assert not queries.place[of_shape, 2:].any()
        assert not queries.geometry[of_shape].any()
        # no query's geometry is seen in the context
        asked = set(queries.token[of_shape].tolist())
        assert not asked & set(view.context_token[shows].tolist())
        # no entity that repeats it is seen there, either
        links = [(int(tile_of_token[i]), int(cache.link[drawn.rows[i]])) for i in asked]
        seen = view.context_token[shows].tolist()
        assert not set(links) & {
            (int(tile_of_token[i]), int(cache.link[drawn.rows[i]])) for i in seen
        }
        assert (name == "none") == (len(queries.token) == 0)


def test_around_hides_the_class_that_is_hidden(cache: TokenCache, tiles: TrainingTiles) -> None:
    drawn = drawn_of(tiles)

    def around(**shares: float) -> torch.Tensor:
        found = make_batch(
            cache,
            drawn,
            masks=plain_masks(shares=shares),
            num_views=1,
            most_queries=8,
            rng=np.random.default_rng(1),
        )
        return found.views[0].context.around

    full = torch.from_numpy(drawn.halo.counts())
    torch.testing.assert_close(around(random=1.0), full)
    hidden = around(**{"class": 1.0})
    assert (hidden <= full).all()
    assert (hidden < full).any(dim=1).float().mean() > 0.5


def test_queries_keep_to_their_number(cache: TokenCache, tiles: TrainingTiles) -> None:
    batch = make_batch(
        cache,
        drawn_of(tiles),
        masks=plain_masks(shares={"random": 1.0}),
        num_views=1,
        most_queries=3,
        with_whole=False,
        rng=np.random.default_rng(1),
    )
    assert batch.whole is None
    assert int(batch.views[0].queries.offsets.diff().max()) == 3
    assert batch.num_tokens == len(tiles.members)


def test_parts_of_a_tile_know_nothing_of_each_other(
    cache: TokenCache, tiles: TrainingTiles
) -> None:
    drawn = drawn_of(tiles)
    keep = np.arange(len(drawn.rows)) % 2 == 0
    left = part_batch(cache, drawn, keep=keep)
    right = part_batch(cache, drawn, keep=~keep)
    assert len(left.tags) + len(right.tags) == len(drawn.rows)
    assert not left.around.any()
    tags = part_batch(cache, drawn, keep=keep, with_geometry=False)
    assert not tags.geometry.any()
    assert not tags.place[:, 2:].any()
    assert not part_batch(cache, drawn, keep=keep, with_tags=False).tags.any()
