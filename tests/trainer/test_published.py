"""What scripts/ema-published.toml sets back to the published GeoJEPA is what it says."""

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.progress import Silent
from tests.support.training import plain_masks, small_config, some_tiles, tiles_of_boxes
from trainer.config import TrainConfig, read_config
from trainer.data.dataset import make_material
from trainer.masks.patches import IMAGE_WAYS, draw_patch_masks
from trainer.masks.sample import draw_masks
from trainer.masks.types import MASKS, RaggedTiles
from trainer.masks.units import units_of
from trainer.run.fabric import launch
from trainer.run.loop import train

SCRIPTS = Path(__file__).parents[2] / "scripts"
PUBLISHED = SCRIPTS / "ema-published.toml"
RESTORED: dict[str, dict[str, Any]] = {
    "masks": {"linked": False, "drawn": "batch", "disjoint": False, "area_test": "centroid"},
    "objective": {"balanced": False, "ema_scope": "blocks"},
    "optimiser": {"decays_all": True},
}
seeds = st.integers(0, 10_000)


def flat(config: TrainConfig) -> dict[str, Any]:
    return {
        f"{table}.{name}": value
        for table, settings in asdict(config).items()
        if isinstance(settings, dict)
        for name, value in settings.items()
    }


def along_a_line(x: np.ndarray, half: np.ndarray, *, num_tiles: int) -> RaggedTiles:
    """Tiles that all hold the same entities: middles and half widths on one line, metres."""
    n = len(x) * num_tiles
    x, half, nothing = np.tile(x, num_tiles), np.tile(half, num_tiles), np.zeros(n)
    bbox_m = np.column_stack([x - half, nothing, x + half, nothing])
    return tiles_of_boxes(np.arange(num_tiles + 1) * (n // num_tiles), bbox_m)


def test_it_is_the_mended_recipe_with_the_defects_restored() -> None:
    mended, published = flat(read_config(SCRIPTS / "ema.toml")), flat(read_config(PUBLISHED))
    restored = {f"{t}.{name}": v for t, names in RESTORED.items() for name, v in names.items()}
    assert restored.items() <= published.items()
    numbers = {"shares", "context_frac", "target_frac", "aspect"}
    differs = {name for name, value in mended.items() if published[name] != value}
    assert differs == set(restored) | {f"masks.{name}" for name in numbers}


def test_nothing_is_restored_unless_asked_for() -> None:
    default = flat(TrainConfig())
    for table, names in RESTORED.items():
        for name, value in names.items():
            assert default[f"{table}.{name}"] != value


def test_a_related_entity_may_be_seen_while_another_is_asked_for() -> None:
    tiles = some_tiles(0, num_tiles=100)
    unit = units_of(tiles.link, tiles.offsets)
    for linked in (True, False):
        config = plain_masks(shares={"area": 1.0, "random": 1.0}, linked=linked)
        masks = draw_masks(tiles, config, np.random.default_rng(0))
        seen, asked = unit[masks.sees_geometry], unit[masks.asks_geometry]
        assert (len(np.intersect1d(seen, asked)) == 0) == linked


@given(seeds)
def test_a_batch_may_have_one_mask(seed: int) -> None:
    masks = draw_masks(some_tiles(seed), plain_masks(drawn="batch"), np.random.default_rng(seed))
    assert len(set(masks.mask.tolist())) == 1


def test_batches_have_the_shares_that_tiles_would_have() -> None:
    tiles, config = some_tiles(0, num_tiles=2, most=2), plain_masks(drawn="batch")
    rng = np.random.default_rng(0)
    found = [int(draw_masks(tiles, config, rng).mask[0]) for _ in range(2000)]
    want = [config.shares.get(name, 0.0) for name in MASKS]
    np.testing.assert_allclose(np.bincount(found, minlength=len(MASKS)) / 2000, want, atol=0.04)


@given(seeds, st.sampled_from(["tile", "batch"]))
def test_a_batch_may_lose_one_modality(seed: int, drawn: Any) -> None:
    tiles = some_tiles(seed, num_tiles=40)
    config = plain_masks(shares={"modality": 1.0}, drawn=drawn)
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    assert (masks.asks_code.any() and masks.asks_geometry.any()) == (drawn == "tile")


@pytest.mark.parametrize(("drawn", "num_ways"), [("tile", 2), ("batch", 1)])
def test_a_batch_may_see_the_same_of_images(drawn: Any, num_ways: int) -> None:
    tiles = some_tiles(0, num_tiles=40)
    rng = np.random.default_rng(0)
    masks = draw_masks(tiles, plain_masks(), rng)
    shares = dict.fromkeys(IMAGE_WAYS[:3], 1.0)
    for _ in range(10):
        patches = draw_patch_masks(tiles, masks, np.arange(41), shares, rng, drawn=drawn)[1]
        assert len(set(patches.sees.tolist())) == num_ways


@given(seeds, st.sampled_from(["area", "hole", "random"]))
def test_what_is_no_target_is_seen_and_no_tile_goes_blind(seed: int, name: str) -> None:
    tiles = some_tiles(seed)
    tiles.has_geometry[:] = True
    config = plain_masks(shares={name: 1.0}, disjoint=False, context_frac=(0.1, 0.15))
    masks = draw_masks(tiles, config, np.random.default_rng(seed))
    assert (masks.sees_geometry | masks.asks_geometry).all()
    for flags in (masks.sees_geometry, masks.asks_geometry):
        assert np.logical_or.reduceat(flags, tiles.offsets[:-1]).all()


@pytest.mark.parametrize(("target", "left", "least"), [(0.45, 0.0915, 0.1), (0.2, 0.41, 0.1)])
def test_four_targets_leave_little_and_the_context_overlaps_them(
    target: float, left: float, least: float
) -> None:
    tiles = along_a_line(np.linspace(-200, 200, 100), np.zeros(100), num_tiles=300)
    config = plain_masks(
        shares={"random": 1.0}, disjoint=False,
        target_frac=(target, target), context_frac=(least, least),
    )  # fmt: skip
    masks = draw_masks(tiles, config, np.random.default_rng(0))
    assert (~masks.asks_geometry).mean() == pytest.approx(left, abs=0.01)
    overlap = masks.sees_geometry & masks.asks_geometry
    assert overlap.any() == (left < least)
    # only what a context lacks is drawn again
    assert overlap.mean() < 0.05


def test_a_box_may_hold_what_has_its_middle_there() -> None:
    # the first is as long as all, its middle beyond the others
    x, half = np.append(400.0, np.linspace(-200, 200, 19)), np.append(650.0, np.zeros(19))
    tiles = along_a_line(x, half, num_tiles=200)
    seen = {}
    for test in ("box", "centroid"):
        config = plain_masks(
            shares={"area": 1.0}, area_test=test, context_frac=(0.3, 0.3), aspect=1.0
        )
        masks = draw_masks(tiles, config, np.random.default_rng(0))
        seen[test] = masks.sees_geometry.reshape(200, 20)[:, 0].mean()
    assert seen["box"] == 1
    assert seen["centroid"] < 0.1


def test_a_box_may_keep_to_the_middle_of_its_tile() -> None:
    x = np.linspace(-200, 200, 41)
    tiles = along_a_line(x, np.zeros(41), num_tiles=500)
    furthest = {}
    for test in ("box", "centroid"):
        config = plain_masks(shares={"area": 1.0}, area_test=test, context_frac=(0.03, 0.03))
        masks = draw_masks(tiles, config, np.random.default_rng(0))
        furthest[test] = np.abs(np.tile(x, 500)[masks.sees_geometry]).max()
    assert furthest["box"] > 190
    assert furthest["centroid"] <= 0.6 * 200 + 10


def small_published(towns: Path) -> TrainConfig:
    content = tomllib.loads(PUBLISHED.read_text("utf-8"))
    model = {"pooling": "mean_max", "region_dim": 32, "has_counts": False, "has_words": False}
    return small_config(
        masks=content["masks"], objective=content["objective"], model=model,
        optimiser={"epochs": 6, "rate": 3e-3, "decays_all": True}, monitors={"probe_tiles": 10},
    )  # fmt: skip


def test_it_trains(towns: Path, tmp_path: Path) -> None:
    config = small_published(towns)
    tokens = towns.parent / "tokens"
    outcome = train([towns], tmp_path / "run", config, tokens=tokens, device="cpu")
    assert outcome.reason == "done"
    assert np.isfinite(outcome.best_score)


def test_what_is_watched_has_a_mask_for_each_tile(towns: Path) -> None:
    config = small_config(
        masks={"drawn": "batch", "shares": {"area": 1.0, "random": 1.0, "modality": 1.0}}
    )
    fabric = launch(config.device, "cpu")
    material = make_material(fabric, [towns], towns.parent / "tokens", config, Silent())
    assert max(len(set(batch.views[0].mask.tolist())) for batch in material.probes) > 1
