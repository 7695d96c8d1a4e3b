"""Fetch tiles from a server: politely, again after a failure in passing, and never twice.

Up to `num_retries` times, with growing waits, a request is tried again that broke off or was
answered with 429 or 5xx; a server's Retry-After is kept, up to a minute. No more than `max_per_s`
requests start in a second, from all threads together. An answer that is larger than any tile, or
takes longer than `timeout_s`, is given up. Content is kept under the cache folder, what the server
does not have (404, 410, 204) as an empty file: an interrupted build goes on where it stopped, and
the next one requests nothing. Delete the folder to fetch anew.

Settings of the environment: GEOINDEX_CACHE (a folder, ~/.cache/geoindex), GEOINDEX_IMAGERY_RATE
(requests a second, 20).
"""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.errors import SourceError, UsageError
from geoindex.imagery.base import Imagery, ImageryOptions, require
from geoindex.imagery.xyz_tiles import (
    MAX_TILE_BYTES,
    TiledImagery,
    is_image,
    names_by_lower,
    read_tile,
)
from geoindex.storage.workspace import fingerprint

_KEPT_FOLDERS = 256
DEFAULT_RATE = 20.0
DEFAULT_ZOOM = 18
_NOT_THERE = {204, 404, 410}
_AGAIN = (429, 500, 502, 503, 504)
# of an answer as a whole; between two of its parts a quarter of it
_TIMEOUT_S = 60.0
_MAX_RETRY_AFTER_S = 60.0
_PART_BYTES = 1 << 16
_MARKS = ("{x}", "{y}", "{-y}", "{z}")


def open_template(name: str, options: ImageryOptions) -> Imagery:
    """Open tiles by a template: ``https://.../{z}/{x}/{y}.png``, a path alike, ``{-y}`` for TMS.

    Without a zoom, `DEFAULT_ZOOM` is read: a server does not list its zooms.
    """
    if "{z}" not in name or ("{y}" not in name and "{-y}" not in name):
        example = "tiles/{z}/{x}/{y}.png"
        msg = f"want {{z}}, {{x}} and {{y}} (or {{-y}}) in {name!r}. Example: {example}"
        raise UsageError(msg)
    zoom = DEFAULT_ZOOM if options.zoom is None else options.zoom
    if name.startswith(("http://", "https://")):
        return TiledImagery(name, UrlTiles(name, (zoom,)), options)
    return TiledImagery(name, TemplateTiles(name, (zoom,)), options)


def cache_folder() -> Path:
    """Return the folder that fetched things are kept in."""
    return Path(os.environ.get("GEOINDEX_CACHE") or Path.home() / ".cache" / "geoindex")


def request_rate() -> float:
    """Return how many requests may start in a second.

    Raises
    ------
    UsageError
        If the environment has no number above 0.
    """
    text = os.environ.get("GEOINDEX_IMAGERY_RATE") or str(DEFAULT_RATE)
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        msg = f"GEOINDEX_IMAGERY_RATE is {text!r}; want requests a second, above 0. Example: 20"
        raise UsageError(msg)
    return rate


class Fetcher:
    """Gets bytes over HTTP, from any thread.

    Parameters
    ----------
    max_per_s
        Requests that may start in a second.
    num_retries
        Of a request that failed in passing; the last wait is about ``2 ** num_retries / 2`` s.
    timeout_s
        That an answer may take, headers and content together.
    """

    def __init__(
        self,
        max_per_s: float,
        num_retries: int = 4,
        backoff_s: float = 0.5,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        require("urllib3")
        self._gap_s = 1 / max_per_s
        self._next = 0.0
        self._lock = threading.Lock()
        self._num_retries, self._backoff_s = num_retries, backoff_s
        self._timeout_s = timeout_s
        self._pool = _pool(timeout_s)

    def get(
        self, url: str, headers: dict[str, str] | None = None, *, most_bytes: int = MAX_TILE_BYTES
    ) -> tuple[int, bytes]:
        """Return the status and content of an address.

        Raises
        ------
        SourceError
            If the server cannot be reached, answers neither with content nor with "not there", or
            sends more bytes, or for longer, than it may.
        """
        import urllib3

        problem = ""
        for attempt in range(self._num_retries + 1):
            self._wait_turn()
            wait_s = self._backoff_s * 2**attempt
            try:
                answer = self._pool.request("GET", url, headers=headers, preload_content=False)
                with answer:
                    if answer.status in {200, 206} or answer.status in _NOT_THERE:
                        return answer.status, self._content(answer, most_bytes)
                problem = f"HTTP {answer.status} {answer.reason or ''}".strip()
                if answer.status not in _AGAIN:
                    break
                wait_s = max(wait_s, _retry_after_s(answer.headers.get("Retry-After")))
            except _TooMuchError as error:
                problem = str(error)
                break
            except (urllib3.exceptions.HTTPError, OSError) as error:
                problem = str(error)
            if attempt < self._num_retries:
                time.sleep(wait_s)
        msg = f"{url} cannot be fetched: {problem}. Run the command again to go on"
        raise SourceError(msg)

    def _content(self, answer: Any, most_bytes: int) -> bytes:
        """Return what an answer holds, read within its limits."""
        parts, size, end = [], 0, time.monotonic() + self._timeout_s
        while part := answer.read1(_PART_BYTES):
            parts.append(part)
            size += len(part)
            if size > most_bytes:
                msg = f"it sends more than {most_bytes:,} bytes"
                raise _TooMuchError(msg)
            if time.monotonic() > end:
                msg = f"it sent {size:,} bytes in {self._timeout_s:g} s and did not end"
                raise _TooMuchError(msg)
        # kept open for the next request
        answer.release_conn()
        return b"".join(parts)

    def _wait_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + self._gap_s
        if start > now:
            time.sleep(start - now)


class _TooMuchError(Exception):
    """An answer beyond its limits, which is not requested again."""


def _pool(timeout_s: float) -> Any:
    """Return a pool of connections whose headers come within a time, however slowly each byte."""
    import urllib3
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class InTime:
        sock: Any

        def getresponse(self) -> Any:
            late = threading.Event()
            timer = threading.Timer(timeout_s, _cut, [self.sock, late])
            timer.daemon = True
            timer.start()
            try:
                answer = super().getresponse()  # type: ignore[misc]
            finally:
                timer.cancel()
            if late.is_set():
                msg = f"no whole answer in {timeout_s:g} s"
                raise TimeoutError(msg)
            return answer

    pool = urllib3.PoolManager(
        maxsize=8, headers={"User-Agent": f"geoindex/{__version__}"}, retries=False,
        timeout=timeout_s / 4,
    )  # fmt: skip
    pool.pool_classes_by_scheme = {
        scheme: type("Pool", (base,), {"ConnectionCls": type("", (InTime, base.ConnectionCls), {})})
        for scheme, base in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool))
    }
    return pool


def _cut(sock: socket.socket, late: threading.Event) -> None:
    """End a connection that another thread waits for."""
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _retry_after_s(text: str | None) -> float:
    """Return the seconds of a Retry-After; dates and nonsense are none."""
    is_number = text and text.isascii() and text.isdigit() and len(text) < 10
    return min(float(text or 0), _MAX_RETRY_AFTER_S) if is_number else 0.0


class UrlTiles:
    """Tiles of a server, kept on disk."""

    def __init__(
        self,
        template: str,
        zooms: tuple[int, ...],
        *,
        fetcher: Fetcher | None = None,
        folder: Path | None = None,
    ) -> None:
        self._template = template
        self.zooms, self.state = zooms, [template]
        self._fetcher = fetcher or Fetcher(request_rate())
        self._folder = (folder or cache_folder()) / "tiles" / fingerprint(template=template)

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where the server has none."""
        path = self._folder / str(z) / str(x) / str(y)
        kept = read_tile(path)
        if kept is None:
            status, kept = self._fetcher.get(filled(self._template, z, x, y))
            kept = b"" if status in _NOT_THERE else kept
            if kept and not is_image(kept):
                # an error page must not be kept for a tile
                msg = f"the server answers {status} with no image: {kept[:40]!r}"
                raise SourceError(msg)
            _keep(path, kept)
        return kept or None


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole, whoever else writes the same one just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)


class TemplateTiles:
    """Tiles as files whose paths follow a template, their names in letters of either case."""

    def __init__(self, template: str, zooms: tuple[int, ...]) -> None:
        self._template = template
        self._names = lru_cache(_KEPT_FOLDERS)(names_by_lower)
        self.zooms, self.state = zooms, [template]

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        path = Path(filled(self._template, z, x, y))
        found = read_tile(path)
        if found is None and (name := self._names(path.parent).get(path.name.lower())):
            # cameras and Windows write suffixes in capitals
            found = read_tile(path.with_name(name))
        return found


def filled(template: str, z: int, x: int, y: int) -> str:
    """Return the address of a tile."""
    for mark, value in zip(_MARKS, (x, y, (1 << z) - 1 - y, z), strict=True):
        template = template.replace(mark, str(value))
    return template


def read_ranges(url: str, fetcher: Fetcher | None = None) -> Callable[[int, int], bytes]:
    """Return what reads a part of a file behind a URL, by offset and length.

    Raises
    ------
    SourceError
        When called: if the file is not there, or the server sends no parts.
    """
    fetcher = fetcher or Fetcher(request_rate())

    def read(offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        status, content = fetcher.get(url, wanted, most_bytes=length)
        if status != 206:
            msg = f"{url} answers HTTP {status} to a request for a part; want a server with ranges"
            raise SourceError(msg)
        return content

    return read


def gdal_options(*, is_remote: bool) -> dict[str, Any]:
    """Return GDAL's settings: requests end and are tried again, and no remote folder is listed."""
    settings = {
        "GDAL_HTTP_MAX_RETRY": 4,
        "GDAL_HTTP_RETRY_DELAY": 0.5,
        "GDAL_HTTP_TIMEOUT": 30,
        "GDAL_HTTP_USERAGENT": f"geoindex/{__version__}",
    }
    return settings | ({"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if is_remote else {})
