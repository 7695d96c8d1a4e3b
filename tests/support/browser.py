"""A server in a thread and a page in the system's chromium, which watches what the page does."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_ARGUMENTS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 60.0
_IDLE = "Boolean(window.geoindex?.map.loaded() && window.geoindex.map.areTilesLoaded())"


def chromium() -> str | None:
    """Return the browser of this system; ``GEOINDEX_CHROMIUM`` names another."""
    named = os.environ.get("GEOINDEX_CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def serving(paths: Sequence[Path]) -> Iterator[str]:
    """Serve indexes from a thread; gives the address."""
    import uvicorn

    from geoindex.serve.app import make_app
    from geoindex.serve.run import listening

    with listening("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(make_app(paths), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


class Watched:
    """A page, and what went wrong on it.

    Attributes
    ----------
    page
        Of Playwright.
    faults
        Errors of the console, scripts that failed, requests to other servers, answers from 400.
    """

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.base = page, base
        self.faults: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.base, "blob:", "data:")):
            self.faults.append(f"request: {request.url}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"answer: {response.status} {response.url}")

    def open(self, address: str = "/") -> None:
        """Open an address of the server and wait for the map."""
        self.page.goto(self.base + address)
        self.wait(_IDLE)

    def wait(self, expression: str) -> None:
        """Wait until an expression of the page is true; works under its own content policy."""
        self.until(lambda: bool(self.page.evaluate(expression)), expression)

    def until(self, is_so: Callable[[], bool], what: str = "") -> None:
        """Wait until something is so."""
        end = time.monotonic() + _PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"not within {_PATIENCE_S:g} s: {what}; {self.faults}"
            self.page.wait_for_timeout(50)

    def idle(self) -> None:
        """Wait until the map is drawn."""
        self.page.wait_for_timeout(150)
        self.wait(_IDLE)

    def rendered(self, layer: str) -> list[dict[str, Any]]:
        """Return the properties and ids of what the map shows of a layer."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "(layer) => window.geoindex.map.queryRenderedFeatures({layers: [layer]})"
            ".map((f) => ({id: f.id, ...f.properties}))",
            layer,
        )
        return found


@contextmanager
def browsing() -> Iterator[Callable[..., Watched]]:
    """Give what opens pages: ``page(base, width=1280, height=800, dark=False)``."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("no chromium on this system: apt-get install chromium, or GEOINDEX_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))

        def page(base: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Watched:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                accept_downloads=True,
                reduced_motion="reduce",
            )
            return Watched(context.new_page(), base)

        yield page
        browser.close()
