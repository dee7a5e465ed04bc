"""Several jobs in one call, aligned by step, by examples seen, by the time trained."""

import json
import math
import struct
import time
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from api.metrics.charts import axes, comparison
from optserve.contract.answers.charts import XAxis
from optserve.contract.requests.job import JobSpec
from store.jobs.views import Store
from store.redis import keys
from tests.support.store.protocol import SPEC, record_of, submit
from tests.support.store.series import AT_ONCE, begun, odd_rows, put, shown

pytestmark = pytest.mark.anyio

REFUSED = [
    ("column=loss", "job", "job is required"),
    ("job=A&job=B&job=A", "job", "job must not repeat a value, got 'A' twice"),
    (
        "&".join(f"job={i}" for i in range(33)),
        "job",
        "job must have at most 32 entries, got 33",
    ),
    (
        "job=A&x=steps",
        "x",
        "x must be one of step, examples, seconds, got 'steps'; did you mean 'step'?",
    ),
    (
        "job=A&job=B&column=los",
        "column",
        "column must be among lr, loss, test_loss, test_accuracy for job A, got 'los'; "
        "did you mean 'loss'?",
    ),
    ("job=A&first=10", "first", "first must be below 10, got 10"),
    ("job=A&x=examples&last=1001", "last", "last must be below 1001, got 1001"),
    ("job=A&first=-1", "first", "first must be at least 0, got '-1'"),
    ("job=A&first=nan", "first", "first must be a finite number, got 'nan'"),
    ("job=A&first=2&last=1.5", "last", "last must be at least first (2), got 1.5"),
    ("job=A&max_points=1", "max_points", "max_points must be at least 2, got '1'"),
    ("job=A&max_points=99999", "max_points", "max_points must be at most 10000, got '99999'"),
]
"""Question, parameter, and what is wrong with it."""

PATH = "/v1/metrics/chart"
RANGES: list[tuple[str, float, float, list[int]]] = [
    ("step", 5, 7, [5, 6, 7]),
    ("step", 4.5, 7.9, [5, 6, 7]),
    ("examples", 200, 300, [1, 2]),
    ("examples", 1500, 1600, [14, 15]),
    ("seconds", 1, 2.1, [9, 10, 11]),
    ("seconds", 9, 10, []),
]
"""Axis, where a range begins and ends on it, steps in it."""
MARKS = [(10, 1.0), (11, 2.0), (31, 4.0)]


async def compare(http: httpx.AsyncClient, *job_ids: str, **params: Any) -> list[dict[str, Any]]:
    response = await http.get(PATH, params={"job": list(job_ids), **params})
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


def mark(client: redis.Redis, job_id: str) -> None:
    data = b"".join(struct.pack("<II", rows, round(100 * seconds)) for rows, seconds in MARKS)
    client.set(keys.MARKS % ("local", job_id), data)


async def test_by_step_all_jobs_have_the_same_buckets(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    jobs = {}
    for seed, count in enumerate((10_000, 3000, 7)):
        held, rows = begun(client), odd_rows(seed, count)
        put(client, held, rows)
        jobs[held.job_id] = rows

    data = await compare(http, *jobs, max_points=100)

    assert [curve["job"] for curve in data] == list(jobs)
    assert {curve["bucket"] for curve in data} == {256}
    for curve, rows in zip(data, jobs.values(), strict=True):
        points = dict(zip(curve["steps"], map(float, curve["values"]), strict=True))
        expected = shown([row[1] for row in rows], 0, 256)
        assert list(map(repr, points.items())) == list(map(repr, expected.items()))
        assert curve["x"] == curve["steps"]
        assert curve["total"] == len(rows)


async def test_by_examples_the_axis_counts_short_last_batches(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    jobs = {}
    for batch_size, accumulate in ((64, 1), (100, 3), (1500, 1), (7, 5)):
        held = begun(
            client,
            dataset={"kind": "digits", "batch_size": batch_size},
            training={"steps": 2000, "device": "cpu", "accumulate": accumulate},
        )
        put(client, held, odd_rows(1, 200))
        jobs[held.job_id] = batch_size, accumulate

    data = await compare(http, *jobs, x="examples", max_points=200)

    for curve, (batch_size, accumulate) in zip(data, jobs.values(), strict=True):
        seen, counts, left = 0, [], 1500
        for _ in range(200):
            step = min(left, batch_size * accumulate)
            seen, left = seen + step, (left - step) or 1500
            counts.append(seen)
        assert curve["x"] == counts
        assert curve["steps"] == list(range(200))


async def test_the_examples_per_epoch_are_those_of_the_spec() -> None:
    spec = JobSpec.parse(SPEC)

    assert (spec.dataset.train_examples, spec.steps_per_epoch) == (1500, 15)


async def test_by_seconds_points_are_interpolated_between_marks(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, odd_rows(1, 40))
    mark(client, held.job_id)

    (curve,) = await compare(http, held.job_id, x="seconds")

    times = dict(zip(curve["steps"], curve["x"], strict=True))
    assert times[0] == 0.1
    assert [times[rows - 1] for rows, _ in MARKS] == [seconds for _, seconds in MARKS]
    assert times[20] == 3.0
    assert times[39] == 4.0  # behind the last mark
    assert curve["omitted"] is None


async def test_a_job_without_times_is_omitted_with_the_reason(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    timed, old, new = begun(client), begun(client), submit(client)
    for held in (timed, old):
        put(client, held, odd_rows(1, 40))
    mark(client, timed.job_id)
    client.delete(keys.MARKS % ("local", old.job_id))

    data = await compare(http, timed.job_id, old.job_id, new, x="seconds")

    assert [len(curve["steps"]) for curve in data] == [40, 0, 0]
    assert [curve["omitted"] for curve in data] == [
        None,
        "the job was trained by a release that did not record the times of steps",
        None,
    ]


async def test_a_range_is_in_units_of_the_axis(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, odd_rows(1, 40))
    mark(client, held.job_id)

    for x, first, last, steps in RANGES:
        (curve,) = await compare(http, held.job_id, x=x, first=first, last=last)

        assert curve["steps"] == steps, (x, first, last)


async def test_a_job_of_many_marks_does_not_delay_other_requests(
    client: redis.Redis, store: Store
) -> None:
    held = begun(client)
    put(client, held, odd_rows(1, 40))
    pairs = np.arange(1, 100_001, dtype="<u4")[:, None] * np.array([10, 125], "<u4")
    client.set(keys.MARKS % ("local", held.job_id), pairs.tobytes())
    record = record_of(client, held.job_id)

    began = time.thread_time()
    _, axis = await comparison.side(store, record, XAxis.SECONDS)
    assert axis is not None
    found = axes.between(axis, 1_000_000, 125.0, 125_000.0)
    taken_s = time.thread_time() - began

    assert found == (999, 999_999)
    assert taken_s < 0.05


async def test_a_spike_of_one_job_is_in_its_curve(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held, other = begun(client), begun(client)
    rows = [(0.1, 1.0)] * (2 * AT_ONCE)
    put(client, other, rows)
    rows[4321], rows[8765] = (0.1, 50.0), (0.1, math.nan)
    put(client, held, rows)

    spiked, flat = await compare(http, held.job_id, other.job_id, max_points=50)

    assert spiked["values"][spiked["steps"].index(4321)] == 50.0
    assert spiked["not_finite"]["steps"] == [8765]
    assert set(flat["values"]) == {1.0}


async def test_invalid_parameters_are_refused_with_their_rule(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    one, other = submit(client), submit(client)

    for query, param, message in REFUSED:
        named = query.replace("=A", f"={one}").replace("=B", f"={other}")
        response = await http.get(f"{PATH}?{named}")

        assert response.status_code == 422, query
        expected = message.replace("'A'", f"'{one}'").replace("job A,", f"job {one},")
        assert response.json()["errors"] == [{"param": param, "message": expected}]


async def test_an_unknown_job_is_named(http: httpx.AsyncClient, client: redis.Redis) -> None:
    response = await http.get(PATH, params={"job": [submit(client), "job_0"]})

    assert response.status_code == 404
    assert response.json()["detail"] == "job 'job_0' does not exist"


async def test_results_are_compared_without_their_matrices(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    running, ended = submit(client), submit(client)
    matrices: dict[str, Any] = {"test_confusion": [[1]]}
    best = {"step": 3, "metric": "val_loss", "value": 0.5, "metrics": {"test_loss": 1.0}}
    result = {"metrics": {"test_loss": 2.0}, "best": {**best, "matrices": matrices}}
    key = keys.JOB % ("local", ended)
    client.hset(key, "result", json.dumps({**result, "matrices": matrices}))

    first, second = await compare(http, running, ended)

    assert first["result"] is None
    assert second["result"]["metrics"] == {"test_loss": 2.0}
    assert second["result"]["matrices"] == {}
    assert second["result"]["best"] == {**best, "matrices": {}}
