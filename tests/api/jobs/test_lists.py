"""Lists of jobs."""

import json
from typing import Any

import httpx
import pytest
import redis

from api.jobs.lists import MAX_PAGE
from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import SUMMARY, Record
from store.jobs.views import LISTED_AT_ONCE, Store
from store.redis import keys
from store.redis.functions import send
from tests.support.http.posting import JOB, post

pytestmark = pytest.mark.anyio


def submitted(client: redis.Redis, **changes: object) -> str:
    """Submit a job without the service, and return its id."""
    job_id, fields = new_id(), new_fields(JobSpec.parse({**JOB, **changes}))
    send(client, calls.submit("local", job_id, fields, idempotency_key="", body_sha=""))
    return job_id


def as_the_release_before(client: redis.Redis, job_id: str) -> None:
    """Leave of a job that was just submitted what the release before would have made."""
    record = send(client, calls.look("local", job_id))
    assert record is not None
    for name, value in json.loads(record.fields["labels"]).items():
        client.zrem(keys.LABELLED % ("local", f"{name}={value}"), job_id)
    client.hdel(keys.JOB % ("local", job_id), "name", "labels", "time_limit_s")
    client.decr(keys.INDEXED)


async def found(http: httpx.AsyncClient, query: str) -> list[str]:
    return [job["id"] for job in (await http.get(f"/v1/jobs?{query}")).json()["data"]]


async def pages(http: httpx.AsyncClient, **params: str | int) -> list[dict[str, Any]]:
    """Return all pages of a list."""
    taken: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        response = await http.get("/v1/jobs", params={**params, **after})
        assert response.status_code == 200, response.text
        assert len(response.content) <= 4 * 2**20
        taken.append(response.json())
        if not taken[-1]["has_more"]:
            return taken
        after = {"after": taken[-1]["next"]}


def ids_of(taken: list[dict[str, Any]]) -> list[str]:
    return [job["id"] for page in taken for job in page["data"]]


async def test_jobs_are_listed_newest_first_in_pages(http: httpx.AsyncClient) -> None:
    posted = {(await post(http, name=f"job {i}"))["id"] for i in range(5)}

    first = (await http.get("/v1/jobs", params={"limit": 3})).json()
    second = (await http.get("/v1/jobs", params={"limit": 3, "after": first["next"]})).json()

    listed = [job["id"] for page in (first, second) for job in page["data"]]
    assert first["has_more"] is True
    assert second["has_more"] is False
    assert second["next"] is None
    assert listed == sorted(posted, reverse=True)


async def test_a_page_may_need_several_reads_of_the_server(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    ids = [submitted(client) for _ in range(2 * LISTED_AT_ONCE + 1)]

    page = (await http.get("/v1/jobs?limit=1000")).json()

    assert [job["id"] for job in page["data"]] == sorted(ids, reverse=True)
    assert {job["queue_position"] for job in page["data"]} == {None}


async def test_a_row_is_the_job_without_its_large_fields(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job = await post(http, time_limit_s=12.5, priority=3, name="ä", labels={"team": 'o"cr'})
    result = {"test_loss": 1.0, "test_accuracy": 0.5, "confusion": [[1] * 100] * 100}
    client.hset(keys.JOB % ("local", job["id"]), "result", json.dumps(result))

    whole = (await http.get(f"/v1/jobs/{job['id']}")).json()
    (row,) = (await http.get("/v1/jobs")).json()["data"]
    (full,) = (await http.get("/v1/jobs?spec=true")).json()["data"]

    assert whole["result"].pop("matrices") == {"test_confusion": [[1] * 100] * 100}
    assert row["result"].pop("matrices") == full["result"].pop("matrices") == {}
    assert row == {**whole, "spec": None, "queue_position": None, "trained_s": row["trained_s"]}
    assert full == {**row, "spec": whole["spec"]}


async def test_a_list_reads_no_specs(
    store: Store, client: redis.Redis, server: EmbeddedServer
) -> None:
    del server
    job_id = submitted(client)
    client.hdel(keys.JOB % ("local", job_id), "spec", "posted")

    (record,) = [record async for record in store.summaries("local", [job_id])]

    assert isinstance(record, Record)
    assert record.listed().name == JOB["name"]
    assert set(record.fields) <= {*SUMMARY, "trained_ms", "waiting_for"}


async def test_a_page_of_long_rows_ends_early(http: httpx.AsyncClient, client: redis.Redis) -> None:
    labels = {f"{i:02}{'x' * 60}": "ü" * 200 for i in range(32)}
    ids = [submitted(client, labels=labels) for _ in range(300)]

    taken = await pages(http, limit=1000)

    assert ids_of(taken) == sorted(ids, reverse=True)
    assert len(taken) == 2
    assert taken[0]["next"] == taken[0]["data"][-1]["id"]
    assert taken[1]["has_more"] is False


async def test_a_page_with_specs_ends_early_too(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    values = {"kind": "values", "values": [0.12345] * 150_000}
    ids = [
        submitted(client, schedule=values, training={"steps": 150_000}, name=str(i))
        for i in range(5)
    ]

    with_specs = await pages(http, limit=1000, spec="true")
    without = await pages(http, limit=1000)

    assert ids_of(with_specs) == ids_of(without) == sorted(ids, reverse=True)
    assert (len(with_specs), len(without)) == (2, 1)
    rows = [job for page in with_specs for job in page["data"]]
    assert {len(job["spec"]["schedule"]["values"]) for job in rows} == {150_000}


async def test_an_unreadable_job_between_two_pages_is_listed_once(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    values = {"kind": "values", "values": [0.12345] * 150_000}
    ids = [submitted(client, schedule=values, training={"steps": 150_000}) for _ in range(5)]
    newest_first = sorted(ids, reverse=True)
    num_fitting = len((await pages(http, limit=1000, spec="true"))[0]["data"])
    odd = newest_first[num_fitting]
    client.hset(keys.JOB % ("local", odd), "rows", "many")

    taken = await pages(http, limit=1000, spec="true")

    assert ids_of(taken) == [job_id for job_id in newest_first if job_id != odd]
    assert [[job["id"] for job in page["unreadable"]] for page in taken] == [[odd], []]
    assert taken[0]["next"] == odd


async def test_a_spec_larger_than_a_page_is_null(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submitted(client)
    key = keys.JOB % ("local", job_id)
    spec = json.loads(client.hget(key, "spec") or "")
    client.hset(key, "spec", json.dumps({**spec, "long": "x" * MAX_PAGE}))

    (page,) = await pages(http, spec="true")

    (row,) = page["data"]
    assert (row["id"], row["name"], row["spec"]) == (job_id, JOB["name"], None)


async def test_jobs_are_found_by_state_and_label(http: httpx.AsyncClient) -> None:
    ocr = await post(http)
    other = await post(http, labels={"team": "nlp", "size": "big", "odd": "a=b ü"})
    await http.post(f"/v1/jobs/{ocr['id']}/cancel")

    assert await found(http, "state=queued") == [other["id"]]
    assert await found(http, "state=cancelled") == [ocr["id"]]
    assert await found(http, "label.team=ocr") == [ocr["id"]]
    assert await found(http, "label.team=ocr&state=queued") == []
    assert await found(http, "label.team=ocr&state=cancelled") == [ocr["id"]]
    assert await found(http, "label.team=nlp&label.size=big") == [other["id"]]
    assert await found(http, "label.team=nlp&label.size=small") == []
    assert await found(http, "label.odd=a%3Db%20%C3%BC") == [other["id"]]


async def test_jobs_of_a_label_are_listed_in_pages(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    ids = [submitted(client, labels={"n": str(i % 2), "all": "y"}) for i in range(11)]
    odd = sorted(ids[1::2], reverse=True)

    taken = await pages(http, limit=2, **{"label.n": "1", "label.all": "y"})

    assert ids_of(taken) == odd
    assert [len(page["data"]) for page in taken] == [2, 2, 1]


@pytest.mark.long
async def test_a_rare_label_is_found_among_many_jobs(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    """The server looks at so many at a time, and the page at some of those times."""
    rare = [submitted(client, labels={"a": "1", "b": "1"})]
    pipe = client.pipeline()
    for _ in range(45_000):
        other = new_id()
        for name in ("a", "b"):
            mine = f"{other}{name}"  # jobs with one of the labels each
            pipe.zadd(keys.LABELLED % ("local", f"{name}=1"), {mine: 0})
            pipe.zadd(keys.JOBS % "local", {mine: 0})
    pipe.execute()
    rare.append(submitted(client, labels={"a": "1", "b": "1"}))

    taken = await pages(http, **{"label.a": "1", "label.b": "1"})

    assert ids_of(taken) == [rare[1], rare[0]]
    assert len(taken) > 1


async def test_a_deleted_job_is_not_found_by_its_label(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job = await post(http)
    await http.post(f"/v1/jobs/{job['id']}/cancel")

    send(client, calls.expire(limit=9, max_age_ms=None, max_jobs=0, max_bytes=None))

    assert await found(http, "label.team=ocr") == []
    assert client.exists(keys.LABELLED % ("local", "team=ocr")) == 0


async def test_too_many_labels_are_refused(http: httpx.AsyncClient) -> None:
    query = "&".join(f"label.a{i}=1" for i in range(33))

    response = await http.get(f"/v1/jobs?{query}")

    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"param": "label", "message": "label must be given at most 32 times, got 33"}
    ]


async def test_jobs_of_the_previous_release_are_listed_and_found(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    old = [submitted(client, name=f"old {i}", time_limit_s=0.1) for i in range(3)]
    for job_id in old:
        as_the_release_before(client, job_id)

    (page,) = await pages(http)
    labelled = await found(http, "label.team=ocr")
    (again,) = await pages(http)

    assert [job["name"] for job in page["data"]] == ["old 2", "old 1", "old 0"]
    assert {job["time_limit_s"] for job in page["data"]} == {0.1}
    assert {json.dumps(job["labels"]) for job in page["data"]} == {'{"team": "ocr"}'}
    assert labelled == sorted(old, reverse=True)
    assert again == page
    assert client.hget(keys.JOB % ("local", old[0]), "labels") is not None  # looked up once


async def test_a_job_submitted_meanwhile_by_the_previous_release_is_found(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    """Two versions on one store: whoever submits, the next list knows."""
    ids: list[str] = []
    for turn in range(6):
        ids.append(submitted(client))
        if turn % 2:
            as_the_release_before(client, ids[-1])

        assert await found(http, "label.team=ocr") == sorted(ids, reverse=True)


async def test_a_job_deleted_by_the_previous_release_is_not_found(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    gone, stays = submitted(client), submitted(client)
    assert await found(http, "label.team=ocr") == [stays, gone]

    client.delete(keys.JOB % ("local", gone))  # it leaves the sets of labels as they are
    client.zrem(keys.JOBS % "local", gone)
    client.zrem(keys.JOBS_IN_STATE % ("local", State.QUEUED), gone)

    assert await found(http, "label.team=ocr") == [stays]


async def test_an_unreadable_old_spec_does_not_hide_other_jobs_from_a_search(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    ids = [submitted(client) for _ in range(3)]
    for job_id in ids:
        as_the_release_before(client, job_id)
    client.hset(keys.JOB % ("local", ids[1]), "spec", "{")

    assert await found(http, "label.team=ocr") == [ids[2], ids[0]]


@pytest.mark.parametrize("field", ["rows", "parent", "labels", "state"])
async def test_an_unreadable_record_does_not_hide_other_jobs_from_a_list(
    http: httpx.AsyncClient, client: redis.Redis, field: str
) -> None:
    ids = [submitted(client) for _ in range(3)]
    client.hset(keys.JOB % ("local", ids[1]), field, "{")

    assert ids_of(await pages(http)) == [ids[2], ids[0]]


@pytest.mark.long
def test_old_jobs_are_indexed_in_batches(client: redis.Redis) -> None:
    for _ in range(600):
        as_the_release_before(client, submitted(client))

    assert send(client, calls.index_labels()) is True
    assert client.exists(keys.INDEXING)
    assert send(client, calls.index_labels()) is False
    assert not client.exists(keys.INDEXING)
    assert client.zcard(keys.LABELLED % ("local", "team=ocr")) == 600
    assert client.get(keys.INDEXED) == client.get(keys.NUMBER)
