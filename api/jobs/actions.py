"""The actions on a submitted job. All of them are idempotent."""

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
    """One action on the job in the path. The response is the job afterwards."""

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
        """Request *action*: of a running job, its worker carries it out."""
        result = await send_async(self._client, calls.ask(self.tenant, self.job_id, action))
        if result.record is None:
            raise JobNotFound(self.job_id)
        return await self._respond(result.record, result.wakeups)

    async def change(self, call: Call[Changed], what: str) -> Response:
        """Change how a queued or paused job continues; *what* completes "cannot ..." in errors."""
        changed = await send_async(self._client, call)
        if changed.record is None:
            raise JobNotFound(self.job_id)
        # Its worker would still write the very rows that the change truncates.
        if changed.outcome == "running":
            raise JobRunning(self.job_id, what)
        if changed.outcome == "ended":
            raise JobEnded(self.job_id, changed.record.state, what)
        return await self._respond(changed.record, changed.wakeups)

    async def _respond(self, record: Record, wakeups: Sequence[str]) -> Response:
        await wake_workers(self._blocking_client, wakeups, self.job_id)
        return await job_response(record, render=self._render, threads=self._threads)


Action = Annotated[JobAction, Depends()]


@router.post("/cancel", response_model=Job, responses=documented(JobNotFound))
async def cancel_job(action: Action) -> Response:
    """Cancel a job: a queued one at once, a running one after it has saved a checkpoint."""
    return await action.request("cancel")


@router.post("/kill", response_model=Job, responses=documented(JobNotFound))
async def kill_job(action: Action) -> Response:
    """End a job at once, without saving a checkpoint."""
    return await action.request("kill")


@router.post("/pause", response_model=Job, responses=documented(JobNotFound))
async def pause_job(action: Action) -> Response:
    """Pause a job: a queued one at once, a running one after it has saved a checkpoint."""
    return await action.request("pause")


@router.post("/resume", response_model=Job, responses=documented(JobNotFound))
async def resume_job(action: Action) -> Response:
    """Put a paused job back into the queue. It continues from its checkpoint."""
    return await action.request("resume")


@router.post("/restart", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def restart_job(action: Action) -> Response:
    """
    Restart a queued or paused job from step 0, on any worker for its device.

    Its steps, checkpoints and fingerprint are deleted; the history records how many steps there
    were. Use it when the job's worker is gone for good (`waiting_for: fingerprint`) and all steps
    must be computed with the same bits. A running job is refused: pause it first.
    """
    call = calls.restart(action.tenant, action.job_id)
    return await action.change(call, "be restarted")


@router.post("/accept", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def accept_other_bits(action: Action) -> Response:
    """
    Let any worker for its device continue a queued or paused job from its last checkpoint.

    On other hardware, numbers may differ in their last bits from what the previous worker would
    have computed: `bitwise` is false from then on. Steps after the checkpoint are truncated, since
    the new ones may differ from them; the history records how many there were. Use it when the
    job's worker is gone for good (`waiting_for: fingerprint`) and its steps so far matter more than
    equal bits. A job that is not bound to a fingerprint is left unchanged. A running job is
    refused: pause it first.
    """
    call = calls.accept(action.tenant, action.job_id)
    return await action.change(call, "continue with other bits")
