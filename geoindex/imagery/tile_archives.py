"""Read tiles from one file: MBTiles (SQLite) and PMTiles, local or behind a URL.

MBTiles count rows from the south, as its specification 1.3 has it, and are turned round; PMTiles
(version 3) count from the north. Archives of vector tiles are refused by name.
"""

import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from geoindex.errors import SourceError
from geoindex.imagery.base import Imagery, ImageryOptions, file_state, require
from geoindex.imagery.xyz_tiles import MAX_TILE_BYTES, TiledImagery

_VECTOR_FORMATS = {"pbf", "mvt"}
_HEADER_BYTES = 127
_KEPT_DIRECTORIES = 64
# the specification's own bound: a root and up to three levels of leaves
_MOST_DIRECTORIES = 4
# uncompressed
_MOST_DIRECTORY_BYTES = 64 << 20
_MOST_ZOOM = 30
# of a query: a table may be a view that never ends
_MOST_QUERY_S = 120.0


def open_archive(name: str, options: ImageryOptions) -> Imagery:
    """Open an MBTiles or PMTiles archive; PMTiles may be a URL.

    Raises
    ------
    SourceError
        If it is not there, damaged, or holds no images.
    """
    if name.split("?", 1)[0].lower().endswith(".mbtiles"):
        return TiledImagery(name, MBTiles(_existing(name)), options)
    require("pmtiles")
    if name.startswith(("http://", "https://")):
        from geoindex.imagery.http_tiles import read_ranges

        return TiledImagery(name, PMTiles(name, read_ranges(name), state=[name]), options)
    path = _existing(name)
    return TiledImagery(name, PMTiles(name, _file_ranges(path), state=file_state(path)), options)


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        msg = f"there is no imagery {name}. Want a file such as town.mbtiles"
        raise SourceError(msg)
    return path


class MBTiles:
    """Tiles in an SQLite file.

    Raises
    ------
    SourceError
        If it is none, or holds vector tiles.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self.state = file_state(path)
        try:
            found = self._rows("SELECT DISTINCT zoom_level FROM tiles LIMIT 1000")
            kept = dict(self._rows("SELECT name, value FROM metadata LIMIT 1000"))
            self.zooms = tuple(sorted(int(zoom) for (zoom,) in found))
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            msg = f"{path} is no MBTiles file, or a damaged one: {error}"
            raise SourceError(msg) from error
        _check_images(str(path), kept.get("format"))
        if not all(0 <= zoom <= _MOST_ZOOM for zoom in self.zooms):
            msg = f"{path} has tiles of zooms {list(self.zooms)}; want 0 to {_MOST_ZOOM}"
            raise SourceError(msg)

    def _rows(self, query: str, values: tuple[int, ...] = ()) -> list[Any]:
        # a connection belongs to the thread that made it
        if not hasattr(self._local, "connection"):
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._local.connection = sqlite3.connect(uri, uri=True)
            self._local.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_TILE_BYTES)
        end = time.monotonic() + _MOST_QUERY_S
        self._local.connection.set_progress_handler(lambda: time.monotonic() > end, 1_000_000)
        return self._local.connection.execute(query, values).fetchall()

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        query = (
            "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ? "
            "LIMIT 1"
        )
        try:
            found = self._rows(query, (z, x, (1 << z) - 1 - y))
        except sqlite3.Error as error:
            raise SourceError(str(error)) from error
        content = found[0][0] if found else None
        # SQLite puts any type into any column
        if content and not isinstance(content, bytes):
            msg = f"tile_data is {type(content).__name__}, want the bytes of an image (a BLOB)"
            raise SourceError(msg)
        return content or None


class PMTiles:
    """Tiles in a PMTiles archive.

    Parameters
    ----------
    name
        For messages.
    read_range
        Returns bytes by offset and length; called from several threads.
    state
        Differs where the archive was changed.

    Raises
    ------
    SourceError
        If it is none, or holds vector tiles.
    """

    def __init__(self, name: str, read_range: Callable[[int, int], bytes], state: Any) -> None:
        from pmtiles.tile import TileType, deserialize_directory, deserialize_header

        self.state = state
        self._read_range = read_range
        # pmtiles' own reader fetches the header and all directories again for every tile
        self._directory = lru_cache(_KEPT_DIRECTORIES)(
            lambda offset, length: deserialize_directory(_checked(read_range(offset, length)))
        )
        try:
            self._header = deserialize_header(read_range(0, _HEADER_BYTES))
        except SourceError:
            raise
        except Exception as error:
            msg = f"{name} is no PMTiles archive of version 3, or a damaged one: {error!r}"
            raise SourceError(msg) from error
        _check_images(name, "mvt" if self._header["tile_type"] == TileType.MVT else None)
        last = min(self._header["max_zoom"], _MOST_ZOOM)
        self.zooms = tuple(range(self._header["min_zoom"], last + 1))

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        try:
            return self._find(z, x, y)
        except (SourceError, OSError):
            raise
        except Exception as error:
            msg = f"the archive is damaged: {error!r}"
            raise SourceError(msg) from error

    def _find(self, z: int, x: int, y: int) -> bytes | None:
        from pmtiles.tile import find_tile, zxy_to_tileid

        tile_id = zxy_to_tileid(z, x, y)
        offset, length = self._header["root_offset"], self._header["root_length"]
        for _ in range(_MOST_DIRECTORIES):
            entry = find_tile(self._directory(offset, length), tile_id)
            if entry is None:
                return None
            if entry.run_length:
                start = self._header["tile_data_offset"] + entry.offset
                content = self._read_range(start, entry.length)
                if len(content) < entry.length:
                    msg = f"{len(content)} of its {entry.length} bytes are there"
                    raise SourceError(msg)
                return content
            offset = self._header["leaf_directory_offset"] + entry.offset
            length = entry.length
        return None


def _file_ranges(path: Path) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(min(length, MAX_TILE_BYTES))

    return read


def _checked(directory: bytes) -> bytes:
    """Return a compressed directory, if it is none that fills the memory."""
    unpacked = zlib.decompressobj(wbits=31).decompress(directory, _MOST_DIRECTORY_BYTES + 1)
    if len(unpacked) > _MOST_DIRECTORY_BYTES:
        msg = f"a directory of it takes more than {_MOST_DIRECTORY_BYTES:,} bytes"
        raise SourceError(msg)
    return directory


def _check_images(name: str, form: str | None) -> None:
    if form in _VECTOR_FORMATS:
        msg = f"{name} holds vector tiles; want images: PNG, JPEG or WebP. Example: town.mbtiles"
        raise SourceError(msg)
