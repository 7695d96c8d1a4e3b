"""How are tiles fetched from a server? Politely, again where it stumbles, and never twice.

Up to `num_retries` times, with growing waits, a request is tried again that broke off or was
answered with 429 or 5xx; a server's Retry-After is kept. No more than `max_per_s` requests start
in a second, from all threads together. What came is kept under the cache folder, what the server
does not have (404, 410, 204) as an empty file: an interrupted build goes on where it stopped, and
the next one asks for nothing. Delete the folder to fetch anew.

Settings of the environment: GEOINDEX_CACHE (a folder, ~/.cache/geoindex), GEOINDEX_IMAGERY_RATE
(requests a second, 20).
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.errors import SourceError, UsageError
from geoindex.imagery.base import Imagery, ImageryOptions, require
from geoindex.imagery.xyz_tiles import TiledImagery
from geoindex.storage.workspace import fingerprint

DEFAULT_RATE = 20.0
DEFAULT_ZOOM = 18
_NOT_THERE = {204, 404, 410}
_AGAIN = (429, 500, 502, 503, 504)
_TIMEOUT_S = 30.0
_MARKS = ("{x}", "{y}", "{-y}", "{z}")


def open_template(name: str, options: ImageryOptions) -> Imagery:
    """Open tiles by a template: ``https://.../{z}/{x}/{y}.png``, a path alike, ``{-y}`` for TMS.

    Without a zoom, `DEFAULT_ZOOM` is read: a server does not say which it has.
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
    """

    def __init__(self, max_per_s: float, num_retries: int = 4, backoff_s: float = 0.5) -> None:
        require("urllib3")
        import urllib3

        self._gap_s = 1 / max_per_s
        self._next = 0.0
        self._lock = threading.Lock()
        self._num_retries, self._backoff_s = num_retries, backoff_s
        self._pool = urllib3.PoolManager(
            maxsize=8, headers={"User-Agent": f"geoindex/{__version__}"}, retries=False
        )

    def get(self, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Return the status and content of an address.

        Raises
        ------
        SourceError
            If the server cannot be reached, or answers neither with content nor with "not there".
        """
        import urllib3

        problem = ""
        for attempt in range(self._num_retries + 1):
            self._wait_turn()
            wait_s = self._backoff_s * 2**attempt
            try:
                answer = self._pool.request("GET", url, headers=headers, timeout=_TIMEOUT_S)
            except urllib3.exceptions.HTTPError as error:
                problem = str(error)
            else:
                if answer.status in {200, 206} or answer.status in _NOT_THERE:
                    return answer.status, answer.data
                problem = f"HTTP {answer.status} {answer.reason or ''}".strip()
                if answer.status not in _AGAIN:
                    break
                wait_s = max(wait_s, _asked_wait_s(answer.headers.get("Retry-After")))
            if attempt < self._num_retries:
                time.sleep(wait_s)
        msg = f"{url} cannot be fetched: {problem}. Run the command again to go on"
        raise SourceError(msg)

    def _wait_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + self._gap_s
        if start > now:
            time.sleep(start - now)


def _asked_wait_s(text: str | None) -> float:
    """Return the seconds of a Retry-After; dates and nonsense are none, and a minute the most."""
    return min(float(text), 60.0) if text and text.isascii() and text.isdigit() else 0.0


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
        try:
            kept = path.read_bytes()
        except FileNotFoundError:
            status, kept = self._fetcher.get(filled(self._template, z, x, y))
            kept = b"" if status in _NOT_THERE else kept
            if kept and not _is_image(kept):
                # a page that says "sorry" must not be kept for a tile
                msg = f"the server answers {status} with no image: {kept[:40]!r}"
                raise SourceError(msg) from None
            _keep(path, kept)
        return kept or None


def _is_image(content: bytes) -> bool:
    return content.startswith((b"\x89PNG", b"\xff\xd8\xff")) or content[8:12] == b"WEBP"


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
    """Tiles as files whose paths follow a template."""

    def __init__(self, template: str, zooms: tuple[int, ...]) -> None:
        self._template = template
        self.zooms, self.state = zooms, [template]

    def read(self, z: int, x: int, y: int) -> bytes | None:
        """Return a tile's file, None where there is none."""
        try:
            return Path(filled(self._template, z, x, y)).read_bytes()
        except FileNotFoundError:
            return None


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
        status, content = fetcher.get(url, wanted)
        if status != 206:
            msg = f"{url} answers HTTP {status} to a request for a part; want a server with ranges"
            raise SourceError(msg)
        return content

    return read


def gdal_options() -> dict[str, Any]:
    """Return GDAL's settings for rasters behind URLs: tried again, and no folder is listed."""
    return {
        "GDAL_HTTP_MAX_RETRY": 4,
        "GDAL_HTTP_RETRY_DELAY": 0.5,
        "GDAL_HTTP_TIMEOUT": int(_TIMEOUT_S),
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_USERAGENT": f"geoindex/{__version__}",
    }
