"""The documentation page: Swagger UI, with all of its files served by this process."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from importlib import resources

from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

PACKAGE = "fastapi_swagger"
"""The package that contains the served copy of swagger-ui-dist; nothing else in it is used."""
FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
CACHED = {"Cache-Control": "public, max-age=3600"}


def install(app: FastAPI) -> None:
    """Add ``/docs``, its files and ``/openapi.json`` to *app*."""
    html = _html(app.title)
    policy = {"Content-Security-Policy": _policy(html)}
    schema = _Schema(app)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(html, headers=policy)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(await schema.text(), media_type="application/json")

    for name, media_type in FILES.items():
        _serve(app, name, media_type)


class _Schema:
    """The OpenAPI schema as JSON, made at the first request, since making it takes seconds."""

    def __init__(self, app: FastAPI) -> None:
        self._app, self._lock = app, asyncio.Lock()
        self._text: bytes | None = None

    async def text(self) -> bytes:
        async with self._lock:  # requests that arrive meanwhile wait for the same text
            if self._text is None:
                # FastAPI's own route would encode the schema again for every request, on the event
                # loop.
                self._text = await run_in_threadpool(self._encode)
        return self._text

    def _encode(self) -> bytes:
        return json.dumps(self._app.openapi(), separators=(",", ":")).encode()


def _serve(app: FastAPI, name: str, media_type: str) -> None:
    content = resources.files(PACKAGE).joinpath("resources", name).read_bytes()

    @app.get(f"/docs/{name}", include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=media_type, headers=CACHED)


def _html(title: str) -> str:
    """Return the documentation page; its URLs are relative, so it works under any path prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={
            "validatorUrl": None
        },  # the default sends the schema to another host
    )
    return bytes(page.body).decode()


def _policy(html: str) -> str:
    """
    Return the content security policy for *html*, the documentation page.

    It allows files of this server and the inline script of the page.
    """
    # A newer FastAPI whose page has another number of inline scripts fails here, when the
    # application is made: a script without its hash in the policy would leave the page empty.
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{digest}'",
        "style-src": "'self'",
        # The style sheet of Swagger UI has images as data URLs.
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())
