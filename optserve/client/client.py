"""The Python client: typed answers, clear errors, and a stream that survives its connection."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from optcore.plan.preview import PreviewSpec
from optserve.client.addresses import job_path
from optserve.client.backoff import LONGEST_PAUSE_S, Patience
from optserve.client.connection import ANSWER_S, Connection
from optserve.client.errors import AWAY, BadJob, ClientError, ServiceError, Unanswered, Unreachable
from optserve.client.files import write_whole
from optserve.client.updates import Update, entries, updates
from optserve.contract.answers.base import Page
from optserve.contract.answers.charts import Chart, Comparison, XAxis
from optserve.contract.answers.checkpoints import Checkpoint
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job, JobPage
from optserve.contract.answers.metrics import MetricRow, MetricsPage, StateChange, StreamEnd
from optserve.contract.answers.plans import Plan
from optserve.contract.answers.schedules import SchedulePreview
from optserve.contract.answers.workers import Worker
from optserve.contract.requests.clone import Keep
from optserve.contract.requests.exports import ExportForm
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State

HELD_S = LONGEST_PAUSE_S
"""Seconds after which a stream that told nothing shows that the service is there all the same."""
MIN_TIMEOUT_S = 0.1
Action = Literal["cancel", "kill", "pause", "resume", "restart", "accept"]


class Client:
    """
    A client of one service.

    What fails raises a `ClientError` (`optserve.client.errors`).

    Attributes:
        url: of the service, without user and password.

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
        self._connection = Connection(url)
        self.url = self._connection.url
        self._patience_s = patience_s

    def submit(
        self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """
        Post a job; a lost answer is asked for again without making a second job.

        Args:
            spec: the job; a mapping is sent as it is, and the service fills in the defaults.
            idempotency_key: equal keys with equal specs are one job; default: a new one.

        Raises:
            Unanswered: the service went away; the job may have been accepted.
        """
        return self._post("/v1/jobs", _json(spec), idempotency_key)

    def clone(
        self,
        job_id: str,
        *,
        source: Literal["last", "best"] | int = "last",
        keep: Keep = "weights",
        changes: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Post a job that begins with the weights of another one, at its own step 0.

        Args:
            job_id: the other one.
            source: its last state that is kept, its best, or that after so many steps.
            keep: weights, or also the optimizer's state.
            changes: a JSON merge patch (RFC 7396) on the other job as it was posted.
            idempotency_key: equal keys with equal clones are one job; default: a new one.

        Raises:
            Unanswered: the service went away; the job may have been accepted.
        """
        body = {"from": source, "keep": keep, "changes": dict(changes or {})}
        return self._post(job_path(job_id, "clone"), _json(body), idempotency_key)

    def _post(self, path: str, content: bytes, idempotency_key: str | None) -> Job:
        """Post what makes a job; ask again with the same key while the service is away."""
        key = _checked_key(idempotency_key or str(uuid.uuid4()))
        headers = {"Idempotency-Key": key}
        sent = False
        patience = Patience(self._patience_s)
        patience.begin()
        while True:
            try:
                return self._connection.ask(
                    Job,
                    "POST",
                    path,
                    content=content,
                    headers=headers,
                    timeout_s=min(ANSWER_S, max(patience.left_s(), MIN_TIMEOUT_S)),
                )
            except (Unreachable, ServiceError) as error:
                if isinstance(error, ServiceError) and error.refused:
                    raise
                sent = sent or isinstance(error, ServiceError) or error.sent
                if _is_away(error) and patience.wait():
                    continue
                if sent:
                    raise Unanswered(error, key) from error
                raise

    def validate(self, spec: JobSpec | Mapping[str, Any]) -> Plan:
        """Return what the job would be; run nothing."""
        return self._connection.ask(Plan, "POST", "/v1/jobs/validate", content=_json(spec))

    def preview(self, spec: PreviewSpec | Mapping[str, Any]) -> SchedulePreview:
        """
        Return a schedule's lr at every step, and that of each group; run nothing.

        Args:
            spec: ``{"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": 1000}``.
        """
        path = "/v1/schedules/preview"
        return self._connection.ask(SchedulePreview, "POST", path, content=_json(spec))

    def job(self, job_id: str) -> Job:
        """Return a job and how far it is."""
        return self._connection.ask(Job, "GET", job_path(job_id))

    def jobs(
        self,
        *,
        state: State | None = None,
        labels: Mapping[str, str] | None = None,
        after: str | None = None,
        limit: int = 20,
        spec: bool = False,
    ) -> JobPage:
        """
        Return jobs, newest first.

        Args:
            state: only these.
            labels: only jobs that carry all of them.
            after: only jobs older than this one; ``next`` of a page for what follows it.
            limit: at most so many; a page of long rows has less, and says ``has_more``.
            spec: whether to show their specs.
        """
        params: dict[str, str | int] = {"limit": limit}
        if spec:
            params["spec"] = "true"
        if state is not None:
            params["state"] = state
        if after is not None:
            params["after"] = after
        params.update({f"label.{name}": value for name, value in (labels or {}).items()})
        return self._connection.ask(JobPage, "GET", "/v1/jobs", params=params)

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

    def restart(self, job_id: str) -> Job:
        """Let a queued or paused job begin again at step 0, on any worker of its device."""
        return self._act(job_id, "restart")

    def accept(self, job_id: str) -> Job:
        """
        Let a queued or paused job go on from its last checkpoint on any worker of its device.

        It is not bitwise from then on; steps after the checkpoint are cut.
        """
        return self._act(job_id, "accept")

    def metrics(self, job_id: str, *, after: int = -1) -> Iterator[MetricRow]:
        """
        Yield the steps after *after* that there are now, oldest first.

        Raises:
            ServiceError: steps already yielded have been truncated (``rows_truncated``).
        """
        params = {"after": after, "limit": 10_000}
        while True:
            path = job_path(job_id, "metrics")
            page = self._connection.ask(MetricsPage, "GET", path, params=params)
            yield from page.data
            if not (page.has_more and page.data):
                return
            params |= {"after": page.data[-1].step, "truncations": page.truncations}

    def chart(
        self,
        job_id: str,
        *,
        columns: Sequence[str] = (),
        max_points: int = 2000,
        first: int = 0,
        last: int | None = None,
    ) -> Chart:
        """
        Return a job's series for the eye: every spike is in it, however long the series.

        Args:
            job_id: of the job.
            columns: what is shown; all that the job has unless given.
            max_points: of a column, at most; a range of so many steps has every step in it.
            first: the first step to show.
            last: the last one; the last there is unless given.
        """
        params: dict[str, int | Sequence[str]] = {"max_points": max_points, "first": first}
        if columns:
            params["columns"] = columns
        if last is not None:
            params["last"] = last
        return self._connection.ask(
            Chart, "GET", job_path(job_id, "metrics", "chart"), params=params
        )

    def compare(
        self,
        job_ids: Sequence[str],
        *,
        column: str = "loss",
        x: XAxis = XAxis.STEP,
        max_points: int = 1000,
        first: float | None = None,
        last: float | None = None,
    ) -> Comparison:
        """
        Return a column of several jobs for the eye, one above the other.

        Args:
            job_ids: of the jobs.
            column: what is compared.
            x: along what: step, examples seen or seconds trained.
            max_points: of a job, at most.
            first: where to begin on x; at its beginning unless given.
            last: where to end; at its end unless given.
        """
        params: dict[str, str | float | Sequence[str]] = {
            "job": job_ids,
            "column": column,
            "x": x,
            "max_points": max_points,
        }
        params |= {
            name: value for name, value in (("first", first), ("last", last)) if value is not None
        }
        return self._connection.ask(Comparison, "GET", "/v1/metrics/chart", params=params)

    def events(self, job_id: str) -> list[Event]:
        """Return a job's history, oldest first."""
        return list(self._entries(job_id, 0))

    def _entries(self, job_id: str, after: int) -> Iterator[Event]:
        while True:
            params = {"after": after, "limit": 1000}
            page = self._connection.ask(
                Page[Event], "GET", job_path(job_id, "events"), params=params
            )
            yield from page.data
            if not (page.has_more and page.data):
                return
            after = page.data[-1].id

    def follow_events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """
        Yield a job's history after the entry *after*, oldest first, to the entry that ends it.

        A connection that breaks is opened again where it broke.

        Raises:
            Unreachable: the service stayed away for longer than the client's patience.
        """
        patience = Patience(self._patience_s)
        while True:
            opened = time.monotonic()
            try:
                for entry in entries(self._connection, job_id, after=after):
                    after = entry.id
                    patience.renew()
                    yield entry
            except (Unreachable, ServiceError) as error:
                if time.monotonic() - opened > HELD_S:
                    patience.renew()  # nothing is amiss: a job may wait for hours
                if not (_is_away(error) and patience.wait()):
                    raise
            else:
                if self.job(job_id).state.final:
                    # The stream may have ended for its age, with the last entries still to come.
                    yield from self._entries(job_id, after)
                    return
                if time.monotonic() - opened > HELD_S:
                    patience.renew()
                if not patience.wait():
                    raise Unreachable(f"{self.url} ends the history of {job_id} before the job")

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Return the states of a job that are kept, oldest first."""
        path = job_path(job_id, "checkpoints")
        return self._connection.ask(Page[Checkpoint], "GET", path).data

    def workers(self) -> list[Worker]:
        """Return the workers that are alive."""
        return self._connection.ask(Page[Worker], "GET", "/v1/workers").data

    def download(self, job_id: str, name: str, path: Path) -> None:
        """Write a file of a finished job (``model.safetensors``) to *path*: whole or not at all."""
        with self._connection.stream(job_path(job_id, "artifacts", name)) as response:
            write_whole(path, response.iter_bytes())

    def export(
        self,
        job_id: str,
        target: Path | IO[bytes],
        *,
        form: ExportForm = ExportForm.CSV,
        columns: Sequence[str] = (),
        after: int = -1,
        limit: int | None = None,
    ) -> None:
        """
        Write the steps of a job as other programs read them.

        Args:
            job_id: the job's; one that still runs gives the steps there are.
            target: a path is written whole or not at all; an open file as the bytes come.
            form: what other programs read.
            columns: some of the job's, in this order; all if none are named.
            after: only steps after this one.
            limit: at most so many; None for all.

        Raises:
            Unreachable: the connection broke before the last step.
        """
        params: dict[str, str | int] = {"format": form, "after": after}
        if columns:
            params["columns"] = ",".join(columns)
        if limit is not None:
            params["limit"] = limit
        path = job_path(job_id, "metrics")
        with self._connection.stream(path, params=params) as response:
            if isinstance(target, Path):
                write_whole(target, response.iter_bytes())
            else:
                target.writelines(response.iter_bytes())

    def ready(self) -> bool:
        """Return whether the service can accept jobs."""
        try:
            self._connection.ask(_Ready, "GET", "/readyz")
        except ClientError:
            return False
        return True

    def follow(self, job_id: str, *, after: int = -1) -> Iterator[Update]:
        """
        Yield what happens to a job, to its end: every step after *after* once, in order.

        A connection that breaks is opened again where it broke. Should the job be restarted, or go
        on where bits come out differently, a `RowsTruncated` says which steps will come anew.

        Raises:
            Unreachable: the service stayed away for longer than the client's patience.
        """
        last_id = str(after) if after >= 0 else ""
        told: StateChange | None = None
        patience = Patience(self._patience_s)
        while True:
            opened = time.monotonic()
            try:
                for update, seen in updates(self._connection, job_id, last_id=last_id):
                    last_id = seen
                    if update == told:
                        continue  # a state that is said again after a reconnection
                    if isinstance(update, StateChange):
                        told = update
                    patience.renew()
                    yield update
                    if isinstance(update, StreamEnd):
                        return
            except (Unreachable, ServiceError) as error:
                if not _is_away(error):
                    raise
                if time.monotonic() - opened > HELD_S:
                    patience.renew()  # nothing is amiss: a job may wait for hours
                if not patience.wait():
                    raise Unreachable(
                        f"{error}\nGiven up after {self._patience_s:g} s; the job itself goes on"
                    ) from error

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _act(self, job_id: str, action: Action) -> Job:
        """Ask for something that may be asked twice until there is an answer."""
        patience = Patience(self._patience_s)
        patience.begin()
        while True:
            try:
                return self._connection.ask(Job, "POST", job_path(job_id, action))
            except (Unreachable, ServiceError) as error:
                if not (_is_away(error) and patience.wait()):
                    raise


class _Ready(BaseModel):
    """What the service, and hardly anything else, says when it can accept jobs."""

    status: Literal["ok"]


def _is_away(error: ClientError) -> bool:
    return isinstance(error, Unreachable) or (
        isinstance(error, ServiceError) and error.problem.status == AWAY
    )


def _checked_key(key: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise BadJob(
            f"an idempotency key must be 1 to 255 ASCII characters without spaces, got {key!r}"
        )
    return key


def _json(spec: BaseModel | Mapping[str, Any]) -> bytes:
    if isinstance(spec, BaseModel):
        return spec.model_dump_json().encode()
    try:
        return to_json(spec, inf_nan_mode="strings")
    except PydanticSerializationError as error:
        raise BadJob(f"the job must be what JSON can say: {error}") from None
