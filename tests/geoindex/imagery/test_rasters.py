"""Chips of rasters show the ground that geodesics say they cover, whatever the raster's form."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy

from geoindex.errors import SourceError, UsageError
from geoindex.imagery.base import ChipFrame, ImageryOptions, open_imagery
from tests.support.http_server import serving
from tests.support.imagery_files import (
    CENTRE,
    assert_shows_the_ground,
    encoded,
    ground_truth,
    plain_raster,
    raster_colours,
    transform_about,
    write_raster,
)

REAL = Path(__file__).parents[4] / "shared" / "data" / "imagery"
FRAME = ChipFrame(*CENTRE, side_m=256.0, gsd_m=2.0)


@pytest.mark.parametrize(
    ("crs", "gsd"),
    [("EPSG:32737", 1.0), ("EPSG:3857", 0.7), ("EPSG:4326", 1e-5), ("EPSG:32736", 2.0)],
)
def test_any_reference_system(tmp_path: Path, crs: str, gsd: float) -> None:
    path = plain_raster(tmp_path / "a.tif", crs, gsd)
    chip = open_imagery(path).chip(FRAME)
    assert chip.is_valid.all()
    assert chip.rgb.shape == (128, 128, 3)
    assert_shows_the_ground(chip, FRAME)


@settings(max_examples=20)
@given(st.floats(-180, 180), st.sampled_from([1.0, 2.0, 5.0]))
def test_a_turned_raster(tmp_path_factory: pytest.TempPathFactory, deg: float, gsd: float) -> None:
    path = tmp_path_factory.mktemp("turned") / "a.tif"
    plain_raster(path, gsd=1.0, turned_deg=deg)
    frame = ChipFrame(*CENTRE, side_m=200.0, gsd_m=gsd)
    assert_shows_the_ground(open_imagery(path).chip(frame), frame, most_off=3 + 4 * gsd)


@pytest.mark.parametrize("overviews", [False, True])
def test_a_finer_raster_is_averaged(tmp_path: Path, overviews: bool) -> None:
    path = plain_raster(tmp_path / "a.tif", gsd=0.25, size=1500, tiled=True)
    if overviews:
        with rasterio.open(path, "r+") as raster:
            raster.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    frame = ChipFrame(*CENTRE, side_m=200.0, gsd_m=4.0)
    assert_shows_the_ground(open_imagery(path).chip(frame), frame, most_off=14)


def test_noise_is_averaged_not_picked(tmp_path: Path) -> None:
    transform = transform_about("EPSG:32737", 0.5, 800, 800)
    noise = np.random.default_rng(0).integers(0, 256, (3, 800, 800)).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", noise, "EPSG:32737", transform)
    chip = open_imagery(path).chip(ChipFrame(*CENTRE, side_m=200.0, gsd_m=4.0))
    # the mean of 64 uniform numbers strays by 74 / 8
    assert chip.rgb.std() < 16


def test_nodata_does_not_bleed(tmp_path: Path) -> None:
    size, transform = 600, transform_about("EPSG:32737", 1.0, 600, 600)
    bands = np.rint(raster_colours("EPSG:32737", transform, size, size)).astype(np.uint8)
    bands[:, :, :300] = 0
    path = write_raster(tmp_path / "a.tif", bands, "EPSG:32737", transform, nodata=0)
    chip = open_imagery(path).chip(FRAME)
    assert 0.45 < chip.is_valid.mean() < 0.55
    assert not chip.is_valid[:, :60].any()
    assert chip.is_valid[:, 68:].all()
    assert not chip.rgb[~chip.is_valid].any()
    # black nodata would darken the pixels beside it
    assert_shows_the_ground(chip, FRAME)


@pytest.mark.parametrize("how", ["alpha", "mask"])
def test_alpha_and_masks(tmp_path: Path, how: str) -> None:
    size, transform = 600, transform_about("EPSG:32737", 1.0, 600, 600)
    bands = np.rint(raster_colours("EPSG:32737", transform, size, size)).astype(np.uint8)
    seen = np.zeros((1, size, size), np.uint8)
    seen[:, 300:] = 255
    if how == "alpha":
        path = write_raster(
            tmp_path / "a.tif", np.concatenate([bands, seen]), "EPSG:32737", transform,
            photometric="RGB", alpha="yes",
        )  # fmt: skip
    else:
        path = write_raster(tmp_path / "a.tif", bands, "EPSG:32737", transform, mask=seen[0])
    chip = open_imagery(path).chip(FRAME)
    assert not chip.is_valid[:60].any()
    assert chip.is_valid[68:].all()
    assert_shows_the_ground(chip, FRAME)


def test_sixteen_bits_are_stretched_the_same_everywhere(tmp_path: Path) -> None:
    transform = transform_about("EPSG:32737", 1.0, 600, 600)
    deep = raster_colours("EPSG:32737", transform, 600, 600) * 40 + 1000
    path = write_raster(tmp_path / "a.tif", deep.astype(np.uint16), "EPSG:32737", transform)
    low, high = 1000, 1000 + 255 * 40
    chip = open_imagery(path, ImageryOptions(stretch=f"{low},{high}")).chip(FRAME)
    assert_shows_the_ground(chip, FRAME)
    found = open_imagery(path).chip(FRAME).rgb.astype(float)
    assert found.min() == 0
    assert found.max() == 255
    # a straight line from one to the other, but for what is cut off at both ends
    inside = (found > 0) & (found < 255)
    truth = ground_truth(FRAME)
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > 0.999


def test_bands_are_chosen(tmp_path: Path) -> None:
    transform = transform_about("EPSG:32737", 1.0, 600, 600)
    bands = np.rint(raster_colours("EPSG:32737", transform, 600, 600)).astype(np.uint8)
    order = [2, 2, 1, 0, 2]  # as Sentinel-2: blue, green, red are bands 2, 3, 4
    path = write_raster(tmp_path / "a.tif", bands[order], "EPSG:32737", transform)
    chip = open_imagery(path, ImageryOptions(bands=(4, 3, 2))).chip(FRAME)
    assert_shows_the_ground(chip, FRAME)
    grey = open_imagery(path, ImageryOptions(bands=(3,))).chip(FRAME)
    assert (grey.rgb == grey.rgb[..., :1]).all()
    with pytest.raises(SourceError, match="has 5 bands"):
        open_imagery(path, ImageryOptions(bands=(7, 3, 2)))


def test_a_chip_beyond_the_border_is_partly_valid(tmp_path: Path) -> None:
    path = plain_raster(tmp_path / "a.tif", size=600)
    source = open_imagery(path)
    east = ChipFrame(CENTRE[0] + 300 / 111_320, CENTRE[1], 200.0, 2.0)
    chip = source.chip(east)
    assert 0.45 < chip.is_valid.mean() < 0.55
    assert_shows_the_ground(chip, east)
    assert not source.chip(ChipFrame(12.0, 55.0, 200.0, 2.0)).is_valid.any()


def test_overlapping_rasters_fill_each_other(tmp_path: Path) -> None:
    crs = "EPSG:32737"
    whole = transform_about(crs, 1.0, 600, 600)
    bands = np.rint(raster_colours(crs, whole, 600, 600)).astype(np.uint8)
    write_raster(tmp_path / "a.tif", bands[:, :, :320].copy(), crs, whole)
    from affine import Affine

    write_raster(
        tmp_path / "b.tif", bands[:, :, 280:].copy(), crs, whole @ Affine.translation(280, 0)
    )
    chip = open_imagery(tmp_path).chip(FRAME)
    assert chip.is_valid.all()
    assert_shows_the_ground(chip, FRAME)


def test_vrt(tmp_path: Path) -> None:
    path = plain_raster(tmp_path / "a.tif")
    copy(path, tmp_path / "a.vrt", driver="VRT")
    source = open_imagery(tmp_path / "a.vrt")
    assert_shows_the_ground(source.chip(FRAME), FRAME)
    before = source.fingerprint
    plain_raster(path, gsd=0.9)
    assert open_imagery(tmp_path / "a.vrt").fingerprint != before


def test_wms(tmp_path: Path) -> None:
    from urllib.parse import parse_qs, urlsplit

    from affine import Affine
    from PIL import Image

    def answer(path: str) -> tuple[int, bytes]:
        asked = {key.lower(): value[0] for key, value in parse_qs(urlsplit(path).query).items()}
        west, south, east, north = map(float, asked["bbox"].split(","))
        width, height = int(asked["width"]), int(asked["height"])
        step = (east - west) / width, (north - south) / height
        transform = Affine(step[0], 0, west, 0, -step[1], north)
        bands = np.rint(raster_colours("EPSG:3857", transform, width, height)).astype(np.uint8)
        return 200, encoded(Image.fromarray(bands.transpose(1, 2, 0)))

    with serving(answer) as (url, asked):
        (tmp_path / "wms.xml").write_text(
            f"""<GDAL_WMS><Service name="WMS"><Version>1.1.1</Version><ServerUrl>{url}/?</ServerUrl>
            <SRS>EPSG:3857</SRS><ImageFormat>image/png</ImageFormat><Layers>a</Layers></Service>
            <DataWindow><UpperLeftX>4100000</UpperLeftX><UpperLeftY>-140000</UpperLeftY>
            <LowerRightX>4112000</LowerRightX><LowerRightY>-152000</LowerRightY>
            <SizeX>8192</SizeX><SizeY>8192</SizeY></DataWindow>
            <Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>"""
        )
        chip = open_imagery(tmp_path / "wms.xml").chip(FRAME)
        assert asked
    assert chip.is_valid.all()
    assert_shows_the_ground(chip, FRAME)


def test_a_corrupt_raster_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.tif"
    path.write_bytes(b"no raster at all")
    with pytest.raises(SourceError, match=r"bad\.tif"):
        open_imagery(path)
    plain_raster(path, tiled=True, compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[:40_000] + bytes(len(content) - 80_000) + content[-40_000:])
    with pytest.raises(SourceError, match=r"bad\.tif cannot be read"):
        open_imagery(path).chip(FRAME)


def test_what_lies_nowhere_is_refused(tmp_path: Path) -> None:
    from affine import Affine

    bands = np.zeros((3, 10, 10), np.uint8)
    path = write_raster(tmp_path / "a.tif", bands, None, Affine.scale(2.0))
    with pytest.raises(SourceError, match="where on Earth"):
        open_imagery(path)
    with pytest.raises(SourceError, match="there is no imagery"):
        open_imagery(tmp_path / "none.tif")
    with pytest.raises(SourceError, match="zooms"):
        open_imagery(plain_raster(path), ImageryOptions(zoom=18))
    with pytest.raises(UsageError, match="LOW,HIGH"):
        open_imagery(path, ImageryOptions(stretch="3,1"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real rasters are not here")
def test_real_rasters() -> None:
    seen = open_imagery(REAL / "geotiff" / "oam_nairobi_1.tif")
    lon, lat = 36.9067, -1.3060
    assert seen.gsd_at(lon, lat) == pytest.approx(0.149, abs=0.002)
    chip = seen.chip(ChipFrame(lon, lat, 100.0, 0.5))
    tiles = open_imagery(REAL / "nairobi", ImageryOptions(zoom=20))
    same = tiles.chip(ChipFrame(lon, lat, 100.0, 0.5))
    both = chip.is_valid & same.is_valid
    assert both.any()
    # JPEG against PNG of the same ground
    off = np.abs(chip.rgb.astype(float) - same.rgb)[both]
    assert off.mean() < 8
    deep = open_imagery(
        REAL / "sentinel2" / "satclip_patch_445.tif", ImageryOptions(bands=(4, 3, 2))
    )
    with rasterio.open(REAL / "sentinel2" / "satclip_patch_445.tif") as raster:
        from rasterio.warp import transform

        x, y = raster.xy(128, 128)
        (lon,), (lat,) = transform(raster.crs, "EPSG:4326", [x], [y])
    assert deep.gsd_at(lon, lat) == pytest.approx(10, rel=0.01)
    chip = deep.chip(ChipFrame(lon, lat, 1280.0, 10.0))
    assert chip.is_valid.all()
    assert 30 < chip.rgb.mean() < 225
