"""A name that is not the service's is refused: a page could have pointed its own name here."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from store.settings import Settings

pytestmark = pytest.mark.anyio

MACHINE = socket.gethostname()
ALLOWED = [
    *("localhost", "localhost:8000", "LOCALHOST:8000", "localhost.", MACHINE, f"{MACHINE}:8000"),
    *("127.0.0.1", "127.0.0.1:8000", "192.0.2.7:80", "[::1]", "[::1]:8000", "[2001:db8::7]:1"),
]
REFUSED = [
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
    *(
        "evil.example:127.0.0.1",
        "localhost:8000@evil.example",
        "::1",
        "[127.0.0.1]",
        "[::1",
        "1.2.3",
    ),
    *("", "localhost evil.example", "localhost,evil.example", "localhost:x", "api"),
]


async def asked(
    hosts: Sequence[str], *, listens_on: str = "127.0.0.1", allowed: list[str] | None = None
) -> httpx.Response:
    """Return the answer to a request with these Host headers."""
    settings = Settings(
        OPTSERVE_REDIS_URL="redis://127.0.0.1:1",
        home=Path("/nowhere"),
        host=listens_on,
        allowed_hosts=allowed,
    )
    transport = httpx.ASGITransport(create_app(settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        request = http.build_request("GET", "/healthz")
        del request.headers["host"]
        request.headers = httpx.Headers(
            [*request.headers.multi_items(), *(("host", h) for h in hosts)]
        )
        return await http.send(request)


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("host", ALLOWED)
async def test_names_of_this_machine_and_ip_addresses_are_allowed(
    host: str, listens_on: str
) -> None:
    assert (await asked([host], listens_on=listens_on)).status_code == 200


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("host", REFUSED)
async def test_other_names_are_refused_on_any_interface(host: str, listens_on: str) -> None:
    """A port that is published on loopback is 0.0.0.0 inside, and a browser is near."""
    answer = await asked([host], listens_on=listens_on)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "host_not_allowed"
    assert answer.json()["detail"] == (
        f"{host!r} is not a name of this service: OPTSERVE_ALLOWED_HOSTS lists its names; "
        "its IP addresses are always allowed"
    )


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
async def test_a_request_must_have_one_host_header(hosts: list[str]) -> None:
    answer = await asked(hosts)

    assert answer.status_code == 400
    assert answer.json()["detail"] == f"a request must have one Host header, got {len(hosts)}"


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        (["api"], "api:8000", 200),
        (["api"], "localhost", 400),
        (["api"], "127.0.0.1", 200),
        (["Train.Example.org"], "train.example.org", 200),
        (["*.example.org"], "a.b.example.org", 200),
        (["*.example.org"], "example.org", 400),
        (["*.example.org"], "evilexample.org", 400),
        (["*"], "evil.example", 200),
    ],
)
async def test_configured_names_are_allowed(allowed: list[str], host: str, status: int) -> None:
    assert (await asked([host], allowed=allowed)).status_code == status
