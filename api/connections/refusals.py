"""The answers to connections and requests that are refused before the application sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from starlette.responses import Response

from api.http import problems

RETRY_AFTER_S = 5
"""Retry-After of an answer to a client beyond a limit, in seconds."""
HTTP_2, TLS = b"PRI * HTTP/2", b"\x16\x03"
"""The first bytes of other protocols."""


class CloseReason(StrEnum):
    """Why the service closed a connection; the values of a metric's label."""

    SILENT = "silent"
    """The client sent nothing."""
    HEAD_LATE = "head_late"
    """The first line and headers of a request were not complete in time."""
    BODY_LATE = "body_late"
    """The body was not complete in time, or came too slowly."""
    IDLE = "idle"
    """No further request came in time."""
    UNREAD = "unread"
    """The client did not read a response, or read it too slowly."""
    UNSENT = "unsent"
    """Too many bytes of all responses were unsent, and this client had not read for longest."""
    UNFINISHED = "unfinished"
    """The bodies of all requests were too large together, and this one was incomplete."""
    LINE_TOO_LONG = "line_too_long"
    """The first line was too long."""
    HEAD_TOO_LARGE = "head_too_large"
    """The headers were too long, or too many."""
    MALFORMED = "malformed"
    """What the client sent is not a request."""
    PIPELINED = "pipelined"
    """The client sent too many requests without waiting for responses."""


@dataclass(frozen=True)
class Refusal:
    """
    An answer after which the connection is closed.

    Attributes:
        reason: what it is counted as; None for a connection that was never served.
        answer: the last response on the connection.
    """

    reason: CloseReason | None
    answer: Response

    def encoded(self) -> bytes:
        """Return the encoded response."""
        # By hand, since no ASGI server is involved: the request may not even have been parsed.
        status = HTTPStatus(self.answer.status_code)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        headers = [*self.answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return head + lines + b"\r\n" + bytes(self.answer.body)


def head_late(seconds: float) -> Refusal:
    """Refuse a request whose first line and headers come too slowly."""
    return _refusal(
        CloseReason.HEAD_LATE,
        408,
        "The request came too slowly",
        f"the request's first line and headers must be there within {seconds:g} s",
        "request_late",
    )


def body_late(seconds: float, bytes_per_s: float) -> Refusal:
    """Refuse a request whose body comes too slowly."""
    return _refusal(
        CloseReason.BODY_LATE,
        408,
        "The request came too slowly",
        f"the request's body must be there within {seconds:g} s, and a second more for every "
        f"{bytes_per_s:g} bytes",
        "request_late",
    )


def too_many_bodies(limit: int) -> Refusal:
    """Refuse a request whose body is incomplete when all bodies together are too large."""
    return _refusal(
        CloseReason.UNFINISHED,
        503,
        "Too many request bodies",
        f"the bodies of all requests have more than the {limit} bytes that this process holds at "
        "a time, and this one was not whole; try again",
        "too_many_bodies",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def too_long(limit: int, *, in_line: bool) -> Refusal:
    """Refuse a request whose first line or headers are too long."""
    if in_line:
        return _refusal(
            CloseReason.LINE_TOO_LONG,
            414,
            "The request's first line is too long",
            f"the request's first line and headers must have at most {limit} bytes together",
            "request_line_too_long",
        )
    return _refusal(
        CloseReason.HEAD_TOO_LARGE,
        431,
        "The request's headers are too large",
        f"the request's first line and headers must have at most {limit} bytes together",
        "request_head_too_large",
    )


def too_many_headers(limit: int) -> Refusal:
    """Refuse a request with too many headers."""
    return _refusal(
        CloseReason.HEAD_TOO_LARGE,
        431,
        "The request's headers are too large",
        f"a request must have at most {limit} headers",
        "request_head_too_large",
    )


def malformed(began: bytes, what: str) -> Refusal:
    """Refuse bytes that are not a request; *began* are the first of them."""
    if began.startswith(HTTP_2):
        what = "it is HTTP/2, and must be HTTP/1.1"
    if began.startswith(TLS):
        what = "it is TLS, and must be plain HTTP: use http://"
    return _refusal(
        CloseReason.MALFORMED,
        400,
        "The request cannot be read",
        f"the request cannot be read: {what}",
        "malformed_request",
    )


def upgrade_with_body() -> Refusal:
    """Refuse an upgrade with a body, which the parser would take for another protocol."""
    return malformed(b"", "it has a body, and must not ask for an upgrade then")


def pipelined(limit: int) -> Refusal:
    """Refuse a request when too many wait for their responses."""
    return _refusal(
        CloseReason.PIPELINED,
        400,
        "Too many requests at once",
        f"at most {limit} requests may wait on a connection for the answer to an earlier one",
        "too_many_requests_at_once",
    )


def too_many(limit: int, *, of_peer: bool) -> Refusal:
    """Refuse a connection beyond a limit."""
    whose = "of your address " if of_peer else ""
    return _refusal(
        None,
        503,
        "Too many connections",
        f"{limit} connections {whose}are open, which is what this process serves at a time; "
        "use one for many requests, or try again",
        "too_many_connections",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _refusal(
    reason: CloseReason | None,
    status: int,
    title: str,
    detail: str,
    code: str,
    *,
    headers: dict[str, str] | None = None,
) -> Refusal:
    answer = problems.answer(status=status, title=title, detail=detail, code=code, headers=headers)
    return Refusal(reason, answer)
