"""Bad parameters of a query: an error names the parameter, the rule and the value."""

import json
from typing import Any

import httpx
import pytest

from optserve.contract.requests.job import LABEL_NAME

pytestmark = pytest.mark.anyio

JOB: dict[str, Any] = {
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist"},
    "optimizer": {"kind": "adam", "lr": 0.001},
    "training": {"epochs": 1},
}
TEXT = json.dumps(JOB)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "param", "message"),
    [
        ("metrics?after=-2", "after", "after must be at least -1, got '-2'"),
        ("metrics?after=x", "after", "after must be a whole number, got 'x'"),
        ("metrics?after=600", "after", "after must be below 600, got 600"),
        ("metrics?limit=0", "limit", "limit must be at least 1, got '0'"),
        ("metrics?limit=10001", "limit", "limit must be at most 10000, got '10001'"),
        ("events?after=-1", "after", "after must be at least 0, got '-1'"),
    ],
)
async def test_an_invalid_cursor_is_named(
    http: httpx.AsyncClient, path: str, param: str, message: str
) -> None:
    job_id = (await http.post("/v1/jobs", json=JOB)).json()["id"]

    response = await http.get(f"/v1/jobs/{job_id}/{path}")

    assert response.status_code == 422
    assert response.json()["errors"] == [{"param": param, "message": message}]


@pytest.mark.parametrize("event_id", ["x", "-2", "1.", "1.x", "1e3", "9" * 10])
async def test_a_malformed_event_id_is_named(http: httpx.AsyncClient, event_id: str) -> None:
    job_id = (await http.post("/v1/jobs", json=JOB)).json()["id"]

    response = await http.get(
        f"/v1/jobs/{job_id}/metrics/stream", headers={"Last-Event-ID": event_id}
    )

    assert response.status_code == 422
    (mistake,) = response.json()["errors"]
    assert mistake["param"] == "last-event-id"
    assert "last-event-id must match" in mistake["message"]


@pytest.mark.parametrize(
    ("path", "event_id", "message"),
    [
        ("metrics", "600", "last-event-id must be below 600, got 600"),
        (
            "metrics",
            "3.1",
            "last-event-id must be an id from this job's stream, in which "
            "steps were truncated 0 times so far, got '3.1'",
        ),
        ("events", "2", "last-event-id must be at most 1, got 2"),
        ("events", "-1", "last-event-id must be at least 0, got '-1'"),
        ("events", "x", "last-event-id must be a whole number, got 'x'"),
    ],
)
async def test_an_event_id_that_the_job_cannot_have_is_named(
    http: httpx.AsyncClient, path: str, event_id: str, message: str
) -> None:
    job = (await http.post("/v1/jobs", json=JOB)).json()
    assert job["total_steps"] == 600

    response = await http.get(
        f"/v1/jobs/{job['id']}/{path}/stream", headers={"Last-Event-ID": event_id}
    )

    assert response.status_code == 422
    assert response.json()["errors"] == [{"param": "last-event-id", "message": message}]


async def test_an_unknown_state_is_named(http: httpx.AsyncClient) -> None:
    problem = (await http.get("/v1/jobs?state=queud")).json()

    assert problem["errors"][0]["message"] == (
        "state must be one of queued, paused, running, succeeded, failed, cancelled, "
        "got 'queud'; did you mean 'queued'?"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/v1/jobs?limt=3",
            "unknown query parameter 'limt'; did you mean 'limit'? "
            "(known: state, after, limit, spec, label.NAME)",
        ),
        ("/v1/queue?x=1", "unknown query parameter 'x'"),
        ("/v1/optimizers/adam?dialect=torch", "unknown query parameter 'dialect'"),
    ],
)
async def test_an_unknown_query_parameter_is_refused(
    http: httpx.AsyncClient, path: str, message: str
) -> None:
    response = await http.get(path)

    assert response.status_code == 422
    (mistake,) = response.json()["errors"]
    assert mistake["message"] == message
    assert (await http.get("/v1/jobs?label.limt=3")).status_code == 200


async def test_a_cursor_beyond_what_the_store_can_count_is_refused(
    http: httpx.AsyncClient,
) -> None:
    job_id = (await http.post("/v1/jobs", content=TEXT, headers=JSON)).json()["id"]

    response = await http.get(f"/v1/jobs/{job_id}/events?after={2**63}")

    assert response.status_code == 422
    assert response.json()["errors"][0]["param"] == "after"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("after=zzz", "after: after must match ^job_[0-9a-f-]{1,64}$, got 'zzz'"),
        ("spec=maybe", "spec: spec must be true or false, got 'maybe'"),
        (
            "label=team=a",
            "label: unknown query parameter 'label'; did you mean 'label.NAME'? "
            "(known: state, after, limit, spec, label.NAME)",
        ),
        ("label.te%20am=a", f"label.te am: a label's name must match {LABEL_NAME}, got 'te am'"),
    ],
)
async def test_an_invalid_parameter_of_a_list_is_named(
    http: httpx.AsyncClient, query: str, said: str
) -> None:
    answer = await http.get(f"/v1/jobs?{query}")

    assert (answer.status_code, answer.json()["detail"]) == (422, said)
