"""Whatever is posted: a clear 4xx, never a 500, never a job."""

import copy
import json
from typing import Any

import httpx
import pytest
import redis

from optcore.spec.optimizers.catalogue import OPTIMIZERS
from store.redis import keys

pytestmark = pytest.mark.anyio

JOB: dict[str, Any] = {
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist"},
    "optimizer": {"kind": "adam", "lr": 0.001},
    "training": {"epochs": 1},
}
TEXT = json.dumps(JOB)
JSON = {"content-type": "application/json"}


def with_(path: str, value: object) -> str:
    data = copy.deepcopy(JOB)
    *parents, last = path.split(".")
    here = data
    for part in parents:
        here = here.setdefault(part, {})
    here[last] = value
    return json.dumps(data)


async def refused(http: httpx.AsyncClient, body: str | bytes) -> dict[str, Any]:
    """Post *body*, which must be refused with a problem, and return that."""
    response = await http.post("/v1/jobs", content=body, headers=JSON)
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    assert {"type", "title", "status", "detail", "code", "errors", "more_errors"} == problem.keys()
    return problem


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (
            with_("optimizer", {"kind": "adamm"}),
            "optimizer.kind",
            f"kind must be one of {', '.join(OPTIMIZERS)}, got 'adamm'; did you mean 'adam'?",
        ),
        (
            with_("trainig", {}),
            "trainig",
            "unknown field 'trainig'; did you mean 'training'? (known: model, dataset, optimizer, "
            "schedule, training, name, labels, priority, time_limit_s)",
        ),
        (with_("optimizer.lr", 0), "optimizer.lr", "lr must be positive, got 0"),
        (with_("optimizer.lr", -1e-3), "optimizer.lr", "lr must be positive, got -0.001"),
        (with_("optimizer.lr", "NaN"), "optimizer.lr", "lr must be a number, got 'NaN'"),
        (
            with_("schedule", {"kind": "cosine", "warmup": {"length": {"epochs": 2}}}),
            "schedule.warmup.length",
            "length must be shorter than the run of 600 steps, got 2 epochs (1200 steps)",
        ),
        (
            with_("schedule", {"kind": "piecewise", "boundaries": [5], "values": [1.0]}),
            "schedule.values",
            "values must have at least 2 entries, got 1",
        ),
        (
            with_("schedule", {"kind": "piecewise", "boundaries": [5, 6], "values": [1.0, 0.1]}),
            "schedule.values",
            "values must have one entry more than boundaries: 3 for 2 boundaries, got 2",
        ),
        (with_("labels", {"team": 5}), "labels.team", "team must be a string, got 5"),
        (
            with_(
                "schedule",
                {
                    "kind": "scale",
                    "factor": 1e300,
                    "schedule": {
                        "kind": "scale",
                        "factor": 1e300,
                        "schedule": {"kind": "constant"},
                    },
                },
            ),
            "schedule",
            "schedule must give a finite number at every step, got inf at step 0",
        ),
        (with_("name", "a\nb"), "name", r"name must match ^[^\x00-\x1f\x7f-\x9f]*$, got 'a\nb'"),
        (
            with_("labels", {"team": "\x9b31m"}),
            "labels.team",
            r"team must match ^[^\x00-\x1f\x7f-\x9f]*$, got '\x9b31m'",
        ),
        ("[]", "body", "body must be an object, got []"),
        ('"adam"', "body", "body must be an object, got 'adam'"),
    ],
)
async def test_an_invalid_job_is_refused_with_field_and_rule(
    http: httpx.AsyncClient, client: redis.Redis, body: str, param: str, message: str
) -> None:
    problem = await refused(http, body)

    assert problem["code"] == "invalid_request"
    assert problem["errors"] == [{"param": param, "message": message}]
    assert not list(client.scan_iter(keys.JOB % ("*", "*")))


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ("{", 400, "the body must be a JSON text: Expecting property name"),
        (b"\xff\xfe", 400, "the body must be a JSON text: byte 0 is not UTF-8"),
        (TEXT.replace("0.001", "NaN"), 400, "numbers must be finite, got NaN"),
        (TEXT.replace("0.001", "-Infinity"), 400, "numbers must be finite, got -Infinity"),
        (TEXT.replace("0.001", "1e999"), 400, "numbers must be finite, got 1e999"),
        (TEXT.replace("0.001", "1" * 5000), 400, "Exceeds the limit (4300 digits)"),
        (
            TEXT.replace('"lr": 0.001', '"lr": 0.001, "lr": 0.1'),
            400,
            "names must be unique in an object, got 'lr' twice",
        ),
        ("[" * 500_000 + "]" * 500_000, 400, "objects and lists must nest at most 32 deep"),
        ('{"model":' * 40 + "1" + "}" * 40, 400, "objects and lists must nest at most 32 deep"),
        (json.dumps({"name": "x" * 1_100_000}), 413, "the body must have at most 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_not_strict_json_is_refused(
    http: httpx.AsyncClient, client: redis.Redis, body: str | bytes, status: int, detail: str
) -> None:
    problem = await refused(http, body)

    assert problem["status"] == status
    assert detail in problem["detail"]
    assert not list(client.scan_iter(keys.JOB % ("*", "*")))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_another_content_type_is_refused(http: httpx.AsyncClient, kind: str) -> None:
    response = await http.post("/v1/jobs", content=TEXT, headers={"content-type": kind})

    assert response.status_code == 415
    assert response.json()["detail"] == (
        f"Content-Type must be application/json, got {kind or 'none'!r}"
    )


async def test_an_empty_body_is_refused(http: httpx.AsyncClient) -> None:
    problem = await refused(http, b"")

    assert problem["status"] == 422


@pytest.mark.parametrize("name", ["bad name", "-x", "x" * 65, ""])
async def test_a_label_name_must_be_plain(http: httpx.AsyncClient, name: str) -> None:
    await refused(http, with_("labels", {name: "x"}))


async def test_all_errors_are_reported_at_once(http: httpx.AsyncClient) -> None:
    body = json.dumps(
        {**JOB, "optimizer": {"kind": "adam", "lr": -1, "beta1": 2}, "labels": {"a": 1}}
    )

    problem = await refused(http, body)

    assert {e["param"] for e in problem["errors"]} == {
        "optimizer.lr",
        "optimizer.beta1",
        "labels.a",
    }


async def test_a_schedule_that_outlasts_the_run_is_a_warning(http: httpx.AsyncClient) -> None:
    body = with_("schedule", {"kind": "cosine", "length": 1000, "end": 1e-5})

    plan = (await http.post("/v1/jobs/validate", content=body, headers=JSON)).json()
    posted = await http.post("/v1/jobs", content=body, headers=JSON)

    assert plan["warnings"] == [
        "schedule: lr never reaches its end of 1e-05: the fall is over after 1000 steps, "
        "the run after 600"
    ]
    assert posted.status_code == 201


async def test_unknown_paths_and_methods_are_problems_too(http: httpx.AsyncClient) -> None:
    for path, code in (
        ("/v1/jobs/job_0", "job_not_found"),
        ("/v1/jobs/job_0/metrics", "job_not_found"),
        ("/v1/jobs/job_0/metrics/stream", "job_not_found"),
        ("/v1/jobs/job_0/events", "job_not_found"),
        ("/v1/jobs/job_0/artifacts/x", "job_not_found"),
        ("/v1/optimizers/adamm", "name_not_found"),
        ("/v2", "not_found"),
    ):
        response = await http.get(path)
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == code
    for action in ("cancel", "kill", "pause", "resume"):
        assert (await http.post(f"/v1/jobs/job_0/{action}")).status_code == 404
    assert (await http.delete("/v1/jobs")).json()["code"] == "method_not_allowed"


async def test_an_unknown_name_in_the_catalogue_gets_the_nearest_one(
    http: httpx.AsyncClient,
) -> None:
    problem = (await http.get("/v1/optimizers/adma")).json()

    assert problem["detail"] == (
        f"optimizer 'adma' does not exist; did you mean 'adamax'? (known: {', '.join(OPTIMIZERS)})"
    )


async def test_a_foreign_host_is_refused(http: httpx.AsyncClient) -> None:
    """A web page could point its own name here and read the answers."""
    response = await http.get("/v1/jobs", headers={"host": "evil.example"})

    assert response.status_code == 400


@pytest.mark.parametrize("action", ["cancel", "kill", "pause", "resume", "restart", "accept"])
async def test_an_action_refuses_a_body(http: httpx.AsyncClient, action: str) -> None:
    job_id = (await http.post("/v1/jobs", json=JOB)).json()["id"]
    before = (await http.get(f"/v1/jobs/{job_id}")).json()

    answer = await http.post(f"/v1/jobs/{job_id}/{action}", json={"from": 15_000})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "body: body must be empty"
    assert (await http.get(f"/v1/jobs/{job_id}")).json()["state"] == before["state"]
    for body in (b"", b"{}"):
        again = await http.post(f"/v1/jobs/{job_id}/cancel", content=body, headers=JSON)
        assert again.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_answers_head_requests(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.head(path)

    assert (answer.status_code, answer.content) == (200, b"")
