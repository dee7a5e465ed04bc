"""What a request body may be, before anything looks at what it says."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer, told
from api.http.thread_pool import BODY, BODY_SIZE, work_of
from optserve.contract import strict_json
from store.errors import Busy

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
    object has twice, NaN, infinities and numbers that become them, deep nesting, more objects and
    lists than anything needs. A body that is not small is parsed in a thread.
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
                scope[BODY_SIZE] = len(body)
                scope[BODY] = await work_of(scope).do(len(body), check, body)
        except BadBody as error:
            await _answer(error)(scope, receive, send)
            return
        except Busy as error:
            await told(error)(scope, receive, send)
            return
        waiting = [body]
        del body  # an answer may be streamed for long

        async def replay() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()  # not a list of parts, which takes many times what small ones have
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise BadBody(400, "disconnected", "the client went away")
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise BadBody(
                    413, "body_too_large", f"the body must have at most {self._max_bytes} bytes"
                )
            if not message.get("more_body"):
                return bytes(body)


def _check_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise BadBody(
            415,
            "unsupported_media_type",
            f"Content-Type must be application/json, got {content_type[:80] or 'none'!r}",
        )


def check(body: bytes) -> Any:  # noqa: ANN401  whatever it says
    """Return what *body* says, or raise `BadBody` unless it is a JSON text without traps."""
    try:
        return strict_json.parse(body)
    except strict_json.NotStrict as error:
        raise BadBody(400, "invalid_json", f"the body must be a JSON text: {error}") from None


def _answer(error: BadBody) -> Response:
    title = TITLES[error.status]
    return answer(status=error.status, title=title, detail=error.detail, code=error.code)
