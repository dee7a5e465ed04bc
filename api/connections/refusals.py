"""The responses to connections and requests that are refused before the application sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from starlette.responses import Response

from api.http import problems

RETRY_AFTER_S = 5
"""Retry-After in the response to a client that exceeds a limit, in seconds."""
HTTP_2, TLS = b"PRI * HTTP/2", b"\x16\x03"
"""The first bytes that a client sends in HTTP/2 and TLS."""


class CloseReason(StrEnum):
    """Why the service closed a connection; metrics have these values as the label `reason`."""

    SILENT = "silent"
    """The client sent nothing."""
    HEAD_LATE = "head_late"
    """The first line and headers of a request were not complete in time."""
    BODY_LATE = "body_late"
    """The body of a request was not complete in time."""
    IDLE = "idle"
    """No further request arrived in time."""
    UNREAD = "unread"
    """The client did not read a response, or read it too slowly."""
    UNSENT = "unsent"
    """Unsent responses were too large together. This client had not read for the longest time."""
    UNFINISHED = "unfinished"
    """The bodies of all requests were too large together, and this body was incomplete."""
    LINE_TOO_LONG = "line_too_long"
    """The first line of a request was too long."""
    HEAD_TOO_LARGE = "head_too_large"
    """The headers of a request were too large, or too many."""
    MALFORMED = "malformed"
    """The client sent something that is not a request."""
    PIPELINED = "pipelined"
    """The client sent too many requests without waiting for responses."""


@dataclass(frozen=True)
class Refusal:
    """
    A response after which the connection is closed.

    Attributes:
        reason: the reason under which the closed connection is counted; None if the connection was
            refused on arrival.
        answer: the last response on the connection.
    """

    reason: CloseReason | None
    answer: Response

    def encoded(self) -> bytes:
        """Return the response as bytes of HTTP/1.1."""
        # Encoded by hand, since no ASGI server is involved: the request may not even have been
        # parsed.
        status = HTTPStatus(self.answer.status_code)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        headers = [*self.answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return head + lines + b"\r\n" + bytes(self.answer.body)


def head_late(seconds: float) -> Refusal:
    """Return the refusal of a request whose first line and headers arrive too slowly."""
    return _refusal(
        CloseReason.HEAD_LATE,
        408,
        "The request came too slowly",
        f"the request's first line and headers must arrive within {seconds:g} s",
        "request_late",
    )


def body_late(seconds: float, bytes_per_s: float) -> Refusal:
    """Return the refusal of a request whose body arrives too slowly."""
    return _refusal(
        CloseReason.BODY_LATE,
        408,
        "The request came too slowly",
        f"the request's body must arrive within {seconds:g} s, plus one second for every "
        f"{bytes_per_s:g} bytes",
        "request_late",
    )


def too_many_bodies(limit: int) -> Refusal:
    """Return the refusal of an incomplete body when all bodies together exceed *limit* bytes."""
    return _refusal(
        CloseReason.UNFINISHED,
        503,
        "Too many request bodies",
        f"the bodies of all requests together exceed the limit of {limit} bytes for this process, "
        "and the body of this request was incomplete; try again",
        "too_many_bodies",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def too_long(limit: int, *, in_line: bool) -> Refusal:
    """
    Return the refusal of a request whose first line and headers together exceed *limit* bytes.

    Args:
        limit: the maximum size of first line and headers together, in bytes.
        in_line: whether the first line is too long (status 414), and not the headers (status 431).
    """
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
    """Return the refusal of a request with more than *limit* headers."""
    return _refusal(
        CloseReason.HEAD_TOO_LARGE,
        431,
        "The request's headers are too large",
        f"a request must have at most {limit} headers",
        "request_head_too_large",
    )


def malformed(began: bytes, what: str) -> Refusal:
    """
    Return the refusal of data that is not a request.

    Args:
        began: the first bytes on the connection, which identify HTTP/2 and TLS.
        what: the error in the data; not used if the data is HTTP/2 or TLS.
    """
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
    """Return the refusal of an upgrade with a body; nothing would limit the size of that body."""
    return malformed(b"", "a request with a body must not ask for an upgrade")


def pipelined(limit: int) -> Refusal:
    """Return the refusal of a request on a connection where *limit* requests wait already."""
    return _refusal(
        CloseReason.PIPELINED,
        400,
        "Too many requests at once",
        f"at most {limit} requests on a connection may wait for the response to an earlier request",
        "too_many_requests_at_once",
    )


def too_many(limit: int, *, of_peer: bool) -> Refusal:
    """
    Return the refusal of a connection when the maximum number of connections is open.

    Args:
        limit: the maximum number of connections.
        of_peer: whether *limit* is for the connections from one address, and not for all.
    """
    whose = "from your address " if of_peer else ""
    return _refusal(
        None,
        503,
        "Too many connections",
        f"{limit} connections {whose}are open, which is the limit of this process; "
        "send several requests on one connection, or try again",
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
