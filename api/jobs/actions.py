"""Routes for the actions on a submitted job. Repeating an action does no harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response

from api.http.dependencies import BlockingClient, Client, RenderJob, TenantName, Threads
from api.http.params import require_no_body
from api.http.problems import documented
from api.jobs.responses import job_response
from api.jobs.wakeups import wake_workers
from optserve.contract.answers.jobs import Job
from store.errors import JobEnded, JobNotFound, JobRunning
from store.jobs import calls
from store.jobs.calls import Changed
from store.jobs.record import Record
from store.redis.functions import Call, send_async

router = APIRouter(
    prefix="/v1/jobs/{job_id}", tags=["jobs"], dependencies=[Depends(require_no_body)]
)


class JobAction:
    """Performs an action on the job in the URL, and responds with the job after the action."""

    def __init__(
        self,
        *,
        job_id: str,
        tenant: TenantName,
        client: Client,
        blocking_client: BlockingClient,
        render: RenderJob,
        threads: Threads,
    ) -> None:
        self.job_id, self.tenant = job_id, tenant
        self._client, self._blocking_client = client, blocking_client
        self._render, self._threads = render, threads

    async def request(self, action: Literal["cancel", "kill", "pause", "resume"]) -> Response:
        """
        Request *action* for the job, and respond with the job.

        The state of a queued or paused job changes before the response. If the job is running, its
        worker carries out the action after the response.

        Raises:
            JobNotFound: there is no such job.
        """
        result = await send_async(self._client, calls.ask(self.tenant, self.job_id, action))
        if result.record is None:
            raise JobNotFound(self.job_id)
        return await self._respond(result.record, result.wakeups)

    async def change(self, call: Call[Changed], what: str) -> Response:
        """
        Change how a queued or paused job continues, and respond with the job.

        Args:
            call: the call of the store's function that makes the change.
            what: the change, as the end of the error "only a queued or paused job can ...".

        Raises:
            JobNotFound: there is no such job.
            JobRunning: the job is running.
            JobEnded: the job has ended.
        """
        changed = await send_async(self._client, call)
        if changed.record is None:
            raise JobNotFound(self.job_id)
        # The worker of a running job would still write the rows that the change truncates.
        if changed.outcome == "running":
            raise JobRunning(self.job_id, what)
        if changed.outcome == "ended":
            raise JobEnded(self.job_id, changed.record.state, what)
        return await self._respond(changed.record, changed.wakeups)

    async def _respond(self, record: Record, wakeups: Sequence[str]) -> Response:
        # The change is stored already: if this process dies here, the reaper wakes the workers.
        await wake_workers(self._blocking_client, wakeups, self.job_id)
        return await job_response(record, render=self._render, threads=self._threads)


Action = Annotated[JobAction, Depends()]


@router.post("/cancel", response_model=Job, responses=documented(JobNotFound))
async def cancel_job(action: Action) -> Response:
    """
    Cancel a job.

    A queued or paused job is cancelled at once. A running job first saves a checkpoint.
    """
    return await action.request("cancel")


@router.post("/kill", response_model=Job, responses=documented(JobNotFound))
async def kill_job(action: Action) -> Response:
    """End a job at once, without saving a checkpoint."""
    return await action.request("kill")


@router.post("/pause", response_model=Job, responses=documented(JobNotFound))
async def pause_job(action: Action) -> Response:
    """
    Pause a job.

    A queued job is paused at once. A running job first saves a checkpoint.
    """
    return await action.request("pause")


@router.post("/resume", response_model=Job, responses=documented(JobNotFound))
async def resume_job(action: Action) -> Response:
    """Put a paused job back into the queue, to continue from its last checkpoint."""
    return await action.request("resume")


@router.post("/restart", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def restart_job(action: Action) -> Response:
    """
    Restart a queued or paused job from step 0, on any worker for its device.

    The job's steps, checkpoints and fingerprint are deleted; the history records how many steps
    there were. A running job is refused: pause it first.

    The fingerprint stands for the hardware and library versions, which determine the exact bits of
    results. Restart a job if no worker with its fingerprint is left (`waiting_for: fingerprint`)
    and its results must be reproducible bit for bit.
    """
    call = calls.restart(action.tenant, action.job_id)
    return await action.change(call, "be restarted")


@router.post("/accept", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def accept_other_bits(action: Action) -> Response:
    """
    Let a queued or paused job continue from its last checkpoint, on any worker for its device.

    Use this if no worker with the job's fingerprint is left (`waiting_for: fingerprint`), and the
    job's results need not be reproducible bit for bit. The fingerprint stands for the hardware and
    library versions, which determine the exact bits of results.

    The job is then no longer bound to its fingerprint. Its further results may differ in their last
    bits from those that the previous worker would have computed. So `bitwise` becomes false if the
    job has a checkpoint. Steps after the checkpoint are truncated and computed again; the history
    records how many there were.

    A job that is not bound to a fingerprint is left unchanged. A running job is refused: pause it
    first.
    """
    call = calls.accept(action.tenant, action.job_id)
    return await action.change(call, "continue on a worker with another fingerprint")
