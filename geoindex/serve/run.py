"""Run the server: bind the socket, say where it is, serve until it is interrupted."""

import errno
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer

from geoindex.errors import MissingExtraError, UsageError
from geoindex.serve.security import policy_for

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8642
_BACKLOG = 256
_GRACE_S = 3
_OPEN_AFTER_S = 0.5


def serve(
    paths: Sequence[Path],
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    token: str | None = None,
    cors: Sequence[str] = (),
    basemap: str | None = None,
    imagery: str | None = None,
    open_browser: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve indexes until the process is interrupted.

    Parameters
    ----------
    paths
        Of the indexes.
    host, port
        Where to listen; port 0 takes a free one.
    token
        That requests need; None: none on this machine, else a new one.
    cors
        Origins whose pages may read answers.
    basemap
        Template of a raster map of others to draw beneath.
    imagery
        Where chips are read.
    open_browser
        Show the page.
    announce
        Called with the address of the page, once it can be opened.

    Raises
    ------
    UsageError
        If an option cannot be used, or the port is taken.
    IndexDamagedError
        If an index cannot be opened.
    MissingExtraError
        If the libraries are not installed.
    """
    try:
        import uvicorn

        from geoindex.serve.app import Settings, make_app
        from geoindex.serve.security import allowed_origins
    except ImportError as error:
        raise MissingExtraError(error.name or "starlette", "serve") from error

    if basemap is not None:
        _check_template(basemap)
    policy = policy_for(host, token=token or None, basemap=basemap)
    settings = Settings(policy, tuple(allowed_origins(cors)), basemap, imagery)
    app = make_app(paths, settings)
    with listening(host, port) as listener:
        address = _address(listener, host)
        link = f"{address}?token={policy.token}" if policy.token else address
        announce(link)
        if open_browser:
            Timer(_OPEN_AFTER_S, webbrowser.open, [link]).start()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        # an interrupt is how a server ends
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def serve_mcp(paths: Sequence[Path]) -> None:
    """Serve tools for assistants over indexes by standard input and output, to their end.

    Raises
    ------
    IndexDamagedError, UsageError
        If an index cannot be opened, or there is none.
    MissingExtraError
        If the libraries are not installed.
    """
    try:
        from geoindex.serve.mcp_server import make_server
    except ImportError as error:
        raise MissingExtraError(error.name or "mcp", "serve") from error
    from geoindex.serve.catalog import Catalog

    with suppress(KeyboardInterrupt):
        make_server(Catalog(paths)).run("stdio")


def _check_template(template: str) -> None:
    is_whole = all(f"{{{name}}}" in template for name in "zxy")
    if not (is_whole and template.startswith(("https://", "http://"))):
        msg = (
            f"--basemap is {template!r}; want the template of raster tiles. "
            "Example: --basemap https://tile.example.org/{z}/{x}/{y}.png"
        )
        raise UsageError(msg)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    port
        0 takes a free one.

    Raises
    ------
    UsageError
        If it cannot.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        msg = f"cannot listen at {host}:{port}: {error}. Example: --host 127.0.0.1 --port 8642"
        raise UsageError(msg) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        taken = "the port is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
        msg = f"cannot listen at {host}:{port}: {taken}. Take a free port: --port 0"
        raise UsageError(msg) from error
    return listener


def _address(listener: socket.socket, host: str) -> str:
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 - is compared
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listener.getsockname()[1]}/"
