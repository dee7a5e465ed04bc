"""What a queued job, and the series of a running one, take in Redis."""

from typing import Any

import pytest
import redis

from store.redis import keys
from tests.support.store.protocol import append, begin, record_of, some_rows, submit, trained_for

BYTES_A_STEP = 24
BYTES_A_QUEUED_JOB = 4096
JOBS: dict[str, dict[str, Any]] = {
    "small": {},
    "with all fields that people set": {
        "name": "mnist, adam, cosine",
        "labels": {"team": "ocr"},
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": 100, "shuffle": True},
        "optimizer": {
            **{"kind": "adam", "dialect": "paddle", "lr": 0.001, "beta1": 0.9, "beta2": 0.999},
            "weight_decay": 0.00003,
            "clip": {"kind": "global_norm", "max": 5.0},
            "groups": [{"match": "*.bias", "weight_decay": 0.0}],
        },
        "schedule": {"kind": "cosine", "warmup": {"length": {"epochs": 1}, "after": "delay"}},
        "training": {
            **{"epochs": 5, "seed": 7, "device": "auto", "precision": "fp32"},
            **{"evaluate_every": {"epochs": 1}, "checkpoint_every": 500},
        },
    },
    "with many groups": {
        "model": {"kind": "mlp", "hidden": [64] * 8},
        "optimizer": {"kind": "adamw", "groups": [{"preset": "layer_decay"}]},
    },
}


@pytest.mark.parametrize("spec", JOBS.values(), ids=JOBS)
def test_a_queued_job_with_its_plan_takes_at_most_4_kb(
    client: redis.Redis, spec: dict[str, Any]
) -> None:
    job_id = submit(client, key="a-key", **spec)

    plan = record_of(client, job_id).plan
    assert plan is not None
    assert plan.groups is not None
    own = [name for name in client.scan_iter(count=1000) if job_id.encode() in name]
    assert len(own) == 2  # the record, and its history
    sizes = {name: client.memory_usage(name, samples=0) or 0 for name in own}
    assert sum(sizes.values()) <= BYTES_A_QUEUED_JOB, sizes


def series_bytes(client: redis.Redis, job_id: str) -> int:
    """Return the bytes of all keys of a job's series, as the server counts them."""
    names = [keys.ROWS % ("local", job_id, "*"), keys.MARKS % ("local", job_id)]
    found = [name for pattern in names for name in client.scan_iter(pattern, count=1000)]
    return sum(client.memory_usage(name) or 0 for name in found)


@pytest.mark.parametrize("at_once", [5, 100, 777])
@pytest.mark.parametrize("steps_per_s", [0.1, 10.0, 1000.0])
def test_a_step_of_two_columns_takes_at_most_24_bytes_while_the_job_runs(
    client: redis.Redis, at_once: int, steps_per_s: float
) -> None:
    job_id = submit(client)
    held = begin(client)
    client.config_set("appendfsync", "no")  # nothing is killed here, and there are many calls
    sizes = {}

    for first in range(0, 5000, at_once):
        trained_for(client, job_id, first / steps_per_s)
        append(client, held, first, some_rows(first, at_once))
        if first >= 100 - at_once:
            rows = record_of(client, job_id).rows
            sizes[rows] = series_bytes(client, job_id) / rows

    client.config_set("appendfsync", "always")
    assert min(sizes) >= 100
    assert {rows: size for rows, size in sizes.items() if size > BYTES_A_STEP} == {}
