"""Parameters of exports: the format, and the errors of invalid ones."""

from __future__ import annotations

import httpx
import pytest
import redis

from tests.support.http.exports import MEDIA_TYPES, metrics_of
from tests.support.store.protocol import submit

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/*", "text/csv"),
        ("application/json;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("application/*, application/json;q=0, text/csv;q=0.1", "application/x-ndjson"),
        ("TEXT/CSV ; Q=1", "text/csv"),
    ],
)
async def test_accept_chooses_the_media_type(
    http: httpx.AsyncClient, client: redis.Redis, accept: str, found: str
) -> None:
    answer = await http.get(metrics_of(submit(client)), headers={"Accept": accept})

    assert answer.headers["content-type"].partition(";")[0] == found
    assert answer.headers["vary"] == "Accept"


async def test_an_unavailable_media_type_is_a_406(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    path = metrics_of(submit(client))

    answer = await http.get(path, headers={"Accept": "image/png, text/csv;q=0"})
    chosen = await http.get(path, headers={"Accept": "image/png"}, params={"format": "csv"})

    assert answer.status_code == 406
    assert answer.json()["code"] == "not_acceptable"
    assert answer.json()["detail"] == (
        "Accept must allow one of application/json, text/csv, application/x-ndjson, "
        "application/vnd.apache.parquet, application/vnd.apache.arrow.stream, "
        "got 'image/png, text/csv;q=0'"
    )
    assert chosen.text == "step,lr,loss\n"


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        (
            "format=cvs",
            "format",
            "format must be one of json, csv, ndjson, parquet, arrow, got 'cvs'; "
            "did you mean 'csv'?",
        ),
        (
            "format=csv&columns=los",
            "columns",
            "columns must be among step, lr, loss for job JOB, got 'los'; did you mean 'loss'?",
        ),
        (
            "format=csv&columns=",
            "columns",
            "columns must be among step, lr, loss for job JOB, got ''",
        ),
        (
            "format=csv&columns=step,stpe",
            "columns",
            "columns must be among step, lr, loss for job JOB, got 'stpe'; did you mean 'step'?",
        ),
        ("format=csv&columns=lr,lr", "columns", "columns must not repeat a value, got 'lr' twice"),
        (
            "columns=lr",
            "columns",
            "columns must be omitted for JSON, which has all columns, got 'lr'",
        ),
        ("format=csv&limit=0", "limit", "limit must be at least 1, got '0'"),
        ("limit=10001", "limit", "limit must be at most 10000, got '10001'"),
        ("format=csv&limit=x", "limit", "limit must be a whole number, got 'x'"),
        ("format=csv&after=-2", "after", "after must be at least -1, got '-2'"),
        ("format=parquet&after=10", "after", "after must be below 10, got 10"),
    ],
)
async def test_invalid_parameters_of_an_export_are_named_with_their_rule(
    http: httpx.AsyncClient, client: redis.Redis, query: str, param: str, message: str
) -> None:
    job_id = submit(client)

    answer = await http.get(f"{metrics_of(job_id)}?{query}")

    assert answer.status_code == 422
    said = message.replace("JOB", job_id)
    assert answer.json()["errors"] == [{"param": param, "message": said}]


async def test_an_export_of_an_unknown_job_is_a_404(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{metrics_of('job_0')}?format=parquet")

    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_openapi_lists_the_media_types_of_exports(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]

    answers = paths["/v1/jobs/{job_id}/metrics"]["get"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", *MEDIA_TYPES.values()}
    assert {"404", "406", "422", "500", "503"} <= answers.keys()
