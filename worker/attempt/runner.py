"""Where jobs are trained, one after another, in a process that nothing of them outlives."""

from __future__ import annotations

import gc
import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

import redis
import torch
from redis.backoff import NoBackoff
from redis.retry import Retry

from optcore.spec.run import RunSpec
from optcore.training.fingerprint import fingerprint, machine_facts
from optcore.training.loop import train
from optcore.training.run import Run
from optserve.contract.states import Reason
from store.jobs.calls import Claim
from store.redis.functions import Fenced
from store.settings import Settings
from store.storage.artifacts import Storage
from worker.attempt.attempt import Attempt, Outcome, Tools

log = logging.getLogger(__name__)

MAX_GROWTH_BYTES = 2 << 30
"""Memory a trainer may have gained before another one takes its place."""


CLEAN = ("succeeded", "released", f"failed: {Reason.DIVERGED}", f"failed: {Reason.DATASET_MISSING}")
"""Outcomes after which the same process may take another job."""


class Trained(NamedTuple):
    """
    What became of a job.

    Attributes:
        outcome: how its attempt ended.
        clean: whether this process may take another one.
        bells: devices whose idle workers should hear that the job is there to be taken.
    """

    outcome: Outcome
    clean: bool
    bells: list[str]


class Workshop:
    """
    What all jobs of a trainer share: connection, storage, threads, flags.

    Args:
        device: cpu or cuda.
        leaving: set when the present job is to be saved and given back.
    """

    def __init__(self, device: str, leaving: threading.Event) -> None:
        settings = Settings()
        # `Patience` retries by itself, for longer than a client library would.
        client = redis.from_url(settings.store_url, socket_timeout=10, retry=Retry(NoBackoff(), 0))
        self._tools = Tools(client, Storage(settings.storage_dir), settings, device, leaving)
        self._threads = max(1, len(os.sched_getaffinity(0)) // settings.workers_on_machine)
        self._tidy()
        self._memory = memory_bytes()

    @property
    def fingerprint(self) -> str:
        """Equal for all trainers whose bits are equal."""
        return fingerprint(machine_facts(torch.device(self._tools.device)))

    def train(self, held: Claim) -> Trained:
        """Train a job that was claimed."""
        attempt = Attempt(held, self._tools)
        try:
            outcome = attempt.train()
        except Fenced:
            log.warning("%s: the job was taken from this worker", held.job_id)
            return Trained("fenced", clean=False, bells=[])
        self._tidy()
        clean = outcome in CLEAN and memory_bytes() - self._memory < MAX_GROWTH_BYTES
        return Trained(outcome, clean, attempt.bells)

    def _tidy(self) -> None:
        """Put back what a job may have changed for the next one."""
        gc.collect()
        torch.set_num_threads(self._threads)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_deterministic_debug_mode("error")  # the other call for it imports a compiler
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


REHEARSAL = {
    "model": {
        "kind": "sequential",
        "layers": [
            {"kind": "conv2d", "out_channels": 2, "kernel_size": 3},
            {"kind": "relu"},
            {"kind": "max_pool2d", "kernel_size": 2},
            {"kind": "flatten"},
            {"kind": "linear", "out_features": 10},
        ],
    },
    "dataset": {"kind": "digits"},
    "training": {"steps": 2},
}
"""A run whose first steps need what those of any other run need."""


def warm_up() -> None:
    """Do once, ahead of need, what the first step of a process would otherwise wait for."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for engine in ("eager", "fused"):
        spec = RunSpec.parse({**REHEARSAL, "optimizer": {"kind": "adam", "engine": engine}})
        for _ in train(Run.start(spec, data_dir=Path())):
            pass


def memory_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
