"""What may be asked of a job that was posted. Every request may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool

from api.http.dependencies import BlockingClient, Client, Effort, Shown, TenantName
from api.http.params import require_no_body
from api.http.problems import documented
from api.jobs.responses import job_response
from api.jobs.wakeups import ring
from optserve.contract.answers.jobs import Job
from store.errors import JobEnded, JobNotFound, JobRunning
from store.jobs import calls
from store.jobs.calls import Changed
from store.jobs.record import Record
from store.redis.functions import Call, send_async

router = APIRouter(
    prefix="/v1/jobs/{job_id}", tags=["jobs"], dependencies=[Depends(require_no_body)]
)


class Asking:
    """One request about the job in the path, and its answer: the job afterwards."""

    def __init__(
        self,
        *,
        job_id: str,
        tenant: TenantName,
        client: Client,
        ringing: BlockingClient,
        shown: Shown,
        work: Effort,
    ) -> None:
        self.job_id, self.tenant = job_id, tenant
        self._client, self._ringing = client, ringing
        self._shown, self._work = shown, work

    async def ask(self, action: Literal["cancel", "kill", "pause", "resume"]) -> Response:
        """Ask for *action*, and ring where that makes work."""
        asked = await send_async(self._client, calls.ask(self.tenant, self.job_id, action))
        if asked.record is None:
            raise JobNotFound(self.job_id)
        return await self._answer(asked.record, asked.bells)

    async def change(self, call: Call[Changed], what: str) -> Response:
        """Let a waiting job go on otherwise; *what* becomes of it is for errors."""
        changed = await send_async(self._client, call)
        if changed.record is None:
            raise JobNotFound(self.job_id)
        if changed.outcome == "running":
            raise JobRunning(self.job_id, what)
        if changed.outcome == "ended":
            raise JobEnded(self.job_id, changed.record.state, what)
        return await self._answer(changed.record, changed.bells)

    async def _answer(self, record: Record, bells: Sequence[str]) -> Response:
        if bells:
            await run_in_threadpool(ring, self._ringing, bells, self.job_id)
        return await job_response(record, shown=self._shown, work=self._work)


Request = Annotated[Asking, Depends()]


@router.post("/cancel", response_model=Job, responses=documented(JobNotFound))
async def cancel_job(request: Request) -> Response:
    """End a job: a queued one at once, a running one after it has saved a checkpoint."""
    return await request.ask("cancel")


@router.post("/kill", response_model=Job, responses=documented(JobNotFound))
async def kill_job(request: Request) -> Response:
    """End a job without saving anything."""
    return await request.ask("kill")


@router.post("/pause", response_model=Job, responses=documented(JobNotFound))
async def pause_job(request: Request) -> Response:
    """Put a job aside: a running one after it has saved a checkpoint."""
    return await request.ask("pause")


@router.post("/resume", response_model=Job, responses=documented(JobNotFound))
async def resume_job(request: Request) -> Response:
    """Put a paused job back into the queue; it continues from its checkpoint."""
    return await request.ask("resume")


@router.post("/restart", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def restart_job(request: Request) -> Response:
    """
    Let a queued or paused job begin again at step 0, on any worker of its device.

    Its steps, checkpoints and fingerprint are forgotten; the history keeps how many steps there
    were. For a job whose worker is gone for good (`waiting_for: fingerprint`) and that must have
    the same bits from its first step to its last. A running job is refused: pause it first.
    """
    call = calls.restart(request.tenant, request.job_id)
    return await request.change(call, "be restarted")


@router.post("/accept", response_model=Job, responses=documented(JobNotFound, JobRunning))
async def accept_other_bits(request: Request) -> Response:
    """
    Let a queued or paused job go on from its last checkpoint on any worker of its device.

    The next worker's numbers may differ from what the former one would have given, in their last
    bits: `bitwise` is false from then on. Steps after the checkpoint are cut, because the new ones
    could not be equal to them; the history keeps how many there were. For a job whose worker is
    gone for good (`waiting_for: fingerprint`) and whose steps so far are worth more than their last
    bits. A job that any worker may have is left as it is. A running job is refused: pause it first.
    """
    call = calls.accept(request.tenant, request.job_id)
    return await request.change(call, "go on with other bits")
