"""Liveness and readiness of a worker over HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from worker import ready

STATE = {"unwell": ""}


@pytest.fixture
def url() -> Iterator[str]:
    STATE["unwell"] = ""
    server = ready.serve("127.0.0.1", 0, lambda: STATE["unwell"])
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_worker_that_takes_jobs_is_ready(url: str) -> None:
    answers = [httpx.get(url + path) for path in ("/healthz", "/readyz")]

    assert [(a.status_code, a.json()) for a in answers] == [(200, {"status": "ok"})] * 2


def test_a_worker_whose_machine_cannot_train_is_alive_and_not_ready(url: str) -> None:
    STATE["unwell"] = "the storage /storage cannot be used: Read-only file system (EROFS)"

    alive, not_ready = httpx.get(f"{url}/healthz"), httpx.get(f"{url}/readyz")

    assert alive.status_code == 200
    assert not_ready.status_code == 503
    assert not_ready.headers["content-type"] == "application/problem+json"
    assert not_ready.json()["code"] == "worker_not_ready"
    assert not_ready.json()["detail"] == STATE["unwell"]


def test_other_paths_are_404(url: str) -> None:
    answer = httpx.get(f"{url}/v1/jobs")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["detail"] == "/v1/jobs does not exist; /healthz and /readyz do"
