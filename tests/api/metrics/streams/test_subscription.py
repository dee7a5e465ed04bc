"""Streams that end before their job does: for their age, with the service, with the store."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import redis
from pydantic import ValidationError

from optserve.client import Client
from optserve.client.streams import SILENCE_S
from optserve.contract.answers.metrics import MetricRow, StreamEnd
from optserve.local.stack import Stack
from store.jobs import calls
from store.redis.functions import send
from store.settings import Settings
from tests.support.machine.processes import eventually
from tests.support.service.stacks import stack_with
from tests.support.store.protocol import append, ask, begin, some_rows, submit

pytestmark = pytest.mark.long


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose streams live for a second."""
    with stack_with(tmp_path, workers=0, OPTSERVE_STREAM_AGE_S="1") as started:
        yield started


def test_the_client_resumes_streams_that_reach_their_age_limit(hasty: Stack) -> None:
    with redis.from_url(hasty.redis_url) as store, Client(hasty.url) as client:
        job_id = submit(store, training={"steps": 300, "device": "cpu"})
        entries = threading.Thread(target=lambda: kinds.extend(_kinds(hasty, job_id)))
        kinds: list[str] = []
        entries.start()

        def train() -> None:
            held = begin(store)
            for i in range(30):
                append(store, held, 10 * i, some_rows(10 * i, 10))
                time.sleep(0.15)
            send(store, calls.fail(held, reason="error", detail="x"))

        training = threading.Thread(target=train)
        training.start()
        updates = list(client.follow(job_id))
        training.join()
        entries.join()

    rows = [row for update in updates if isinstance(update, list) for row in update]
    assert [(row.lr, row.loss) for row in rows] == some_rows(0, 300)
    assert [row.step for row in rows] == list(range(300))
    assert [type(update) for update in updates].count(StreamEnd) == 1
    assert isinstance(rows[0], MetricRow)
    assert kinds == ["submitted", "started", "failed"]


def _kinds(running: Stack, job_id: str) -> list[str]:
    with Client(running.url) as client:
        return [entry.kind for entry in client.follow_events(job_id)]


def test_a_stream_continues_after_the_store_was_down(running: Stack, store: redis.Redis) -> None:
    job_id = submit(store, training={"steps": 300, "device": "cpu"}, priority=100)
    held = begin(store, "away", worker="away", fingerprint="away")
    append(store, held, 0, some_rows(0, 100))
    path = f"{running.url}/v1/jobs/{job_id}/metrics/stream"

    with httpx.stream("GET", path, timeout=30) as answer:
        lines = answer.iter_lines()
        assert _until(lines, "id: 99")
        server = running.processes()["server"]
        os.kill(server, signal.SIGKILL)
        assert _until(lines, ": ping")  # it is there all the same
        eventually(lambda: _looked_after(running, server))
        eventually(lambda: _answers(store))
        append(store, held, 100, some_rows(100, 50))
        assert _until(lines, "id: 149")
        ask(store, job_id, "cancel")
        send(store, calls.release(held, why="test"))
        assert _until(lines, "event: end")
        assert '"rows":150' in next(lines)


def test_a_stream_continues_after_the_store_was_busy(running: Stack, store: redis.Redis) -> None:
    job_id = submit(store, training={"steps": 300, "device": "cpu"}, priority=100)
    held = begin(store, "busy", worker="busy", fingerprint="busy")
    append(store, held, 0, some_rows(0, 100))
    path = f"{running.url}/v1/jobs/{job_id}/metrics/stream"
    before = running.processes()["api"]

    with httpx.stream("GET", path, timeout=30) as answer:
        lines = answer.iter_lines()
        assert _until(lines, "id: 99")
        with _busy(running, store):
            assert _until(lines, ": ping")
            assert _until(lines, ": ping")
        append(store, held, 100, some_rows(100, 50))
        assert _until(lines, "id: 149")
    assert running.processes()["api"] == before


@contextmanager
def _busy(running: Stack, store: redis.Redis) -> Iterator[None]:
    """Let the server run a script that does not end: it answers whoever asks with -BUSY."""

    def run() -> None:
        with redis.from_url(running.redis_url) as client, suppress(redis.ResponseError):
            client.eval("while true do end", 0)

    (threshold,) = store.config_get("busy-reply-threshold").values()
    assert threshold is not None
    store.config_set("busy-reply-threshold", 10)
    running_script = threading.Thread(target=run)
    running_script.start()
    try:
        eventually(lambda: _says(store, "BUSY"))
        yield
    finally:
        store.script_kill()
        running_script.join()
        store.config_set("busy-reply-threshold", threshold)


def _says(store: redis.Redis, word: str) -> bool:
    try:
        store.exists("any")
    except redis.ResponseError as error:
        return str(error).startswith(word)
    return False


def test_the_ping_interval_has_a_maximum_below_the_clients_timeout() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 30"):
        Settings(stream_ping_s=SILENCE_S)

    assert Settings(stream_ping_s=30).stream_ping_s < SILENCE_S


def _until(lines: Iterator[str], wanted: str) -> bool:
    return any(line == wanted for line in lines)


def _looked_after(running: Stack, server: int) -> bool:
    running.supervise()
    return running.processes()["server"] != server


def _answers(store: redis.Redis) -> bool:
    try:
        return bool(store.ping())
    except redis.ConnectionError:
        return False


def test_streams_end_at_once_when_the_service_stops(tmp_path: Path) -> None:
    with stack_with(tmp_path, workers=0) as running:
        with redis.from_url(running.redis_url) as store:
            job_id = submit(store)
        path = f"{running.url}/v1/jobs/{job_id}/metrics/stream"
        with httpx.stream("GET", path, timeout=30) as answer:
            lines = answer.iter_lines()
            assert _until(lines, "event: state")
            os.kill(running.processes()["api"], signal.SIGTERM)
            rest = list(lines)  # to a clean end: no error is raised

    assert "event: end" not in rest
