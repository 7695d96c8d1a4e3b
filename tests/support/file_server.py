"""A server of this machine that has files, in parts and by their state, and may break off."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Files:
    """What the server has, and what was asked of it.

    Attributes
    ----------
    content
        By path.
    breaks_after
        How many bytes of each of the next answers are sent, of those that break off.
    statuses
        Of the next answers, instead of the file.
    redirects
        Path to address.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    has_state: bool = True
    has_ranges: bool = True
    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def asked_for(self, path: str) -> list[dict[str, str]]:
        """Return the headers of the requests of a path."""
        return [headers for asked, headers in self.asked if asked == path]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, files: Files, *args: Any) -> None:
        self._files = files
        super().__init__(*args)

    def do_GET(self) -> None:
        files = self._files
        path = self.path.partition("?")[0]
        files.asked.append((path, dict(self.headers)))
        if path in files.redirects:
            self._answer(302, b"", Location=files.redirects[path])
            return
        content = files.content.get(path)
        if content is None:
            self._answer(404, b"not here")
            return
        if files.statuses:
            self._answer(files.statuses.pop(0), b"")
            return
        state = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'} if files.has_state else {}  # noqa: S324
        if state and self.headers.get("If-None-Match") == state["ETag"]:
            self._answer(304, b"")
            return
        wanted = self.headers.get("Range")
        is_same = self.headers.get("If-Range") in {None, state.get("ETag")}
        if wanted and is_same and files.has_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self._answer(416, b"")
                return
            held = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], **state, **{"Content-Range": held})
            return
        self._answer(200, content, **state)

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        breaks = self._files.breaks_after if status in {200, 206} else []
        self.wfile.write(content[: breaks.pop(0)] if breaks else content)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving_files(**content: bytes) -> Iterator[Files]:
    """Serve files on this machine."""
    files = Files({f"/{name}": each for name, each in content.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, files))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
