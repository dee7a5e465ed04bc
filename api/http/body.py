"""Checks request bodies for size, content type and strict JSON, before they are validated."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer, job_error_response
from api.http.thread_pool import BODY, BODY_SIZE, threads_of
from optserve.contract import strict_json
from store.errors import Busy

TITLES = {
    400: "The body cannot be read",
    413: "The body is too large",
    415: "The body has an unsupported type",
}
METHODS = frozenset({"POST", "PUT", "PATCH"})


class BadBody(Exception):
    """A body is incomplete, too large, of an unsupported type, or not strict JSON."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class StrictBody:
    """
    Middleware that rejects bodies that are too large, of an unsupported type, or not strict JSON.

    Strict JSON is UTF-8. It has no duplicate names in an object, no NaN or infinity, and no number
    that overflows to an infinity. The depth of nesting and the number of objects and lists are
    limited, too; `optserve.contract.strict_json.parse` has all rules.

    The size of a body is checked while the body arrives. A large body is parsed in a thread.

    Args:
        app: the application that gets the accepted requests.
        max_bytes: maximum size of a body, in bytes.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the body of a request; pass the request on, or respond with the error."""
        if scope["type"] != "http" or scope["method"] not in METHODS:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
            if body:  # a POST with an empty body needs no content type
                _check_type(dict(scope["headers"]).get(b"content-type", b"").decode("latin-1"))
                scope[BODY_SIZE] = len(body)
                scope[BODY] = await threads_of(scope).run(len(body), check, body)
        except BadBody as error:
            await _answer(error)(scope, receive, send)
            return
        except Busy as error:
            await job_error_response(error)(scope, receive, send)
            return
        waiting = [body]  # a list, so that `replay` can empty it
        del body  # else it is held until the response ends: for a stream, hours later

        # FastAPI reads the bytes only to find out whether there is a body; the routes use the JSON
        # that was parsed above.
        async def replay() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()  # a list of many small parts would take many times their size
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise BadBody(400, "disconnected", "the client disconnected")
            body += message.get("body", b"")
            # Counted as it arrives: a chunked body has no Content-Length.
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


def check(body: bytes) -> Any:  # noqa: ANN401  any JSON
    """Return the JSON value in *body*; raise `BadBody` if *body* is not strict JSON."""
    try:
        return strict_json.parse(body)
    except strict_json.NotStrict as error:
        raise BadBody(400, "invalid_json", f"the body must be a JSON text: {error}") from None


def _answer(error: BadBody) -> Response:
    title = TITLES[error.status]
    return answer(status=error.status, title=title, detail=error.detail, code=error.code)
