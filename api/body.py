"""What a request body may be, before anything looks at what it says."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer

MAX_DEPTH = 32
"""Objects and lists within one another; a job needs seven."""
TITLES = {
    400: "The body cannot be read",
    413: "The body is too large",
    415: "The body is of another type",
}
METHODS = frozenset({"POST", "PUT", "PATCH"})


class BadBody(Exception):
    """The body is not a JSON text that could be a request."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class StrictBody:
    """
    Middleware that lets through only bodies that are one finite, unambiguous JSON text.

    The size is counted while it arrives. Rejected: what is no JSON or no UTF-8, a name that an
    object has twice, NaN, infinities and numbers that become them, deep nesting.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the body of a request, and hand it on or answer."""
        if scope["type"] != "http" or scope["method"] not in METHODS:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
            if body:
                _check_type(dict(scope["headers"]).get(b"content-type", b"").decode("latin-1"))
                check(body)
        except BadBody as error:
            await _answer(error)(scope, receive, send)
            return
        waiting = [body]

        async def replay() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise BadBody(400, "disconnected", "the client went away")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                raise BadBody(
                    413, "body_too_large", f"the body must have at most {self._max_bytes} bytes"
                )
            if not message.get("more_body"):
                return b"".join(parts)


def _check_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise BadBody(
            415,
            "unsupported_media_type",
            f"Content-Type must be application/json, got {content_type[:80] or 'none'!r}",
        )


def check(body: bytes) -> None:
    """Raise `BadBody` unless *body* is a JSON text without traps."""
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise _not_json(f"it is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _not_json(f"{error.msg} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # a number of thousands of digits
        raise _not_json(str(error).split(";")[0]) from None
    _check_depth(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _not_json(f"the name {name[:80]!r} must be used once in an object, got it twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _not_json(f"numbers must be finite, got {text[:80]}")
    return number


def _no_constant(text: str) -> float:
    raise _not_json(f"numbers must be finite, got {text}")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadBody:
    return _not_json(f"objects and lists must nest at most {MAX_DEPTH} deep")


def _not_json(why: str) -> BadBody:
    return BadBody(400, "invalid_json", f"the body must be a JSON text: {why}")


def _answer(error: BadBody) -> Response:
    title = TITLES[error.status]
    return answer(status=error.status, title=title, detail=error.detail, code=error.code)
