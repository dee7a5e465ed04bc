"""Restart and accept over HTTP, and the truncations that their clients see."""

import asyncio
import io
import json
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import redis
from fastapi.responses import StreamingResponse

from api.metrics.exports import Extract, export
from api.metrics.streams.cursor import Cursor
from api.metrics.streams.poller import Poller
from api.metrics.streams.subscriber import Subscriber
from api.metrics.streams.subscription import follow
from optserve.contract.requests.exports import ExportForm
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.progress import Progress
from store.jobs.views import Store
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import append, begin, hello, release, some_rows, submit

pytestmark = pytest.mark.anyio


def left(client: redis.Redis) -> str:
    """Return a job whose worker is gone: ten rows of it, and a checkpoint after six."""
    job_id = submit(client, training={"steps": 30, "device": "cpu"})
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, 10))
    send(client, calls.checkpointed(held, step=6, path="p", sha256="s", digest="d"))
    release(client, held)
    send(client, calls.bye("w1"))
    return job_id


def fail(client: redis.Redis, held: Claim) -> None:
    send(client, calls.fail(held, reason="error", detail="x"))


async def test_a_queued_job_says_what_it_waits_for_and_which_actions_help(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    path = f"/v1/jobs/{left(client)}"
    waiting = (await http.get(path)).json()
    client.zincrby(keys.FINGERPRINTS, -301_000, "f1")

    offering = (await http.get(path)).json()
    (listed,) = (await http.get("/v1/jobs")).json()["data"]

    assert (waiting["waiting_for"], waiting["offers"]) == ("fingerprint", [])
    assert offering["offers"] == listed["offers"] == ["restart", "accept"]


@pytest.mark.parametrize(("action", "step"), [("restart", 0), ("accept", 6)])
async def test_restart_and_accept_are_idempotent(
    http: httpx.AsyncClient, client: redis.Redis, action: str, step: int
) -> None:
    job_id = left(client)

    first = await http.post(f"/v1/jobs/{job_id}/{action}")
    again = await http.post(f"/v1/jobs/{job_id}/{action}")

    job = first.json()
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert (job["state"], job["step"], job["checkpoint_step"]) == ("queued", step, step)
    assert (job["bitwise"], job["truncations"], job["waiting_for"]) == (step == 0, [step], "worker")


async def test_the_stored_kind_rows_cut_is_shown_as_rows_truncated(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = left(client)
    await http.post(f"/v1/jobs/{job_id}/restart")

    history = (await http.get(f"/v1/jobs/{job_id}/events")).json()["data"]

    stored = client.lrange(keys.EVENTS % ("local", job_id), 0, -1)
    assert any(b'"rows_cut"' in entry for entry in stored)
    assert "rows_truncated" in [entry["kind"] for entry in history]
    assert "rows_cut" not in [entry["kind"] for entry in history]


@pytest.mark.parametrize(
    ("action", "what"),
    [("restart", "be restarted"), ("accept", "continue on a worker with another fingerprint")],
)
async def test_a_running_or_ended_job_refuses_restart_and_accept(
    http: httpx.AsyncClient, client: redis.Redis, action: str, what: str
) -> None:
    job_id = submit(client)
    held = begin(client)

    running = await http.post(f"/v1/jobs/{job_id}/{action}")
    fail(client, held)
    ended = await http.post(f"/v1/jobs/{job_id}/{action}")
    missing = await http.post(f"/v1/jobs/job_0/{action}")

    assert (running.status_code, running.json()["code"]) == (409, "job_running")
    assert running.json()["detail"] == (
        f"job {job_id} is running: only a queued or paused job can {what}; pause it first"
    )
    assert (ended.status_code, ended.json()["code"]) == (409, "job_ended")
    assert ended.json()["detail"] == (
        f"job {job_id} has ended (failed): only a queued or paused job can {what}"
    )
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("seen", "cuts", "kept"),
    [
        ("41", [], "41"),
        ("41", [50], "41.1"),
        ("41", [20], "19.1"),
        ("41", [20, 30], "19.2"),
        ("41.1", [20, 30], "29.2"),
        ("41.2", [20, 30], "41.2"),
        ("41", [0], "-1.1"),
        ("-1", [0], "-1.1"),
    ],
)
def test_a_cursor_moves_back_to_the_last_row_that_truncations_left(
    seen: str, cuts: list[int], kept: str
) -> None:
    assert str(Cursor.parse(seen).after(cuts)) == kept


def parsed(text: str) -> list[tuple[str, Any, str | None]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


async def test_a_client_that_resumes_after_a_truncation_gets_a_truncated_event(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = left(client)
    send(client, calls.accept("local", job_id))
    held = begin(client, "t2", fingerprint="f2")
    append(client, held, 6, some_rows(20, 8))
    fail(client, held)
    path = f"/v1/jobs/{job_id}/metrics/stream"

    async def told(last: str) -> list[tuple[str, Any, str | None]]:
        answer = await http.get(path, headers={"Last-Event-ID": last})
        return parsed(answer.text)

    stale = await told("9")
    assert [kind for kind, _, _ in stale] == ["state", "truncated", "rows", "end"]
    assert stale[1] == ("truncated", {"step": 6}, "5.1")
    assert [row[0] for row in stale[2][1]["rows"]] == list(range(6, 14))
    assert stale[2][2] == "13.1"
    early = await told("3")
    assert [kind for kind, _, _ in early] == ["state", "rows", "end"]
    assert early[1][1]["rows"][0][0] == 4
    assert [kind for kind, _, _ in await told("13.1")] == ["state", "end"]
    assert [event_id for _, _, event_id in parsed((await http.get(path)).text)][1] == "13.1"


async def test_polling_after_a_truncation_is_a_409_with_the_step_to_resume_from(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = left(client)
    path = f"/v1/jobs/{job_id}/metrics"
    page = (await http.get(path)).json()
    assert (page["next"], page["truncations"]) == (9, 0)

    send(client, calls.accept("local", job_id))
    held = begin(client, "t2", fingerprint="f2")
    append(client, held, 6, some_rows(20, 8))

    stale = await http.get(path, params={"after": 9, "truncations": 0})
    assert (stale.status_code, stale.json()["code"]) == (409, "rows_truncated")
    assert stale.json()["detail"] == (
        f"steps of job {job_id} from 6 on were truncated and are computed again: discard those you "
        "have, and resume with after=5&truncations=1"
    )
    early = (await http.get(path, params={"after": 3, "truncations": 0, "limit": 2})).json()
    assert [row["step"] for row in early["data"]] == [4, 5]
    anew = (await http.get(path, params={"after": 5, "truncations": 1})).json()
    assert [row["step"] for row in anew["data"]] == list(range(6, 14))
    assert anew["truncations"] == 1


async def test_a_truncation_during_a_stream_is_an_event_of_it(
    client: redis.Redis, store: Store
) -> None:
    job_id = left(client)
    record = await store.record("local", job_id)
    poller = Poller(store)
    told: list[tuple[str, Any, str | None]] = []
    parts = aiter(follow(record, Cursor(-1), poller, store, Subscriber()))

    async def following() -> tuple[str, Any, str | None]:
        while not told:
            told.extend(parsed((await anext(parts)).decode()))
        return told.pop(0)

    reading = asyncio.create_task(poller.poll_forever())
    assert (await following())[0] == "state"
    kind, data, event_id = await following()
    assert (kind, len(data["rows"]), event_id) == ("rows", 10, "9")
    send(client, calls.restart("local", job_id))
    assert await following() == ("truncated", {"step": 0}, "-1.1")
    held = begin(client, "t2", fingerprint="f2")
    append(client, held, 0, some_rows(5, 3))
    assert (await following())[0] == "state"
    assert (await following())[2] == "2.1"
    hello(client)
    fail(client, held)
    assert (await following())[0] == "state"
    assert (await following())[0] == "end"
    reading.cancel()


@pytest.mark.parametrize("form", [ExportForm.CSV, ExportForm.PARQUET])
async def test_an_export_truncated_before_it_begins_has_the_remaining_rows(
    client: redis.Redis, store: Store, form: ExportForm
) -> None:
    job_id = left(client)
    record = await store.record("local", job_id)
    send(client, calls.accept("local", job_id))
    begin(client, "t2", fingerprint="f2")

    wanted = Extract(0, 10, record.series.columns)
    answer = await export(store, record, form, wanted)

    assert isinstance(answer, StreamingResponse)
    content = b"".join([bytes(part) async for part in answer.body_iterator])  # type: ignore[arg-type]
    if form is ExportForm.CSV:
        assert len(content.splitlines()) == 1 + 6
    else:
        assert pq.read_table(io.BytesIO(content)).num_rows == 6


class TruncatedAgain(Store):
    """A store in which rows were truncated once more whenever somebody asks."""

    async def progress(self, tenant: str, job_id: str) -> Progress:
        found = await super().progress(tenant, job_id)
        return found._replace(truncations=[*found.truncations, 6])


async def test_an_export_truncated_again_and_again_is_a_503_with_retry_after(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = left(client)
    app: Any = http._transport.app  # type: ignore[attr-defined]
    app.state.store = TruncatedAgain(app.state.client, app.state.files)

    answer = await http.get(f"/v1/jobs/{job_id}/metrics?format=csv")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "are being truncated; try again" in answer.json()["detail"]
