"""Protection against cross-site requests: pages of other sites must not change anything."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import answer

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing. Another site's page may send them, but cannot read the response."""
# `same-site` is left out, since it ignores ports and subdomains: a page on localhost:3000 is of the
# same site as localhost:8000.
SAME_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site in requests from the service's own pages, and from the address bar."""
PORTS = {"http": ":80", "https": ":443"}
"""The default port of each scheme, which an origin may omit."""


class SameOrigin:
    """
    Middleware that refuses requests from pages of other sites, except GET, HEAD and OPTIONS.

    A browser lets any page send a POST without a body to any address. Such a POST is enough to
    cancel a job. But the browser names the site of the page in the header ``Sec-Fetch-Site`` or
    ``Origin``, and no page can change these headers. Programs other than browsers send neither
    header, and their requests are accepted.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with status 403."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            foreign = _foreign(Headers(scope=scope))
            if foreign is not None:
                await _refusal(foreign)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _foreign(headers: Headers) -> str | None:
    """Return the origin of a request from a page of another site; None for any other request."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    # Sec-Fetch-Site is preferred, since it is right even if a proxy changes Host or ends TLS.
    # Browsers send it only to https and to loopback; elsewhere Origin and Host are compared.
    if site is not None:
        return None if site in SAME_SITE else (origin or f"a {site} page")
    # `null`, the Origin of sandboxed frames and local files, has no host, and so is foreign.
    if origin is None or _netloc(origin) == _without_port(headers.get("host", ""), origin):
        return None
    return origin


def _netloc(origin: str) -> str:
    return _without_port(origin.partition("://")[2], origin)


def _without_port(netloc: str, origin: str) -> str:
    """
    Return *netloc* (host and port) in lower case, without a default port.

    The default port is that of the scheme in the URL *origin*: 80 for http, 443 for https.
    """
    # The Host header contains no scheme, and behind a proxy that ends TLS the scheme is not this
    # server's: only the origin tells which port is the default.
    return netloc.lower().removesuffix(PORTS.get(origin.partition("://")[0].lower(), ""))


def _refusal(origin: str) -> ASGIApp:
    return answer(
        status=403,
        title="Cross-site request",
        detail=f"pages of other sites must not change anything, got a request from {origin!r}",
        code="foreign_origin",
    )
