"""A run over an index with imagery: tiles with patches, what lies under them, a model that sees."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch

import geoindex
from encoder.geojepa.model import GeoJEPA
from geoindex.encoders import load_image_tokeniser
from geoindex.imagery.patch_store import Images
from tests.support.training import small_config
from trainer.data.build_cache import cache_tokens
from trainer.data.cache import TokenCache
from trainer.data.image_cache import read_patches
from trainer.data.training_tiles import pooled_tags
from trainer.run.loop import train
from trainer.run.state import Progress


@pytest.fixture(scope="module")
def cache(seen: Path, towns: Path) -> TokenCache:
    return cache_tokens([seen, towns], towns.parent / "tokens", resolutions=[9])


def test_image_tiles_are_the_cells_that_have_patches(cache: TokenCache, seen: Path) -> None:
    index = geoindex.open(seen)
    counts = np.diff(Images(index).offsets)
    (tiles,) = cache.image_tiles()
    cells = np.asarray(index.cells.column("cell"), np.uint64)
    np.testing.assert_array_equal(tiles.cells, cells[counts > 0])
    patches = read_patches(cache.folder, 1, tags=pooled_tags(cache), num_before=2)
    np.testing.assert_array_equal(patches.sizes, [0, 0, *counts[counts > 0]])


def test_what_lies_under_a_patch_is_what_shapely_says(cache: TokenCache) -> None:
    (tiles,) = cache.image_tiles()
    tags = pooled_tags(cache)
    patches = read_patches(cache.folder, 1, tags=tags, num_before=0)
    metres = 111_195.0
    for tile in range(0, len(tiles), 7):
        lon, lat = tiles.centres[tile]
        east = metres * np.cos(np.radians(lat))
        members = tiles.members[tiles.offsets[tile] : tiles.offsets[tile + 1]]
        boxes = [cache.bbox[row] for row in members]
        houses = [
            shapely.box((w - lon) * east, (s - lat) * metres, (e - lon) * east, (n - lat) * metres)
            for w, s, e, n in boxes
        ]
        for at in range(patches.offsets[tile], patches.offsets[tile + 1]):
            x, y, width = patches.place[at].astype(float)
            square = shapely.box(x - width / 2, y - width / 2, x + width / 2, y + width / 2)
            shares = [house.intersection(square).area / square.area for house in houses]
            want = sum(
                share * tags[row] for share, row in zip(shares, members.tolist(), strict=True)
            )
            np.testing.assert_allclose(patches.ground[at], want, atol=2e-3)
    assert (np.abs(patches.ground).max(axis=1) > 0.1).mean() > 0.1


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("loss")]


SMALL: dict[str, dict[str, Any]] = {
    "optimiser": {"epochs": 1},
    "model": {"num_words": 4, "max_patches": 16},
}


@pytest.fixture(scope="module")
def whole_run(seen: Path, towns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    tokens = towns.parent / "tokens"
    train([seen, towns], folder, small_config(**SMALL), tokens=tokens, device="cpu")
    return folder


def test_a_run_learns_from_imagery_and_from_maps_without(
    whole_run: Path, towns: Path, tmp_path: Path
) -> None:
    model = GeoJEPA.load(whole_run / "best")
    tokens = load_image_tokeniser("statistics")
    assert model.config.image_dim == tokens.dim
    assert model.config.image_fingerprint == tokens.fingerprint
    assert model.image_deviation.min() > 0
    assert not torch.equal(model.look_deviation, torch.ones_like(model.look_deviation))
    ground = [float(row["ground"]) for row in losses(whole_run)]
    assert any(value > 0 for value in ground)
    assert all(np.isfinite(value) for value in ground)
    built = geoindex.build(towns, tmp_path / "towns.geoindex", encoder=str(whole_run / "best"))
    assert np.isfinite(built.vectors("cells")).all()


def test_an_interrupted_run_meets_the_same_losses(
    whole_run: Path, seen: Path, towns: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    folder, tokens = tmp_path / "cut", towns.parent / "tokens"
    config = small_config(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        train([seen, towns], folder, config, tokens=tokens, device="cpu", on_step=stop)
    # sources in another order are the same sources
    train([towns, seen], folder, config, tokens=tokens, device="cpu")
    wanted, found = losses(whole_run), losses(folder)
    assert len(wanted) > 3
    for name in ("step", "loss", "ground"):
        np.testing.assert_allclose(
            [float(row[name]) for row in found],
            [float(row[name]) for row in wanted],
            rtol=1e-3,
            atol=1e-4,
        )


def test_a_model_without_patch_tokens_learns_no_patch_and_still_tells_how_tiles_look(
    seen: Path, towns: Path, tmp_path: Path
) -> None:
    model_of = {**SMALL["model"], "has_patch_tokens": False}
    config = small_config(**{**SMALL, "model": model_of})
    folder = tmp_path / "run"
    train([seen, towns], folder, config, tokens=towns.parent / "tokens", device="cpu")
    assert not any(row.get("ground") for row in losses(folder))
    model = GeoJEPA.load(folder / "best")
    tokens = load_image_tokeniser("statistics")
    assert model.config.image_fingerprint == tokens.fingerprint
    assert not hasattr(model, "image_in")
    assert model.ground_slope.any()
    # patches of one width: what depends on it is nothing
    dim = model.config.image_dim
    assert model.ground_widths[0] == model.ground_widths[1]
    assert not model.ground_slope[dim:].any()
    assert not torch.equal(model.look_deviation, torch.ones_like(model.look_deviation))


def test_a_map_alone_makes_a_model_that_does_not_see(towns: Path, tmp_path: Path) -> None:
    train(
        [towns], tmp_path / "run", small_config(**SMALL),
        tokens=towns.parent / "tokens", device="cpu",
    )  # fmt: skip
    model = GeoJEPA.load(tmp_path / "run" / "best")
    assert (model.config.image_dim, model.config.image_fingerprint) == (0, "")
    assert not any(row.get("ground") for row in losses(tmp_path / "run"))
