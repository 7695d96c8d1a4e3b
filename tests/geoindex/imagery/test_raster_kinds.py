"""Rasters of every kind show their four colours where these lie: tables, bits, nodata, turns."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from geoindex.errors import SourceError
from geoindex.imagery import ChipFrame, ImageryOptions, open_imagery
from geoindex.imagery.base import require
from geoindex.imagery.rasters import RasterImagery, bands_of
from tests.support.imagery_files import CENTRE, transform_about, write_raster

UTM = "EPSG:32737"
SIDE = 200
RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)
COLOURS = {"NW": RED, "NE": GREEN, "SW": BLUE, "SE": YELLOW}
FRAME = ChipFrame(*CENTRE, 120.0, 1.0)
COARSE = ChipFrame(*CENTRE, 120.0, 6.0)


def quarters(values: dict[str, Any], size: int = SIDE) -> np.ndarray:
    """Return a square whose quarters have values, shape ``(bands, size, size)``."""
    rows = [np.concatenate([_block(values[key], size // 2) for key in pair], axis=2)
            for pair in (("NW", "NE"), ("SW", "SE"))]  # fmt: skip
    return np.concatenate(rows, axis=1)


def _block(value: Any, half: int) -> np.ndarray:
    return np.broadcast_to(np.atleast_1d(value)[:, None, None], (np.size(value), half, half))


def shown(chip: Any) -> dict[str, tuple[int, ...] | None]:
    """Return the colour in the middle of each quarter of a chip, None where nothing is known."""
    size = len(chip.is_valid)
    low, high = size // 4, 3 * size // 4
    at = {"NW": (low, low), "NE": (low, high), "SW": (high, low), "SE": (high, high)}
    return {
        key: tuple(chip.rgb[place].tolist()) if chip.is_valid[place] else None
        for key, place in at.items()
    }


def assert_shows(found: dict[str, Any], want: dict[str, Any], off: int = 3) -> None:
    assert {key for key in found if found[key] is None} == {key for key in want if not want[key]}
    for key, colour in want.items():
        if colour:
            assert np.abs(np.subtract(found[key], colour)).max() <= off, (key, found[key], colour)


def write(path: Path, bands: np.ndarray, dtype: Any = np.uint8, **more: Any) -> Path:
    transform = transform_about(UTM, 1.0, *bands.shape[1:])
    return write_raster(path, bands.astype(dtype), UTM, transform, **more)


def indexed(path: Path, dtype: Any = np.uint8, first: int = 1, **more: Any) -> Path:
    """Write the colours as numbers of a table."""
    numbers = {key: first + i for i, key in enumerate(COLOURS)}
    write(path, quarters(numbers), dtype, **more)
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {numbers[key]: colour for key, colour in COLOURS.items()})
    return path


@pytest.mark.parametrize("frame", [FRAME, COARSE], ids=["fine", "coarse"])
@pytest.mark.parametrize(
    ("dtype", "first"), [(np.uint8, 1), (np.uint8, 250), (np.uint16, 1), (np.uint16, 60_000)]
)
def test_colour_tables(tmp_path: Path, dtype: Any, first: int, frame: ChipFrame) -> None:
    path = indexed(tmp_path / "a.tif", dtype, first)
    assert_shows(shown(open_imagery(path).chip(frame)), COLOURS)
    # said to have one band, it is still one of colours
    one = open_imagery(path, ImageryOptions(bands=(1,)))
    assert_shows(shown(one.chip(frame)), COLOURS)
    assert one.stretched == (0, 255)


def test_colour_tables_with_nodata_and_in_a_vrt(tmp_path: Path) -> None:
    path = indexed(tmp_path / "a.tif", nodata=2)
    want = COLOURS | {"NE": None}
    assert_shows(shown(open_imagery(path).chip(FRAME)), want)
    copy(path, tmp_path / "a.vrt", driver="VRT")
    assert_shows(shown(open_imagery(tmp_path / "a.vrt").chip(FRAME)), want)
    clear = (tmp_path / "a.vrt").read_text().replace('c1="30" c2="30" c3="200" c4="255"',
                                                     'c1="30" c2="30" c3="200" c4="0"')  # fmt: skip
    (tmp_path / "a.vrt").write_text(clear)
    assert_shows(shown(open_imagery(tmp_path / "a.vrt").chip(FRAME)), want | {"SW": None})
    without = "\n".join(line for line in clear.splitlines() if "Entry" not in line)
    (tmp_path / "a.vrt").write_text(
        without.replace("<ColorTable>", "").replace("</ColorTable>", "")
    )
    with pytest.raises(SourceError, match="table of colours, and has none"):
        open_imagery(tmp_path / "a.vrt")


def test_colours_of_a_table_are_averaged_not_its_numbers(tmp_path: Path) -> None:
    number = 1 + 3 * (np.indices((1, SIDE, SIDE)).sum(axis=0) % 2)
    write(tmp_path / "a.tif", number)
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.write_colormap(1, {1: RED, 4: BLUE})
    chip = open_imagery(tmp_path / "a.tif").chip(ChipFrame(*CENTRE, 120.0, 10.0))
    assert np.abs(chip.rgb.astype(int) - (115, 30, 115)).max() <= 2


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_few_bits(tmp_path: Path, bits: int, is_inverted: bool) -> None:
    most = 2**bits - 1
    values = {"NW": 0, "NE": most, "SW": most, "SE": 0}
    photometric = "MINISWHITE" if is_inverted else "MINISBLACK"
    path = write(tmp_path / "a.tif", quarters(values), nbits=bits, photometric=photometric)
    bright = 0 if is_inverted else most
    want = {key: (255,) * 3 if value == bright else (0, 0, 0) for key, value in values.items()}
    for frame in (FRAME, COARSE):
        assert_shows(shown(open_imagery(path).chip(frame)), {k: v or None for k, v in want.items()})


def test_few_bits_are_averaged_to_grey(tmp_path: Path) -> None:
    board = np.indices((1, SIDE, SIDE)).sum(axis=0) % 2
    path = write(tmp_path / "a.tif", board, nbits=1)
    chip = open_imagery(path).chip(ChipFrame(*CENTRE, 120.0, 10.0))
    assert np.abs(chip.rgb.astype(int) - 127.5).max() <= 3


def test_twelve_bits_and_white_is_zero(tmp_path: Path) -> None:
    deep = {key: np.multiply(colour, 16) for key, colour in COLOURS.items()}
    path = write(tmp_path / "a.tif", quarters(deep), np.uint16, nbits=12)
    found = open_imagery(path, ImageryOptions(stretch="none")).chip(FRAME)
    assert_shows(shown(found), COLOURS)
    grey = {"NW": 255, "NE": 205, "SW": 55, "SE": 10}
    path = write(tmp_path / "b.tif", quarters(grey), photometric="MINISWHITE")
    want = {key: (255 - value,) * 3 for key, value in grey.items()}
    assert_shows(shown(open_imagery(path).chip(FRAME)), want | {"NW": (0, 0, 0)})


@pytest.mark.parametrize(
    ("dtype", "nodata", "roof"),
    [
        (np.uint8, 0, (200, 30, 0)),
        (np.uint8, 255, (255, 30, 30)),
        (np.uint8, 0, (0, 0, 200)),
        (np.int16, 30, (200, 30, 30)),
        (np.float32, 200, (200, 30, 30)),
    ],
)
def test_nodata_of_some_bands_is_known(
    tmp_path: Path, dtype: Any, nodata: float, roof: tuple[int, ...]
) -> None:
    values = COLOURS | {"NW": roof, "SE": (nodata,) * 3}
    path = write(tmp_path / "a.tif", quarters(values), dtype, nodata=nodata)
    source = open_imagery(path, ImageryOptions(stretch="0,255"))
    for frame in (FRAME, COARSE):
        assert_shows(shown(source.chip(frame)), COLOURS | {"NW": roof, "SE": None})


def test_a_band_that_is_not_shown_counts_too(tmp_path: Path) -> None:
    values = {"NW": (0, 0, 0, 9), "NE": (*GREEN, 0), "SW": (*BLUE, 9), "SE": (0, 0, 0, 0)}
    path = write(tmp_path / "a.tif", quarters(values), nodata=0, photometric="MINISBLACK")
    found = shown(open_imagery(path).chip(FRAME))
    assert found["NW"] == (0, 0, 0)
    assert found["SE"] is None


def test_alpha_beside_nodata(tmp_path: Path) -> None:
    values = {key: (*colour, 0 if key == "NE" else 255) for key, colour in COLOURS.items()}
    values["SW"] = (0, 0, 0, 255)
    path = write(tmp_path / "a.tif", quarters(values), nodata=0, photometric="RGB", alpha="yes")
    found = open_imagery(path).chip(FRAME)
    assert_shows(shown(found), COLOURS | {"NE": None, "SW": None})


def test_no_number_is_not_known(tmp_path: Path) -> None:
    values = COLOURS | {"NW": (200, np.nan, 30)}
    path = write(tmp_path / "a.tif", quarters(values), np.float32)
    found = open_imagery(path, ImageryOptions(stretch="0,255")).chip(FRAME)
    assert_shows(shown(found), COLOURS | {"NW": None})


@pytest.mark.parametrize("deep", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("first", ["a", "z"])
def test_a_folder_of_two_types(tmp_path: Path, deep: Any, first: str) -> None:
    """Eight bits stay, in whatever order; others are stretched by themselves alone."""
    bands = quarters(COLOURS)
    half = SIDE // 2
    transform = transform_about(UTM, 1.0, SIDE, SIDE)
    factor = 1 / 255 if deep == np.float32 else 30
    write_raster(tmp_path / f"{first}.tif", bands[:, :, :half].astype(np.uint8), UTM, transform)
    east = (bands[:, :, half:] * factor).astype(deep)
    write_raster(tmp_path / "m.tif", east, UTM, transform @ Affine.translation(half, 0))
    source = open_imagery(tmp_path)
    assert isinstance(source, RasterImagery)
    low, high = source.stretched
    assert (low, high) == pytest.approx((30 * factor, 200 * factor))
    want = COLOURS | {"NE": (0, 255, 0), "SE": (255, 255, 0)}
    assert_shows(shown(source.chip(FRAME)), want)
    # numbers are meant for what has more than 8 bits
    numbers = open_imagery(tmp_path, ImageryOptions(stretch=f"0,{255 * factor!r}"))
    assert_shows(shown(numbers.chip(FRAME)), COLOURS)


def test_a_folder_of_a_table_and_of_three_types(tmp_path: Path) -> None:
    bands, half = quarters(COLOURS), SIDE // 2
    transform = transform_about(UTM, 1.0, SIDE, SIDE)
    indexed(tmp_path / "z.TIF")
    deep = bands[:, :half, :half].astype(np.uint16) * 40
    write_raster(tmp_path / "a.tif", deep, UTM, transform)
    real = bands[:, half:, half:].astype(np.float32) / 255
    write_raster(tmp_path / "b.TIFF", real, UTM, transform @ Affine.translation(half, half))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "._a.tif").write_bytes(b"of another system")
    found = open_imagery(tmp_path).chip(FRAME)
    # a type of one value in each band is stretched from its least to its most
    assert_shows(shown(found), COLOURS | {"NW": (255, 0, 0), "SE": (255, 255, 0)})


def test_bands_of_several_types_and_no_real_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", quarters(COLOURS))
    write(tmp_path / "b.tif", quarters(COLOURS), np.uint16)
    source = (
        '<SimpleSource><SourceFilename relativeToVRT="1">{}.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource>"
    )
    with rasterio.open(tmp_path / "a.tif") as raster:
        place = ",".join(map(repr, raster.transform.to_gdal()))
    (tmp_path / "a.vrt").write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>{UTM}</SRS>'
        f"<GeoTransform>{place}</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="{dtype}" band="{i}">{source.format(name)}</VRTRasterBand>'
            for i, (dtype, name) in enumerate(
                (("Byte", "a"), ("UInt16", "b"), ("Byte", "a")), start=1
            )
        )
        + "</VRTDataset>"
    )
    with pytest.raises(SourceError, match="are uint8, uint16, uint8; want real numbers"):
        open_imagery(tmp_path / "a.vrt")
    assert open_imagery(tmp_path / "a.vrt", ImageryOptions(bands=(1,))).chip(FRAME).is_valid.all()
    path = write(tmp_path / "c.tif", quarters(dict.fromkeys(COLOURS, 1)), np.complex64)
    with pytest.raises(SourceError, match="complex64"):
        open_imagery(path)


# a square of 400 m about 180 degrees, at 10 degrees north
HALF_DEG = 0.0018
PLACES = {
    "over": (180 - HALF_DEG, "EPSG:4326"),
    "west of -180": (-180 - HALF_DEG, "EPSG:4326"),
    "mercator": (180 - HALF_DEG, "EPSG:3857"),
    "datum": (180 - HALF_DEG, "EPSG:4258"),
}


def place_of(crs: str, west: float, size: int, north: float = 10 + HALF_DEG) -> Affine:
    """Return the transform of a square of 2 * `HALF_DEG`; eastings run on over the end."""
    step = 2 * HALF_DEG / size
    if crs != "EPSG:3857":
        return Affine(step, 0, west, 0, -step, north)
    metre = 20037508.342789244 / 180
    _, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(0, north)
    return Affine(step * metre, 0, west * metre, 0, -step * metre * 1.0154, y)


@pytest.mark.parametrize("frame_lon", [180.0, -180.0, 179.99995, -179.99995])
@pytest.mark.parametrize("place", PLACES)
def test_a_raster_over_the_antimeridian(tmp_path: Path, place: str, frame_lon: float) -> None:
    west, crs = PLACES[place]
    size = 400
    bands = quarters(COLOURS, size).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", bands, crs, place_of(crs, west, size))
    for gsd in (1.0, 5.0):
        chip = open_imagery(path).chip(ChipFrame(frame_lon, 10.0, 200.0, gsd))
        assert chip.is_valid.all()
        assert_shows(shown(chip), COLOURS)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_rasters_that_end_at_the_antimeridian(tmp_path: Path, crs: str) -> None:
    size = 400
    bands = quarters(COLOURS, size).astype(np.uint8)
    whole = place_of(crs, 180 - HALF_DEG, size)
    west = write_raster(tmp_path / "a.tif", bands[:, :, : size // 2], crs, whole)
    for lon in (180.0, -180.0, 179.9999, -179.9999):
        chip = open_imagery(west).chip(ChipFrame(lon, 10.0, 200.0, 1.0))
        assert_shows(shown(chip), COLOURS | {"NE": None, "SE": None})
    other_side = place_of(crs, -180.0, size)
    write_raster(tmp_path / "b.tif", bands[:, :, size // 2 :], crs, other_side)
    chip = open_imagery(tmp_path).chip(ChipFrame(180.0, 10.0, 200.0, 1.0))
    assert chip.is_valid.all()
    assert_shows(shown(chip), COLOURS)


@pytest.mark.parametrize("west", [-180.0, 0.0, -90.0])
@pytest.mark.parametrize("lon", [180.0, 0.0, -0.01, 270.0, -90.0, 89.99])
def test_the_whole_earth(tmp_path: Path, west: float, lon: float) -> None:
    """A raster of all longitudes, from wherever it begins, has no end."""
    columns = np.arange(720)
    lons = west + (columns + 0.5) / 2
    value = 127 + 100 * np.sin(np.radians(lons * 3))
    bands = np.broadcast_to(value, (3, 40, 720)).round().astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", bands, "EPSG:4326", Affine(0.5, 0, west, 0, -0.5, 10))
    frame = ChipFrame((lon + 180) % 360 - 180, 0.0, 200_000.0, 5000.0)
    chip = open_imagery(path).chip(frame)
    along = frame.lon + (np.arange(40) + 0.5 - 20) * 5000 / 111_320
    want = 127 + 100 * np.sin(np.radians(along * 3))
    assert chip.is_valid.mean() > 0.9
    known = chip.is_valid[20]
    assert np.abs(chip.rgb[20, :, 0].astype(float) - want)[known].max() < 4


def test_a_raster_far_away_is_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", quarters(COLOURS))
    for lon, lat in ((180.0, 0.0), (-143.1, 1.3), (36.9, 89.9), (-90.0, -60.0)):
        assert not open_imagery(path).chip(ChipFrame(lon, lat, 120.0, 1.0)).is_valid.any()


def test_a_raster_that_is_much_too_fine_is_refused(tmp_path: Path) -> None:
    """A header may claim any size; what is read for a chip and for a stretch stays bounded."""
    size = 300_000
    transform = transform_about(UTM, 1e-3, size, size)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint16",
               "crs": UTM, "transform": transform, "tiled": True, "sparse_ok": True,
               "blockxsize": 512, "blockysize": 512, "bigtiff": "yes"}  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as raster:
        raster.write(np.full((1, 64, 64), 700, np.uint16), window=((0, 64), (0, 64)))
    source = open_imagery(tmp_path / "a.tif")
    assert source.stretched[0] < source.stretched[1]
    assert source.chip(ChipFrame(*CENTRE, 0.1, 1e-3)).is_valid.all()
    with pytest.raises(SourceError, match="make overviews"):
        source.chip(ChipFrame(*CENTRE, 120.0, 1.0))


def test_a_block_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 32_768, "height": 32_768, "count": 1, "dtype": "uint8",
               "crs": UTM, "transform": transform_about(UTM, 1.0, 32_768, 32_768),
               "tiled": True, "blockxsize": 32_768, "blockysize": 32_768,
               "sparse_ok": True}  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile):
        pass
    with pytest.raises(SourceError, match="blocks of 32,768 x 32,768"):
        open_imagery(tmp_path / "a.tif")


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_raster_is_one_error(tmp_path: Path, seed: int) -> None:
    """Whatever byte is wrong: a chip, or one error."""
    path = write(tmp_path / "a.tif", quarters(COLOURS), tiled=True, compress="deflate")
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    # header and directory lie at the beginning, or behind the pixels
    places = [*range(60), *range(len(whole) - 700, len(whole))]
    for _ in range(40):
        content = bytearray(whole)
        for place in rng.choice(places, 2):
            content[place] = rng.integers(256)
        path.write_bytes(bytes(content[: len(content) - rng.integers(2) * rng.integers(400)]))
        with suppress(SourceError):
            open_imagery(path).chip(FRAME)


def test_a_message_that_is_no_text_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """rasterio's log reads GDAL's messages as UTF-8, and GDAL quotes what a damaged file holds."""
    require("rasterio", "PIL")
    sys.excepthook(UnicodeDecodeError, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), None)
    assert not capsys.readouterr().err
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert "Traceback" in capsys.readouterr().err


def test_the_picture_of_a_question_is_read_by_the_same_rules(tmp_path: Path) -> None:
    indexed(tmp_path / "a.tif", np.uint16)
    with rasterio.open(tmp_path / "a.tif") as raster:
        bands = bands_of(raster)
    assert bands.is_byte
    assert bands.numbers == [1]
    write(tmp_path / "b.tif", quarters(COLOURS), np.uint16)
    with rasterio.open(tmp_path / "b.tif") as raster:
        assert raster.colorinterp[0] != ColorInterp.palette
        assert not bands_of(raster).is_byte
