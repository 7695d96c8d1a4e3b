"""A run over an index with imagery: tiles with patches, what lies under them, a model that sees."""

import csv
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch

import geoindex
from encoder.geojepa import GeoJEPA
from geoindex.errors import UsageError
from geoindex.images.stored import Images
from geoindex.models import load_image_tokeniser
from tests.trainer.small_models import small_config
from trainer.image_files import check_same_tokens, read_patches
from trainer.loop import train
from trainer.token_cache import cache_tokens
from trainer.token_files import TokenCache
from trainer.training_tiles import pooled_tags


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


def test_a_run_learns_from_imagery_and_from_maps_without(
    seen: Path, towns: Path, tmp_path: Path
) -> None:
    config = small_config(optimiser={"epochs": 1}, model={"num_words": 4, "max_patches": 16})
    folder = tmp_path / "run"
    train([seen, towns], folder, config, tokens=towns.parent / "tokens", device="cpu")
    model = GeoJEPA.load(folder / "best")
    tokens = load_image_tokeniser("statistics")
    assert model.config.image_dim == tokens.dim
    assert model.config.image_fingerprint == tokens.fingerprint
    assert model.image_deviation.min() > 0
    assert not torch.equal(model.look_deviation, torch.ones_like(model.look_deviation))
    ground = [float(row["ground"]) for row in losses(folder)]
    assert any(value > 0 for value in ground)
    assert all(np.isfinite(value) for value in ground)
    built = geoindex.build(towns, tmp_path / "towns.geoindex", encoder=str(folder / "best"))
    assert np.isfinite(built.vectors("cells")).all()


def test_tokens_of_two_kinds_are_refused() -> None:
    one = {"tokens": "statistics", "fingerprint": "a" * 16}
    check_same_tokens([one, one])
    with pytest.raises(UsageError, match="2 kinds"):
        check_same_tokens([one, {"tokens": "efficientnet", "fingerprint": "b" * 16}])
