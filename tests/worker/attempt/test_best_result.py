"""What the result of a job says of its best weights."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis
from safetensors.torch import load_file

from optcore.training import loop
from optcore.training.reports import Report, StepReport
from optcore.training.run import Run
from optserve.contract.answers.jobs import BestResult, Job
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis import keys
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import BEST
from tests.support.store.protocol import ask, claim, history, record_of, storage_of, submit
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools, Train

TRAINING: dict[str, Any] = {
    "steps": 40,
    "seed": 3,
    "device": "cpu",
    "evaluate_every": 4,
    "checkpoint_every": 10,
    "keep_best": "val_loss",
}
SEEN_S = 60.0
"""Seconds within which the lease of a job sees a request."""
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits", "batch_size": 100, "validation": 0.2},
    "optimizer": {"kind": "sgd", "lr": 0.3},
    # It unlearns: the best step is not the last.
    "schedule": {"kind": "exponential", "rate": 1.12, "every": 1},
    "training": TRAINING,
}


class Died(BaseException):
    """What ends an attempt as if its process had died."""


def attempted(
    client: redis.Redis,
    home: Path,
    train: Train = loop.train,
    *,
    fingerprint: str = "f1",
    **settings: Any,
) -> tuple[str, Record]:
    """Claim the next job and train it; return the outcome, and the record afterwards."""
    token = secrets.token_hex(8)
    claimed = claim(client, token, fingerprint=fingerprint)
    assert claimed is not None
    leaving = threading.Event()
    tools = Tools(
        client, storage_of(client, home), Settings(home=home, **settings), "cpu", leaving, train
    )
    outcome = Attempt(Claim(claimed.tenant, claimed.id, token), claimed, tools).train()
    return outcome, record_of(client, claimed.id)


def trained(client: redis.Redis, home: Path, **changes: Any) -> Job:
    """Return a job that was trained without a disturbance."""
    submit(client, **{**SPEC, **changes})
    outcome, record = attempted(client, home)
    assert outcome == "succeeded"
    return record.job()


def best_of(job: Job) -> BestResult:
    assert job.result is not None
    assert job.result.best is not None
    return job.result.best


def test_the_result_has_the_test_metrics_of_the_best_weights(
    client: redis.Redis, tmp_path: Path
) -> None:
    job = trained(client, tmp_path)
    best = best_of(job)
    assert 0 < best.step < 40

    # Its lr does not depend on the number of steps.
    shorter = trained(client, tmp_path, training={**TRAINING, "steps": best.step})

    assert job.result is not None
    assert shorter.result is not None
    assert (best.step, best.metric, best.value) == (
        best.step,
        "val_loss",
        shorter.result.metrics["val_loss"],
    )
    assert best.test == shorter.result.test
    assert best.test != job.result.test
    assert best.metrics.keys() == {"test_loss", "test_accuracy"}
    assert job.best is not None
    assert job.best.model_dump() == {"step": best.step, "metric": "val_loss", "value": best.value}


def test_nothing_else_of_the_result_changes(client: redis.Redis, tmp_path: Path) -> None:
    """The best weights replace the last ones only after these were saved."""
    kept = trained(client, tmp_path)
    plain = trained(client, tmp_path, training={**TRAINING, "keep_best": None})

    assert kept.result is not None
    assert plain.result is not None
    assert plain.result.best is None
    assert kept.digest == plain.digest
    assert kept.result.metrics == plain.result.metrics
    networks = [
        load_file(tmp_path / record_of(client, job.id).artifacts["model.safetensors"]["path"])
        for job in (kept, plain)
    ]
    assert all((networks[0][name] == networks[1][name]).all() for name in networks[1])


def test_if_the_best_weights_are_the_last_they_have_the_same_metrics(
    client: redis.Redis, tmp_path: Path
) -> None:
    job = trained(
        client,
        tmp_path,
        training={
            **TRAINING,
            "keep_best": "ema_val_loss",
            "ema": {"decay": 0.5},
            "confusion": True,
        },
        schedule={"kind": "constant"},
        optimizer={"kind": "sgd", "lr": 0.01},
    )

    best = best_of(job)
    assert job.result is not None
    assert best.step == 40
    last = {name: x for name, x in job.result.metrics.items() if name.startswith("ema_test_")}
    assert best.metrics == last
    assert best.metrics.keys() == {"ema_test_loss", "ema_test_accuracy"}
    assert best.test.keys() == {"loss", "accuracy"}
    assert best.matrices.keys() == {"ema_test_confusion"}
    assert best.matrices["ema_test_confusion"] == job.result.matrices["ema_test_confusion"]


def test_a_run_that_ends_early_has_its_best_weights_evaluated(
    client: redis.Redis, tmp_path: Path
) -> None:
    stopping = {"early_stopping": {"patience": 2}}
    job = trained(client, tmp_path, training={**TRAINING, **stopping})
    whole = trained(client, tmp_path)

    assert (job.outcome, whole.outcome) == ("early_stopped", "completed")
    assert best_of(job) == best_of(whole)


def interrupting(after: int, act: Callable[[Run], object]) -> Callable[[Run], Iterator[Report]]:
    """Return a training that calls *act* once *after* steps were made."""

    def train(run: Run) -> Iterator[Report]:
        for report in loop.train(run):
            if isinstance(report, StepReport) and report.step == after:
                act(run)
            yield report

    return train


@pytest.mark.parametrize("after", [9, 37])
def test_a_resumed_run_has_the_same_result(client: redis.Redis, tmp_path: Path, after: int) -> None:
    """After 37 steps the best weights are those of the first attempt."""
    whole = trained(client, tmp_path)
    assert 10 < best_of(whole).step < 37
    job_id = submit(client, **SPEC)

    def pause(run: Run) -> None:
        ask(client, job_id, "pause")
        assert run.interrupt.wait(SEEN_S)

    outcome, record = attempted(client, tmp_path, interrupting(after, pause))
    assert (outcome, record.state) == ("released", "paused")
    ask(client, job_id, "resume")
    outcome, record = attempted(client, tmp_path, fingerprint=record.fingerprint)

    assert outcome == "succeeded"
    assert best_of(record.job()) == best_of(whole)
    assert record.job().digest == whole.digest


def after_the_end(act: Callable[[Run], object]) -> Callable[[Run], Iterator[Report]]:
    """Return a training that calls *act* when it has ended."""

    def train(run: Run) -> Iterator[Report]:
        yield from loop.train(run)
        act(run)

    return train


@pytest.mark.parametrize(("harm", "why"), [("damage", "must have SHA-256"), ("delete", "No such")])
def test_best_weights_that_are_lost_are_not_evaluated_and_the_history_says_so(
    client: redis.Redis, tmp_path: Path, harm: str, why: str
) -> None:
    job_id = submit(client, **SPEC)

    def lose(_: Run) -> None:
        path = max(tmp_path.glob(f"jobs/local/{job_id}/*/best/*/{BEST}"))
        if harm == "delete":
            path.unlink()
            return
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    outcome, record = attempted(client, tmp_path, after_the_end(lose), fault_patience_s=0.1)

    best = best_of(record.job())
    assert outcome == "succeeded"
    assert (best.metric, best.metrics, best.test) == ("val_loss", {}, {})
    (entry,) = [e["data"] for e in history(client, job_id) if e["kind"] == "best_not_evaluated"]
    assert why in entry["why"]


def test_a_job_that_is_killed_while_its_best_weights_are_evaluated_is_over_at_once(
    client: redis.Redis, tmp_path: Path
) -> None:
    job_id = submit(client, **SPEC)

    def kill(run: Run) -> None:
        ask(client, job_id, "kill")
        assert run.interrupt.wait(SEEN_S)

    outcome, record = attempted(client, tmp_path, after_the_end(kill))

    assert (outcome, record.state) == ("released", "cancelled")
    assert record.job().result is None


def test_a_cancellation_at_the_end_is_too_late(client: redis.Redis, tmp_path: Path) -> None:
    job_id = submit(client, **SPEC)

    def cancel(run: Run) -> None:
        ask(client, job_id, "cancel")
        assert run.interrupt.wait(SEEN_S)

    outcome, record = attempted(client, tmp_path, after_the_end(cancel))

    assert (outcome, record.state) == ("succeeded", "succeeded")
    assert best_of(record.job()).metrics


def test_lists_have_no_matrices(client: redis.Redis, tmp_path: Path) -> None:
    job = trained(client, tmp_path, training={**TRAINING, "confusion": True})
    assert best_of(job).matrices.keys() == {"test_confusion"}

    listed = record_of(client, job.id).listed()

    assert listed.result is not None
    assert listed.result.best is not None
    assert (listed.result.matrices, listed.result.best.matrices) == ({}, {})
    assert listed.result.best.metrics == best_of(job).metrics


def test_a_run_that_dies_at_its_end_has_the_same_result(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when its best weights were evaluated, and the result is not stored."""
    whole = trained(client, tmp_path)
    job_id = submit(client, **SPEC)
    seen = list[dict[str, Any]]()

    def die(*args: Any, **result: Any) -> NoReturn:
        seen.append(result["result"]["best"])
        raise Died

    with monkeypatch.context() as context:
        context.setattr(calls, "finish", die)
        with pytest.raises(Died):
            attempted(client, tmp_path)
    held = record_of(client, job_id)
    send(client, calls.release(Claim("local", job_id, held.fields["token"]), why="died"))
    outcome, record = attempted(client, tmp_path, fingerprint=held.fingerprint)

    assert outcome == "succeeded"
    assert best_of(record.job()) == best_of(whole)
    assert BestResult.model_validate(seen[0]) == best_of(whole)


def test_a_job_of_release_0_2_0_keeps_its_result(client: redis.Redis, tmp_path: Path) -> None:
    """It has evaluated the test examples each time, and its history has the metrics."""
    job_id = submit(client, **{**SPEC, "training": {**TRAINING, "keep_best": None}})
    spec = json.loads(record_of(client, job_id).fields["spec"])
    spec["training"]["keep_best"] = "test_loss"
    assert spec["dataset"].pop("validation") == 0.2
    job = keys.JOB % ("local", job_id)
    client.hset(job, "spec", json.dumps(spec))
    client.hdel(job, "plan")

    outcome, record = attempted(client, tmp_path)

    assert outcome == "succeeded"
    found = record.job()
    assert found.result is not None
    assert found.result.best is None
    assert found.best is not None
    assert BEST in found.artifacts
