"""Jobs over HTTP, without workers."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.jobs.series import PLAIN, Row, Series
from store.redis import keys
from store.redis.functions import send
from tests.support.http.posting import JOB, post

pytestmark = pytest.mark.anyio


def claim(client: redis.Redis) -> Claim:
    send(
        client,
        calls.hello("w", ttl_ms=60_000, claim=None, fingerprint="f", device="cpu", host="h", pid=1),
    )
    record = send(
        client, calls.claim("w", device="cpu", fingerprint="f", token="token", lease_ms=60_000)
    )
    assert isinstance(record, Record)
    return Claim(record.tenant, record.id, "token")


def append(client: redis.Redis, held: Claim, rows: Sequence[Row], series: Series = PLAIN) -> None:
    data = series.pack(rows)
    send(client, calls.append(held, first=0, width=series.width, data=data, lease_ms=60_000))


async def test_a_submitted_job_is_queued_with_its_url_in_location(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/jobs", json=JOB)

    job = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["total_steps"] == 30
    assert job["spec"]["optimizer"]["beta2"] == 0.999
    assert (await http.get(response.headers["location"])).json() == job


async def test_ids_are_uuids_of_version_7_and_sort_by_age(http: httpx.AsyncClient) -> None:
    ids = [(await post(http))["id"] for _ in range(3)]

    assert all(job_id.startswith("job_") and job_id[18] == "7" for job_id in ids)


async def test_a_queued_job_has_a_queue_position_and_the_queue_lists_its_lanes(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    on_any, on_gpu = [
        await post(http, training={"steps": 1, "device": d}) for d in ("auto", "cuda")
    ]
    second = await post(http)
    send(
        client,
        calls.hello("w", ttl_ms=60_000, claim=None, fingerprint="f", device="cpu", host="h", pid=1),
    )

    queue = (await http.get("/v1/queue")).json()

    assert [job["queue_position"] for job in (on_any, on_gpu, second)] == [0, 1, 1]
    assert (await http.get(f"/v1/jobs/{second['id']}")).json()["queue_position"] == 1
    auto = {"device": "auto", "fingerprint": None, "queued": 2, "workers": 1, "idle_workers": 1}
    cuda = {"device": "cuda", "fingerprint": None, "queued": 1, "workers": 0, "idle_workers": 0}
    assert queue["lanes"] == [auto, cuda]


async def test_an_idempotency_key_makes_one_job(http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await http.post("/v1/jobs", json=JOB, headers=headers)
    again = await http.post("/v1/jobs", json=JOB, headers=headers)
    other = await http.post("/v1/jobs", json={**JOB, "name": "b"}, headers=headers)

    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_conflict"
    assert first.json()["id"] in other.json()["detail"]


async def test_cancel_pause_and_resume_return_the_job_and_are_idempotent(
    http: httpx.AsyncClient,
) -> None:
    job_id = (await post(http))["id"]

    async def do(action: str) -> str:
        return str((await http.post(f"/v1/jobs/{job_id}/{action}")).json()["state"])

    assert [await do("pause"), await do("pause")] == ["paused", "paused"]
    assert [await do("resume"), await do("resume")] == ["queued", "queued"]
    assert [await do("cancel"), await do("cancel")] == ["cancelled", "cancelled"]


async def test_validate_returns_the_plan_and_creates_no_job(http: httpx.AsyncClient) -> None:
    body = {
        **JOB,
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": 100},
        "optimizer": {"kind": "adam", "dialect": "paddle"},
        "schedule": {"kind": "cosine", "warmup": {"length": 60}},
        "training": {"epochs": 1},
    }

    plan = (await http.post("/v1/jobs/validate", json=body)).json()

    assert plan["total_steps"] == 600
    assert plan["num_parameters"] == 20_350
    assert plan["layers"][-1] == {
        "name": "fc",
        "kind": "linear",
        "output_shape": [10],
        "num_parameters": 9810,
        "flops": 19_600,
        "copies": 1,
    }
    assert plan["lr"] == {
        "first": 0.0,
        "peak": 0.001,
        "peak_step": 60,
        "last": pytest.approx(8.46e-9, rel=1e-2),
        "lowest": 0.0,
        "area": pytest.approx(0.3, rel=1e-2),
        "warmup_share": 0.1,
    }
    assert plan["spec"]["optimizer"]["eps"] == 1e-8
    assert plan["warnings"] == []
    assert (await http.get("/v1/jobs")).json()["data"] == []


async def test_validate_warns_of_an_unused_lr(http: httpx.AsyncClient) -> None:
    body = {
        **JOB,
        "optimizer": {"kind": "adam", "lr": 0.1},
        "schedule": {"kind": "piecewise", "boundaries": [5, 30], "values": [0.1, 0.01, 0.001]},
    }

    plan = (await http.post("/v1/jobs/validate", json=body)).json()

    assert plan["warnings"] == [
        "schedule.boundaries[1]: step 30 is never reached in a run of 30 steps",
        "optimizer.lr: is not used, piecewise gives the learning rates itself",
    ]


async def test_pages_of_rows_are_exact_to_the_bit(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = (await post(http))["id"]
    held = claim(client)
    rows = [(0.1 * i / 3, 1 / (i + 7)) for i in range(30)]
    append(client, held, rows)

    seen: list[dict[str, Any]] = []
    while True:
        params = {"after": seen[-1]["step"] if seen else -1, "limit": 7}
        page = (await http.get(f"/v1/jobs/{job_id}/metrics", params=params)).json()
        seen += page["data"]
        assert page["next"] == seen[-1]["step"]
        if not page["has_more"]:
            break

    assert seen == [{"step": i, "lr": lr, "loss": loss} for i, (lr, loss) in enumerate(rows)]


async def test_non_finite_values_are_strings(http: httpx.AsyncClient, client: redis.Redis) -> None:
    job_id = (await post(http))["id"]
    held = claim(client)
    rows = [(0.1, float("nan")), (0.1, float("inf")), (0.1, float("-inf"))]
    append(client, held, rows)

    page = (await http.get(f"/v1/jobs/{job_id}/metrics")).json()

    assert [row["loss"] for row in page["data"]] == ["NaN", "Infinity", "-Infinity"]


async def test_rows_have_exactly_the_columns_of_their_job(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = (await post(http))["id"]
    held = claim(client)
    series = Series(("lr", "loss", "t", "grad_norm", "memory_mb"), 4)
    client.hset(keys.JOB % (held.tenant, job_id), mapping=series.fields())  # type: ignore[arg-type]
    append(client, held, [(0.1, 2.0, 0.0, 3.5, 9.0), (0.1, 2.0, 1.0, float("nan"), 9.5)], series)

    page = (await http.get(f"/v1/jobs/{job_id}/metrics")).json()

    assert page["data"] == [
        {"step": 0, "lr": 0.1, "loss": 2.0, "t": 0.0, "grad_norm": 3.5, "memory_mb": 9.0},
        {"step": 1, "lr": 0.1, "loss": 2.0, "t": 1.0, "grad_norm": "NaN", "memory_mb": 9.5},
    ]
    assert (await http.get(f"/v1/jobs/{job_id}")).json()["columns"] == list(series.columns)


async def test_a_stream_names_the_columns_of_its_rows(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = (await post(http))["id"]
    held = claim(client)
    series = Series(("lr", "loss", "grad_norm"), 3)
    client.hset(keys.JOB % (held.tenant, job_id), mapping=series.fields())  # type: ignore[arg-type]
    append(client, held, [(0.1, 2.0, 3.5)], series)
    send(client, calls.fail(held, reason="error", detail="x"))

    text = (await http.get(f"/v1/jobs/{job_id}/metrics/stream")).text

    assert '{"columns":["step","lr","loss","grad_norm"],"rows":[[0,0.1,2.0,3.5]]}' in text


async def test_a_run_that_stopped_early_has_exactly_the_steps_it_made(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    path = f"/v1/jobs/{(await post(http))['id']}"
    held = claim(client)
    append(client, held, [(0.1, 1.0)] * 7)
    assert (await http.get(f"{path}/metrics?after=20")).status_code == 200  # it may still come
    result = {"test_loss": 1.0, "test_accuracy": 0.5}
    send(
        client,
        calls.finish(held, rows=7, digest="d", result=result, artifacts={}, ended="early_stopped"),
    )

    job = (await http.get(path)).json()
    page = (await http.get(f"{path}/metrics?after=6")).json()
    beyond = (await http.get(f"{path}/metrics?after=7")).json()
    stream = (await http.get(f"{path}/metrics/stream?after=4")).text

    assert (job["state"], job["outcome"], job["step"], job["total_steps"]) == (
        "succeeded",
        "early_stopped",
        7,
        30,
    )
    assert (page["data"], page["has_more"], page["next"]) == ([], False, 6)
    assert beyond["errors"] == [{"param": "after", "message": "after must be below 7, got 7"}]
    assert '"rows":[[5,0.1,1.0],[6,0.1,1.0]]' in stream
    assert '"outcome":"early_stopped","rows":7' in stream


async def test_a_job_without_rows_has_an_empty_page(http: httpx.AsyncClient) -> None:
    job_id = (await post(http))["id"]

    page = (await http.get(f"/v1/jobs/{job_id}/metrics")).json()

    assert page == {"object": "list", "data": [], "has_more": False, "next": -1, "truncations": 0}


async def test_the_history_is_returned_in_pages(http: httpx.AsyncClient) -> None:
    job_id = (await post(http))["id"]
    await http.post(f"/v1/jobs/{job_id}/pause")
    await http.post(f"/v1/jobs/{job_id}/resume")

    first = (await http.get(f"/v1/jobs/{job_id}/events?limit=2")).json()
    rest = (await http.get(f"/v1/jobs/{job_id}/events?after={first['next']}")).json()

    assert [event["kind"] for event in first["data"]] == ["submitted", "paused"]
    assert first["has_more"] is True
    assert [event["kind"] for event in rest["data"]] == ["resumed"]
    assert rest["has_more"] is False


async def test_workers_and_queue(http: httpx.AsyncClient, client: redis.Redis) -> None:
    job_id = (await post(http))["id"]
    await post(http)
    claim(client)

    (worker,) = (await http.get("/v1/workers")).json()["data"]
    queue = (await http.get("/v1/queue")).json()

    assert (worker["id"], worker["state"], worker["job"]) == ("w", "busy", job_id)
    lane = {"device": "auto", "fingerprint": None, "queued": 1, "workers": 1, "idle_workers": 0}
    assert queue == {
        "object": "queue",
        "queued": 1,
        "running": 1,
        "workers": 1,
        "idle_workers": 0,
        "lanes": [lane],
    }


async def test_a_missing_artifact_is_a_404_with_the_names_there_are(
    http: httpx.AsyncClient,
) -> None:
    job_id = (await post(http))["id"]

    problem = (await http.get(f"/v1/jobs/{job_id}/artifacts/model.safetensors")).json()

    assert problem["detail"] == (
        "the job has no artifact 'model.safetensors'; it has none until it has succeeded"
    )


@pytest.mark.parametrize("noun", ["optimizers", "schedules", "models", "datasets"])
async def test_the_catalogue_explains_every_entry_and_every_field(
    http: httpx.AsyncClient, noun: str
) -> None:
    page = (await http.get(f"/v1/{noun}")).json()

    assert len(page["data"]) >= 2
    for entry in page["data"]:
        assert entry == (await http.get(f"/v1/{noun}/{entry['name']}")).json()
        assert entry["summary"].endswith(".")
        described = {field["name"]: field for field in entry["fields"]}
        for name, field in described.items():
            assert field["description"] or name == "kind", (entry["name"], name)


async def test_the_catalogue_has_the_defaults_of_each_dialect(http: httpx.AsyncClient) -> None:
    entry = (await http.get("/v1/optimizers/adam")).json()

    fields = {field["name"]: field for field in entry["fields"]}
    assert fields["eps"]["defaults"]["torch"] == 1e-8
    assert fields["eps"]["defaults"]["keras"] == 1e-7
    assert fields["lr"]["type"] == "number > 0"
    assert "Kingma and Ba" in entry["description"]


async def test_health_and_documentation(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ok"}
    assert (await http.get("/docs")).status_code == 200
    schema = (await http.get("/openapi.json")).json()
    assert "JobSpec" in schema["components"]["schemas"]
    assert len(json.dumps(schema)) > 10_000
