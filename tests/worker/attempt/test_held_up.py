"""An attempt whose rows the store does not take: what it heeds while it waits for room."""

import os
import signal
import threading
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.settings import Settings
from store.storage.artifacts import Storage
from tests.support.machine.processes import eventually
from tests.support.store.protocol import SPEC, begin, rows_of, submit
from worker.attempt.attempt import Attempt, Stop, Tools
from worker.attempt.lease import Lease
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender

TRAINING = {
    "steps": 100,
    "device": "cpu",
    "evaluate_every": None,
    "checkpoint_every": None,
}


def test_a_worker_that_is_to_leave_does_so_while_its_run_is_held_up(
    server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    submit(client, training=TRAINING)
    held, leaving = begin(client), threading.Event()
    run = Run.start(JobSpec.parse({**SPEC, "training": TRAINING}).run_spec(), data_dir=tmp_path)
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    attempt = Attempt(held, Tools(store, Storage(tmp_path), Settings(), "cpu", leaving))
    patience, plan = RetryingSender(store, threading.Event()), LrPlan(run.spec)
    process = client.info("server")["process_id"]
    with (
        Lease(held, store, Settings()) as lease,
        Reporter(held, patience, plan, first=0, lease_ms=30_000, most_bytes=1) as reporter,
    ):

        def leave() -> None:
            eventually(lambda: reporter.held_up_s > 0)
            leaving.set()

        thread = threading.Thread(target=leave)
        thread.start()
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(Stop, match="the worker leaves") as caught:
                attempt.follow(run, reporter, lease, tmp_path)
        finally:
            thread.join()
            os.kill(process, signal.SIGCONT)
        reporter.flush()

    assert caught.value.save
    assert 0 < run.row < 100
    assert len(rows_of(client, held.job_id)) == run.row
