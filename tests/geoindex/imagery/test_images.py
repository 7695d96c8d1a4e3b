"""An index with imagery holds the tokens of its ground, and answers a picture with the like."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
from PIL import Image

import geoindex
from geoindex.api import GeoIndex
from geoindex.encoders import load_image_tokeniser
from geoindex.errors import IndexDamagedError, SourceError, UsageError
from geoindex.geo.h3 import cells_at, centres
from geoindex.imagery.base import ImageryOptions, open_imagery
from geoindex.imagery.cell_mask import in_cell
from geoindex.imagery.chips import ChipGrid
from geoindex.imagery.patch_store import Images
from geoindex.imagery.rasters import RasterImagery
from geoindex.imagery.request import imagery_request, kept_source
from geoindex.pipeline.build import build_index
from geoindex.progress import Silent
from geoindex.queries.by_image.query_image import read_picture, see
from geoindex.storage.layout import CELLS
from tests.geoindex.conftest import GSD_M, RESOLUTION, request_for
from tests.imagery_files import CENTRE, plain_raster, write_raster


def test_tokens_lie_in_their_cell_and_nowhere_else(index: GeoIndex) -> None:
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


def test_tokens_are_those_of_the_chips(index: GeoIndex, ground: Path) -> None:
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


def cut(ground: Path, cell: int, to: Path, *, side_m: float = 60.0, shift_m: float = 0.0) -> Path:
    """Cut the ground about a cell's centre, or east of it, from the raster, with its place."""
    (lon,), (lat,) = centres([cell])
    with rasterio.open(ground) as raster:
        from rasterio.warp import transform
        from rasterio.windows import from_bounds

        (x,), (y,) = transform("EPSG:4326", raster.crs, [lon], [lat])
        half, x = side_m / 2, x + shift_m
        window = from_bounds(x - half, y - half, x + half, y + half, raster.transform)
        window = window.round_offsets().round_lengths()
        bands = raster.read(window=window)
        return write_raster(to, bands, raster.crs.to_string(), raster.window_transform(window))


def whole_cells(index: GeoIndex) -> list[int]:
    counts = np.diff(Images(index).offsets)
    rows = np.flatnonzero(counts >= np.percentile(counts[counts > 0], 60))
    return [int(index.cells.column("cell")[row]) for row in rows]


@pytest.mark.parametrize(("shift_m", "most"), [(0.0, 1), (3.0, 5)])
def test_a_picture_finds_its_own_place(
    index: GeoIndex, ground: Path, tmp_path: Path, shift_m: float, most: int
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


def inner_cells(index: GeoIndex) -> list[int]:
    """Return the cells about the raster's middle: cuts of them end nowhere near its border."""
    cells = whole_cells(index)
    lon, lat = centres(cells)
    near = (abs(lon - CENTRE[0]) < 7e-4) & (abs(lat - CENTRE[1]) < 7e-4)
    return [cell for cell, is_near in zip(cells, near, strict=True) if is_near]


def test_a_picture_is_compared_with_every_cell(
    index: GeoIndex, ground: Path, tmp_path: Path
) -> None:
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


def test_a_picture_without_a_place(index: GeoIndex, ground: Path, tmp_path: Path) -> None:
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


def test_similarity_is_the_cosine_of_scaled_means(index: GeoIndex) -> None:
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


def test_filters_apply_before_the_search(index: GeoIndex, ground: Path, tmp_path: Path) -> None:
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


def test_what_cannot_be_asked(index: GeoIndex, ground: Path, tmp_path: Path) -> None:
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


def test_other_tokens_are_noticed(index: GeoIndex, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(index.path, tmp_path / "copy.geoindex"))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["settings"]["imagery"]["tokens_fingerprint"] = "0" * 16
    (copied / "manifest.json").write_text(json.dumps(manifest))
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    with pytest.raises(IndexDamagedError, match="cannot be compared"):
        geoindex.open(copied).query(image=tmp_path / "plain.png")


def test_an_interrupted_build_goes_on(
    town: Path, ground: Path, index: GeoIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_imagery_of_elsewhere_is_told(town: Path, ground: Path, tmp_path: Path) -> None:
    class Heard(Silent):
        said: ClassVar[list[str]] = []

        def say(self, text: str) -> None:
            self.said.append(text)

    path = plain_raster(tmp_path / "there.tif", size=64)
    with rasterio.open(path, "r+") as raster:
        raster.transform = raster.transform.translation(50_000, 0) @ raster.transform
    for source, is_told in ((path, True), (ground, False)):
        Heard.said.clear()
        build_index(
            [town], tmp_path / "town.geoindex", resolutions=(RESOLUTION,), encoder="tagpool",
            imagery=request_for(source), overwrite=True, reporter=Heard(),
        )  # fmt: skip
        assert any("none of the" in text for text in Heard.said) == is_told


def test_options_need_imagery() -> None:
    assert imagery_request(None) is None
    with pytest.raises(UsageError, match="--gsd needs imagery"):
        imagery_request(None, gsd=0.5)
    with pytest.raises(UsageError, match="want bands as R,G,B"):
        imagery_request("a.tif", bands="red")
    with pytest.raises(UsageError, match="one or three"):
        imagery_request("a.tif", bands="1,2")
    asked = imagery_request("a.tif", bands="4,3,2", stretch="0,3000", gsd=10.0)
    assert asked is not None
    assert asked.options == ImageryOptions((4, 3, 2), "0,3000")
    with pytest.raises(UsageError, match="no image tokens"):
        load_image_tokeniser("nothing")


def test_an_index_keeps_no_key(tmp_path: Path) -> None:
    url = "https://me:secret@tiles.example/{z}/{x}/{y}.png?key=secret"
    assert kept_source(url) == "https://tiles.example/{z}/{x}/{y}.png"
    assert kept_source("WMS:https://maps.example/?token=secret") == "WMS:https://maps.example/"
    path = tmp_path / "a.tif"
    path.touch()
    assert kept_source(str(path)) == str(path.resolve())


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


def test_the_table_of_cells_is_not_changed(index: GeoIndex) -> None:
    assert len(index.rows_of(CELLS)) == len(index.vectors(CELLS))
