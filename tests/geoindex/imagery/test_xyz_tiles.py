"""Chips of tiles show the ground, whatever holds the tiles; what cannot be read is named."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geoindex.errors import SourceError, UsageError
from geoindex.imagery import http_tiles
from geoindex.imagery.base import ChipFrame, Imagery, ImageryOptions, open_imagery
from geoindex.imagery.http_tiles import Fetcher, UrlTiles, filled
from geoindex.imagery.xyz_tiles import TiledImagery, decode_tile
from tests.support.http_server import serving
from tests.support.imagery_files import (
    CENTRE,
    assert_shows_the_ground,
    encoded,
    tile_image,
    tiles_about,
    write_mbtiles,
    write_pmtiles,
    write_tiles,
)

ZOOM = 17  # 1.19 m a pixel
TILES = tiles_about(*CENTRE, ZOOM, reach=1)
FRAME = ChipFrame(*CENTRE, side_m=256.0, gsd_m=2.0)


def answer(path: str) -> tuple[int, bytes]:
    """Serve the formula's tiles."""
    z, x, y = (int(part) for part in path.removesuffix(".png").split("/")[1:])
    return (200, tile_image(z, x, y)) if (z, x, y) in TILES else (404, b"")


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_a_folder(tmp_path: Path, form: str) -> None:
    chip = open_imagery(write_tiles(tmp_path / "tiles", TILES, form)).chip(FRAME)
    assert chip.is_valid.all()
    assert_shows_the_ground(chip, FRAME)


@pytest.mark.parametrize("write", [write_mbtiles, write_pmtiles])
def test_an_archive(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / f"a.{write.__name__.removeprefix('write_')}", TILES)
    source = open_imagery(path)
    chip = source.chip(FRAME)
    assert chip.is_valid.all()
    assert_shows_the_ground(chip, FRAME)
    assert source.gsd_at(*CENTRE) == pytest.approx(1.19, rel=0.01)


def test_the_same_tiles_make_the_same_chip(tmp_path: Path) -> None:
    sources = [
        open_imagery(write_tiles(tmp_path / "tiles", TILES)),
        open_imagery(write_mbtiles(tmp_path / "a.mbtiles", TILES)),
        open_imagery(write_pmtiles(tmp_path / "a.pmtiles", TILES)),
        open_imagery(
            str(tmp_path / "tiles" / "{z}" / "{x}" / "{y}.png"), ImageryOptions(zoom=ZOOM)
        ),
    ]
    first, *others = [source.chip(FRAME) for source in sources]
    for chip in others:
        assert (chip.rgb == first.rgb).all()
        assert (chip.is_valid == first.is_valid).all()


@pytest.mark.parametrize(("lon", "lat"), [(180.0, 10.0), (-179.9999, -60.0), (25.0, 84.9)])
def test_at_the_antimeridian_and_in_the_north(tmp_path: Path, lon: float, lat: float) -> None:
    tiles = tiles_about(lon, lat, 15)
    frame = ChipFrame(lon, lat, 200.0, 2.0)
    chip = open_imagery(write_tiles(tmp_path, tiles)).chip(frame)
    assert chip.is_valid.all()
    # the formula's waves end at the antimeridian's other side: 360 degrees are no whole turns
    assert_shows_the_ground(chip, frame, most_off=40 if abs(lat) > 80 else 12)


def test_a_missing_tile_is_ground_unknown(tmp_path: Path) -> None:
    write_tiles(tmp_path, TILES)
    z, x, y = TILES[4]
    (tmp_path / f"{z}/{x}/{y}.png").unlink()
    chip = open_imagery(tmp_path).chip(FRAME)
    assert 0.2 < chip.is_valid.mean() < 0.95
    assert_shows_the_ground(chip, FRAME)
    assert not open_imagery(tmp_path).chip(ChipFrame(0.0, 0.0, 256.0, 2.0)).is_valid.any()


def test_the_zoom_fits_the_chip(tmp_path: Path) -> None:
    for zoom in (14, 15, 17):
        write_tiles(tmp_path, tiles_about(*CENTRE, zoom, reach=0))
    source = open_imagery(tmp_path)
    assert isinstance(source, TiledImagery)
    zooms = {
        gsd: source.zoom_for(ChipFrame(*CENTRE, 64.0, gsd)) for gsd in (0.5, 1.3, 4.0, 5.0, 30)
    }
    assert zooms == {0.5: 17, 1.3: 17, 4.0: 17, 5.0: 15, 30: 14}
    with pytest.raises(SourceError, match="no tiles of zoom 16; it has 14, 15, 17"):
        open_imagery(tmp_path, ImageryOptions(zoom=16))


def test_a_corrupt_tile_is_named(tmp_path: Path) -> None:
    write_tiles(tmp_path, TILES)
    z, x, y = TILES[4]
    path = tmp_path / f"{z}/{x}/{y}.png"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match=f"tile {z}/{x}/{y} of "):
        open_imagery(tmp_path).chip(FRAME)
    path.write_bytes(encoded(Image.new("RGB", (128, 128))))
    with pytest.raises(SourceError, match="want square tiles of one size"):
        open_imagery(tmp_path).chip(FRAME)


def test_palettes_grey_and_alpha() -> None:
    grey = decode_tile(encoded(Image.new("L", (4, 4), 77)))
    assert (grey.rgb == 77).all()
    assert grey.is_valid.all()
    half = Image.new("RGBA", (4, 4), (10, 20, 30, 255))
    half.putpixel((0, 0), (10, 20, 30, 0))
    seen = decode_tile(encoded(half))
    assert seen.is_valid.sum() == 15
    indexed = decode_tile(encoded(Image.new("RGB", (4, 4), (10, 20, 30)).quantize(4)))
    assert indexed.rgb[:, 0, 0].tolist() == [10, 20, 30]
    with pytest.raises(ValueError, match="8 bit"):
        decode_tile(encoded(Image.fromarray(np.zeros((4, 4), np.uint16))))


def test_damaged_and_vector_archives(tmp_path: Path) -> None:
    for name in ("a.mbtiles", "a.pmtiles"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 20)
        with pytest.raises(SourceError, match=name):
            open_imagery(tmp_path / name)
    with pytest.raises(SourceError, match="there is no imagery"):
        open_imagery(tmp_path / "none.mbtiles")
    write_mbtiles(tmp_path / "v.mbtiles", TILES[:1], form="pbf")
    with pytest.raises(SourceError, match="vector tiles"):
        open_imagery(tmp_path / "v.mbtiles")
    cut = write_pmtiles(tmp_path / "cut.pmtiles", TILES)
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) // 4])
    with pytest.raises(SourceError, match=r"tile 17/.* of .*cut.pmtiles"):
        open_imagery(cut).chip(FRAME)
    broken = write_mbtiles(tmp_path / "broken.mbtiles", TILES)
    with sqlite3.connect(broken) as out:
        out.execute("UPDATE tiles SET tile_data = 'no image'")
    out.close()
    with pytest.raises(SourceError, match=r"tile 17/.* of .*broken.mbtiles"):
        open_imagery(broken).chip(FRAME)


def test_a_server_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOINDEX_CACHE", str(tmp_path))
    monkeypatch.setenv("GEOINDEX_IMAGERY_RATE", "1000")
    far = ChipFrame(CENTRE[0] + 0.05, CENTRE[1], 256.0, 2.0)
    with serving(answer) as (url, asked):
        for _ in range(2):
            source = open_imagery(f"{url}/{{z}}/{{x}}/{{y}}.png", ImageryOptions(zoom=ZOOM))
            chip = source.chip(FRAME)
            assert chip.is_valid.all()
            assert_shows_the_ground(chip, FRAME)
            # what the server does not have is remembered too
            assert not source.chip(far).is_valid.any()
        assert len(asked) == len(set(asked))


def test_a_server_that_stumbles_is_asked_again(tmp_path: Path) -> None:
    failed: set[str] = set()

    def stumbling(path: str) -> tuple[int, bytes]:
        if path not in failed:
            failed.add(path)
            return 503, b"not now"
        return answer(path)

    with serving(stumbling) as (url, asked):
        store = UrlTiles(f"{url}/{{z}}/{{x}}/{{y}}.png", (ZOOM,), fetcher=_fast(), folder=tmp_path)
        assert store.read(*TILES[0]) == tile_image(*TILES[0])
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "content", "match"),
    [(500, b"", "HTTP 500"), (403, b"", "HTTP 403"), (200, b"<html>sorry", "no image")],
)
def test_a_server_that_fails_is_named_and_nothing_kept(
    tmp_path: Path, status: int, content: bytes, match: str
) -> None:
    with serving(lambda _: (status, content)) as (url, asked):
        store = UrlTiles(f"{url}/{{z}}/{{x}}/{{y}}.png", (ZOOM,), fetcher=_fast(), folder=tmp_path)
        source = TiledImagery(url, store, ImageryOptions(zoom=ZOOM))
        with pytest.raises(SourceError, match=rf"tile 17/\d+/\d+ of .*{match}"):
            source.chip(FRAME)
        assert len(asked) == (3 if status == 500 else 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


class Clock:
    """A clock that goes on by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(http_tiles, "time", clock)
    fetcher = Fetcher(20.0)
    with serving(answer) as (url, _):
        for tile in TILES[:6]:
            fetcher.get(filled(f"{url}/{{z}}/{{x}}/{{y}}.png", *tile))
    assert clock.now == pytest.approx(5 / 20)


def test_pmtiles_behind_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOINDEX_IMAGERY_RATE", "1000")
    content = write_pmtiles(tmp_path / "a.pmtiles", TILES).read_bytes()
    with serving(lambda _: (200, content)) as (url, _):
        chip = open_imagery(f"{url}/a.pmtiles").chip(FRAME)
    assert_shows_the_ground(chip, FRAME)


def test_templates_are_filled() -> None:
    assert filled("{z}/{x}/{y}", 3, 1, 2) == "3/1/2"
    assert filled("{z}/{x}/{-y}", 3, 1, 2) == "3/1/5"
    with pytest.raises(UsageError, match=r"want \{z\}"):
        open_imagery("https://tiles.example/{x}/{y}.png")


def test_a_changed_folder_has_another_fingerprint(tmp_path: Path) -> None:
    write_tiles(tmp_path, TILES)
    first: Imagery = open_imagery(tmp_path)
    assert open_imagery(tmp_path).fingerprint == first.fingerprint
    z, x, _ = TILES[0]
    shutil.rmtree(tmp_path / str(z) / str(x))
    assert open_imagery(tmp_path).fingerprint != first.fingerprint


def test_a_folder_without_imagery(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither tiles"):
        open_imagery(tmp_path)


def _fast() -> Fetcher:
    return Fetcher(1000.0, num_retries=2, backoff_s=0.01)
