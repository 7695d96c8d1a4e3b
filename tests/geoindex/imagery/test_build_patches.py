"""An index with imagery holds the tokens of its ground."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geoindex
from geoindex.api import Index
from geoindex.encoders import load_image_tokeniser
from geoindex.errors import SourceError
from geoindex.geo.h3 import cells_at
from geoindex.imagery import open_imagery
from geoindex.imagery.cell_mask import in_cell
from geoindex.imagery.chips import ChipGrid
from geoindex.imagery.patch_store import Images
from geoindex.imagery.rasters import RasterImagery
from geoindex.pipeline.build import build_index
from geoindex.storage.layout import CELLS
from tests.support.imagery_files import (
    CENTRE,
    GSD_M,
    RESOLUTION,
    plain_raster,
    request_for,
)
from tests.support.reporters import RecordingReporter


def test_tokens_lie_in_their_cell_and_nowhere_else(index: Index) -> None:
    images = Images(index)
    settings = images.settings
    grid = ChipGrid(settings["side_m"], settings["gsd_m"])
    cells = index.cells.column("cell")
    levels = index.cells.column("resolution")
    counts = np.diff(images.offsets)
    assert not counts[levels == 9].any()
    assert 0 < settings["cells_without"] == int((counts[levels == RESOLUTION] == 0).sum())
    assert index.manifest.notes["cells_without_imagery"] == settings["cells_without"]
    assert len(images.tokens) == len(images.places_m) == counts.sum()
    for row in np.flatnonzero(counts).tolist():
        tokens, places = images.of_row(row)
        (frame,) = grid.frames(cells[row : row + 1])
        assert in_cell(places, frame, int(cells[row])).all()
        assert len(tokens) == len(np.unique(places, axis=0))
    assert images.tokens.dtype == np.float16


def test_tokens_are_those_of_the_chips(index: Index, ground: Path) -> None:
    images = Images(index)
    row = int(np.argmax(np.diff(images.offsets)))
    cell = int(index.cells.column("cell")[row])
    grid = ChipGrid(images.settings["side_m"], GSD_M)
    (frame,) = grid.frames(np.array([cell], np.uint64))
    chip = open_imagery(ground).chip(frame)
    found = load_image_tokeniser("statistics").tokens(
        chip.rgb[None], chip.is_valid[None], gsd_m=GSD_M
    )
    keep = found.is_valid[0] & in_cell(found.centres_m, frame, cell)
    tokens, places = images.of_row(row)
    np.testing.assert_allclose(tokens, found.tokens[0][keep], atol=1e-3)
    np.testing.assert_array_equal(places, found.centres_m[keep])


def test_similarity_is_the_cosine_of_scaled_means(index: Index) -> None:
    images = Images(index)
    rows = np.flatnonzero(np.diff(images.offsets))
    means = np.stack([images.of_row(row)[0].astype(np.float64).mean(axis=0) for row in rows])
    spread = means.std(axis=0)
    z = np.where(spread > 1e-6, (means - means.mean(axis=0)) / np.maximum(spread, 1e-9), 0)
    # one column more, as long as a usual vector
    z = np.column_stack([z, np.full(len(z), np.sqrt((spread > 1e-6).sum()))])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    found = images.vectors()[rows].astype(np.float64)
    np.testing.assert_allclose(found @ found.T, z @ z.T, atol=2e-3)


@pytest.mark.slow
def test_an_interrupted_build_goes_on(
    town: Path, ground: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geoindex.imagery import build_patches

    monkeypatch.setattr(build_patches, "_RUN_CELLS", 16)
    whole, asked = RasterImagery.chip, []

    def failing(self: Any, frame: Any) -> Any:
        asked.append((frame.lon, frame.lat))
        if len(asked) == 60:
            msg = "tile 1/2/3 cannot be read"
            raise SourceError(msg)
        return whole(self, frame)

    monkeypatch.setattr(RasterImagery, "chip", failing)
    output = tmp_path / "town.geoindex"
    options: dict[str, Any] = {"resolution": (9, RESOLUTION), "encoder": "tagpool"}
    with pytest.raises(SourceError, match="tile 1/2/3"):
        geoindex.build(town, output, imagery=request_for(ground), **options)
    assert not output.exists()
    first = len(asked)
    again = geoindex.build(town, output, imagery=request_for(ground), **options)
    num_cells = int((again.cells.column("resolution") == RESOLUTION).sum())
    # whole runs of 16 are not read twice
    assert len(asked) - first <= num_cells - 32
    for name in ("images", "image_places", "image_offsets", "image_vectors", "image_vectors_4"):
        files = [np.load(item.path / "search" / f"{name}.npy") for item in (index, again)]
        np.testing.assert_allclose(files[0].astype(float), files[1].astype(float), atol=1e-3)


@pytest.mark.slow
def test_imagery_of_elsewhere_is_told(town: Path, ground: Path, tmp_path: Path) -> None:
    path = plain_raster(tmp_path / "there.tif", size=64)
    with rasterio.open(path, "r+") as raster:
        raster.transform = raster.transform.translation(50_000, 0) @ raster.transform
    for source, is_told in ((path, True), (ground, False)):
        reporter = RecordingReporter()
        build_index(
            [town], tmp_path / "town.geoindex", resolutions=(RESOLUTION,), encoder="tagpool",
            imagery=request_for(source), overwrite=True, reporter=reporter,
        )  # fmt: skip
        assert any("none of the" in text for text in reporter.said) == is_told


def test_a_cell_is_cut_into_patches_once() -> None:
    """Patches of neighbouring cells share no ground but along the border."""
    (cell,) = cells_at([CENTRE[0]], [CENTRE[1]], resolution=RESOLUTION).tolist()
    grid = ChipGrid(64.0, 0.5)
    (frame,) = grid.frames(np.array([cell], np.uint64))
    along = np.arange(-31.5, 32, 1.0)
    places = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2).astype(np.float32)
    inside = in_cell(places, frame, cell)
    import h3

    assert inside.sum() == pytest.approx(h3.cell_area(f"{cell:x}", "m^2"), rel=0.03)


def test_the_table_of_cells_is_not_changed(index: Index) -> None:
    assert len(index.rows_of(CELLS)) == len(index.vectors(CELLS))
