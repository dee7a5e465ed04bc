"""What may be asked of a job that was posted. Every request may be repeated."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends

from api.bells import ring
from api.dependencies import BlockingClient, Shown, TenantName
from api.problems import documented
from jobs import calls
from jobs.calls import Changed
from jobs.errors import JobEnded, JobNotFound, JobRunning
from jobs.functions import Call, send
from jobs.spec.wire import Job

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])


class Asking:
    """One request about the job in the path, and its answer: the job afterwards."""

    def __init__(
        self, job_id: str, tenant: TenantName, client: BlockingClient, shown: Shown
    ) -> None:
        self.job_id, self.tenant = job_id, tenant
        self._client, self._shown = client, shown

    def ask(self, action: Literal["cancel", "kill", "pause", "resume"]) -> Job:
        """Ask for *action*, and ring where that makes work."""
        asked = send(self._client, calls.ask(self.tenant, self.job_id, action))
        if asked.record is None:
            raise JobNotFound(self.job_id)
        ring(self._client, asked.bells, self.job_id)
        return self._shown(asked.record)

    def change(self, call: Call[Changed], what: str) -> Job:
        """Let a waiting job go on otherwise; *what* becomes of it is for errors."""
        changed = send(self._client, call)
        if changed.record is None:
            raise JobNotFound(self.job_id)
        if changed.outcome == "running":
            raise JobRunning(self.job_id, what)
        if changed.outcome == "ended":
            raise JobEnded(self.job_id, changed.record.state, what)
        ring(self._client, changed.bells, self.job_id)
        return self._shown(changed.record)


Request = Annotated[Asking, Depends()]


@router.post("/cancel", responses=documented(JobNotFound))
def cancel_job(request: Request) -> Job:
    """End a job: a queued one at once, a running one after it has saved a checkpoint."""
    return request.ask("cancel")


@router.post("/kill", responses=documented(JobNotFound))
def kill_job(request: Request) -> Job:
    """End a job without saving anything."""
    return request.ask("kill")


@router.post("/pause", responses=documented(JobNotFound))
def pause_job(request: Request) -> Job:
    """Put a job aside: a running one after it has saved a checkpoint."""
    return request.ask("pause")


@router.post("/resume", responses=documented(JobNotFound))
def resume_job(request: Request) -> Job:
    """Put a paused job back into the queue; it continues from its checkpoint."""
    return request.ask("resume")


@router.post("/restart", responses=documented(JobNotFound, JobRunning))
def restart_job(request: Request) -> Job:
    """
    Let a queued or paused job begin again at step 0, on any worker of its device.

    Its steps, checkpoints and fingerprint are forgotten; the history keeps how many steps there
    were. For a job whose worker is gone for good (`waiting_for: fingerprint`) and that must have
    the same bits from its first step to its last. A running job is refused: pause it first.
    """
    call = calls.restart(request.tenant, request.job_id)
    return request.change(call, "be restarted")


@router.post("/accept", responses=documented(JobNotFound, JobRunning))
def accept_other_bits(request: Request) -> Job:
    """
    Let a queued or paused job go on from its last checkpoint on any worker of its device.

    The next worker's numbers may differ from what the former one would have given, in their last
    bits: `bitwise` is false from then on. Steps after the checkpoint are cut, because the new ones
    could not be equal to them; the history keeps how many there were. For a job whose worker is
    gone for good (`waiting_for: fingerprint`) and whose steps so far are worth more than their last
    bits. A job that any worker may have is left as it is. A running job is refused: pause it first.
    """
    call = calls.accept(request.tenant, request.job_id)
    return request.change(call, "go on with other bits")
