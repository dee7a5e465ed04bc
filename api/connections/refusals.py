"""What is told to a connection that does not get as far as the application."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from starlette.responses import Response

from api.http import problems

RETRY_AFTER_S = 5
"""Seconds after which a client may try again where there are too many."""
HTTP_2, TLS = b"PRI * HTTP/2", b"\x16\x03"
"""How connections begin that speak something else."""


class Why(StrEnum):
    """Why the service has closed a connection: the values of a label."""

    SILENT = "silent"
    """It brought nothing."""
    HEAD_LATE = "head_late"
    """The first line and the headers of a request were not there in time."""
    BODY_LATE = "body_late"
    """The body was not, or came too slowly."""
    IDLE = "idle"
    """No further request came."""
    UNREAD = "unread"
    """An answer was not read, or too slowly."""
    UNSENT = "unsent"
    """Too much waited to be read by all clients together, and this one had not read for longest."""
    UNFINISHED = "unfinished"
    """The bodies of all clients had too many bytes together, and this one was not whole."""
    LINE_TOO_LONG = "line_too_long"
    """The first line was too long."""
    HEAD_TOO_LARGE = "head_too_large"
    """The headers were too long, or too many."""
    MALFORMED = "malformed"
    """It was no request."""
    PIPELINED = "pipelined"
    """Too many requests came before their answers."""


@dataclass(frozen=True)
class Refusal:
    """
    What is told, and what it is counted as.

    Attributes:
        why: None for a connection that was not served at all.
        answer: the last thing that the connection is told.
    """

    why: Why | None
    answer: Response

    def encoded(self) -> bytes:
        """Return the answer as it is sent."""
        status = HTTPStatus(self.answer.status_code)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        headers = [*self.answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return head + lines + b"\r\n" + bytes(self.answer.body)


def head_late(seconds: float) -> Refusal:
    """Return what is told to a client whose request does not begin in earnest."""
    return _refusal(
        Why.HEAD_LATE,
        408,
        "The request came too slowly",
        f"the request's first line and headers must be there within {seconds:g} s",
        "request_late",
    )


def body_late(seconds: float, pace: float) -> Refusal:
    """Return what is told to a client whose request does not end."""
    return _refusal(
        Why.BODY_LATE,
        408,
        "The request came too slowly",
        f"the request's body must be there within {seconds:g} s, and a second more for every "
        f"{pace:g} bytes",
        "request_late",
    )


def too_many_bodies(limit: int) -> Refusal:
    """Return what is told to a client whose body is not whole when all have too many bytes."""
    return _refusal(
        Why.UNFINISHED,
        503,
        "Too many request bodies",
        f"the bodies of all requests have more than the {limit} bytes that this process holds at "
        "a time, and this one was not whole; try again",
        "too_many_bodies",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def too_long(limit: int, *, in_line: bool) -> Refusal:
    """Return what is told to a client whose request does not get to its body."""
    if in_line:
        return _refusal(
            Why.LINE_TOO_LONG,
            414,
            "The request's first line is too long",
            f"the request's first line and headers must have at most {limit} bytes together",
            "request_line_too_long",
        )
    return _refusal(
        Why.HEAD_TOO_LARGE,
        431,
        "The request's headers are too large",
        f"the request's first line and headers must have at most {limit} bytes together",
        "request_head_too_large",
    )


def too_many_headers(limit: int) -> Refusal:
    """Return what is told to a client with very many headers."""
    return _refusal(
        Why.HEAD_TOO_LARGE,
        431,
        "The request's headers are too large",
        f"a request must have at most {limit} headers",
        "request_head_too_large",
    )


def malformed(began: bytes, what: str) -> Refusal:
    """Return what is told to a client whose bytes are no request; *began* are the first ones."""
    if began.startswith(HTTP_2):
        what = "it is HTTP/2, and must be HTTP/1.1"
    if began.startswith(TLS):
        what = "it is TLS, and must be plain HTTP: use http://"
    return _refusal(
        Why.MALFORMED,
        400,
        "The request cannot be read",
        f"the request cannot be read: {what}",
        "malformed_request",
    )


def upgrade_with_body() -> Refusal:
    """Return what is told to a client whose body the parser would take for another protocol."""
    return malformed(b"", "it has a body, and must not ask for an upgrade then")


def pipelined(limit: int) -> Refusal:
    """Return what is told to a client that does not wait for answers."""
    return _refusal(
        Why.PIPELINED,
        400,
        "Too many requests at once",
        f"at most {limit} requests may wait on a connection for the answer to an earlier one",
        "too_many_requests_at_once",
    )


def too_many(limit: int, *, of_peer: bool) -> Refusal:
    """Return what is told to a client that came when there were too many already."""
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
    why: Why | None,
    status: int,
    title: str,
    detail: str,
    code: str,
    *,
    headers: dict[str, str] | None = None,
) -> Refusal:
    answer = problems.answer(status=status, title=title, detail=detail, code=code, headers=headers)
    return Refusal(why, answer)
