"""Rows that the loop sends without waiting for an answer, on a real server."""

import os
import signal
import threading
from typing import Any

import pytest
import redis

from jobs import calls
from jobs.calls import Held
from jobs.functions import Fenced, send
from jobs.metrics import PLAIN, Row
from jobs.spec.job import JobSpec
from optcore.training.reports import StepReport
from tests.jobs.protocol import record_of, rows_of
from tests.processes import eventually
from tests.worker.test_reporter import LEASE_MS, SPEC, claimed, stopped
from worker.express import Express
from worker.journal import Journal
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import EXPRESS_BYTES, PAUSE_S, Reporter

ROWS: list[Row] = [(0.1, float(step)) for step in range(10_000)]


@pytest.fixture
def held(client: redis.Redis) -> Held:
    return claimed(client, JobSpec.parse(SPEC))


def reporter_of(client: redis.Redis, held: Held, journal: Journal | None = None) -> Reporter:
    patience, plan = Patience(client, threading.Event()), Plan(JobSpec.parse(SPEC))
    return Reporter(held, patience, plan, first=0, lease_ms=LEASE_MS, journal=journal)


def take(reporter: Reporter, first: int, end: int) -> None:
    """Take ROWS from *first* to before *end*, and post them."""
    for step in range(first, end):
        lr, loss = ROWS[step]
        reporter.take(StepReport(step, lr, loss))
    reporter.post()


def stored(client: redis.Redis, held: Held, rows: int) -> None:
    """Wait until so many are."""
    eventually(lambda: record_of(client, held.job_id).rows == rows)


def snapshot(client: redis.Redis) -> dict[bytes, bytes]:
    """Return all keys of the server and what they hold."""
    names: Any = client.keys("*")
    return {name: client.dump(name) for name in names}  # type: ignore[misc]  # not async


def roll_back(client: redis.Redis, to: dict[bytes, bytes]) -> None:
    """Let the server hold what it held once."""
    now: Any = client.keys("*")
    client.delete(*now)
    for name, content in to.items():
        client.restore(name, 0, content)


def append(held: Held, first: int, rows: list[Row]) -> Any:
    data = PLAIN.pack(rows)
    return calls.append(
        held, first=first, width=PLAIN.width, data=data, lease_ms=LEASE_MS, held_up_ms=0
    )


def test_a_call_is_sent_now_and_answered_later(client: redis.Redis, held: Held) -> None:
    express = Express[str](client)
    process = stopped(client)
    express.send(append(held, 0, ROWS[:3]))
    before = express.answered(within_s=0.1)
    os.kill(process, signal.SIGCONT)
    after = express.answered(within_s=10)

    assert (before, after) == (False, True)
    assert express.answer() == ""
    assert rows_of(client, held.job_id) == ROWS[:3]
    express.close()


def test_what_the_server_refuses_is_raised_by_the_answer(client: redis.Redis, held: Held) -> None:
    express = Express[str](client)
    express.send(append(Held(held.tenant, held.job_id, "other"), 0, ROWS[:3]))

    with pytest.raises(Fenced):
        express.answer()
    express.close()


def test_who_gets_a_connection_after_it_gets_no_answer_of_another(
    server: Any, client: redis.Redis, held: Held
) -> None:
    alone = redis.from_url(server.url, max_connections=1)
    express = Express[str](alone)
    express.send(append(held, 0, ROWS[:3]))
    express.close()

    assert alone.ping() is True
    assert alone.echo("mine") == b"mine"
    alone.close()


def test_the_loop_does_not_wait_for_a_server_that_does_not_answer(
    client: redis.Redis, held: Held
) -> None:
    """This client has no time limit: who waited here would wait for ever."""
    with reporter_of(client, held) as reporter:
        take(reporter, 0, 10)
        stored(client, held, 10)
        process = stopped(client)
        for first in range(10, 1000, 10):
            take(reporter, first, first + 10)
        os.kill(process, signal.SIGCONT)
        reporter.flush()

    assert reporter.held_up_s == 0
    assert rows_of(client, held.job_id) == ROWS[:1000]


def test_rows_posted_on_a_connection_that_breaks_are_sent_again(
    client: redis.Redis, held: Held
) -> None:
    with reporter_of(client, held) as reporter:
        for first in range(0, 600, 100):
            process = stopped(client)
            take(reporter, first, first + 100)
            threading.Timer(PAUSE_S, os.kill, (process, signal.SIGCONT)).start()
            client.client_kill_filter(_type="normal", skipme=True)
        reporter.flush()

    assert rows_of(client, held.job_id) == ROWS[:600]


def test_rows_of_a_loop_that_does_not_come_by_are_stored_all_the_same(
    client: redis.Redis, held: Held
) -> None:
    """Its next step may take a minute."""
    with reporter_of(client, held) as reporter:
        take(reporter, 0, 1)
        take(reporter, 1, 2)  # too soon after the first to be sent at once

        stored(client, held, 2)


def test_more_rows_than_the_loop_should_send_are_stored_by_the_thread(
    client: redis.Redis, held: Held
) -> None:
    assert len(ROWS) * PLAIN.width > EXPRESS_BYTES
    with reporter_of(client, held) as reporter:
        take(reporter, 0, len(ROWS))
        stored(client, held, len(ROWS))

    assert rows_of(client, held.job_id) == ROWS


def test_a_store_that_lost_rows_which_it_just_had_gets_them_again(
    client: redis.Redis, held: Held, tmp_path: Any
) -> None:
    """They are not in the journal yet: that is written once a second."""
    journal = Journal(tmp_path / "journal", first=0, width=PLAIN.width)
    with journal, reporter_of(client, held, journal) as reporter:
        take(reporter, 0, 10)
        stored(client, held, 10)
        then = snapshot(client)
        take(reporter, 10, 20)
        stored(client, held, 20)
        roll_back(client, then)
        take(reporter, 20, 30)
        reporter.flush()

    assert rows_of(client, held.job_id) == ROWS[:30]


def test_a_fenced_loop_hears_of_it(client: redis.Redis, held: Held) -> None:
    other = Held(held.tenant, held.job_id, "other")
    with reporter_of(client, other) as reporter:
        take(reporter, 0, 10)
        with pytest.raises(Fenced):
            reporter.flush()

    assert send(client, calls.look(held.tenant, held.job_id)) is not None
    assert rows_of(client, held.job_id) == []
