"""A server of this machine that gives prepared answers and records the requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = Callable[[str], tuple[int, bytes]]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answer: Answer, asked: list[str], *args: Any) -> None:
        self._answer, self._asked = answer, asked
        super().__init__(*args)

    def do_GET(self) -> None:
        self._asked.append(self.path)
        status, content = self._answer(self.path)
        wanted = self.headers.get("Range")
        if status == 200 and wanted:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            status, content = 206, content[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if content.startswith(b"\x89PNG"):
            self.send_header("Content-Type", "image/png")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Serve answers on this machine; give the address and the list of what was asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, answer, asked))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
