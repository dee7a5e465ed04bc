"""Jobs that are quick to train, and ways to wait for them."""

from __future__ import annotations

from typing import Any

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import StreamEnd
from optserve.contract.states import State
from tests.support.machine.processes import children, command_line, eventually

SHORT: dict[str, Any] = {
    "name": "short",
    "model": {"kind": "mlp", "hidden": [32]},
    "dataset": {"kind": "digits", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "schedule": {"kind": "cosine", "warmup": {"length": 5}},
    "training": {"epochs": 4, "seed": 3},
}
"""60 steps, a blink."""
LONG: dict[str, Any] = {**SHORT, "name": "long", "training": {"steps": 50_000_000, "seed": 3}}
"""Only ends when somebody ends it."""


def finished(service: Client, job_id: str) -> Job:
    """Return the job once it is over."""
    for update in service.follow(job_id):
        if isinstance(update, StreamEnd):
            return service.job(job_id)
    raise AssertionError("a followed job ends")


def begun(service: Client, job_id: str, *, steps: int = 1) -> Job:
    """Return the job once it runs and has made *steps*."""
    found: list[Job] = []

    def runs() -> bool:
        found.append(service.job(job_id))
        assert not found[-1].state.final, found[-1]
        return found[-1].state is State.RUNNING and found[-1].step >= steps

    eventually(runs, within_s=120)
    return found[-1]


def trainer_of(worker: int) -> int:
    """Return the process of a worker's trainer, once its fork server has forked one."""
    found: list[int] = []

    def forked() -> bool:
        servers = [p for p in children(worker) if "worker.processes.forkserver" in command_line(p)]
        found[:] = [trainer for server in servers for trainer in children(server)]
        return len(found) == 1

    eventually(forked, within_s=60)
    return found[0]
