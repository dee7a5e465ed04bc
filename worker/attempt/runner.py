"""Trains jobs in one process; after each job, resets what the job may have changed there."""

from __future__ import annotations

import gc
import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

import torch

from optcore.spec.run import RunSpec
from optcore.training.fingerprint import fingerprint, machine_facts
from optcore.training.loop import train
from optcore.training.run import Run
from optserve.contract.states import Reason
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis.connect import connect
from store.redis.functions import Fenced
from store.settings import Settings
from store.storage.storage import Storage
from worker.attempt.attempt import Attempt, Outcome
from worker.attempt.memory import memory_bytes
from worker.attempt.session import Tools, Train

log = logging.getLogger(__name__)

MAX_GROWTH_BYTES = 2 << 30
"""Growth of a trainer's memory, in bytes, after which another trainer replaces it."""
CLEAN = ("succeeded", "released", f"failed: {Reason.DIVERGED}", f"failed: {Reason.DATASET_MISSING}")
"""Outcomes after which the same process may train another job. After any other outcome, something
may be left that affects the next job, such as used memory or a GPU in an error state."""


class AttemptResult(NamedTuple):
    """
    How an attempt ended.

    Attributes:
        outcome: a text such as ``succeeded``; see `worker.attempt.attempt.Outcome`.
        clean: whether this process may train another job.
        wakeups: the devices whose idle workers should be told that the job is runnable.
    """

    outcome: Outcome
    clean: bool
    wakeups: list[str]


class JobRunner:
    """
    Trains jobs in this process. The jobs share the Redis client, the storage and the threads.

    Args:
        device: the device to train on: cpu or cuda.
        leaving: an event that is set when the current run should be saved and its job released.
        train: the function that makes the steps of a run.
    """

    def __init__(self, device: str, leaving: threading.Event, *, train: Train = train) -> None:
        settings = Settings()
        # `RetryingSender` retries, and for longer than a client library would.
        client = connect(settings.store_url, timeout_s=10)
        storage = Storage(settings.storage_dir)
        self._tools = Tools(client, storage, settings, device, leaving, train)
        self._threads = max(1, len(os.sched_getaffinity(0)) // settings.workers_on_machine)
        self._reset()
        self._memory = memory_bytes()

    @property
    def fingerprint(self) -> str:
        """Digest of the hardware and library versions; equal digests give bit-identical results."""
        return fingerprint(machine_facts(torch.device(self._tools.device)))

    def train(self, claim: Claim, record: Record) -> AttemptResult:
        """Train a claimed job; return how the attempt ended."""
        attempt = Attempt(claim, record, self._tools)
        try:
            outcome = attempt.train()
        except Fenced:
            log.warning("%s: the job was taken from this worker", claim.job_id)
            return AttemptResult("fenced", clean=False, wakeups=[])
        self._reset()
        # Measured after the reset, which frees what the job has left in reference cycles.
        clean = outcome in CLEAN and memory_bytes() - self._memory < MAX_GROWTH_BYTES
        return AttemptResult(outcome, clean, attempt.wakeups)

    def _reset(self) -> None:
        """Reset what a job may have changed in this process."""
        gc.collect()
        torch.set_num_threads(self._threads)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        # `use_deterministic_algorithms` does the same, but imports torch's compiler.
        torch.set_deterministic_debug_mode("error")
        # In this mode torch would write NaN to each new tensor: 0.5 ms for 4 million elements.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # A benchmark chooses the kernel that is fastest just then, and kernels round differently.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


WARM_UP_SPEC = {
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
"""Spec of a small run. Its steps initialize what every run needs: threads, BLAS, kernels."""


def warm_up() -> None:
    """Train a small run, since the first steps in a process are slow; later jobs start faster."""
    # Without this variable, torch refuses cuBLAS in deterministic mode.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for engine in ("eager", "fused"):
        spec = RunSpec.parse({**WARM_UP_SPEC, "optimizer": {"kind": "adam", "engine": engine}})
        for _ in train(Run.start(spec, data_dir=Path())):
            pass
