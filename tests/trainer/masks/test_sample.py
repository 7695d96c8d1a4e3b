import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import plain_masks, some_tiles, tiles_of_boxes
from trainer.data.ragged import owners
from trainer.masks.sample import draw_masks
from trainer.masks.types import MASKS, Masks, RaggedTiles

seeds = st.integers(0, 10_000)


def drawn(seed: int, **shares: float) -> tuple[RaggedTiles, Masks]:
    tiles = some_tiles(seed)
    config = plain_masks(shares=shares) if shares else plain_masks()
    return tiles, draw_masks(tiles, config, np.random.default_rng(seed))


def by_tile(tiles: RaggedTiles, *columns: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    ends = tiles.offsets.tolist()
    spans = list(itertools.pairwise(ends))
    return [tuple(column[start:stop] for column in columns) for start, stop in spans]


@given(seeds)
def test_nothing_is_both_seen_and_asked_for(seed: int) -> None:
    _, masks = drawn(seed)
    assert not (masks.sees_code & masks.asks_code).any()
    assert not (masks.sees_geometry & masks.asks_geometry).any()


@given(seeds)
def test_a_missing_geometry_is_neither_seen_nor_asked_for(seed: int) -> None:
    tiles, masks = drawn(seed)
    assert not (masks.sees_geometry | masks.asks_geometry)[~tiles.has_geometry].any()


@given(seeds)
def test_what_repeats_an_entity_shares_its_fate(seed: int) -> None:
    tiles, masks = drawn(seed)
    tile = owners(tiles.offsets)
    for name in ("sees_geometry", "asks_geometry"):
        fate: dict[tuple[int, int], bool] = {}
        for i in np.flatnonzero(tiles.has_geometry):
            unit = (int(tile[i]), int(tiles.link[i]))
            flag = bool(getattr(masks, name)[i])
            assert fate.setdefault(unit, flag) == flag, name


@given(seeds, st.sampled_from(["area", "hole", "random"]))
def test_entity_masks_treat_an_entity_as_one(seed: int, name: str) -> None:
    tiles, masks = drawn(seed, **{name: 1.0})
    owner = owners(tiles.code_offsets)
    has = tiles.has_geometry[owner]
    np.testing.assert_array_equal(masks.sees_code[has], masks.sees_geometry[owner][has])
    np.testing.assert_array_equal(masks.asks_code[has], masks.asks_geometry[owner][has])


@given(seeds)
def test_context_and_targets_keep_to_their_shares(seed: int) -> None:
    tiles = some_tiles(seed, num_tiles=5, most=200)
    # no doubles: shares can then be kept to an entity
    tiles.link[:] = np.arange(len(tiles.link))
    tiles.has_geometry[:] = True
    config = plain_masks(shares={"area": 1, "hole": 1, "random": 1})
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    sizes = np.diff(tiles.offsets)
    seen = np.add.reduceat(masks.sees_geometry, tiles.offsets[:-1])
    asked = np.add.reduceat(masks.asks_geometry, tiles.offsets[:-1])
    for size, some, others in zip(sizes, seen, asked, strict=True):
        assert 1 <= some <= max(0.6 * size + 1, 1)
        assert some >= 0.3 * size - 1
        assert others <= max(0.4 * size + 1, 1)
        assert size == 1 or others >= max(1, 0.15 * size - 1)


@given(seeds)
def test_an_area_context_is_what_one_box_overlaps(seed: int) -> None:
    tiles = some_tiles(seed, num_tiles=3)
    tiles.link[:] = np.arange(len(tiles.link))
    tiles.has_geometry[:] = True
    config = plain_masks(shares={"area": 1.0}, aspect=1.0)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    for start, stop in zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True):
        boxes = shapely.box(*tiles.bbox_m[start:stop].astype(float).T)
        seen = masks.sees_geometry[start:stop]
        centres = shapely.centroid(boxes)
        # some entity is the centre: the seen are nearer to it, by the larger of both gaps
        west, south, east, north = shapely.bounds(boxes).T
        x, y = shapely.get_x(centres)[:, None], shapely.get_y(centres)[:, None]
        gap = np.maximum(
            np.maximum(np.maximum(west - x, x - east), 0),
            np.maximum(np.maximum(south - y, y - north), 0),
        )
        furthest_seen = np.where(seen, gap, -np.inf).max(axis=1)
        nearest_unseen = np.where(seen, np.inf, gap).min(axis=1)
        assert (furthest_seen <= nearest_unseen + 2e-3).any()


@given(seeds)
def test_a_modality_mask_asks_only_for_what_it_hides(seed: int) -> None:
    tiles, masks = drawn(seed, modality=1.0)
    np.testing.assert_array_equal(masks.sees_code, ~masks.asks_code)
    has = tiles.has_geometry
    np.testing.assert_array_equal(masks.sees_geometry[has], ~masks.asks_geometry[has])
    tile = owners(tiles.offsets)
    asks_tags = np.bincount(tile[owners(tiles.code_offsets)], masks.asks_code, len(masks.mask)) > 0
    asks_geometry = np.bincount(tile, masks.asks_geometry, len(masks.mask)) > 0
    assert not (asks_tags & asks_geometry).any()


@given(seeds)
def test_a_kind_mask_hides_all_of_a_kind(seed: int) -> None:
    tiles = some_tiles(seed)
    tiles.has_geometry[:] = True
    config = plain_masks(shares={"class": 1.0}, key_frac=0.0)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    np.testing.assert_array_equal(masks.sees_geometry, ~masks.asks_geometry)
    for hidden, kind in by_tile(tiles, masks.asks_geometry, tiles.kind):
        # what is linked to the kind goes with it, so other kinds may be among the hidden
        assert any(hidden[kind == name].all() for name in np.unique(kind[hidden]))


@given(seeds)
def test_a_key_mask_hides_its_tags_and_what_it_names(seed: int) -> None:
    tiles = some_tiles(seed)
    tiles.has_geometry[:] = True
    config = plain_masks(shares={"class": 1.0}, key_frac=1.0)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    tile = owners(tiles.offsets)
    owner = owners(tiles.code_offsets)
    for i in range(len(masks.mask)):
        of_tile = tile[owner] == i
        partly = of_tile & masks.asks_code & ~masks.asks_geometry[owner]
        keys = np.unique(tiles.keys[partly])
        assert len(keys) <= 1
        for key in keys:
            assert masks.asks_code[of_tile & (tiles.keys == key)].all()
            assert masks.asks_geometry[(tile == i) & (tiles.main_key == key)].all()


@given(seeds, st.floats(0.1, 0.9))
def test_a_class_mask_leaves_enough_to_see(seed: int, least: float) -> None:
    tiles = some_tiles(seed)
    tiles.has_geometry[:] = True
    config = plain_masks(shares={"class": 1.0}, class_least_frac=least)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    for seen, _ in by_tile(tiles, masks.sees_geometry, tiles.kind):
        assert seen.mean() >= least - 1e-9


def test_tag_dropout_hides_and_does_not_ask() -> None:
    tiles = some_tiles(3, num_tiles=200)
    config = plain_masks(shares={"modality": 1.0}, tag_dropout=0.25)
    masks = draw_masks(tiles, config, np.random.default_rng(0))
    neither = ~(masks.sees_code | masks.asks_code)
    assert 0.2 < neither.sum() / (~masks.asks_code).sum() < 0.3


def test_masks_are_drawn_for_each_tile() -> None:
    _, masks = drawn(1)
    assert len(set(masks.mask.tolist())) > 2
    every = some_tiles(2, num_tiles=4000, most=3)
    found = draw_masks(every, plain_masks(), np.random.default_rng(0)).mask
    shares = np.bincount(found, minlength=len(MASKS)) / len(found)
    want = [plain_masks().shares.get(name, 0.0) for name in MASKS]
    np.testing.assert_allclose(shares, want, atol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_state_draws_the_same_masks(seed: int) -> None:
    for left, right in zip(drawn(seed)[1], drawn(seed)[1], strict=True):
        np.testing.assert_array_equal(left, right)


def test_box_centres_follow_the_entities() -> None:
    # nine of ten entities stand in the west: there most contexts lie
    n = 20 * 400
    x = np.where(np.arange(n) % 10 == 0, 150.0, -150.0)
    tiles = tiles_of_boxes(
        np.arange(0, n + 1, 20), np.column_stack([x, np.zeros(n), x, np.zeros(n)])
    )
    config = plain_masks(shares={"area": 1.0}, context_frac=(0.1, 0.1))
    masks = draw_masks(tiles, config, np.random.default_rng(0))
    west = masks.sees_geometry.reshape(-1, 20)[:, np.arange(20) % 10 != 0].any(axis=1)
    assert 0.85 < west.mean() < 0.95


@given(seeds, st.sampled_from(["area", "random", "modality", "none"]))
def test_a_class_may_be_hidden_on_top_of_any_mask(seed: int, name: str) -> None:
    tiles = some_tiles(seed)
    config = plain_masks(shares={name: 1.0}, class_frac=1.0, key_frac=0.5)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    tile = owners(tiles.offsets)
    hidden = tiles.kind == masks.hidden_kind[tile]
    hidden |= tiles.main_key == masks.hidden_key[tile]
    assert not masks.sees_geometry[hidden].any()
    assert not masks.sees_code[hidden[owners(tiles.code_offsets)]].any()
    of_key = tiles.keys == masks.hidden_key[tile][owners(tiles.code_offsets)]
    assert not masks.sees_code[of_key].any()
    assert not (masks.sees_code & masks.asks_code).any()
    assert not (masks.sees_geometry & masks.asks_geometry).any()
