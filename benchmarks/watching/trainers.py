"""Workers that train nothing: they store steps at the rate at which 20 jobs would make them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import PLAIN
from store.redis.connect import connect
from store.redis.functions import send

STEPS_PER_S = 100
WRITE_S = 0.1
"""Seconds between two writes for the same job."""


def train(url: str, ids: Sequence[str]) -> None:
    """Claim every job, and store steps until this process is killed."""
    with connect(url) as client:
        held = []
        for i in range(len(ids)):
            call = calls.claim(
                f"w{i}", device="cpu", fingerprint="f", token=f"t{i}", lease_ms=10**7
            )
            record = send(client, call)
            assert record is not None
            held.append(Claim(record.tenant, record.id, f"t{i}"))
        step, count = 0, int(STEPS_PER_S * WRITE_S)
        next_at = time.monotonic()
        while True:
            for i, job in enumerate(held):
                # Each job in its own tenth of the time, as they would come.
                _sleep_until(next_at + i * WRITE_S / len(held))
                data = PLAIN.pack([(0.001, time.time())] * count)
                send(client, calls.append(job, first=step, width=16, data=data, lease_ms=10**7))
            step += count
            next_at += WRITE_S


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2:])
