"""What changes something must not be another site's request; reading may be anybody's."""

from __future__ import annotations

import httpx
import pytest

from tests.support.http.posting import JOB, post

pytestmark = pytest.mark.anyio

OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://train.example.org"},  # behind a proxy
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:8000"},
    {"Origin": "HTTP://127.0.0.1:8000"},
]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1.evil.example:8000"},
    {"Origin": "null"},
    {"Origin": ""},
]
HOST = {"host": "127.0.0.1:8000"}


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_cross_site_request_is_refused(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    job = f"/v1/jobs/{(await post(http))['id']}"
    said = HOST | headers
    refused = [
        await http.request(method, path, headers=said, json=body)
        for method, path, body in (
            *(("POST", f"{job}/{action}", None) for action in ("cancel", "kill", "pause", "clone")),
            ("POST", "/v1/jobs", JOB),
            ("PUT", job, None),
            ("PATCH", job, None),
            ("DELETE", job, None),
            ("ODD", job, None),
        )
    ]

    for answer in refused:
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "foreign_origin"
    assert (await http.get(job)).json()["state"] == "queued"
    assert len((await http.get("/v1/jobs")).json()["data"]) == 1
    assert (await http.get(job, headers=said)).status_code == 200


@pytest.mark.parametrize("headers", OWN)
async def test_programs_and_own_pages_are_accepted(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    job = f"/v1/jobs/{(await post(http))['id']}"

    answer = await http.post(f"{job}/cancel", headers=HOST | headers)

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost", "localhost:80"),
        ("http://localhost:80", "localhost"),
        ("https://localhost", "localhost"),
        ("https://localhost:443", "localhost"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://LOCALHOST:8000", "localhost:8000"),
    ],
)
async def test_default_ports_may_be_omitted(
    http: httpx.AsyncClient, origin: str, host: str
) -> None:
    answer = await http.post("/v1/jobs", json=JOB, headers={"host": host, "origin": origin})

    assert answer.status_code == 201


async def test_the_error_names_the_site(http: httpx.AsyncClient) -> None:
    problem = (await http.post("/v1/jobs", headers={"Origin": "http://evil.example"})).json()

    assert problem["detail"] == (
        "pages of other sites must not change anything, got a request from 'http://evil.example'"
    )
