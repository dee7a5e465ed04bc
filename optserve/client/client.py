"""The Python client: typed responses, clear errors, and streams that survive broken connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel

from optcore.files.durable import replace
from optserve.client import streams
from optserve.client.addresses import job_path
from optserve.client.backoff import Backoff
from optserve.client.connection import Connection, given
from optserve.client.errors import ClientError
from optserve.client.metrics import MetricCalls
from optserve.client.streams import Update
from optserve.client.submission import encode, post_action, post_job
from optserve.contract.answers.base import Page
from optserve.contract.answers.catalogue import CatalogueEntry
from optserve.contract.answers.checkpoints import Checkpoint
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job, JobPage
from optserve.contract.answers.plans import Plan
from optserve.contract.answers.schedules import SchedulePreview
from optserve.contract.answers.workers import Worker
from optserve.contract.states import State

# Not imported when a command starts: the models of all optimizers and schedules take a second.
if TYPE_CHECKING:
    from optcore.plan.preview import PreviewSpec
    from optserve.contract.requests.clone import Keep
    from optserve.contract.requests.job import JobSpec

Action = Literal["cancel", "kill", "pause", "resume", "restart", "accept"]


class Client(MetricCalls):
    """
    A client for one service.

    A request that fails raises a `ClientError` (see `optserve.client.errors`).

    Attributes:
        url: URL of the service, without user name and password.

    Examples:
        >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     job = client.submit(spec)
        ...     for update in client.follow(job.id):
        ...         print(update)
    """

    def __init__(self, url: str, *, retry_for_s: float = 60.0, stable_after_s: float = 5.0) -> None:
        """
        Prepare a client; connections are opened when they are needed.

        Args:
            url: URL of the service, such as ``http://127.0.0.1:8000``.
            retry_for_s: seconds for which submissions, actions on jobs, and streams are retried
                while the service is unavailable. Other requests are not retried.
            stable_after_s: seconds after which an open stream counts as successful, even if no data
                was received. If the stream breaks later, it is again retried for *retry_for_s*.
        """
        self._connection = Connection(url)
        self.url = self._connection.url
        self._retry_for_s, self._stable_after_s = retry_for_s, stable_after_s

    # ------------------------------------------------------------ submitting

    def submit(
        self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """
        Submit a job, and return it.

        If the response is lost, the request is repeated without creating a second job.

        Args:
            spec: the job; a mapping is sent unchanged, and the service fills in the defaults.
            idempotency_key: requests with equal keys and equal specs create one job; default: a new
                key.

        Raises:
            Unanswered: the service became unavailable; the job may have been accepted.
        """
        return self._post("/v1/jobs", spec, idempotency_key)

    def clone(
        self,
        job_id: str,
        *,
        source: Literal["last", "best"] | int = "last",
        keep: Keep = "weights",
        changes: Mapping[str, Any] | None = None,
        prefixes: Sequence[Mapping[str, str]] = (),
        fresh: Sequence[str] = (),
        omit: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Submit a job that starts with the weights of another job, and return the new job.

        The new job starts at its own step 0.

        Args:
            job_id: id of the other job.
            source: the state to start from: ``"last"``, ``"best"``, or the step of a checkpoint.
            keep: what the new job takes from this state: ``"weights"``; or ``"optimizer"``, which
                also takes the optimizer's state and the order of the examples, so that the new job
                continues the training.
            changes: a JSON merge patch (RFC 7396) for the spec of the other job as it was posted.
            prefixes: paths of layers in the other network, and the paths that replace them in the
                new network. With ``[{"from": "", "to": "backbone"}]``, the whole other network
                becomes the part ``backbone`` of the new network.
            fresh: globs for the names of weights of the new network that are initialised.
            omit: globs for the names of weights of the other network that are not taken.
            idempotency_key: requests with equal keys and otherwise equal arguments create one job;
                default: a new key.

        Raises:
            Unanswered: the service became unavailable; the job may have been accepted.
        """
        body = _clone_body(source, keep, changes, prefixes=prefixes, fresh=fresh, omit=omit)
        return self._post(job_path(job_id, "clone"), body, idempotency_key)

    def validate_clone(
        self,
        job_id: str,
        *,
        source: Literal["last", "best"] | int = "last",
        keep: Keep = "weights",
        changes: Mapping[str, Any] | None = None,
        prefixes: Sequence[Mapping[str, str]] = (),
        fresh: Sequence[str] = (),
        omit: Sequence[str] = (),
    ) -> Plan:
        """Return the plan of a clone without submitting it; the arguments are those of `clone`."""
        body = _clone_body(source, keep, changes, prefixes=prefixes, fresh=fresh, omit=omit)
        path = job_path(job_id, "clone", "validate")
        return self._connection.request(Plan, "POST", path, content=encode(body))

    def validate(self, spec: JobSpec | Mapping[str, Any]) -> Plan:
        """Return the plan of a job (its steps, layers, groups and lr) without running it."""
        return self._connection.request(Plan, "POST", "/v1/jobs/validate", content=encode(spec))

    def layers(self) -> list[CatalogueEntry]:
        """Return all layers and blocks of which a network can be made."""
        return self._connection.request(Page[CatalogueEntry], "GET", "/v1/layers").data

    def preview(self, spec: PreviewSpec | Mapping[str, Any]) -> SchedulePreview:
        """
        Return the lr of a schedule at every step, without training.

        If the spec has parameter groups, the lr of each group is returned too.

        Args:
            spec: the schedule and the run, such as ``{"schedule": {"kind": "cosine"}, "lr": 0.1,
                "total_steps": 1000}``.
        """
        path = "/v1/schedules/preview"
        return self._connection.request(SchedulePreview, "POST", path, content=encode(spec))

    # ------------------------------------------------------------ jobs

    def job(self, job_id: str) -> Job:
        """Return a job and its progress."""
        return self._connection.request(Job, "GET", job_path(job_id))

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
        Return one page of jobs, newest first.

        Args:
            state: return only jobs in this state.
            labels: return only jobs that have all of these labels.
            after: return only jobs older than the job with this id. For the next page, pass the
                ``next`` of this page.
            limit: maximum number of jobs. A page with large specs may have fewer jobs although more
                exist; its ``has_more`` is then true.
            spec: whether to include the jobs' specs.
        """
        params = given(limit=limit, state=state, after=after)
        if spec:
            params["spec"] = "true"
        params.update({f"label.{name}": value for name, value in (labels or {}).items()})
        return self._connection.request(JobPage, "GET", "/v1/jobs", params=params)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a running job saves a checkpoint first."""
        return self._act(job_id, "cancel")

    def kill(self, job_id: str) -> Job:
        """End a job at once, without saving a checkpoint."""
        return self._act(job_id, "kill")

    def pause(self, job_id: str) -> Job:
        """Pause a job; a running job saves a checkpoint first."""
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Put a paused job back into the queue."""
        return self._act(job_id, "resume")

    def restart(self, job_id: str) -> Job:
        """Restart a queued or paused job from step 0, on any worker for its device."""
        return self._act(job_id, "restart")

    def accept(self, job_id: str) -> Job:
        """
        Let a queued or paused job continue from its last checkpoint on any worker for its device.

        The results may then differ in their last bits from those of one uninterrupted run. Steps
        after the checkpoint are discarded.
        """
        return self._act(job_id, "accept")

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Return the stored checkpoints of a job, oldest first."""
        path = job_path(job_id, "checkpoints")
        return self._connection.request(Page[Checkpoint], "GET", path).data

    def download(self, job_id: str, name: str, path: Path) -> None:
        """Download the file *name* of a finished job to *path*, completely or not at all."""
        with self._connection.stream(job_path(job_id, "artifacts", name)) as response:
            replace(path, response.iter_bytes())

    # ------------------------------------------------------------ updates and history

    def follow(self, job_id: str, *, after: int = -1) -> Iterator[Update]:
        """
        Yield the updates of a job until it ends: steps after step *after*, and changes of state.

        Steps come in order, each of them once. If the connection breaks, the client connects again
        and continues with the next update.

        Steps are discarded if the job is restarted, or resumed on different hardware. A
        `RowsTruncated` then gives the first step that will be sent again.

        Raises:
            Unreachable: the service was unavailable for longer than `retry_for_s`.
        """
        return streams.follow_job(
            self._connection, job_id, after=after, reconnection=self._reconnection()
        )

    def events(self, job_id: str) -> list[Event]:
        """Return the history of a job, oldest entry first."""
        return list(streams.read_history(self._connection, job_id, after=0))

    def follow_events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """
        Yield the entries of a job's history after entry number *after*, until the job ends.

        Evaluations are entries of the kind ``evaluated``. If the connection breaks, the client
        connects again and continues with the next entry.

        Raises:
            Unreachable: the service was unavailable for longer than `retry_for_s`.
        """
        return streams.follow_history(
            self._connection, job_id, after=after, reconnection=self._reconnection()
        )

    # ------------------------------------------------------------ the service

    def workers(self) -> list[Worker]:
        """Return the workers that are alive."""
        return self._connection.request(Page[Worker], "GET", "/v1/workers").data

    def ready(self) -> bool:
        """Return whether the service can accept jobs."""
        try:
            self._connection.request(_Ready, "GET", "/readyz")
        except ClientError:
            return False
        return True

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

    def _post(
        self, path: str, body: BaseModel | Mapping[str, Any], idempotency_key: str | None
    ) -> Job:
        return post_job(
            self._connection,
            path,
            encode(body),
            idempotency_key=idempotency_key,
            backoff=Backoff(self._retry_for_s),
        )

    def _act(self, job_id: str, action: Action) -> Job:
        return post_action(self._connection, job_path(job_id, action), Backoff(self._retry_for_s))

    def _reconnection(self) -> streams.Reconnection:
        return streams.Reconnection(Backoff(self._retry_for_s), stable_s=self._stable_after_s)


class _Ready(BaseModel):
    """The response from `/readyz`; other services are unlikely to return the same."""

    status: Literal["ok"]


def _clone_body(
    source: Literal["last", "best"] | int,
    keep: Keep,
    changes: Mapping[str, Any] | None,
    **taken: Sequence[Mapping[str, str]] | Sequence[str],
) -> dict[str, Any]:
    body: dict[str, Any] = {"from": source, "keep": keep, "changes": dict(changes or {})}
    # Only what is given: earlier releases refuse fields that they do not know.
    return body | {name: list(listed) for name, listed in taken.items() if listed}
