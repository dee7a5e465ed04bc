"""While every call on a file hangs, only those requests wait that need one, and not for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from optserve.local.stack import Stack
from tests.support.http.hung_files import PATIENCE_S, Jobs
from tests.support.machine.faulty_files import FaultyFiles
from tests.support.machine.processes import eventually
from tests.support.store.protocol import SPEC

pytestmark = pytest.mark.alone

AT_ONCE_S = 1.0
"""Time within which requests that need no file must be answered."""
MANY = 45
"""Requests that hang: more than the 40 threads that requests share elsewhere."""
PREVIEW = {"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": 100}


class Request(NamedTuple):
    """A request; `{queued}`, `{running}` and `{ended}` in its path stand for the jobs."""

    path: str
    body: Any = None


ENDED = "/v1/jobs/{ended}"
RUNNING = "/v1/jobs/{running}"
QUEUED = "/v1/jobs/{queued}"
NEED_NO_FILE: dict[str, list[Request]] = {
    "GET /healthz": [Request("/healthz")],
    "GET /readyz": [Request("/readyz")],
    "GET /metrics": [Request("/metrics")],
    "GET /v1/workers": [Request("/v1/workers")],
    "GET /v1/queue": [Request("/v1/queue")],
    "GET /v1/jobs": [Request("/v1/jobs"), Request("/v1/jobs?label.a=b")],
    "POST /v1/jobs": [Request("/v1/jobs", SPEC)],
    "POST /v1/jobs/validate": [Request("/v1/jobs/validate", SPEC)],
    "POST /v1/jobs/{job_id}/clone/validate": [Request(f"{ENDED}/clone/validate", {})],
    "POST /v1/schedules/preview": [Request("/v1/schedules/preview", PREVIEW)],
    "GET /v1/jobs/{job_id}": [Request(ENDED), Request(QUEUED)],
    "GET /v1/jobs/{job_id}/metrics": [Request(f"{RUNNING}/metrics?format=csv")],
    "GET /v1/jobs/{job_id}/metrics/chart": [Request(f"{RUNNING}/metrics/chart")],
    "GET /v1/metrics/chart": [Request("/v1/metrics/chart?job={running}")],
    "GET /v1/jobs/{job_id}/metrics/stream": [Request(f"{RUNNING}/metrics/stream")],
    "GET /v1/jobs/{job_id}/evaluations": [Request(f"{RUNNING}/evaluations")],
    "GET /v1/jobs/{job_id}/events": [Request(f"{RUNNING}/events")],
    "GET /v1/jobs/{job_id}/events/stream": [Request(f"{RUNNING}/events/stream")],
    "GET /v1/jobs/{job_id}/checkpoints": [Request(f"{RUNNING}/checkpoints")],
    **{
        f"POST /v1/jobs/{{job_id}}/{action}": [Request(f"{QUEUED}/{action}")]
        for action in ("pause", "resume", "restart", "accept", "cancel", "kill")
    },
    **{
        f"GET /v1/{noun}{rest}": [Request(f"/v1/{noun}{name}")]
        for noun, known in (
            ("optimizers", "/adam"),
            ("schedules", "/cosine"),
            ("models", "/mlp"),
            ("layers", "/conv2d"),
            ("datasets", "/digits"),
            ("evaluation-metrics", "/accuracy"),
        )
        for rest, name in (("", ""), ("/{name}", known))
    },
}
NEED_A_FILE: dict[str, list[Request]] = {
    "GET /v1/jobs/{job_id}/artifacts/{name}": [Request(f"{ENDED}/artifacts/model.safetensors")],
    "GET /v1/jobs/{job_id}/checkpoints": [Request(f"{ENDED}/checkpoints")],
    "POST /v1/jobs/{job_id}/clone": [Request(f"{ENDED}/clone", {})],
    "GET /v1/jobs/{job_id}/metrics": [
        Request(f"{ENDED}/metrics"),
        Request(f"{ENDED}/metrics?format=csv"),
        Request(f"{ENDED}/metrics?format=parquet"),
    ],
    "GET /v1/jobs/{job_id}/metrics/chart": [Request(f"{ENDED}/metrics/chart")],
    "GET /v1/metrics/chart": [Request("/v1/metrics/chart?job={ended}&x=seconds")],
    "GET /v1/jobs/{job_id}/metrics/stream": [Request(f"{ENDED}/metrics/stream")],
    "GET /v1/jobs/{job_id}/evaluations": [Request(f"{ENDED}/evaluations")],
    "GET /v1/jobs/{job_id}/events": [Request(f"{ENDED}/events")],
    "GET /v1/jobs/{job_id}/events/stream": [Request(f"{ENDED}/events/stream")],
}


def requests(table: dict[str, list[Request]], jobs: Jobs) -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and body of every request."""
    for route, asked in table.items():
        for request in asked:
            yield route.partition(" ")[0], request.path.format(**vars(jobs)), request.body


class Answer(NamedTuple):
    status: int
    took_s: float
    text: str


async def asked(http: httpx.AsyncClient, method: str, path: str, body: Any) -> Answer:
    """Return what comes: of a stream, its first bytes."""
    start = time.monotonic()
    async with http.stream(method, path, json=body) as answer:
        text = b""
        async for part in answer.aiter_raw():
            text += part
            if answer.headers["content-type"].startswith("text/event-stream"):
                break
        return Answer(answer.status_code, time.monotonic() - start, text.decode("latin-1"))


async def each(http: httpx.AsyncClient, table: dict[str, list[Request]], jobs: Jobs) -> Any:
    """Ask one after another; return the answers by request."""
    return {
        f"{method} {path}": await asked(http, method, path, body)
        for method, path, body in requests(table, jobs)
    }


async def at_once(http: httpx.AsyncClient, table: dict[str, list[Request]], jobs: Jobs) -> Any:
    """Ask all at once; return the answers by request."""
    asking = list(requests(table, jobs))
    answers = await asyncio.gather(*(asked(http, *request) for request in asking))
    return {f"{method} {path}": a for (method, path, _), a in zip(asking, answers, strict=True)}


def with_client(running: Stack, use: Callable[[httpx.AsyncClient], Any]) -> Any:
    async def used() -> Any:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=running.url, timeout=60, limits=limits) as http:
            return await use(http)

    return asyncio.run(used())


def test_every_route_is_listed_here(running: Stack) -> None:
    schema = httpx.get(f"{running.url}/openapi.json", timeout=60).json()

    paths = schema["paths"].items()
    there_are = {f"{method.upper()} {path}" for path, methods in paths for method in methods}

    assert there_are == NEED_NO_FILE.keys() | NEED_A_FILE.keys()


def test_requests_without_files_are_answered_while_files_hang(
    running: Stack, files: FaultyFiles, jobs: Jobs
) -> None:
    """Beside as many clones and artifacts as would take every shared thread."""

    async def use(http: httpx.AsyncClient) -> Any:
        for noun in ("optimizers", "schedules", "models", "datasets"):
            await http.get(f"/v1/{noun}")  # the first answer takes longer, whatever files do
        artifact = f"/v1/jobs/{jobs.ended}/artifacts/model.safetensors"
        hanging = [
            asyncio.create_task(asked(http, method, path, body))
            for _ in range(MANY)
            for method, path, body in (
                ("POST", f"/v1/jobs/{jobs.ended}/clone", {}),
                ("GET", artifact, None),
            )
        ]
        await asyncio.to_thread(eventually, lambda: files.held >= 16)
        answers = await each(http, NEED_NO_FILE, jobs)
        return answers, await asyncio.gather(*hanging)

    with files.broken("hang"):
        answers, hung = with_client(running, use)

    assert {name: a.status for name, a in answers.items() if a.status not in (200, 201)} == {}
    assert {name: a.took_s for name, a in answers.items() if a.took_s > AT_ONCE_S} == {}
    assert {answer.status for answer in hung} == {503}


def test_requests_for_hanging_files_time_out(
    running: Stack, files: FaultyFiles, jobs: Jobs
) -> None:
    with files.broken("hang"):
        answers = with_client(running, lambda http: at_once(http, NEED_A_FILE, jobs))

    for name, answer in answers.items():
        assert (answer.status, "storage_unavailable" in answer.text) == (503, True), name
        assert answer.took_s < PATIENCE_S + AT_ONCE_S, name


def test_with_all_file_threads_hanging_further_requests_fail_at_once(
    running: Stack, files: FaultyFiles, jobs: Jobs
) -> None:
    async def use(http: httpx.AsyncClient) -> Any:
        path = f"/v1/jobs/{jobs.ended}/artifacts/model.safetensors"
        first = await asyncio.gather(*(asked(http, "GET", path, None) for _ in range(MANY)))
        return first, [await asked(http, "GET", path, None) for _ in range(3)]

    with files.broken("hang"):
        first, later = with_client(running, use)
        hung = metric(running, "optserve_hung_file_calls")
    eventually(lambda: files.held == 0)
    after = with_client(running, lambda http: at_once(http, NEED_A_FILE, jobs))

    assert {answer.status for answer in (*first, *later)} == {503}
    assert max(answer.took_s for answer in first) < PATIENCE_S + AT_ONCE_S
    assert max(answer.took_s for answer in later) < PATIENCE_S / 2
    assert {"earlier calls to the storage have not returned" in a.text for a in later} == {True}
    assert {answer.status for answer in after.values()} == {200, 201}
    assert (hung, metric(running, "optserve_hung_file_calls")) == (16, 0)


def metric(running: Stack, name: str) -> float:
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    (found,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(found.split()[1])
