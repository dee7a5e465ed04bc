"""An attempt whose rows the store does not take: which requests it sees meanwhile."""

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
from tests.support.machine.processes import eventually
from tests.support.store.protocol import SPEC, begin, record_of, rows_of, submit
from tests.support.worker.sessions import session_of
from worker.attempt.checkpointer import Checkpointer
from worker.attempt.session import Stop
from worker.attempt.steps import StepLoop

TRAINING = {
    "steps": 100,
    "device": "cpu",
    "evaluate_every": None,
    "checkpoint_every": None,
}


def test_a_worker_can_leave_while_its_run_is_held_up(
    server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    submit(client, training=TRAINING)
    claim, leaving = begin(client), threading.Event()
    run = Run.start(JobSpec.parse({**SPEC, "training": TRAINING}).run_spec(), data_dir=tmp_path)
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    process = client.info("server")["process_id"]
    record = record_of(client, claim.job_id)
    with session_of(store, claim, run, tmp_path, leaving=leaving, most_bytes=1) as session:
        loop = StepLoop(session, Checkpointer(session, record))

        def leave() -> None:
            eventually(lambda: session.reporter.stalled_s > 0)
            leaving.set()

        thread = threading.Thread(target=leave)
        thread.start()
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(Stop, match="the worker is stopping") as caught:
                loop.train()
        finally:
            thread.join()
            os.kill(process, signal.SIGCONT)
        session.reporter.flush()

    assert caught.value.save
    assert 0 < run.row < 100
    assert len(rows_of(client, claim.job_id)) == run.row
