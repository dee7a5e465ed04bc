"""Lists of jobs."""

import httpx
import pytest
import redis

from jobs import calls
from jobs.functions import send
from jobs.record import new_fields, new_id
from jobs.spec.job import JobSpec
from jobs.store import LISTED_AT_ONCE
from tests.api.posting import JOB, post

pytestmark = pytest.mark.anyio


async def test_jobs_are_listed_newest_first_in_pages(http: httpx.AsyncClient) -> None:
    posted = {(await post(http, name=f"job {i}"))["id"] for i in range(5)}

    first = (await http.get("/v1/jobs", params={"limit": 3})).json()
    second = (await http.get("/v1/jobs", params={"limit": 3, "after": first["next"]})).json()

    listed = [job["id"] for page in (first, second) for job in page["data"]]
    assert first["has_more"] is True
    assert second["has_more"] is False
    assert second["next"] is None
    assert listed == sorted(posted, reverse=True)


async def test_a_page_may_be_longer_than_what_the_server_reads_at_a_time(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    ids = [new_id() for _ in range(2 * LISTED_AT_ONCE + 1)]
    for job_id in ids:
        fields = new_fields(JobSpec.parse(JOB))
        send(client, calls.submit("local", job_id, fields, idempotency_key="", body_sha=""))

    page = (await http.get("/v1/jobs?limit=1000")).json()

    assert [job["id"] for job in page["data"]] == sorted(ids, reverse=True)
    assert {job["place"] for job in page["data"]} == {None}


async def test_jobs_are_found_by_state_and_label(http: httpx.AsyncClient) -> None:
    ocr = await post(http)
    other = await post(http, labels={"team": "nlp", "size": "big"})
    await http.post(f"/v1/jobs/{ocr['id']}/cancel")

    async def found(query: str) -> list[str]:
        return [job["id"] for job in (await http.get(f"/v1/jobs?{query}")).json()["data"]]

    assert await found("state=queued") == [other["id"]]
    assert await found("state=cancelled") == [ocr["id"]]
    assert await found("label.team=ocr") == [ocr["id"]]
    assert await found("label.team=nlp&label.size=big") == [other["id"]]
    assert await found("label.team=nlp&label.size=small") == []
