"""Tiles and pictures of every kind, damaged, giant and endless ones: a chip, or one clear error."""

import os
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from geoindex.errors import SourceError
from geoindex.imagery import ChipFrame, ImageryOptions, open_imagery
from geoindex.imagery import http_tiles as remote
from geoindex.imagery.http_tiles import Fetcher, UrlTiles, read_ranges
from geoindex.imagery.tile_archives import PMTiles
from geoindex.imagery.xyz_tiles import TiledImagery, decode_tile
from geoindex.queries.by_image.query_image import read_picture
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

ZOOM = 17
TILES = tiles_about(*CENTRE, ZOOM, reach=1)
FRAME = ChipFrame(*CENTRE, side_m=256.0, gsd_m=2.0)
SETTINGS = {"patch_px": 32, "gsd_m": 1.0}


@pytest.mark.parametrize(
    ("form", "suffix"), [("PNG", "PNG"), ("JPEG", "JPG"), ("JPEG", "Jpeg"), ("WEBP", "WEBP")]
)
def test_suffixes_in_letters_of_either_case(tmp_path: Path, form: str, suffix: str) -> None:
    write_tiles(tmp_path, TILES, form)
    for number, path in enumerate(sorted(tmp_path.rglob("*.*"))):
        if number % 3:
            path.rename(path.with_suffix(f".{suffix}"))
    chip = open_imagery(tmp_path).chip(FRAME)
    assert chip.is_valid.all()
    assert_shows_the_ground(chip, FRAME)


@pytest.mark.parametrize("suffix", ["PNG", "Png"])
def test_a_template_finds_suffixes_in_letters_of_either_case(tmp_path: Path, suffix: str) -> None:
    tiles = tiles_about(*CENTRE, 18, 1)
    write_tiles(tmp_path / "tiles", tiles)
    for path in (tmp_path / "tiles").rglob("*.png"):
        path.rename(path.with_suffix(f".{suffix}"))
    frame = ChipFrame(*CENTRE, 60.0, 1.0)
    chip = open_imagery(f"{tmp_path}/tiles/{{z}}/{{x}}/{{y}}.png").chip(frame)
    assert chip.is_valid.all()


@pytest.mark.parametrize(
    "name", ["18/0157/1.png", "18/157/01.png", "18/157/1.gif", "18/157/1@2x.png"]
)
def test_a_folder_without_a_tile_by_its_name_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="no file named as a tile"):
        open_imagery(tmp_path)


def test_other_files_beside_tiles_are_none(tmp_path: Path) -> None:
    write_tiles(tmp_path, TILES)
    z, x, y = TILES[4]
    column = tmp_path / str(z) / str(x)
    for name in (f"{y}.txt", f"0{y}.png", f"{y}.png.tmp", f".{y}.png", "Thumbs.db"):
        (column / name).write_bytes(b"no tile")
    assert_shows_the_ground(open_imagery(tmp_path).chip(FRAME), FRAME)
    # of two forms of one tile the first of PNG, JPEG and WebP
    (column / f"{y}.webp").write_bytes(b"no tile")
    assert_shows_the_ground(open_imagery(tmp_path).chip(FRAME), FRAME)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path: Path, form: str, orientation: int) -> None:
    bands = np.add.outer(np.arange(64) * 2, np.arange(128))[..., None] + [0, 20, 60]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"p.{form}"
    image = Image.fromarray(bands.clip(0, 255).astype(np.uint8))
    image.save(path, form, exif=exif, quality=100, lossless=True)
    picture = read_picture(path, SETTINGS)
    want = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    high, wide = want.shape[:2]
    assert picture.shown_px == (wide, high) == ((64, 128) if orientation > 4 else (128, 64))
    assert (picture.chip.rgb[:high, :wide] == want).all()
    tile = decode_tile(path.read_bytes())
    assert (tile.rgb.transpose(1, 2, 0) == want).all()


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + bytes(40)]
)
def test_a_damaged_note_of_the_camera_turns_nothing(exif: bytes) -> None:
    plain = encoded(Image.new("RGB", (32, 16), (9, 99, 199)), "JPEG")
    note = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    assert decode_tile(plain[:2] + note + plain[2:]).rgb.shape == (3, 16, 32)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK"])
def test_modes(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    tile = decode_tile(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert (tile.rgb >= 254).all()
    assert tile.is_valid.all()


def png(width: int, height: int) -> bytes:
    """Return a small PNG of a size: one bit a pixel, all of them 0."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return len(content).to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    rows = zlib.compress(bytes(min((width // 8 + 1) * height, 60_000_000)), 9)
    parts = chunk(b"IHDR", size + b"\1\0\0\0\0"), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "size", [(19_000, 19_000), (12_000, 9_000), (2_049, 2_049), (2**31 - 1, 9)]
)
def test_giant_images_are_errors_of_their_own(tmp_path: Path, size: tuple[int, int]) -> None:
    content = png(*size)
    write_tiles(tmp_path / "tiles", TILES)
    z, x, y = TILES[4]
    (tmp_path / f"tiles/{z}/{x}/{y}.png").write_bytes(content)
    with pytest.raises(SourceError, match=f"tile {z}/{x}/{y} of .* cannot be read"):
        open_imagery(tmp_path / "tiles").chip(FRAME)
    if max(size) > 8192:
        (tmp_path / "p.png").write_bytes(content)
        with pytest.raises(SourceError, match=r"p\.png cannot be read"):
            read_picture(tmp_path / "p.png", SETTINGS)


def test_many_large_tiles_are_a_wrong_zoom(tmp_path: Path) -> None:
    """Each is fine; laid together they would fill the memory."""
    content = encoded(Image.new("L", (2048, 2048)), "WEBP")
    for z, x, y in TILES:
        path = tmp_path / f"{z}/{x}/{y}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in list(tmp_path.glob("*/*")):
        for name in list(path.iterdir())[:1]:
            for extra in range(200):
                (path / f"{int(name.stem) + 3 + extra}.webp").hardlink_to(name)
    with pytest.raises(SourceError, match=r"needs 1\d\d tiles .*want a coarser zoom"):
        open_imagery(tmp_path).chip(ChipFrame(FRAME.lon, FRAME.lat, 3000.0, 2.0))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_damaged_images_are_one_error(form: str) -> None:
    whole, rng = tile_image(*TILES[0], form=form, size=64), np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole[: rng.integers(8, len(whole) + 1)])
        for place in rng.integers(0, min(len(content), 200), 3):
            content[place] = rng.integers(256)
        with suppress(ValueError):
            decode_tile(bytes(content))


def test_pipes_and_devices_are_no_tiles(tmp_path: Path) -> None:
    write_tiles(tmp_path, TILES)
    z, x, y = TILES[4]
    path = tmp_path / f"{z}/{x}/{y}.png"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match=f"tile {z}/{x}/{y} of .* is no file of at most"):
        open_imagery(tmp_path).chip(FRAME)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is no file of at most"):
        open_imagery(tmp_path).chip(FRAME)
    template = open_imagery(f"{tmp_path}/{{z}}/{{x}}/{{y}}.png", ImageryOptions(zoom=ZOOM))
    with pytest.raises(SourceError, match="is no file of at most"):
        template.chip(FRAME)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tiles SET zoom_level = 'seventeen'",
        "UPDATE tiles SET zoom_level = NULL",
        "UPDATE tiles SET zoom_level = -3",
        "UPDATE tiles SET zoom_level = 99",
        """DROP TABLE tiles; CREATE VIEW tiles AS WITH RECURSIVE n(zoom_level) AS
        (SELECT 1 UNION ALL SELECT 1 - zoom_level FROM n) SELECT * FROM n""",
    ],
)
def test_odd_zooms_of_an_archive(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geoindex.imagery.tile_archives._MOST_QUERY_S", 0.5)
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES[:2])
    with sqlite3.connect(path) as out:
        out.executescript(change)
    out.close()
    with pytest.raises(SourceError, match=r"a\.mbtiles"):
        open_imagery(path)


def test_a_directory_that_fills_the_memory(tmp_path: Path) -> None:
    from pmtiles.tile import deserialize_header

    content = write_pmtiles(tmp_path / "a.pmtiles", TILES).read_bytes()
    bomb = zlib.compressobj(9, wbits=31)
    packed = bomb.compress(bytes(70 << 20)) + bomb.flush()
    root = deserialize_header(content[:127])["root_offset"]

    def read_range(offset: int, length: int) -> bytes:
        return packed if offset == root else content[offset : offset + length]

    with pytest.raises(SourceError, match="a directory of it takes more than"):
        PMTiles("a.pmtiles", read_range, None).read(*TILES[0])


@contextmanager
def dripping(head: bytes, part: bytes, every_s: float) -> Iterator[tuple[str, list[socket.socket]]]:
    """Serve an answer that never ends; give the address and one item for each request."""
    server = socket.create_server(("127.0.0.1", 0))
    came: list[socket.socket] = []
    is_over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(head)
            while not is_over.is_set():
                connection.sendall(part)
                time.sleep(every_s)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                came.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/{{z}}/{{x}}/{{y}}.png", came
    finally:
        is_over.set()
        server.close()


def source_of(url: str, folder: Path, **limits: float) -> TiledImagery:
    fetcher = Fetcher(1000.0, num_retries=1, backoff_s=0.01, **limits)
    return TiledImagery(
        url, UrlTiles(url, (ZOOM,), fetcher=fetcher, folder=folder), ImageryOptions(zoom=ZOOM)
    )


OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
CHUNK = b"10000\r\n" + bytes(1 << 16) + b"\r\n"


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (OK + b"\r\n\x89PNG", bytes(1 << 16)),
        (OK + b"Content-Length: 99999999999\r\n\r\n", bytes(1 << 16)),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
    ],
    ids=["without length", "a length", "chunks"],
)
def test_a_body_without_end(tmp_path: Path, head: bytes, part: bytes) -> None:
    with dripping(head, part, 0.0) as (url, came):
        with pytest.raises(SourceError, match="it sends more than 67,108,864 bytes"):
            source_of(url, tmp_path).chip(FRAME)
        # it would be as long the next time
        assert len(came) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (OK + b"Content-Length: 5000\r\n\r\n", b"a"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"H"),
    ],
    ids=["a length", "chunks", "headers", "first line"],
)
def test_a_byte_now_and_then(tmp_path: Path, head: bytes, part: bytes) -> None:
    # without a limit for all of it the answer would never end, nor would this test
    with (
        dripping(head, part, 0.05) as (url, _),
        pytest.raises(SourceError, match="cannot be fetched"),
    ):
        source_of(url, tmp_path, timeout_s=0.4).chip(FRAME)
    # what was cut is no tile that is missing
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("wait", "most_s"),
    [("2", 2.0), ("86400", 60.0), ("9" * 400, 0.02), ("Wed, 21 Oct 2065 07:28:00 GMT", 0.02)],
)
def test_too_many_requests_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str, most_s: float
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", slept.append)
    head = f"HTTP/1.1 429 Too Many\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n"
    with (
        dripping(head.encode(), b"", 0.01) as (url, came),
        pytest.raises(SourceError, match="HTTP 429"),
    ):
        source_of(url, tmp_path).chip(FRAME)
    assert len(came) == 2
    assert max(slept) == pytest.approx(most_s, abs=0.011)


def test_parts_of_a_file_are_no_longer_than_wanted() -> None:
    """A server may answer a request for a part with more."""
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 9000\r\n\r\n"
    with dripping(head, bytes(9000), 1.0) as (url, _):
        read = read_ranges(url, Fetcher(1000.0, num_retries=0))
        with pytest.raises(SourceError, match="more than 127 bytes"):
            read(0, 127)


def test_a_connection_is_kept() -> None:
    """Limits do not cost a new connection a tile."""
    connections = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(self)
            super().setup()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"tile")

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fetcher = Fetcher(1000.0)
        for _ in range(5):
            assert fetcher.get(f"http://127.0.0.1:{server.server_address[1]}/") == (200, b"tile")
        server.shutdown()
    assert len(connections) == 1
