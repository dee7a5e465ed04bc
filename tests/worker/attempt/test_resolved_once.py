"""From the request to the first step, nothing about a job is computed twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from optcore.plan.memory.memory import Memory
from optcore.plan.run_plan import StoredPlan
from optcore.spec.base import Spec
from optcore.spec.fit import check_parts
from optcore.spec.groups.resolve import resolve_groups
from optcore.spec.networks.network import network_of
from optcore.training import loop
from optcore.training.reports import Report
from optcore.training.run import Run
from optserve.contract import strict_json
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis.functions import send
from store.settings import Settings
from tests.support.counting import calls_counted
from tests.support.store.protocol import hello, storage_of
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

pytestmark = pytest.mark.anyio

JOB: dict[str, Any] = {
    "model": {
        "kind": "sequential",
        "layers": [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}],
    },
    "dataset": {"kind": "digits"},
    "optimizer": {
        "kind": "adam",
        "weight_decay": 0.1,
        "groups": [{"match": "*.bias", "weight_decay": 0.0}],
    },
    "schedule": {"kind": "cosine", "warmup": {"length": 3}},
    "training": {"steps": 10, "device": "cpu"},
}
COUNTED: dict[str, Callable[..., Any]] = {
    "body parsed": strict_json.parse,
    "spec validated": check_parts,
    # Runs for each spec in a spec that is validated.
    "rules of a part": Spec._explain,  # type: ignore[dict-item]  # pydantic hides its type
    "groups resolved": resolve_groups,
    "network made": network_of.__wrapped__,
    "memory estimated": Memory.of,
    "plan stored": StoredPlan.of,
    "record read": Record.from_hash,
}


class FirstStepMade(BaseException):
    """The first step was made: ends an attempt as nothing else does."""


def first_step(run: Run) -> Iterator[Report]:
    yield next(loop.train(run))
    raise FirstStepMade


def train_first_step(client: redis.Redis, home: Path) -> None:
    """Claim the job and train its first step, as a worker and its trainer do."""
    hello(client)
    call = calls.claim("w1", device="cpu", fingerprint="f1", token="t", lease_ms=60_000)
    record = send(client, call)
    assert record is not None
    storage, leaving = storage_of(client, home), threading.Event()
    tools = Tools(client, storage, Settings(home=home), "cpu", leaving, first_step)
    # A trainer gets the fields through its pipe.
    received = Record(dict(record.fields))
    with pytest.raises(FirstStepMade):
        Attempt(Claim(record.tenant, record.id, "t"), received, tools).train()


async def counts(
    http: httpx.AsyncClient, client: redis.Redis, home: Path
) -> tuple[Counter[str], Counter[str]]:
    """Return what was called in the API, and in the worker and its trainer."""
    network_of.cache_clear()
    with calls_counted(COUNTED) as in_api:
        response = await http.post("/v1/jobs", json=JOB)
    assert response.status_code == 201
    with calls_counted(COUNTED) as in_worker:
        train_first_step(client, home)
    return in_api, in_worker


async def test_from_request_to_first_step_a_job_is_resolved_once(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    in_api, in_worker = await counts(http, client, tmp_path)

    once = (
        *("body parsed", "spec validated", "groups resolved", "network made"),
        *("memory estimated", "plan stored"),
    )
    assert {name: in_api[name] for name in once} == dict.fromkeys(once, 1)
    worked = {name: number for name, number in in_worker.items() if number}
    assert worked == {"record read": 1}


async def test_a_job_without_a_plan_is_resolved_by_its_worker(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    """Release 0.2.0 accepted it, or groups were too many to store."""
    await http.post("/v1/jobs", json=JOB)
    for key in client.scan_iter("*:job:*"):
        client.hdel(key, "plan")

    with calls_counted(COUNTED) as in_worker:
        train_first_step(client, tmp_path)

    assert in_worker["spec validated"] == 1
    assert in_worker["groups resolved"] == 1
