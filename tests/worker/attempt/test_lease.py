"""The lease on a job: renewed for as long as its run moves, by its rows or by the thread."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from store.redis import functions, keys
from store.redis.functions import Call
from store.settings import Settings
from store.storage.artifacts import Storage
from tests.support.store.protocol import SPEC, begin, submit
from worker.attempt import lease
from worker.attempt.attempt import Attempt, Tools
from worker.attempt.lease import RENEWALS_PER_LEASE, Lease
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import PAUSE_S, Reporter
from worker.reporting.retry import RetryingSender

LEASE_S = 3.0
TRAINING = {"steps": 8000, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}


@pytest.fixture
def renewals(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the thread renewed a lease; it still does."""
    found, send = list[float](), functions.send

    def noted(client: redis.Redis, call: Call[Any]) -> Any:
        found.append(time.monotonic())
        return send(client, call)

    monkeypatch.setattr(lease, "send", noted)
    return found


def test_rows_renew_it_so_the_thread_need_not(
    client: redis.Redis, tmp_path: Path, renewals: list[float]
) -> None:
    submit(client, training=TRAINING)
    held, settings, leaving = begin(client), Settings(lease_s=LEASE_S), threading.Event()
    run = Run.start(JobSpec.parse({**SPEC, "training": TRAINING}).run_spec(), data_dir=tmp_path)
    tools = Tools(client, Storage(tmp_path), settings, "cpu", leaving)
    patience, lease_ms = RetryingSender(client, leaving), int(1000 * LEASE_S)
    with (
        Lease(held, client, settings) as kept,
        Reporter(held, patience, LrPlan(run.spec), first=0, lease_ms=lease_ms) as reporter,
    ):
        began = time.monotonic()
        Attempt(held, tools).follow(run, reporter, kept, tmp_path)
        ended = time.monotonic()
        reporter.flush()
        (until_ms,) = client.zmscore(keys.LEASES, [f"{held.tenant}/{held.job_id}"])

    pause_s = LEASE_S / RENEWALS_PER_LEASE
    assert ended - began > 2 * pause_s, "too short to tell"
    # Until the first rows are known to be stored, the thread may.
    assert [at for at in renewals if began + pause_s + 3 * PAUSE_S < at < ended] == []
    assert until_ms is not None
    assert until_ms / 1000 > time.time()


def test_a_run_without_rows_keeps_it_too(client: redis.Redis, renewals: list[float]) -> None:
    submit(client)
    held = begin(client)

    with Lease(held, client, Settings(lease_s=LEASE_S)):
        time.sleep(LEASE_S / 2)

    assert len(renewals) >= 2
