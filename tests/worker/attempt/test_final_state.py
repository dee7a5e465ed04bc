"""The last checkpoint of a finished job, from which a clone goes on, and crashes around it."""

import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis

from optcore.files.checkpoint_files import read_facts
from optcore.training import loop
from optcore.training.checkpoints.tensors import read
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis.functions import send
from store.settings import Settings
from tests.support.store.protocol import claim, history, kinds, record_of, storage_of, submit
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

TRAINING: dict[str, Any] = {
    "steps": 40,
    "seed": 3,
    "device": "cpu",
    "evaluate_every": 4,
    "checkpoint_every": 15,
}
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits", "batch_size": 100, "validation": 0.2},
    "training": TRAINING,
}
STOPPING = {"metric": "val_loss", "patience": 2, "min_delta": 0.5}


class Died(BaseException):
    """What ends an attempt as if its process had died."""


def attempt(client: redis.Redis, home: Path, token: str, *, fingerprint: str = "f1") -> Attempt:
    """Return an attempt at the next job."""
    claimed = claim(client, token, fingerprint=fingerprint)
    assert claimed is not None
    tools = Tools(
        client,
        storage_of(client, home),
        Settings(home=home),
        "cpu",
        threading.Event(),
        loop.train,
    )
    return Attempt(Claim(claimed.tenant, claimed.id, token), claimed, tools)


def trained(client: redis.Redis, home: Path, **changes: Any) -> Record:
    """Train a job without a disturbance; return its record."""
    job_id = submit(client, **{**SPEC, **changes})
    assert attempt(client, home, f"{job_id[-8:]}").train() == "succeeded"
    return record_of(client, job_id)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, [15, 30, 40]),
        ({"checkpoint_every": None}, [40]),
        ({"early_stopping": STOPPING, "checkpoint_every": 3}, None),
    ],
    ids=["completed", "without other checkpoints", "stopped early"],
)
def test_a_finished_job_has_a_checkpoint_of_its_last_step(
    client: redis.Redis, tmp_path: Path, changes: dict[str, Any], steps: list[int] | None
) -> None:
    record = trained(client, tmp_path, training={**TRAINING, **changes})

    last = record.checkpoints[-1]
    storage = storage_of(client, tmp_path)
    facts, model, state = read(storage, last.path, sha256=last.sha256)
    found = [pointer.step for pointer in record.checkpoints]
    assert last.step == record.rows == facts["row"]
    assert found == steps if steps else len(found) == 3
    assert record.outcome == ("completed" if steps else "early_stopped")
    assert facts["digest"] == record.fields["digest"]
    assert {f"optimizer.exp_avg.{name}" for name in model} <= state.keys()
    assert set(facts["counts"].values()) == {record.rows}
    assert record.job().checkpoint_step == record.rows


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"early_stopping": STOPPING},
        {"keep_best": "val_loss"},
        {"keep_best": "val_loss", "ema": {"kind": "swa", "statistics": "recompute"}},
    ],
    ids=["completed", "stopped early", "keeps its best", "recomputes statistics"],
)
def test_a_worker_that_dies_after_the_last_checkpoint_costs_nothing(
    client: redis.Redis, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {**SPEC, "training": {**TRAINING, **changes}}
    undisturbed = trained(client, tmp_path, **spec)
    job_id = submit(client, **spec)

    def die(*args: object, **kwargs: object) -> NoReturn:
        raise Died

    with monkeypatch.context() as context:
        context.setattr(calls, "finish", die)
        with pytest.raises(Died):
            attempt(client, tmp_path, "first").train()
    left = record_of(client, job_id)
    send(client, calls.release(Claim("local", job_id, "first"), why="died", cause="crashed"))
    again = attempt(client, tmp_path, "second", fingerprint=left.fingerprint)

    assert again.train() == "succeeded"

    record = record_of(client, job_id)
    assert left.state == "running"
    assert left.checkpoints[-1].step == left.rows == record.rows == undisturbed.rows
    assert record.fields["digest"] == undisturbed.fields["digest"]
    assert record.outcome == undisturbed.outcome
    ours, theirs = record.job().result, undisturbed.job().result
    assert ours is not None
    assert theirs is not None
    assert (ours.metrics, ours.best) == (theirs.metrics, theirs.best)
    assert record.job().verified_rows == 0
    assert record.checkpoints == left.checkpoints
    assert evaluated(client, job_id) == evaluated(client, undisturbed.id)
    assert kinds(client, job_id).count("checkpointed") == kinds(client, undisturbed.id).count(
        "checkpointed"
    )


def evaluated(client: redis.Redis, job_id: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in history(client, job_id) if entry["kind"] == "evaluated"]


def test_a_checkpoint_of_the_end_lets_0_2_0_evaluate_again(
    client: redis.Redis, tmp_path: Path
) -> None:
    """0.2.0 ends a job with an evaluation that it has made itself."""
    record = trained(client, tmp_path)
    end, before = record.checkpoints[-1], record.checkpoints[-2]
    storage = storage_of(client, tmp_path)

    assert read_facts(storage, end.path)["evaluated"] == -1
    assert read_facts(storage, before.path)["evaluated"] == 28
