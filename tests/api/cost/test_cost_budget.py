"""
What one request may cost: whatever its body, the service goes on answering everybody else.

For every route with a body and every field of it, the worst mebibyte: no error of ours, the loop
blocked for less than 0.2 s, refusals below 256 KB, other answers at most four times the body.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from optserve.contract.requests.job import JobSpec
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis.functions import send
from tests.support.http.heavy import JOBS, PREVIEWS, job
from tests.support.http.service import Answer, Service
from tests.support.http.worst import WORST, Bodies, Field

BLOCKED_S = 0.2
"""Seconds for which other requests are not answered."""
CPU_S = 10.0
"""Seconds that the process computes, for the most that is accepted."""
TRIES = 3
"""Times that a request is made, to tell what it costs from what the machine does beside it."""
REFUSAL = 256 * 1024
FLOOR = 256 * 1024
"""Bytes that an answer may have, however short the body: a job with all its defaults filled in."""
PAGE = 4 * 2**20
SEED = 21
SAMPLED = 60
"""Fields that are tried where the slow test, which tries all of them, is not run."""


def faults(answer: Answer, body: bytes, *, streamed: bool = False) -> list[str]:
    """Return what is wrong with an answer, but for the time that it took."""
    size = len(answer.text)
    found = []
    if answer.status >= 500:
        found.append(f"answered with {answer.status}: {answer.text[:200]!r}")
    elif answer.status >= 400 and size >= REFUSAL:
        found.append(f"refused with {size} bytes")
    elif answer.status < 300 and not streamed and size > max(4 * len(body), FLOOR):
        found.append(f"answered {len(body)} bytes with {size}")
    return found


def slowness(answer: Answer) -> list[str]:
    """Return for what an answer took too long."""
    found = []
    if answer.blocked_s >= BLOCKED_S:
        found.append(f"blocked the loop for {answer.blocked_s:.3f} s")
    if answer.cpu_s >= CPU_S:
        found.append(f"computed for {answer.cpu_s:.1f} s")
    return found


def judged(service: Service, path: str, body: bytes) -> list[str]:
    """Post *body* and return what is wrong with the best of a few answers."""
    answer = quickest(lambda: service.post(path, body))
    return faults(answer, body, streamed="/preview" in path) + slowness(answer)


def quickest(ask: Callable[[], Answer]) -> Answer:
    """Return the first answer that was quick enough, or the last of a few."""
    answer = ask()
    for _ in range(TRIES - 1):
        if not slowness(answer):
            break
        answer = ask()
    return answer


@pytest.fixture(scope="module")
def bodies(service: Service) -> Bodies:
    return Bodies(json.loads(service.get("/openapi.json").text))


@pytest.fixture(scope="module")
def job_id(service: Service) -> str:
    posted = service.post("/v1/jobs", json.dumps(job()).encode())
    return str(json.loads(posted.text)["id"])


def cases(bodies: Bodies, job_id: str) -> Iterator[tuple[str, Field, str]]:
    """Yield path, field and the name of what is put into it."""
    for path in bodies.routes:
        for field in bodies.fields(path):
            for name in WORST:
                yield path.format(job_id=job_id), field, name


def test_every_route_with_a_body_is_known(bodies: Bodies) -> None:
    fields = {path: {field.name for field in bodies.fields(path)} for path in bodies.routes}

    assert {path: len(names) > 2 for path, names in fields.items()} == {
        "/v1/jobs": True,
        "/v1/jobs/validate": True,
        "/v1/jobs/{job_id}/clone": True,
        "/v1/jobs/{job_id}/clone/validate": True,
        "/v1/schedules/preview": True,
    }
    assert fields["/v1/jobs"] >= {"JobSpec.labels", "Adam.eps", "Match.name", "Warmup.length"}
    assert len(fields["/v1/jobs"]) > 800


@pytest.mark.long
def test_a_sample_of_fields_stays_within_the_time_budget(
    service: Service, bodies: Bodies, job_id: str
) -> None:
    """Those of the bodies themselves, and others as they come."""
    every = list(cases(bodies, job_id))
    tops = ("JobSpec", "CloneSpec", "PreviewSpec", "Group", "Match")
    large = [name for name, value in WORST.items() if len(json.dumps(value)) > 10_000]
    first = [case for case in every if case[1].name.split(".")[0] in tops and case[2] in large]
    chosen = random.Random(SEED)

    found = {
        (path, field.name, name): wrong
        for path, field, name in chosen.sample(first, SAMPLED) + chosen.sample(every, SAMPLED)
        if (wrong := judged(service, path, field.body(WORST[name])))
    }

    assert found == {}, f"seed {SEED}"


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_every_kind_of_field_stays_within_the_time_budget(
    service: Service, bodies: Bodies, job_id: str
) -> None:
    """A field that many optimizers have is tried in one of them."""
    kinds = {(path, field.kind, name): field for path, field, name in cases(bodies, job_id)}

    found = {
        (path, field.name, name): wrong
        for (path, _, name), field in kinds.items()
        if (wrong := judged(service, path, field.body(WORST[name])))
    }

    assert found == {}


@pytest.mark.long
@pytest.mark.parametrize("name", JOBS)
def test_the_most_expensive_jobs_stay_within_the_time_budget(service: Service, name: str) -> None:
    body = json.dumps(JOBS[name], separators=(",", ":")).encode()
    key = {"Idempotency-Key": new_id()}

    assert judged(service, "/v1/jobs/validate", body) == []
    posted = quickest(lambda: service.post("/v1/jobs", body, **key))
    assert faults(posted, body) + slowness(posted) == []
    if posted.status != 201:
        assert posted.status == 422
        return
    made = f"/v1/jobs/{json.loads(posted.text)['id']}"
    changes = b'{"changes":{"name":"another"}}'
    for ask, status in (
        (lambda: service.get(made), 200),
        (lambda: service.post(f"{made}/clone", changes), 409),  # it has no checkpoint
        (lambda: service.post(f"{made}/cancel", b""), 200),
    ):
        answer = quickest(ask)
        assert answer.status == status
        assert slowness(answer) == []


@pytest.mark.long
@pytest.mark.parametrize("form", ["json", "csv", "svg"])
@pytest.mark.parametrize("name", PREVIEWS)
def test_the_most_expensive_previews_stay_within_the_time_budget(
    service: Service, name: str, form: str
) -> None:
    body = json.dumps(PREVIEWS[name]).encode()

    assert judged(service, f"/v1/schedules/preview?format={form}", body) == []


def listed(service: Service, query: str) -> list[str]:
    """Return the ids of all jobs in a list; every page of it is small, and made in time."""
    ids: list[str] = []
    after = ""
    while True:
        path = f"/v1/jobs?limit=1000&{query}{after}"
        answer = quickest(partial(service.get, path))
        assert slowness(answer) == []
        assert len(answer.text) <= PAGE
        page = json.loads(answer.text)
        ids += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            return ids
        after = f"&after={page['next']}"


def submit_largest(store: redis.Redis, number: int) -> list[str]:
    """Submit jobs with the largest spec and the largest labels, without the service."""
    labels = {"set": str(number), **{f"{i:02}{'x' * 60}": "é" * 200 for i in range(31)}}
    fields = new_fields(JobSpec.parse({**JOBS["long values"], "labels": labels}))
    ids = [new_id() for _ in range(number)]
    for one in ids:
        send(store, calls.submit("local", one, fields, idempotency_key="", body_sha=""))
    return sorted(ids, reverse=True)


@pytest.mark.long
@pytest.mark.parametrize("number", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_largest_jobs_are_listed_in_small_pages(
    service: Service, store: redis.Redis, number: int
) -> None:
    ids = submit_largest(store, number)

    assert listed(service, f"label.set={number}") == ids
    assert listed(service, f"label.set={number}&state=queued") == ids
    assert set(ids) <= set(listed(service, ""))
    assert listed(service, f"spec=true&label.set={number}") == ids


def test_other_requests_are_answered_while_one_client_sends_the_most_expensive(
    service: Service,
) -> None:
    """The event loop is free, and small requests get a turn of the threads, too."""
    body = json.dumps(JOBS["factors"]).encode()
    small = json.dumps(job()).encode()

    answer = service.beside(
        lambda: service.post("/v1/jobs/validate", small), "/v1/jobs/validate", body, times=8
    )

    assert answer.status == 200
