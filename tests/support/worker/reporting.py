"""What tests of reporting share: a claimed job, a store that stands still, a noting writer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from optserve.contract.requests.job import JobSpec
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis.functions import Call, send
from worker.reporting.buffer import Batch
from worker.reporting.pipelined import PipelinedWriter

SPEC: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam", "lr": 0.1},
    "schedule": {"kind": "cosine", "warmup": {"length": 3}},
    "training": {"steps": 40, "device": "cpu"},
}
LEASE_MS = 30_000


def claimed(client: redis.Redis, spec: JobSpec) -> Claim:
    """Return the claim on a new job of *spec*."""
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(client, call)
    claim = calls.claim("w", device="cpu", fingerprint="f", token="t", lease_ms=LEASE_MS)
    record = send(client, claim)
    assert record is not None
    return Claim(record.tenant, record.id, "t")


def stopped(client: redis.Redis) -> int:
    """Stop the server and return its process."""
    process = client.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    return int(process)


@contextmanager
def frozen(client: redis.Redis) -> Iterator[int]:
    """Let the server stand still; give its process."""
    process = stopped(client)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGCONT)


class NotingWriter(PipelinedWriter):
    """
    A writer that notes the first rows of what the loop has sent.

    Attributes:
        sent: these rows.
    """

    def __init__(self, client: redis.Redis, sent: list[int]) -> None:
        super().__init__(client)
        self.sent = sent

    def send(self, batch: Batch, call: Call[str]) -> bool:
        """Note, and send."""
        self.sent.append(batch.first)
        return super().send(batch, call)
