"""The history of a job that ended: in a file if it is long, and the record is small."""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
import pytest
import redis

from store.jobs import calls
from store.redis import keys
from store.redis.functions import send
from store.storage.names import attempt_folder
from store.storage.storage import Storage
from tests.support.store.archiving import files, harmed, keys_of, moved, refusal, rows
from tests.support.store.protocol import append, begin, submit
from tests.support.store.rounds import Rounds

FACTS = {
    "layout": "2",
    "torch": "2.13.0+cu130",
    "numpy": "2.3.4",
    "machine": "x86_64",
    "processor": "Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz",
    "cpu": "AVX512",
    "onednn": "True",
    "deterministic": "True",
    "device": "cuda",
    "gpu": "NVIDIA H200 80GB HBM3e",
    "cuda": "13.0",
    "cudnn": "91300",
    "tf32": "none",
    "engine": "compiled",
    "memory_format": "channels_last",
    "threads": "16",
}
"""As long as those of a real job."""
RECORD_AND_HISTORY = 6 * 1024
"""Bytes that a job which ended may have in the store."""


def bytes_of(client: redis.Redis, job_id: str) -> int:
    """Bytes that the store needs for all keys of a job."""
    found: Any = [client.memory_usage(name, samples=0) for name in client.scan_iter(f"*{job_id}*")]
    return sum(found)


def lived(client: redis.Redis, storage: Storage, *, looks: int) -> str:
    """A job that was evaluated and saved so often, requeued once, and succeeded."""
    count = 10 * looks
    job_id = submit(
        client,
        name="mnist, adam, cosine",
        labels={"team": "ocr"},
        model={"kind": "mnist_cnn"},
        dataset={"kind": "mnist", "batch_size": 100},
        optimizer={
            "kind": "adam",
            "dialect": "paddle",
            "lr": 0.001,
            "groups": [{"match": "*.bias", "weight_decay": 0.0}],
        },
        schedule={"kind": "cosine", "warmup": {"length": 5, "after": "delay"}},
        training={"steps": count, "device": "cpu", "precision": "fp32"},
    )
    held = begin(client, os.urandom(16).hex())
    for i in range(1, looks + 1):
        if i == looks // 2 + 1:
            send(client, calls.release(held, why="SIGTERM"))
            held = begin(client, os.urandom(16).hex())
        append(client, held, 10 * (i - 1), rows(10 * (i - 1), 10))
        data = {"step": 10 * i, "test_loss": 1 / (3 + i), "test_accuracy": 1 - 1 / (3 + i)}
        send(client, calls.evaluated(held, step=10 * i, data=data))
        path = (
            (storage.root / attempt_folder("local", job_id, 1, held.token))
            / "checkpoints"
            / str(10 * i)
        )
        path.mkdir(parents=True)
        call = calls.checkpointed(
            held,
            step=10 * i,
            path=str(path.relative_to(storage.root)),
            sha256="5" * 64,
            digest="d" * 64,
        )
        send(client, call)
    artifacts = {
        "model.safetensors": {
            "path": str((path.parents[1] / "model.safetensors").relative_to(storage.root)),
            "sha256": "a" * 64,
            "size": 123456,
        }
    }
    client.hset(keys.JOB % ("local", job_id), "facts", json.dumps(FACTS))
    result = {"test_loss": 0.0712345678901, "test_accuracy": 0.9807}
    send(
        client,
        calls.finish(held, rows=count, digest="d" * 64, result=result, artifacts=artifacts),
    )
    return job_id


@pytest.mark.parametrize("looks", [5, 500])
def test_an_ended_job_takes_six_kilobytes_of_the_store(
    client: redis.Redis, rounds: Rounds, storage: Storage, looks: int
) -> None:
    job_id = lived(client, storage, looks=looks)

    rounds.run()

    assert bytes_of(client, job_id) <= RECORD_AND_HISTORY
    assert keys_of(client, job_id) == {"job"}


@pytest.mark.anyio
async def test_an_archived_history_reads_as_before(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    job_id = lived(client, storage, looks=60)
    path = f"/v1/jobs/{job_id}/events"
    before = (await http.get(f"{path}?limit=1000")).json()
    _, streamed = (await http.get(f"{path}/stream")).text.split("\n\n", 1)  # retry: differs

    moved(client, rounds)

    assert keys_of(client, job_id) == {"job"}
    assert (await http.get(f"{path}?limit=1000")).json() == before
    page = (await http.get(f"{path}?after=7&limit=5")).json()
    assert page["data"] == before["data"][7:12]
    assert page["has_more"]
    assert (await http.get(f"{path}?after=100000")).json()["data"] == []
    assert (await http.get(f"{path}/stream")).text.endswith(streamed)
    (events,) = files(storage, job_id, "*.jsonl")
    assert len([json.loads(line) for line in events.read_text().splitlines()]) == len(
        before["data"]
    )


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut short"])
@pytest.mark.parametrize(
    "path", ["events", "events/stream", "evaluations", "metrics/chart?evaluations=test_loss"]
)
async def test_a_damaged_history_is_an_error_and_not_an_empty_page(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    rounds: Rounds,
    storage: Storage,
    harm: str,
    path: str,
) -> None:
    job_id = lived(client, storage, looks=60)
    moved(client, rounds)
    (file,) = files(storage, job_id, "*.jsonl")
    said = harmed(storage, file, harm)

    answer = await http.get(f"/v1/jobs/{job_id}/{path}")

    assert refusal(answer) == said


@pytest.mark.anyio
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut short"])
async def test_with_a_damaged_history_all_else_of_the_job_is_readable(
    *,
    http: httpx.AsyncClient,
    client: redis.Redis,
    rounds: Rounds,
    storage: Storage,
    harm: str,
) -> None:
    job_id = lived(client, storage, looks=60)
    moved(client, rounds)
    (file,) = files(storage, job_id, "*.jsonl")
    said = harmed(storage, file, harm)
    job = f"/v1/jobs/{job_id}"

    chart = (await http.get(f"{job}/metrics/chart")).json()

    assert len(chart["columns"]["loss"]["steps"]) == chart["total"] == 600
    assert chart["evaluations"] == {}
    assert chart["evaluations_unreadable"].startswith(said)
    for path in (
        job,
        f"{job}/metrics",
        f"{job}/metrics?format=parquet",
        f"{job}/metrics/stream",
        f"{job}/checkpoints",
        f"/v1/metrics/chart?job={job_id}",
    ):
        assert (await http.get(path)).status_code == 200, path
    compared = await http.get(f"/v1/metrics/chart?job={job_id}&column=test_loss")
    assert refusal(compared) == said


@pytest.mark.anyio
async def test_a_chart_whose_history_is_well_says_nothing(
    http: httpx.AsyncClient, client: redis.Redis, rounds: Rounds, storage: Storage
) -> None:
    job_id = lived(client, storage, looks=60)
    moved(client, rounds)

    chart = (await http.get(f"/v1/jobs/{job_id}/metrics/chart")).json()

    assert chart["evaluations_unreadable"] is None
    assert len(chart["evaluations"]["test_loss"]["steps"]) == 60
