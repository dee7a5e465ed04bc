"""Exports from the real service, and the command that takes them home."""

import csv
import io
import secrets
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from optserve.client import Client
from optserve.contract.requests.job import JobSpec
from optserve.local.stack import Stack
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import send
from tests.support.machine.processes import eventually
from tests.support.service.commands import optserve
from tests.support.service.jobs import SHORT, finished

ROWS = 1_000_000


def test_what_a_job_computed_comes_home_whole(
    running: Stack, service: Client, tmp_path: Path
) -> None:
    job = finished(service, service.submit(SHORT).id)
    rows = [(row.step, row.lr, row.loss) for row in service.metrics(job.id)]
    with redis.from_url(running.redis_url) as store:
        eventually(lambda: store.hexists(keys.JOB % ("local", job.id), "archive"))
        assert not list(store.scan_iter(f"optserve:rows:*{job.id}*"))

    table = tmp_path / "job.parquet"
    done = optserve(
        "metrics", job.id, "--format", "parquet", "--out", str(table), home=running.home
    )
    text = optserve("metrics", job.id, "--columns", "loss", home=running.home)

    assert done.returncode == 0, done.stderr
    found = pq.read_table(table).to_pydict()
    assert list(zip(found["step"], found["lr"], found["loss"], strict=True)) == rows
    header, *lines = csv.reader(io.StringIO(text.stdout))
    assert header == ["step", "loss"]
    assert [(int(step), float(loss)) for step, loss in lines] == [(s, loss) for s, _, loss in rows]
    assert [(row.step, row.lr, row.loss) for row in service.metrics(job.id)] == rows
    assert service.events(job.id)[-1].kind == "succeeded"


def begun(store: redis.Redis) -> Claim:
    """A running job of many rows that no worker of the stack takes."""
    training = {"steps": ROWS, "device": "cuda"}
    fields = new_fields(JobSpec.parse({**SHORT, "training": training}))
    send(store, calls.submit("local", new_id(), fields, idempotency_key="", body_sha=""))
    token = secrets.token_hex(16)
    call = calls.claim("none", device="cuda", fingerprint="f", token=token, lease_ms=600_000)
    record = send(store, call)
    assert record is not None
    held = Claim(record.tenant, record.id, token)
    send(store, calls.begun(held, fingerprint="f", facts={"threads": "1"}))
    data = np.random.default_rng(0).standard_normal((50_000, 2)).tobytes()
    for first in range(0, ROWS, 50_000):
        append = calls.append(held, first=first, width=PLAIN.width, data=data, lease_ms=600_000)
        send(store, append)
    return held


def test_an_export_whose_rows_are_cut_meanwhile_breaks_and_never_looks_complete(
    running: Stack, http: httpx.Client
) -> None:
    with redis.from_url(running.redis_url) as store:
        held = begun(store)
        path = f"/v1/jobs/{held.job_id}/metrics?format=csv"
        with http.stream("GET", path) as response:
            parts = response.iter_bytes()
            assert next(parts).startswith(b"step,lr,loss\n0,")
            send(store, calls.release(held, why="test"))
            send(store, calls.restart("local", held.job_id))
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                for _ in parts:
                    pass
        send(store, calls.ask("local", held.job_id, "kill"))
    assert http.get("/healthz").status_code == 200
