"""Jobs through the whole service: submitted, followed, polled, cancelled, one after another."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from safetensors.torch import load_file

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import StateChange, StreamEnd
from optserve.contract.states import Reason, State
from optserve.local.stack import Stack
from tests.support.machine.processes import alive, eventually, kill, state_of
from tests.support.service.jobs import LONG, SHORT, begun, finished, trainer_of
from tests.support.service.proxy import CuttingProxy


def test_a_job_is_trained_and_every_step_is_there_once(service: Client) -> None:
    job = finished(service, service.submit(SHORT).id)

    rows = list(service.metrics(job.id))
    assert job.state is State.SUCCEEDED
    assert [row.step for row in rows] == list(range(60))
    assert rows[0].lr == 0.0
    assert rows[5].lr == 0.01
    assert rows[-1].loss < rows[0].loss
    assert job.result is not None
    assert job.result.test["accuracy"] > 0.8
    assert [event.kind for event in service.events(job.id)] == [
        "submitted",
        "started",
        "evaluated",
        "checkpointed",
        "succeeded",
    ]


def test_a_job_whose_time_is_over_is_saved_and_fails(service: Client) -> None:
    job = finished(service, service.submit({**LONG, "time_limit_s": 2}).id)

    rows = list(service.metrics(job.id))
    assert (job.state, job.reason) == (State.FAILED, Reason.TIMEOUT)
    assert job.checkpoint_step == job.step == len(rows) > 0
    assert job.trained_s >= 2


def test_a_history_is_followed_to_its_end(service: Client) -> None:
    job_id = service.submit(SHORT).id

    followed = list(service.follow_events(job_id))

    assert followed == service.events(job_id)
    assert followed[-1].kind == "succeeded"


def test_a_stream_is_resumed_by_the_last_event_id(http: httpx.Client, service: Client) -> None:
    """Bare HTTP, as any SSE client would: two connections, no step lost or repeated."""
    job_id = http.post("/v1/jobs", json=SHORT).json()["id"]
    path = f"/v1/jobs/{job_id}/metrics/stream"

    with http.stream("GET", path) as response:
        for event in events(response):
            if event.kind == "rows":
                break  # the connection is dropped with the rest unread
    with http.stream("GET", path, headers={"Last-Event-ID": str(event.id)}) as response:
        rest = list(events(response))

    batches = [event, *(other for other in rest if other.kind == "rows")]
    assert [row[0] for batch in batches for row in batch.data["rows"]] == list(range(60))
    assert [batch.id for batch in batches] == [batch.data["rows"][-1][0] for batch in batches]
    assert all(other.id is None for other in rest if other.kind != "rows")
    assert rest[-1].kind == "end"
    assert rest[-1].data["rows"] == 60
    assert rest[-1].data["digest"] == service.job(job_id).digest


class StreamedEvent(NamedTuple):
    kind: str
    data: Any
    id: int | None


def events(response: httpx.Response) -> Iterator[StreamedEvent]:
    event, data, event_id = "", "", None
    for line in response.iter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif line.startswith("id: "):
            event_id = int(line.removeprefix("id: "))
        elif not line and event:
            yield StreamedEvent(event, json.loads(data), event_id)
            event, data, event_id = "", "", None


def test_the_client_follows_across_connections_that_break(running: Stack, service: Client) -> None:
    job_id = service.submit({**SHORT, "training": {"epochs": 160, "seed": 1}}).id
    port = int(running.url.rsplit(":", 1)[1])

    with CuttingProxy(port, limit=20_000) as proxy, Client(f"http://127.0.0.1:{proxy.port}") as cut:
        updates = list(cut.follow(job_id))

    steps = [row.step for update in updates if isinstance(update, list) for row in update]
    states = [update.state for update in updates if isinstance(update, StateChange)]
    assert proxy.cuts >= 3
    assert steps == list(range(2400))
    assert states[-1] is State.SUCCEEDED
    assert len(states) == len(set(states))
    assert isinstance(updates[-1], StreamEnd)


def test_a_running_job_is_polled_with_a_cursor(http: httpx.Client) -> None:
    job_id = http.post("/v1/jobs", json=SHORT).json()["id"]

    steps: list[int] = []
    while True:
        over = http.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded"
        params = {"after": steps[-1] if steps else -1, "limit": 7}
        page = http.get(f"/v1/jobs/{job_id}/metrics", params=params).json()
        steps += [row["step"] for row in page["data"]]
        if over and not page["has_more"]:
            break

    assert steps == list(range(60))


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_saves_first(service: Client) -> None:
    running = service.submit(LONG)
    queued = service.submit(SHORT)
    begun(service, running.id, steps=10)

    assert service.job(queued.id).state is State.QUEUED
    assert service.cancel(queued.id).state is State.CANCELLED
    assert service.cancel(running.id).state in (State.RUNNING, State.CANCELLED)
    ended = finished(service, running.id)

    assert ended.state is State.CANCELLED
    assert ended.checkpoint_step == ended.step > 0
    assert service.job(queued.id).step == 0


def test_a_killed_job_ends_without_a_checkpoint(service: Client) -> None:
    job_id = service.submit(
        {**LONG, "training": {"steps": 50_000_000, "checkpoint_every": None}}
    ).id
    begun(service, job_id)

    service.kill(job_id)

    ended = finished(service, job_id)
    assert ended.state is State.CANCELLED
    assert ended.checkpoint_step == 0


def test_a_paused_job_continues_where_it_was(service: Client) -> None:
    job_id = service.submit({**SHORT, "training": {"epochs": 200, "seed": 3}}).id
    begun(service, job_id, steps=10)

    service.pause(job_id)
    eventually(lambda: service.job(job_id).state is State.PAUSED)
    paused = service.job(job_id)
    service.resume(job_id)
    ended = finished(service, job_id)

    assert 0 < paused.checkpoint_step < 3000
    assert ended.state is State.SUCCEEDED
    assert ended.attempt == 2
    assert [row.step for row in service.metrics(job_id)] == list(range(3000))


def test_two_jobs_after_one_another(service: Client) -> None:
    first, second = service.submit(SHORT), service.submit({**SHORT, "name": "second"})

    ended = [finished(service, first.id), finished(service, second.id)]

    assert [job.state for job in ended] == [State.SUCCEEDED] * 2
    assert ended[0].ended_at is not None
    assert ended[1].started_at is not None
    assert ended[0].ended_at <= ended[1].started_at
    assert ended[0].digest == ended[1].digest
    assert [r.loss for r in service.metrics(first.id)] == [
        r.loss for r in service.metrics(second.id)
    ]


def test_a_finished_network_is_downloaded(service: Client, tmp_path: Path) -> None:
    job = finished(service, service.submit(SHORT).id)

    service.download(job.id, "model.safetensors", tmp_path / "model.safetensors")

    weights = load_file(tmp_path / "model.safetensors")
    assert job.artifacts == ["model.safetensors"]
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "fc1.weight": (32, 64),
        "fc1.bias": (32,),
        "fc2.weight": (10, 32),
        "fc2.bias": (10,),
    }


def test_a_missing_dataset_fails_the_job_and_the_worker_lives(service: Client) -> None:
    before = service.workers()
    job_id = service.submit(
        {**SHORT, "dataset": {"kind": "mnist", "source": "json.gz"}, "training": {"steps": 9}}
    ).id

    ended = finished(service, job_id)
    after = finished(service, service.submit(SHORT).id)

    assert ended.state is State.FAILED
    assert ended.reason == "dataset_missing"
    assert ended.detail is not None
    assert "mnist.json.gz does not exist" in ended.detail
    assert after.state is State.SUCCEEDED
    assert [worker.id for worker in service.workers()] == [worker.id for worker in before]


def test_a_diverged_job_fails_with_the_step_and_keeps_the_row(service: Client) -> None:
    spec = {
        **SHORT,
        "optimizer": {"kind": "sgd", "lr": 1e38},
        "schedule": {"kind": "constant"},
    }

    ended = finished(service, service.submit(spec).id)

    rows = list(service.metrics(ended.id))
    assert ended.reason == "diverged"
    assert ended.detail is not None
    assert ended.detail.startswith("loss must be finite, got ")
    assert f"at step {rows[-1].step}" in ended.detail
    assert rows[-1].loss != rows[-1].loss or rows[-1].loss == float("inf")


@pytest.mark.parametrize("victim", ["trainer", pytest.param("worker", marks=pytest.mark.slow)])
def test_a_job_survives_the_death_of_its_process_with_the_same_bits(
    service: Client, running: Stack, victim: str
) -> None:
    spec = {**SHORT, "training": {"steps": 9000, "seed": 5, "checkpoint_every": 150}}
    undisturbed = finished(service, service.submit(spec).id)
    job_id = service.submit(spec).id
    begun(service, job_id, steps=200)

    worker = worker_pid(service)
    trainer = trainer_of(worker)
    before = stopped_between_checkpoints(service, job_id, trainer)
    kill(trainer if victim == "trainer" else worker)
    if victim == "worker":
        running_again(service, running, worker)

    ended = finished(service, job_id)
    assert ended.state is State.SUCCEEDED
    assert ended.attempt == 2
    assert ended.verified_rows == before.step - before.checkpoint_step > 0
    assert "requeued" in [event.kind for event in service.events(job_id)]
    assert ended.digest == undisturbed.digest
    assert [row.step for row in service.metrics(job_id)] == list(range(9000))
    assert [r.loss for r in service.metrics(job_id)] == [
        r.loss for r in service.metrics(undisturbed.id)
    ]


def stopped_between_checkpoints(service: Client, job_id: str, trainer: int) -> Job:
    """Stop the trainer where it has reported steps after its last checkpoint."""
    while True:
        os.kill(trainer, signal.SIGSTOP)
        eventually(lambda: state_of(trainer) == "T")
        job = service.job(job_id)
        if job.step > job.checkpoint_step:
            return job
        os.kill(trainer, signal.SIGCONT)
        begun(service, job_id, steps=job.step + 1)


def worker_pid(service: Client) -> int:
    (worker,) = [worker for worker in service.workers() if alive(worker.pid)]
    return worker.pid


def running_again(service: Client, running: Stack, old: int) -> None:
    """Let the stack notice the dead worker, and wait for the new one."""

    def replaced() -> bool:
        running.supervise()
        return any(worker.pid != old for worker in service.workers())

    eventually(replaced)
