"""The best state of a run, found while the store is away."""

import os
import signal
import threading
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.artifacts import BEST, Storage
from jobs.calls import Held
from jobs.settings import Settings
from optserve.embedded import EmbeddedServer
from tests.jobs.protocol import claim, history, record_of, submit
from tests.processes import eventually
from worker.attempt import Attempt, Tools

TRAINING = {
    "steps": 200,
    "seed": 3,
    "device": "cpu",
    "evaluate_every": 5,
    "checkpoint_every": None,
    "keep_best": "test_loss",
}


def test_training_goes_on_and_the_record_hears_of_the_best_once_the_store_is_back(
    server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    job_id = submit(client, optimizer={"kind": "sgd", "lr": 0.01}, training=TRAINING)
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    storage = Storage(tmp_path)
    tools = Tools(store, storage, Settings(home=tmp_path), "cpu", threading.Event())
    claimed = claim(client, "t")
    assert claimed is not None
    attempt = Attempt(Held(claimed.tenant, job_id, "t"), tools)
    process = client.info("server")["process_id"]
    outcomes = list[str]()

    def best_steps() -> list[str]:
        """Return the kept states that are whole."""
        return sorted(str(path.parent) for path in tmp_path.rglob("best/*/state.json"))

    thread = threading.Thread(target=lambda: outcomes.append(attempt.train()), daemon=True)
    thread.start()
    eventually(lambda: record_of(client, job_id).best is not None)
    os.kill(process, signal.SIGSTOP)
    try:
        known = set[str]()

        def several_more() -> bool:
            known.update(best_steps())
            return len(known) >= 5

        eventually(several_more)
        assert len(best_steps()) <= 4  # the one that the record knows, one under way, the last two
    finally:
        os.kill(process, signal.SIGCONT)
    thread.join(timeout=60)

    assert outcomes == ["succeeded"]
    record = record_of(client, job_id)
    looks = [e["data"] for e in history(client, job_id) if e["kind"] == "evaluated"]
    best = min(looks, key=lambda look: (float(look["loss"]), look["step"]))
    assert record.best is not None
    assert (record.best.step, record.best.value) == (best["step"], float(best["loss"]))
    assert best_steps() == [str(storage.path(record.best.path))]
    assert BEST in record.artifacts
