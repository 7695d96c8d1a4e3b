"""Vectors see the ground when the encoder was trained to, and are what they were when not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyproj
import pytest
import torch

import geoindex
from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.model import GeoJEPA
from geoindex.api import Index
from geoindex.encoders import load_image_tokeniser
from geoindex.geo.h3 import centres
from geoindex.imagery.cell_patches import CellImages
from geoindex.imagery.patch_store import ImageFiles, Images
from geoindex.pipeline.build import build_index
from geoindex.pipeline.read import open_source
from geoindex.storage.layout import CELLS, search_files
from tests.support.imagery_files import RESOLUTION, request_for
from tests.support.reporters import RecordingReporter

SHAPE = GeoJEPAConfig(
    width=16, depth=1, num_heads=2, num_counts=8, vocabulary_size=4, region_dim=12
)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights that reads the tokens of `statistics`."""
    tokens = load_image_tokeniser("statistics")
    torch.manual_seed(0)
    shape = replace(SHAPE, image_dim=tokens.dim, image_fingerprint=tokens.fingerprint)
    folder = tmp_path_factory.mktemp("seeing")
    model = GeoJEPA(shape)
    model.region_scale.fill_(1)
    model.save(folder)
    return folder


def cells_of(index: Index) -> tuple[np.ndarray, np.ndarray]:
    return index.cells.column("cell"), index.cells.column("resolution")


def cell_images(index: Index) -> CellImages:
    cells, levels = cells_of(index)
    finest = np.asarray(cells, np.uint64)[levels == RESOLUTION]
    files = ImageFiles(search_files(index.path).folder)
    first = int(np.flatnonzero(levels == RESOLUTION)[0])
    return CellImages(files, finest, first_row=first, patch_m=16.0)


def test_a_coarse_tile_has_the_patches_of_its_cells_where_they_lie(index: Index) -> None:
    cells, levels = cells_of(index)
    coarse = np.asarray(cells, np.uint64)[levels == 9]
    found = cell_images(index).of(coarse, resolution=9)
    images = Images(index)
    assert len(found.images) == len(images.tokens)
    geod = pyproj.Geod(ellps="WGS84")
    for tile in range(len(coarse)):
        at = slice(*found.offsets[tile : tile + 2].tolist())
        tokens = found.images[at]
        lon, lat = (float(part[0]) for part in centres(coarse[tile : tile + 1]))
        for token, (east, north, width) in zip(tokens[::40], found.place[at][::40], strict=True):
            assert width == 16
            # the same token in its own cell, told from that cell's centre
            row = int(np.flatnonzero((images.tokens == token).all(axis=1))[0])
            cell = int(np.searchsorted(images.offsets, row, side="right")) - 1
            x, y = images.places_m[row]
            clon, clat = (float(part[0]) for part in centres(np.array([cells[cell]], np.uint64)))
            here = geod.fwd(clon, clat, np.degrees(np.arctan2(x, y)), np.hypot(x, y))[:2]
            azimuth, _, away = geod.inv(lon, lat, *here)
            told = away * np.sin(np.radians(azimuth)), away * np.cos(np.radians(azimuth))
            assert (east, north) == pytest.approx(told, abs=1.5)


def test_the_patches_of_a_finest_tile_are_those_of_its_cell(index: Index) -> None:
    cells, levels = cells_of(index)
    finest = np.asarray(cells, np.uint64)[levels == RESOLUTION]
    images = Images(index)
    found = cell_images(index).of(finest[3:7], resolution=RESOLUTION)
    first = int(np.flatnonzero(levels == RESOLUTION)[0])
    for i in range(4):
        tokens, places = images.of_row(first + 3 + i)
        at = slice(*found.offsets[i : i + 2].tolist())
        np.testing.assert_array_equal(found.images[at], tokens.astype(np.float16))
        np.testing.assert_allclose(found.place[at][:, :2], places, atol=1e-3)


@pytest.mark.slow
def test_an_encoder_that_sees_makes_other_vectors_of_what_is_seen(
    town: Path, ground: Path, seeing: Path, tmp_path: Path
) -> None:
    def build(name: str, *, imagery: bool) -> Index:
        return geoindex.build(
            town,
            tmp_path / name,
            resolution=(9, RESOLUTION),
            encoder=str(seeing),
            imagery=request_for(ground) if imagery else None,
        )

    blind, one, two = (
        build("blind", imagery=False),
        build("1", imagery=True),
        build("2", imagery=True),
    )
    assert one.manifest.settings["imagery"]["in_vectors"]
    for focus in ("own", "context"):
        np.testing.assert_array_equal(
            one.vectors("entities", focus=focus), two.vectors("entities", focus=focus)
        )
    np.testing.assert_array_equal(one.vectors(CELLS), two.vectors(CELLS))
    np.testing.assert_array_equal(
        one.vectors("entities", focus="own"), blind.vectors("entities", focus="own")
    )
    has = np.diff(Images(one).offsets) > 0
    differs = np.abs(one.vectors(CELLS) - blind.vectors(CELLS)).max(axis=1) > 1e-4
    _, levels = cells_of(one)
    finest = levels == RESOLUTION
    assert has[finest].any()
    assert not has[finest].all()
    np.testing.assert_array_equal(differs[finest], has[finest])
    assert differs[levels == 9].any()


@pytest.fixture(scope="module")
def blind(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    output = tmp_path_factory.mktemp("indexes") / "blind.geoindex"
    return geoindex.build(town, output, resolution=(9, RESOLUTION), encoder="tagpool")


def test_imagery_is_a_part_of_what_a_source_is(index: Index, blind: Index) -> None:
    seen, unseen = (open_source(found.path).describe() for found in (index, blind))
    assert seen.blake2b != unseen.blake2b


def test_an_encoder_that_does_not_see_makes_the_vectors_it_always_made(
    index: Index, blind: Index
) -> None:
    assert index.manifest.settings["imagery"]["in_vectors"] is False
    np.testing.assert_array_equal(index.vectors(CELLS), blind.vectors(CELLS))


@pytest.mark.slow
def test_an_encoder_of_other_tokens_says_what_to_do(
    town: Path, ground: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    GeoJEPA(replace(SHAPE, image_dim=7, image_fingerprint="0123456789abcdef")).save(old)
    reporter = RecordingReporter()
    build_index(
        [town], tmp_path / "index", resolutions=[9, RESOLUTION], encoder=str(old),
        imagery=request_for(ground), reporter=reporter,
    )  # fmt: skip
    (line,) = (text for text in reporter.said if "--image" in text)
    assert "was trained with image tokens 01234567, these are statistics" in line
    assert "train it again on indexes built with these" in line
