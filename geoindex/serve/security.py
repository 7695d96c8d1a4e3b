"""Keep strangers out: the Host header, a token, limits of the body, headers of every answer.

A page of another site can send requests to a server on this machine. It cannot read the answers
(no CORS header is sent unless an origin is named) unless its name is made to lead here (DNS
rebinding): so a Host header that is not ours is refused. A server that other machines reach wants a
token in every request: once in the link, then in a cookie, or as ``Authorization: Bearer``.
"""

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geoindex.errors import UsageError
from geoindex.serve.problems import RequestError, problem_response

COOKIE, PARAMETER = "geoindex_token", "token"
MOST_BODY_BYTES = 4_000_000
_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
_YEAR_S = 365 * 24 * 3600
_OPEN_PATHS = {"/api/v1/health"}


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Policy:
    """Who may ask, and what a page may load.

    Attributes
    ----------
    hosts
        Names that the Host header may have, without the port; ``"*"`` is any.
    token
        That every request needs; None: none.
    basemap
        The template of a map of others, whose pictures a page may load; None: no request leaves
        the machine.
    """

    hosts: frozenset[str] = field(default_factory=lambda: frozenset(_LOOPBACK_NAMES))
    token: str | None = None
    basemap: str | None = None

    @property
    def content_security(self) -> str:
        """The Content-Security-Policy of the page."""
        pictures = f" {_origin(self.basemap)}" if self.basemap else ""
        return (
            "default-src 'self'; script-src 'self'; worker-src 'self'; "
            f"style-src 'self'; img-src 'self' data: blob:{pictures}; "
            f"connect-src 'self'{pictures}; object-src 'none'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )

    def is_known_host(self, header: str) -> bool:
        """Tell whether a Host header is ours, whatever its port."""
        try:
            name = urlsplit(f"//{header}").hostname
        except ValueError:
            return False
        return "*" in self.hosts or (name is not None and name in self.hosts)


def policy_for(host: str, *, token: str | None, basemap: str | None = None) -> Policy:
    """Return the policy of a server that listens at a host."""
    if is_loopback(host):
        return Policy(frozenset({*_LOOPBACK_NAMES, host}), token, basemap)
    # whoever has the token may come by any name
    return Policy(frozenset({"*"}), token or new_token(), basemap)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


class Guard:
    """Checks requests before the application sees them; an ASGI middleware.

    Parameters
    ----------
    app
        The application.
    policy
        What to check.
    """

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        headers = Headers(scope=scope)
        if not self._policy.is_known_host(headers.get("host", "")):
            error = RequestError(403, "foreign_host", "the Host header names another server")
            await problem_response(error)(scope, receive, send_with_headers)
            return
        if self._policy.token is not None and scope["path"] not in _OPEN_PATHS:
            if (link := self._linked(scope)) is not None:
                await link(scope, receive, send_with_headers)
                return
            if not self._is_let_in(headers):
                error = RequestError(401, "no_token", "want the token of the link that was printed")
                response = problem_response(error)
                response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send_with_headers)
                return
        await self._app(scope, _limited(receive), send_with_headers)

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers.setdefault("Content-Security-Policy", self._policy.content_security)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers.setdefault("Cache-Control", "no-cache")

    def _is_token(self, text: str) -> bool:
        wanted = self._policy.token or ""
        return secrets.compare_digest(text.encode(), wanted.encode())

    def _is_let_in(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _linked(self, scope: Scope) -> RedirectResponse | None:
        """Return where to go on from the link with the token, which then is in a cookie."""
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] != "GET" or not any(
            name == PARAMETER and self._is_token(value) for name, value in parameters
        ):
            return None
        rest = urlencode([item for item in parameters if item[0] != PARAMETER])
        # one slash: two would name another server
        path = "/" + scope["path"].lstrip("/")
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.set_cookie(
            COOKIE, self._policy.token or "", max_age=_YEAR_S, httponly=True, samesite="strict"
        )
        return response


def _limited(receive: Receive) -> Receive:
    """Return a receiver that fails once a body is larger than the limit."""
    num_bytes = 0

    async def take() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MOST_BODY_BYTES:
            msg = f"the body is larger than {MOST_BODY_BYTES:,} bytes"
            raise RequestError(413, "too_large", msg)
        return message

    return take


def allowed_origins(origins: Sequence[str]) -> list[str]:
    """Return origins that pages may ask from, each checked.

    Raises
    ------
    UsageError
        If one is no origin.
    """
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path:
            msg = f"--cors is {origin!r}; want an origin. Example: --cors https://example.org"
            raise UsageError(msg)
    return list(origins)
