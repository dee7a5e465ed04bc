"""The page that shows the interface: all that it needs comes from the service."""

from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_the_docs_page_refers_only_to_own_files(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    referred = re.findall(r"(?:src|href)=\"([^\"]*)\"|url: '([^']*)'", page.text)
    names = [first or second for first, second in referred]

    files = {name: await http.get(f"/{name}") for name in names}

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?:|//[a-z]", page.text)
    assert sorted(names) == [
        "docs/favicon-32x32.png",
        "docs/swagger-ui-bundle.js",
        "docs/swagger-ui.css",
        "openapi.json",
    ]
    assert {name: file.status_code for name, file in files.items()} == dict.fromkeys(names, 200)
    assert len(files["docs/swagger-ui-bundle.js"].content) > 10**6
    assert files["docs/swagger-ui-bundle.js"].headers["content-type"].startswith("text/javascript")


async def test_the_content_security_policy_allows_only_own_files(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/docs")).headers["content-security-policy"]

    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == rules["style-src"] == "'self'"
    assert re.fullmatch(r"'self' 'sha256-[\w+/=]+'", rules["script-src"])
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


async def test_the_root_redirects_to_the_docs(http: httpx.AsyncClient) -> None:
    root = await http.get("/")

    assert (root.status_code, root.headers["location"]) == (307, "docs")
    assert (await http.get("/redoc")).json()["code"] == "not_found"
