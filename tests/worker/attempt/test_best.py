"""The best state of a run, found while the store is away."""

import os
import signal
import threading
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from optserve.local.embedded import EmbeddedServer
from store.jobs.calls import Claim
from store.settings import Settings
from store.storage.names import BEST
from tests.support.machine.processes import eventually
from tests.support.store.protocol import claim, history, record_of, storage_of, submit
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

TRAINING = {
    "steps": 200,
    "seed": 3,
    "device": "cpu",
    "evaluate_every": 5,
    "checkpoint_every": None,
    "keep_best": "val_loss",
}
DATASET = {"kind": "digits", "batch_size": 100, "validation": 0.2}


def best_states(root: Path) -> list[str]:
    """Return the names of the best states, without drafts."""
    (folder,) = root.glob("jobs/*/*/*/best")
    return sorted(name for name in os.listdir(folder) if name.startswith("step-"))


def test_training_goes_on_without_the_store_and_the_best_state_is_recorded_later(
    server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    sgd = {"kind": "sgd", "lr": 0.01}
    job_id = submit(client, optimizer=sgd, training=TRAINING, dataset=DATASET)
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    storage = storage_of(client, tmp_path)
    tools = Tools(store, storage, Settings(home=tmp_path), "cpu", threading.Event())
    claimed = claim(client, "t")
    assert claimed is not None
    attempt = Attempt(Claim(claimed.tenant, job_id, "t"), claimed, tools)
    process = client.info("server")["process_id"]
    outcomes = list[str]()

    thread = threading.Thread(target=lambda: outcomes.append(attempt.train()), daemon=True)
    thread.start()
    eventually(lambda: record_of(client, job_id).best is not None)
    os.kill(process, signal.SIGSTOP)
    try:
        known = set[str]()

        def several_more() -> bool:
            known.update(best_states(tmp_path))
            return len(known) >= 5

        eventually(several_more)
        # That of the record, one of which it is being told, and the last.
        assert len(best_states(tmp_path)) <= 3
    finally:
        os.kill(process, signal.SIGCONT)
    thread.join(timeout=60)

    assert outcomes == ["succeeded"]
    record = record_of(client, job_id)
    looks = [e["data"] for e in history(client, job_id) if e["kind"] == "evaluated"]
    best = min(looks, key=lambda look: (float(look["val_loss"]), look["step"]))
    assert record.best is not None
    assert (record.best.step, record.best.value) == (best["step"], float(best["val_loss"]))
    assert best_states(tmp_path) == [record.best.path.rpartition("/")[2]]
    assert BEST in record.artifacts


def test_a_checkpoint_made_right_after_a_best_state_was_sent_is_not_deleted(
    server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    """The store's list of needed files is older than the checkpoint, and does not name it."""
    training = {**TRAINING, "steps": 100_000, "checkpoint_every": 20}
    sgd = {"kind": "sgd", "lr": 0.01}
    job_id = submit(client, optimizer=sgd, training=training, dataset=DATASET)
    store = redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    leaving, storage = threading.Event(), storage_of(client, tmp_path)
    claimed = claim(client, "t")
    assert claimed is not None
    tools = Tools(store, storage, Settings(home=tmp_path), "cpu", leaving)
    attempt = Attempt(Claim(claimed.tenant, job_id, "t"), claimed, tools)
    process = client.info("server")["process_id"]
    thread = threading.Thread(target=attempt.train, daemon=True)
    thread.start()
    eventually(lambda: len(record_of(client, job_id).checkpoints) >= 1)
    known = record_of(client, job_id).rows
    os.kill(process, signal.SIGSTOP)
    try:
        # There is one to be told, and a checkpoint is due.
        eventually(lambda: best_states(tmp_path)[-1] > f"step-{known + 300:08}")
    finally:
        os.kill(process, signal.SIGCONT)
    eventually(lambda: record_of(client, job_id).checkpoints[-1].step > known + 20)
    leaving.set()
    thread.join(timeout=60)

    kept = record_of(client, job_id).retained()
    assert len(kept) >= 3
    assert [pointer for pointer in kept if not storage.entries(pointer.path)] == []
