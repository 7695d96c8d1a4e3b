"""Errors over HTTP: RFC 9457 problem details, with the codes of `geoindex.errors`.

======  =================================================================
status  when
======  =================================================================
400     the request cannot be understood: `usage`, `invalid_...`
401     a token is wanted
403     the address in the Host header is not ours
404     no such page, index, id or place: `not_in_index`, `unknown_index`
405     another method is wanted
409     a name that several entities have: `ambiguous_name`
413     the request is larger than the limits: `too_large`
415     the body is not JSON
429     too many searches wait already
503     the index is damaged, something is not installed, or it takes too long
======  =================================================================
"""

import re
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from geoindex.errors import (
    AmbiguousNameError,
    GeoindexError,
    IndexDamagedError,
    MissingExtraError,
    NotInIndexError,
    UsageError,
)

_STATUS: tuple[tuple[type[GeoindexError], int], ...] = (
    (AmbiguousNameError, 409),
    (UsageError, 400),
    (NotInIndexError, 404),
    (IndexDamagedError, 503),
    (MissingExtraError, 503),
)
_ID = re.compile(r"\b(?:node|way|relation)/\d+\b")
_NEAREST = re.compile(r"nearest ids: ([^.]*)")
_HINT = re.compile(r"((?:Example|Did you mean|did you mean|Make one|Install|Want)\b.*)$", re.DOTALL)


class RequestError(GeoindexError):
    """A request that is refused before anything is searched."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def status_of(error: GeoindexError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: GeoindexError) -> dict[str, Any]:
    """Return an error as the members of a problem.

    `hint` is what to do next, where the message says so; `candidates` are the ids that it names.
    """
    message = str(error)
    status = status_of(error)
    found: dict[str, Any] = {
        "type": f"urn:geoindex:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "code": error.code,
    }
    if hint := _HINT.search(message):
        found["hint"] = hint[1]
    if ids := list(dict.fromkeys(_ID.findall(_named(error, message)))):
        found["candidates"] = ids
    return found


def _named(error: GeoindexError, message: str) -> str:
    """Return the part of a message that lists what may have been meant."""
    if isinstance(error, AmbiguousNameError):
        return message
    near = _NEAREST.search(message)
    return near[1] if near else ""


def problem_response(error: GeoindexError) -> JSONResponse:
    """Return an error as a response."""
    problem = problem_of(error)
    busy = {429: "1", 503: "5"}.get(problem["status"])
    headers = {"Cache-Control": "no-store", **({"Retry-After": busy} if busy else {})}
    return JSONResponse(
        problem, problem["status"], headers=headers, media_type="application/problem+json"
    )
