"""The Python client: typed answers, clear errors, and a stream that survives its connection."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import BaseModel

from jobs.spec.job import JobSpec
from jobs.spec.preview import SchedulePreview
from jobs.spec.states import State
from jobs.spec.wire import (
    Event,
    Job,
    MetricRow,
    Page,
    Plan,
    Problem,
    StateChange,
    StreamedRows,
    StreamEnd,
    Worker,
)
from optcore.spec.schedules.preview import PreviewSpec

Answer = TypeVar("Answer", bound=BaseModel)
Update = list[MetricRow] | StateChange | StreamEnd
"""What a followed job tells: steps, a change of state, its end."""

SILENCE_S = 45.0
"""Seconds of silence after which a stream counts as broken (it is pinged every 15)."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds between attempts to reach the service again: doubled each time."""


class ServiceError(Exception):
    """
    The service refused a request.

    Attributes:
        problem: what it said.
    """

    def __init__(self, problem: Problem) -> None:
        lines = [f"{m.param}: {m.message}" for m in problem.errors] or [problem.detail]
        super().__init__("\n".join(lines))
        self.problem = problem


class Unreachable(Exception):
    """The service does not answer."""


class Client:
    """
    A client of one service.

    Examples:
        >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     job = client.submit(spec)
        ...     for update in client.follow(job.id):
        ...         print(update)
    """

    def __init__(self, url: str, *, patience_s: float = 60.0) -> None:
        """
        Connect when needed.

        Args:
            url: of the service: ``http://127.0.0.1:8000``.
            patience_s: seconds for which a service that went away is waited for.
        """
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._http = httpx.Client(base_url=self.url, timeout=30.0)

    def submit(
        self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """
        Post a job; a lost answer is asked for again without making a second job.

        Args:
            spec: the job.
            idempotency_key: equal keys with equal specs are one job; default: a new one.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        content = _json(spec)
        return self._patiently(Job, "POST", "/v1/jobs", content=content, headers=headers)

    def validate(self, spec: JobSpec | Mapping[str, Any]) -> Plan:
        """Return what the job would be; run nothing."""
        return self._ask(Plan, "POST", "/v1/jobs/validate", content=_json(spec))

    def preview(self, spec: PreviewSpec | Mapping[str, Any]) -> SchedulePreview:
        """
        Return a schedule's lr at every step, and that of each group; run nothing.

        Args:
            spec: ``{"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": 1000}``.
        """
        parsed = spec if isinstance(spec, PreviewSpec) else PreviewSpec.parse(dict(spec))
        path, content = "/v1/schedules/preview", parsed.model_dump_json()
        return self._ask(SchedulePreview, "POST", path, content=content)

    def job(self, job_id: str) -> Job:
        """Return a job and how far it is."""
        return self._ask(Job, "GET", f"/v1/jobs/{job_id}")

    def jobs(
        self,
        *,
        state: State | None = None,
        labels: Mapping[str, str] | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> Page[Job]:
        """Return jobs, newest first."""
        params: dict[str, str | int] = {"limit": limit}
        if state is not None:
            params["state"] = state
        if after is not None:
            params["after"] = after
        params.update({f"label.{name}": value for name, value in (labels or {}).items()})
        return self._ask(Page[Job], "GET", "/v1/jobs", params=params)

    def cancel(self, job_id: str) -> Job:
        """End a job; a running one saves a checkpoint first."""
        return self._act(job_id, "cancel")

    def kill(self, job_id: str) -> Job:
        """End a job without saving anything."""
        return self._act(job_id, "kill")

    def pause(self, job_id: str) -> Job:
        """Put a job aside; a running one saves a checkpoint first."""
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Put a paused job back into the queue."""
        return self._act(job_id, "resume")

    def metrics(self, job_id: str, *, after: int = -1) -> Iterator[MetricRow]:
        """Yield the steps after *after* that there are now, oldest first."""
        while True:
            params = {"after": after, "limit": 10_000}
            page = self._ask(Page[MetricRow], "GET", f"/v1/jobs/{job_id}/metrics", params=params)
            yield from page.data
            if not page.has_more:
                return
            after = page.data[-1].step

    def events(self, job_id: str) -> list[Event]:
        """Return a job's history, oldest first."""
        found: list[Event] = []
        while True:
            params = {"after": found[-1].id if found else 0, "limit": 1000}
            page = self._ask(Page[Event], "GET", f"/v1/jobs/{job_id}/events", params=params)
            found += page.data
            if not page.has_more:
                return found

    def workers(self) -> list[Worker]:
        """Return the workers that are alive."""
        return self._ask(Page[Worker], "GET", "/v1/workers").data

    def download(self, job_id: str, name: str, path: Path) -> None:
        """Write a file of a finished job (``model.safetensors``) to *path*."""
        with self._http.stream("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as response:
            if response.is_error:
                response.read()
            _check(response)
            with path.open("wb") as file:
                for part in response.iter_bytes():
                    file.write(part)

    def ready(self) -> bool:
        """Return whether the service can accept jobs."""
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def follow(self, job_id: str, *, after: int = -1) -> Iterator[Update]:
        """
        Yield what happens to a job, to its end: every step after *after* once, in order.

        A connection that breaks is opened again where it broke.

        Raises:
            Unreachable: the service stayed away for longer than the client's patience.
        """
        last = after
        told: StateChange | None = None
        deadline = time.monotonic() + self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                for event in self._stream(job_id, last):
                    update = _update(event)
                    if update is None or update == told:
                        continue  # or a state that is said again after a reconnection
                    if isinstance(update, list):
                        last = update[-1].step
                    elif isinstance(update, StateChange):
                        told = update
                    deadline, pause = time.monotonic() + self._patience_s, FIRST_PAUSE_S
                    yield update
                    if isinstance(update, StreamEnd):
                        return
            except (httpx.TransportError, SSEError) as error:
                if time.monotonic() > deadline:
                    raise Unreachable(f"{self.url} went away: {error}") from error
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stream(self, job_id: str, last: int) -> Iterator[ServerSentEvent]:
        headers = {"Accept": "text/event-stream"}
        if last >= 0:
            headers["Last-Event-ID"] = str(last)
        path, timeout = f"/v1/jobs/{job_id}/metrics/stream", httpx.Timeout(30.0, read=SILENCE_S)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
            _check(response)
            yield from EventSource(response).iter_sse()

    def _act(self, job_id: str, action: Literal["cancel", "kill", "pause", "resume"]) -> Job:
        return self._patiently(Job, "POST", f"/v1/jobs/{job_id}/{action}")

    def _patiently(
        self,
        answer: type[Answer],
        method: str,
        path: str,
        *,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for something that may be asked twice until there is an answer."""
        deadline = time.monotonic() + self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return self._ask(answer, method, path, content=content, headers=headers)
            except (Unreachable, ServiceError) as error:
                away = isinstance(error, Unreachable) or error.problem.status == 503  # noqa: PLR2004
                if not away or time.monotonic() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _ask(
        self,
        answer: type[Answer],
        method: str,
        path: str,
        *,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Answer:
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            response = self._http.request(
                method, path, content=content, headers=sent, params=params
            )
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} does not answer: {error}") from error
        _check(response)
        return answer.model_validate_json(response.content)


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValueError:
        problem = Problem(
            title=response.reason_phrase,
            status=response.status_code,
            detail=f"{response.url} answered {response.status_code}",
            code="unknown",
        )
    raise ServiceError(problem)


def _json(spec: JobSpec | Mapping[str, Any]) -> str:
    parsed = spec if isinstance(spec, JobSpec) else JobSpec.parse(dict(spec))
    return parsed.model_dump_json()


def _update(event: ServerSentEvent) -> Update | None:
    """Return what *event* tells; None for a ping, or for what a newer service may add."""
    match event.event:
        case "rows":
            rows = StreamedRows.model_validate_json(event.data).rows
            return [MetricRow(step=int(step), lr=lr, loss=loss) for step, lr, loss in rows]
        case "state":
            return StateChange.model_validate_json(event.data)
        case "end":
            return StreamEnd.model_validate_json(event.data)
        case _:
            return None
