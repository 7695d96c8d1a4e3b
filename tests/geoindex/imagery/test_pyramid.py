"""A picture coarser than the index finds its place beside ground seen as coarsely."""

from pathlib import Path

import numpy as np
import pytest

from geoindex.api import Index
from geoindex.imagery import ChipFrame, open_imagery
from geoindex.imagery.chips import ChipGrid
from geoindex.imagery.patch_store import Images
from geoindex.imagery.pyramid import level_for
from geoindex.queries.by_image.query_image import read_picture, see
from tests.support.imagery_files import GSD_M, write_raster
from tests.support.pictures import inner_cells


@pytest.mark.parametrize("coarser", [1.6, 2.0, 3.0, 4.0])
def test_a_coarser_picture_finds_its_own_place(
    index: Index, ground: Path, tmp_path: Path, coarser: float
) -> None:
    """Against the sharp vectors most pictures would find another place."""
    images, first, sharp = Images(index), [], []
    for cell in inner_cells(index):
        (frame,) = ChipGrid(64.0, GSD_M * coarser).frames(np.array([cell], np.uint64))
        frame = ChipFrame(frame.lon, frame.lat, round(64 / frame.gsd_m) * frame.gsd_m, frame.gsd_m)
        bands = open_imagery(ground).chip(frame).rgb.transpose(2, 0, 1)
        picture = write_raster(tmp_path / "chip.tif", bands, frame.crs, frame.transform)
        hits = index.query(image=picture, k=50, cells=True)
        first.append(hits.ids[0] == f"{cell:x}")
        assert any("coarser than the index" in note for note in hits.notes)
        seen = read_picture(picture, images.settings | {"levels": [1]})
        ranking = np.argsort(-(images.vectors() @ see(seen, images).vector))
        sharp.append(int(index.cells.column("cell")[ranking[0]]) == cell)
    assert np.mean(first) >= 0.8, first
    assert np.mean(first) > np.mean(sharp)


def test_levels_are_told_by_ratio() -> None:
    settings = {"gsd_m": 0.5, "levels": [1, 2, 4]}
    found = {gsd_m: level_for(settings, gsd_m) for gsd_m in (0.1, 0.5, 0.69, 0.72, 1.4, 1.5, 9.0)}
    assert list(found.values()) == [1, 1, 1, 2, 2, 4, 4]
    assert level_for({"gsd_m": 0.5}, 2.0) == 1
