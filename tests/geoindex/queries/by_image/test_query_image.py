"""A picture finds its own place, and is compared with every cell."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

import geoindex
from geoindex.api import Index
from geoindex.errors import IndexDamagedError, SourceError, UsageError
from geoindex.imagery.patch_store import Images
from geoindex.queries.by_image.query_image import read_picture, see
from tests.support.imagery_files import (
    CENTRE,
    RESOLUTION,
)
from tests.support.pictures import cut, inner_cells, whole_cells


@pytest.mark.parametrize(("shift_m", "most"), [(0.0, 1), (3.0, 5)])
def test_a_picture_finds_its_own_place(
    index: Index, ground: Path, tmp_path: Path, shift_m: float, most: int
) -> None:
    ranks = []
    for cell in inner_cells(index):
        picture = cut(ground, cell, tmp_path / "chip.tif", shift_m=shift_m)
        ids = index.query(image=picture, k=50, cells=True).ids
        ranks.append(ids.index(f"{cell:x}") + 1)
    assert len(ranks) >= 5
    # shifted, a cell or two look like their neighbours
    assert np.percentile(ranks, 80) == 1, ranks
    assert max(ranks) <= most, ranks


def test_a_picture_is_compared_with_every_cell(index: Index, ground: Path, tmp_path: Path) -> None:
    images = Images(index)
    picture = cut(ground, whole_cells(index)[0], tmp_path / "chip.tif")
    asked = see(read_picture(picture, images.settings), images).vector.astype(np.float64)
    rows = np.flatnonzero(np.diff(images.offsets))
    cosine = images.vectors()[rows].astype(np.float64) @ asked
    order = np.argsort(-cosine)
    hits = index.query(image=picture, k=5, cells=True)
    assert hits.num_passing == len(rows)
    found = [row["similarity"] for row in hits]
    np.testing.assert_allclose(found, cosine[order[:5]], atol=1e-5)
    assert hits.ids[0] == f"{int(index.cells.column('cell')[rows[order[0]]]):x}"
    assert any("lies at" in note for note in hits.notes)


def test_a_picture_without_a_place(index: Index, ground: Path, tmp_path: Path) -> None:
    placed = cut(ground, whole_cells(index)[0], tmp_path / "chip.tif", side_m=64.0)
    with rasterio.open(placed) as raster:
        Image.fromarray(raster.read().transpose(1, 2, 0)).save(tmp_path / "chip.png")
    hits = index.query(image=tmp_path / "chip.png", k=50, cells=True)
    # the raster has the index's pixels: with its place or without, it is nearly the same picture
    similarity = {row["region_id"]: row["similarity"] for row in hits}
    for row in index.query(image=placed, k=3, cells=True):
        assert similarity[row["region_id"]] == pytest.approx(row["similarity"], abs=0.2)
    assert hits.records()[0]["distance_m"] is None
    assert any("has no place" in note for note in hits.notes)


def test_filters_apply_before_the_search(index: Index, ground: Path, tmp_path: Path) -> None:
    cell = whole_cells(index)[0]
    picture = cut(ground, cell, tmp_path / "chip.tif")
    west, east = CENTRE[0], CENTRE[0] + 0.01
    box = (west, CENTRE[1] - 0.01, east, CENTRE[1] + 0.01)
    hits = index.query(image=picture, k=500, bbox=box, cells=True)
    assert len(hits) == hits.num_passing > 0
    assert all(west <= row["lon"] <= east for row in hits)
    far = index.query(image=picture, k=500, not_within="60m", cells=True)
    assert min(row["distance_m"] for row in far) > 55
    assert {row["resolution"] for row in far} == {RESOLUTION}


def test_what_cannot_be_asked(index: Index, ground: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no picture"):
        index.query(image=tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"bad\.png cannot be read"):
        index.query(image=tmp_path / "bad.png")
    Image.new("RGB", (6, 6)).save(tmp_path / "tiny.png")
    with pytest.raises(SourceError, match="less than half a patch"):
        index.query(image=tmp_path / "tiny.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    with pytest.raises(UsageError, match="measured from a place"):
        index.query(image=tmp_path / "plain.png", not_within="1km")


def test_an_index_without_imagery(town: Path, tmp_path: Path) -> None:
    bare = geoindex.build(town, tmp_path / "bare.geoindex", encoder="tagpool")
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    with pytest.raises(UsageError, match="without imagery"):
        bare.query(image=tmp_path / "plain.png")


def test_other_tokens_are_noticed(index: Index, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(index.path, tmp_path / "copy.geoindex"))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["settings"]["imagery"]["tokens_fingerprint"] = "0" * 16
    (copied / "manifest.json").write_text(json.dumps(manifest))
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    with pytest.raises(IndexDamagedError, match="cannot be compared"):
        geoindex.open(copied).query(image=tmp_path / "plain.png")
