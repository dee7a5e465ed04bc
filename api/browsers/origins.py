"""Requests that change something must not be another site's."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import answer

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: what another site's page may send, and not read the answer to."""
OWN = frozenset({"same-origin", "none"})
"""What a browser says of a request of the service's own page, and of one that a person made."""
PORTS = {"http": ":80", "https": ":443"}
"""Of schemes: they may be left out."""


class SameOrigin:
    """
    Middleware that refuses requests which a page of another site makes to change something.

    A browser lets any page post to any address, as long as it needs no answer: to cancel a job, no
    body is needed. But it says for whom it asks: ``Sec-Fetch-Site``, where that is missing
    ``Origin``, and no page can change either. Programs send neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] == "http" and scope["method"] not in READING:
            foreign = _foreign(Headers(scope=scope))
            if foreign is not None:
                await _refusal(foreign)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _foreign(headers: Headers) -> str | None:
    """Return for whom a browser asks, if it is another site."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None:
        return None if site in OWN else (origin or f"a {site} page")
    if origin is None or _netloc(origin) == _without_port(headers.get("host", ""), origin):
        return None
    return origin


def _netloc(origin: str) -> str:
    return _without_port(origin.partition("://")[2], origin)


def _without_port(netloc: str, origin: str) -> str:
    """Return host and port, without the port that the scheme of *origin* has anyway."""
    return netloc.lower().removesuffix(PORTS.get(origin.partition("://")[0].lower(), ""))


def _refusal(origin: str) -> ASGIApp:
    return answer(
        status=403,
        title="Another site's request",
        detail=f"pages of other sites must not change anything here, got a request of {origin!r}",
        code="foreign_origin",
    )
