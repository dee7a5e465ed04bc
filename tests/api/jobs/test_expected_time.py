"""What validate says about how long a job takes, beside how long it then takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio
import torch

from api.jobs.expected import FRESH_S, ExpectedTimes
from optcore.training.fingerprint import fingerprint, machine_facts
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.views import Store
from store.redis.functions import send
from store.settings import Settings
from store.storage.pool import StoragePool
from store.storage.storage import Storage
from tests.support.store.protocol import hello, record_of, storage_of
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

pytestmark = pytest.mark.anyio

HERE = fingerprint(machine_facts(torch.device("cpu")))


def job(**optimizer: Any) -> dict[str, Any]:
    return {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam", **optimizer},
        "training": {"steps": 1000, "device": "cpu"},
    }


async def expected(http: httpx.AsyncClient, **optimizer: Any) -> dict[str, Any]:
    response = await http.post("/v1/jobs/validate", json=job(**optimizer))
    assert response.status_code == 200
    (found,) = response.json()["expected_time"]
    return dict(found)


async def train(
    http: httpx.AsyncClient, client: redis.Redis, home: Path, number: int, **optimizer: Any
) -> float:
    """Post the job, and train it as a worker does; return for how many seconds."""
    job_id = (await http.post("/v1/jobs", json=job(**optimizer))).json()["id"]
    token = f"t{number}"
    call = calls.claim("w1", device="cpu", fingerprint=HERE, token=token, lease_ms=60_000)
    record = send(client, call)
    assert record is not None
    assert record.id == job_id
    storage = storage_of(client, home)
    tools = Tools(client, storage, Settings(home=home), "cpu", threading.Event())
    assert Attempt(Claim("local", job_id, token), record, tools).train() == "succeeded"
    return int(record_of(client, job_id).fields["trained"]) / 1000


async def test_without_workers_there_is_no_time(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/jobs/validate", json=job())

    assert response.json()["expected_time"] == []


async def test_after_three_jobs_of_a_kind_the_range_is_around_their_median(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    """How often a next job's time is in the range is measured by `benchmarks.expected`."""
    hello(client, fingerprint=HERE)
    took = []
    for i in range(3):
        unknown = await expected(http)
        assert (unknown["jobs"], unknown["lowest_s"], unknown["highest_s"]) == (0, None, None)
        assert (unknown["device"], unknown["fingerprint"]) == ("cpu", HERE)
        took.append(await train(http, client, tmp_path, i, lr=0.01 * (i + 1)))

    await asyncio.sleep(FRESH_S)
    known = await expected(http)

    assert known["jobs"] == 3
    assert known["lowest_s"] < median(took) < known["highest_s"] <= 2 * known["lowest_s"]
    assert (await expected(http, kind="sgd"))["jobs"] == 0


class Counted:
    """A client of the store that can only send single commands, and counts them."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client: Any = client
        self.sent: list[object] = []

    async def execute_command(self, *command: object) -> Any:
        self.sent.append(command[0])
        return await self._client.execute_command(*command)


@pytest.fixture
async def counted(client: redis.Redis, server: EmbeddedServer) -> AsyncIterator[Counted]:
    del client  # it has given the server the functions
    async with redis.asyncio.from_url(server.url) as connected:
        yield Counted(connected)


def times_of(counted: Counted, storage: Storage, **options: float) -> ExpectedTimes:
    client: Any = counted
    return ExpectedTimes(Store(client, StoragePool(storage)), **options)


async def test_however_many_workers_there_are_the_store_is_called_once(
    client: redis.Redis, counted: Counted, storage: Storage
) -> None:
    for i in range(8):
        hello(client, f"w{i}", fingerprint=f"f{i % 4}")

    found = await times_of(counted, storage).of(JobSpec.parse(job()))

    assert found is not None
    assert [(each.fingerprint, each.workers) for each in found] == [(f"f{i}", 2) for i in range(4)]
    assert counted.sent == ["FCALL_RO"]


async def test_for_jobs_with_equally_long_steps_the_store_is_called_once_a_second(
    client: redis.Redis, counted: Counted, storage: Storage
) -> None:
    hello(client, fingerprint=HERE)
    times = times_of(counted, storage)

    found = [await times.of(JobSpec.parse(job(lr=lr))) for lr in (0.1, 0.2, 0.3)]

    assert found[0] is not None
    assert [each.workers for each in found[0]] == [1]
    assert found == [found[0]] * 3
    assert len(counted.sent) == 1
    await times.of(JobSpec.parse(job(kind="sgd")))
    assert len(counted.sent) == 2


async def test_durations_that_are_not_fresh_are_read_again(
    client: redis.Redis, counted: Counted, storage: Storage
) -> None:
    times = times_of(counted, storage, fresh_s=0.0)
    assert await times.of(JobSpec.parse(job())) == []

    hello(client, fingerprint=HERE)
    found = await times.of(JobSpec.parse(job()))

    assert found is not None
    assert [each.workers for each in found] == [1]
    assert len(counted.sent) == 2


async def test_workers_of_another_device_do_not_count(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    hello(client, fingerprint=HERE)
    spec = job()
    spec["training"]["device"] = "cuda"

    response = await http.post("/v1/jobs/validate", json=spec)

    assert response.json()["expected_time"] == []
