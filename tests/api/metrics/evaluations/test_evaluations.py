"""Evaluations over HTTP: pages, charts and comparisons, wherever the history is."""

import math
import struct
from typing import Any

import httpx
import pytest
import redis

from api.metrics.evaluations.reader import EvaluationReader
from store.archive.histories import shorten
from store.jobs import calls
from store.jobs.record import Record
from store.jobs.views import Store
from store.redis import keys
from store.redis.functions import send
from store.storage.storage import Storage
from store.storage.usable import require_usable
from tests.support.store.archiving import moved
from tests.support.store.continuing import restart
from tests.support.store.evaluations import evaluate, odd_values
from tests.support.store.protocol import begin, record_of, release
from tests.support.store.rounds import Rounds
from tests.support.store.series import begun, odd_rows, put

pytestmark = pytest.mark.anyio

VALIDATED: dict[str, Any] = {"dataset": {"kind": "digits", "validation": 100}}
OF_SEQUENCES: dict[str, Any] = {
    "model": {
        "kind": "sequential",
        "layers": [
            {"kind": "conv2d", "out_channels": 11, "kernel_size": 8},
        ],
    },
    "training": {"steps": 10, "device": "cpu", "loss": {"kind": "ctc"}},
}
KNOWN = "val_loss, val_accuracy, test_loss, test_accuracy"
REFUSED = [
    ("evaluations?after=-2", "after", "after must be at least -1, got '-2'"),
    ("evaluations?after=1000001", "after", "after must be at most 1000000, got 1000001"),
    ("evaluations?limit=0", "limit", "limit must be at least 1, got '0'"),
    ("evaluations?limit=1001", "limit", "limit must be at most 1000, got '1001'"),
    ("evaluations?truncations=-1", "truncations", "truncations must be at least 0, got '-1'"),
    (
        "metrics/chart?evaluations=val_lost",
        "evaluations",
        f"evaluations must be among {KNOWN} for job JOB, got 'val_lost'; did you mean 'val_loss'?",
    ),
    (
        "metrics/chart?evaluations=val_loss,val_loss",
        "evaluations",
        "evaluations must not repeat a value, got 'val_loss' twice",
    ),
]
"""Question, parameter, and what is wrong with it."""


async def answer(http: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    response = await http.get(path, params=params)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()
    return data


async def pages(http: httpx.AsyncClient, job_id: str, limit: int = 100) -> dict[int, Any]:
    """Return the metrics of all evaluations, by step."""
    found, after, more = dict[int, Any](), -1, True
    while more:
        page = await answer(http, f"/v1/jobs/{job_id}/evaluations", after=after, limit=limit)
        assert len(page["data"]) == limit or not page["has_more"]
        found |= {each["step"]: each["metrics"] for each in page["data"]}
        after, more = page["next"], page["has_more"]
    return found


async def chart(http: httpx.AsyncClient, job_id: str, **params: Any) -> Any:
    return (await answer(http, f"/v1/jobs/{job_id}/metrics/chart", **params))["evaluations"]


def points(curve: dict[str, Any]) -> dict[int, float]:
    return dict(zip(curve["steps"], map(float, curve["values"]), strict=True))


async def test_pages_have_every_evaluation_with_its_numbers_and_entry(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client, **VALIDATED)
    matrix = [[1, 2], [3, 4]]
    for step in range(0, 70, 10):
        evaluate(client, held, step, val_loss=0.1 + step, val_accuracy=0.5, val_confusion=matrix)
    evaluate(client, held, 70, val_loss=math.nan, val_accuracy=0.1 + 0.2)

    found = await pages(http, held.job_id, limit=3)

    numbers = {step: {"val_loss": 0.1 + step, "val_accuracy": 0.5} for step in range(0, 70, 10)}
    assert found == {**numbers, 70: {"val_loss": "NaN", "val_accuracy": 0.1 + 0.2}}
    first = await answer(http, f"/v1/jobs/{held.job_id}/evaluations", after=10, limit=1)
    (evaluation,) = first.pop("data")
    assert first == {"object": "list", "has_more": True, "next": 20, "truncations": 0}
    path = f"/v1/jobs/{held.job_id}/events"
    (event,) = (await answer(http, path, after=evaluation["event"] - 1, limit=1))["data"]
    assert event["data"] == {"step": 20, **numbers[20], "val_confusion": matrix}
    assert event["at"] == evaluation["at"]


async def test_evaluations_after_truncated_steps_are_left_out_until_they_are_made_again(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client, **VALIDATED)
    path = f"/v1/jobs/{held.job_id}/evaluations"
    put(client, held, odd_rows(1, 30))
    for step in (10, 20, 30):
        evaluate(client, held, step, val_loss=1.0)
    before = await answer(http, path)
    release(client, held)
    restart(client, held.job_id)

    assert await pages(http, held.job_id) == {}
    refused = await http.get(path, params={"after": before["next"], "truncations": 0})
    held = begin(client, "t9")
    put(client, held, odd_rows(2, 10))
    evaluate(client, held, 10, val_loss=2.0)

    assert refused.status_code == 409
    assert refused.json()["code"] == "rows_truncated"
    assert "after=0&truncations=1" in refused.json()["detail"]
    assert await pages(http, held.job_id) == {10: {"val_loss": 2.0}}
    assert points((await chart(http, held.job_id))["val_loss"]) == {10: 2.0}


async def test_a_history_in_files_gives_the_same_evaluations(
    http: httpx.AsyncClient, client: redis.Redis, storage: Storage, rounds: Rounds
) -> None:
    held, values = begun(client, **VALIDATED), odd_values(1, 420)
    require_usable(client, storage)  # it becomes this store's
    put(client, held, odd_rows(1, 420))
    for step, value in enumerate(values, 1):
        evaluate(client, held, step, val_loss=value)
        if step in (300, 410):
            shorten(client, storage, "local", held.job_id)
    assert record_of(client, held.job_id).history_moved > 200

    running = [await pages(http, held.job_id), await chart(http, held.job_id, max_points=50)]
    send(client, calls.fail(held, reason="error", detail="enough"))
    moved(client, rounds)
    assert "events" in record_of(client, held.job_id).archive
    ended = [await pages(http, held.job_id), await chart(http, held.job_id, max_points=50)]

    assert repr(ended) == repr(running)
    shown = {step: float(each["val_loss"]) for step, each in ended[0].items()}
    assert repr(shown) == repr(dict(enumerate(values, 1)))


@pytest.mark.parametrize(
    ("job", "accuracy"), [({}, "accuracy"), (OF_SEQUENCES, "sequence_accuracy")]
)
async def test_evaluations_of_0_2_0_have_the_names_of_today(
    http: httpx.AsyncClient, client: redis.Redis, job: dict[str, Any], accuracy: str
) -> None:
    held = begun(client, **job)
    former = {"loss": 0.5, "accuracy": 0.75, "top_k": 0.9, "confusion": [[1]]}
    evaluate(client, held, 5, **former, ema_loss=0.4, ema_accuracy=0.8)

    found = await pages(http, held.job_id)

    assert found == {
        5: {
            "test_loss": 0.5,
            f"test_{accuracy}": 0.75,
            "test_top_k": 0.9,
            "ema_test_loss": 0.4,
            f"ema_test_{accuracy}": 0.8,
        }
    }


async def test_a_chart_has_every_evaluation_of_its_range(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client, **VALIDATED)
    put(client, held, odd_rows(1, 100))
    for step in range(0, 101, 10):
        evaluate(client, held, step, val_loss=0.1 * step, val_accuracy=1 - 0.01 * step)
    evaluate(client, held, 100 + 1, val_loss=9.0)  # the rows before it come later

    everything = await chart(http, held.job_id)
    some = await chart(http, held.job_id, first=20, last=39, evaluations="val_accuracy,test_loss")

    assert list(everything) == ["val_loss", "val_accuracy"]
    assert points(everything["val_loss"]) == {s: 0.1 * s for s in range(0, 101, 10)}
    assert [everything[name]["bucket"] for name in everything] == [1, 1]
    assert [everything[name]["higher_is_better"] for name in everything] == [False, True]
    assert list(some) == ["val_accuracy", "test_loss"]
    assert points(some["val_accuracy"]) == {s: 1 - 0.01 * s for s in (20, 30, 40)}
    assert points(some["test_loss"]) == {}


async def test_many_evaluations_are_reduced_without_losing_an_extreme(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held, values = begun(client, **VALIDATED), [float(-i) for i in range(1, 151)]
    put(client, held, odd_rows(1, 150))
    values[33], values[44] = 1e9, math.nan
    for step, value in enumerate(values, 1):
        evaluate(client, held, step, val_loss=value)

    curve = (await chart(http, held.job_id, max_points=20))["val_loss"]

    assert curve["bucket"] == 16
    assert len(curve["steps"]) <= 20
    assert points(curve)[34] == 1e9
    assert min(curve["values"]) == -150
    assert curve["not_finite"] == {
        "steps": [45],
        "nan": [1],
        "infinity": [0],
        "minus_infinity": [0],
    }


async def test_a_metric_of_several_jobs_is_compared_along_each_axis(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    jobs = [begun(client, **VALIDATED) for _ in range(2)]
    for i, held in enumerate(jobs):
        put(client, held, odd_rows(1, 40))
        for step in (10, 20, 40):
            evaluate(client, held, step, val_loss=i + 0.1 * step)
    ids = [held.job_id for held in jobs]

    async def compared(x: str, **params: Any) -> list[dict[str, Any]]:
        found = await answer(http, "/v1/metrics/chart", job=ids, column="val_loss", x=x, **params)
        data: list[dict[str, Any]] = found["data"]
        return data

    by_step, by_examples = await compared("step"), await compared("examples")

    assert [each["x"] for each in by_step] == [[10, 20, 40]] * 2
    assert by_step[1]["values"] == [2.0, 3.0, 5.0]
    spec = record_of(client, ids[0]).spec
    epochs = [divmod(step, spec.steps_per_epoch) for step in (10, 20, 40)]
    of_epoch, of_step = spec.dataset.train_examples, spec.dataset.batch_size
    seen = [whole * of_epoch + steps * of_step for whole, steps in epochs]
    assert [each["x"] for each in by_examples] == [seen] * 2
    assert (await compared("step", first=11, last=40))[0]["x"] == [20, 40]
    assert (await compared("examples", last=seen[1] - 1))[0]["x"] == seen[:1]
    for job_id in ids:
        client.delete(keys.MARKS % ("local", job_id))
    assert [each["x"] for each in await compared("seconds")] == [[], []]
    client.set(keys.MARKS % ("local", ids[0]), struct.pack("<IIII", 10, 100, 30, 300))
    timed, omitted = await compared("seconds")
    assert timed["x"] == [1.0, 2.0, 3.0]
    assert "did not record the times" in omitted["omitted"]


async def test_only_metrics_that_every_job_has_or_will_have_are_compared(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    with_validation = begun(client, **VALIDATED).job_id
    without = begun(client).job_id

    queued = await http.get(
        "/v1/metrics/chart", params={"job": with_validation, "column": "val_loss"}
    )
    refused = await http.get(
        "/v1/metrics/chart", params={"job": [with_validation, without], "column": "val_loss"}
    )

    assert queued.json()["data"][0]["x"] == []
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["message"] == (
        f"column must be among lr, loss, test_loss, test_accuracy for job {without}, "
        "got 'val_loss'; did you mean 'loss'?"
    )


async def test_a_poll_reads_only_new_entries(client: redis.Redis, store: Store) -> None:
    held, asked = begun(client, **VALIDATED), list[int]()

    class Counted(Store):
        async def entries(self, record: Record, *, after: int, limit: int) -> list[bytes]:
            asked.append(after)
            return await store.entries(record, after=after, limit=limit)

    reader = EvaluationReader(Counted.__new__(Counted))
    evaluate(client, held, 1, val_loss=1.0)
    for step in (2, 3):
        await reader.names(record_of(client, held.job_id))
        await reader.names(record_of(client, held.job_id))
        evaluate(client, held, step, val_loss=1.0)
    record = record_of(client, held.job_id)
    views = await reader.views(record, ["val_loss"], first=0, last=None, max_points=10)

    assert asked == [0, 3, 4]
    assert len(views["val_loss"].buckets) == 3


async def test_series_beyond_the_limit_of_the_cache_are_read_again(
    client: redis.Redis, store: Store
) -> None:
    reader = EvaluationReader(store, max_bytes=1)
    held = begun(client, **VALIDATED)
    evaluate(client, held, 1, val_loss=1.0)

    for _ in range(2):
        names = await reader.names(record_of(client, held.job_id))

        assert names == ["val_loss"]


@pytest.mark.parametrize(("question", "param", "message"), REFUSED)
async def test_bad_parameters_are_refused(
    http: httpx.AsyncClient, client: redis.Redis, question: str, param: str, message: str
) -> None:
    job_id = begun(client, **VALIDATED).job_id

    response = await http.get(f"/v1/jobs/{job_id}/{question}")

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["message"] == message.replace("JOB", job_id)
