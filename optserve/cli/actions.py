"""Commands that act on a job: cancel, pause, restart and others."""

from __future__ import annotations

from optserve.cli.options import DEFAULT_HOME, Home, JobId, Url, service
from optserve.cli.output.terminal import out
from optserve.contract.answers.jobs import Job


def cancel(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """Cancel a job; a running job saves a checkpoint first."""
    with service(url, home) as client:
        _say(client.cancel(job_id), "cancelled")


def kill(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """End a job at once, without saving a checkpoint."""
    with service(url, home) as client:
        _say(client.kill(job_id), "killed")


def pause(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """Pause a job; a running job saves a checkpoint first."""
    with service(url, home) as client:
        _say(client.pause(job_id), "paused")


def resume(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """Put a paused job back into the queue; it continues from its last checkpoint."""
    with service(url, home) as client:
        _say(client.resume(job_id))


def restart(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """Restart a queued or paused job from step 0, on any worker for its device."""
    with service(url, home) as client:
        _say(client.restart(job_id))


def accept(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """
    Let a queued or paused job continue from its last checkpoint on any worker for its device.

    Use this if no worker with the same hardware and library versions as the job's previous worker
    will come back. The results may then differ in their last bits from those of one uninterrupted
    run. Steps after the checkpoint are discarded.
    """
    with service(url, home) as client:
        _say(client.accept(job_id))


def _say(job: Job, pending: str = "") -> None:
    """
    Print the state of a job after an action.

    If the job's worker has yet to carry out the action, also print what the job will be then.

    Args:
        job: the job, as the service returned it.
        pending: what the job will be, such as "cancelled"; empty if the action never waits for a
            worker.
    """
    will_be = f", and will be {pending}" if pending and job.requested_action else ""
    out.say(f"{job.id} is {job.state}{will_be}")
