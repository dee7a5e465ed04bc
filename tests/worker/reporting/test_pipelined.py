"""Rows that the loop sends without waiting for an answer, on a real server."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import PLAIN, Row
from store.redis import keys
from store.redis.functions import Call, Fenced, Gap, ReplayDiffers, send
from tests.support.machine.processes import eventually
from tests.support.store.protocol import record_of, rows_of
from tests.support.worker.reporting import LEASE_MS, SPEC, NotingWriter, claimed, frozen
from tests.support.worker.sessions import session_of, train_session
from worker.reporting.buffer import Batch
from worker.reporting.cadence import POLL_S
from worker.reporting.journal import Journal
from worker.reporting.pipelined import PipelinedWriter
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import PIPELINED_BYTES, Reporter
from worker.reporting.retry import RetryingSender

ROWS: list[Row] = [(0.1, float(step)) for step in range(10_000)]


@pytest.fixture
def claim(client: redis.Redis) -> Claim:
    return claimed(client, JobSpec.parse(SPEC))


@pytest.fixture
def sent() -> list[int]:
    """The first rows of what the loop itself has sent."""
    return []


def reporter_of(
    client: redis.Redis, claim: Claim, sent: list[int], journal: Journal | None = None
) -> Reporter:
    sender, plan = RetryingSender(client, threading.Event()), LrPlan(JobSpec.parse(SPEC))
    writer = NotingWriter(client, sent)
    return Reporter(claim, sender, plan, first=0, lease_ms=LEASE_MS, journal=journal, writer=writer)


def take(reporter: Reporter, first: int, end: int) -> None:
    """Take ROWS from *first* to before *end*, and send them."""
    for step in range(first, end):
        lr, loss = ROWS[step]
        reporter.take(StepReport(step, lr, loss))
    reporter.send_rows()


def stored(client: redis.Redis, claim: Claim, rows: int) -> None:
    """Wait until the store has *rows* rows."""
    eventually(lambda: record_of(client, claim.job_id).rows == rows)


def snapshot(client: redis.Redis) -> dict[bytes, bytes]:
    """Return all keys of the server and what they hold."""
    names: Any = client.keys("*")
    return {name: client.dump(name) for name in names}  # type: ignore[misc]  # not async


def roll_back(client: redis.Redis, to: dict[bytes, bytes]) -> None:
    """Let the server have the keys that it had in *to*."""
    now: Any = client.keys("*")
    client.delete(*now)
    for name, content in to.items():
        client.restore(name, 0, content)


def append(claim: Claim, rows: list[Row]) -> tuple[Batch, Call[str]]:
    """Return the first *rows*, and the call that stores them."""
    data = PLAIN.pack(rows)
    call = calls.append(
        claim, first=0, width=PLAIN.width, data=data, lease_ms=LEASE_MS, stalled_ms=0
    )
    return Batch(0, data, b""), call


def opened(client: redis.Redis) -> PipelinedWriter:
    writer = PipelinedWriter(client)
    writer.open()
    return writer


def sent_by_loop(reporter: Reporter, sent: list[int], first: int) -> int:
    """Take a row and another, from *first* on, until the loop sends one; return the next."""
    before = len(sent)
    for step in range(first, first + 500):
        take(reporter, step, step + 1)
        if len(sent) > before:
            return step + 1
        time.sleep(0.02)
    raise AssertionError("the loop sends nothing")


def test_rows_are_sent_at_once_and_answered_later(client: redis.Redis, claim: Claim) -> None:
    writer = opened(client)
    batch, call = append(claim, ROWS[:3])
    with frozen(client):
        took = writer.send(batch, call)
        before = writer.receive(within_s=0.1)

    assert (took, before) == (True, None)
    assert writer.receive(within_s=10) == (batch, "")
    assert (writer.is_open, writer.awaits_answer) == (True, False)
    assert rows_of(client, claim.job_id) == ROWS[:3]
    writer.close()


def test_a_refused_write_closes_the_connection_without_an_answer(
    client: redis.Redis, claim: Claim
) -> None:
    writer = opened(client)
    writer.send(*append(Claim(claim.tenant, claim.job_id, "other"), ROWS[:3]))

    assert writer.receive(within_s=10) is None
    assert (writer.is_open, writer.awaits_answer) == (False, False)


def test_without_a_store_the_writer_stays_closed() -> None:
    writer = opened(redis.from_url("redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0)))

    assert (writer.is_open, writer.awaits_answer) == (False, False)


def test_a_closed_writers_connection_is_not_reused_with_its_answer(
    server: EmbeddedServer, client: redis.Redis, claim: Claim
) -> None:
    alone = redis.from_url(server.url, max_connections=1)
    writer = opened(alone)
    writer.send(*append(claim, ROWS[:3]))
    writer.close()

    assert alone.ping() is True
    assert alone.echo("mine") == b"mine"
    alone.close()


def test_the_loop_sends_its_rows_itself(client: redis.Redis, claim: Claim, sent: list[int]) -> None:
    with reporter_of(client, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        after = sent_by_loop(reporter, sent, end)
        reporter.flush()

    assert sent == sorted(set(sent))
    assert rows_of(client, claim.job_id) == ROWS[:after]


def test_the_loop_does_not_wait_for_a_server_that_does_not_answer(
    server: EmbeddedServer, client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    """This client has no time limit: a loop that waited would wait for ever."""
    patient = redis.from_url(server.url, socket_timeout=None)
    with reporter_of(patient, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        stored(client, claim, end)
        with frozen(client):
            for step in range(end, end + 1000):
                take(reporter, step, step + 1)
                time.sleep(0.001)
        reporter.flush()

    assert rows_of(client, claim.job_id) == ROWS[: end + 1000]


def test_rows_sent_on_a_connection_that_breaks_are_sent_again(
    client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    end, in_vain = 0, 0
    with reporter_of(client, claim, sent) as reporter:
        for _ in range(5):
            end = sent_by_loop(reporter, sent, end)
            stored(client, claim, end)
            times = len(sent)
            with frozen(client) as process:
                time.sleep(POLL_S)
                take(reporter, end, end + 1)
                end += 1
                in_vain += len(sent) - times
                threading.Timer(0.05, os.kill, (process, signal.SIGCONT)).start()
                client.client_kill_filter(_type="normal", skipme=True)
        reporter.flush()

    assert in_vain
    assert rows_of(client, claim.job_id) == ROWS[:end]


def test_rows_of_a_loop_that_does_not_poll_are_stored_by_the_thread(
    client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    """Its next step may take a minute."""
    with reporter_of(client, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        times = len(sent)
        take(reporter, end, end + 1)  # too soon after the last to be sent at once

        stored(client, claim, end + 1)
        assert len(sent) == times


def test_more_rows_than_the_loop_may_send_are_sent_by_the_thread(
    client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    assert len(ROWS) * PLAIN.width > PIPELINED_BYTES
    with reporter_of(client, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        stored(client, claim, end)
        times = len(sent)
        time.sleep(POLL_S)
        take(reporter, end, len(ROWS))
        stored(client, claim, len(ROWS))

        assert len(sent) == times
    assert rows_of(client, claim.job_id) == ROWS


def test_a_store_that_lost_its_last_rows_gets_them_again(
    client: redis.Redis, claim: Claim, sent: list[int], tmp_path: Path
) -> None:
    """They are not in the journal yet: that is written every few seconds."""
    journal = Journal(tmp_path, first=0, width=PLAIN.width)
    with journal, reporter_of(client, claim, sent, journal) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        stored(client, claim, end)
        then = snapshot(client)
        end = sent_by_loop(reporter, sent, end)
        stored(client, claim, end)
        roll_back(client, then)
        end = sent_by_loop(reporter, sent, end)
        reporter.flush()

    assert rows_of(client, claim.job_id) == ROWS[:end]


def drop_last_byte(folder: Path) -> None:
    """Shorten the only open file in *folder*, which has no name there."""
    (number,) = [
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if os.path.lexists(link) and str(link.readlink()).startswith(str(folder))
    ]
    os.ftruncate(number, os.fstat(number).st_size - 1)


def test_a_run_goes_without_a_journal_where_none_can_be_written(
    client: redis.Redis, claim: Claim, sent: list[int], tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("no folder")
    journal = Journal(tmp_path / "run", first=0, width=PLAIN.width)
    with journal, reporter_of(client, claim, sent, journal) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        reporter.flush()
        with pytest.raises(ValueError, match="the journal is not complete"):
            next(journal.rows(0, 1))

    assert rows_of(client, claim.job_id) == ROWS[:end]


def test_rows_lost_by_store_and_journal_end_the_attempt(
    client: redis.Redis, claim: Claim, sent: list[int], tmp_path: Path
) -> None:
    journal = Journal(tmp_path, first=0, width=PLAIN.width)
    with journal, reporter_of(client, claim, sent, journal) as reporter:
        then = snapshot(client)
        end = sent_by_loop(reporter, sent, 0)
        reporter.flush()
        drop_last_byte(tmp_path)
        roll_back(client, then)
        sent_by_loop(reporter, sent, end)
        with pytest.raises(
            Gap, match="the store has only 0 rows of the job, and was sent later rows"
        ):
            reporter.flush()

    assert rows_of(client, claim.job_id) == []


def test_losing_the_job_is_raised_in_the_loop(
    client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    with reporter_of(client, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, 0)
        stored(client, claim, end)
        client.hset(keys.JOB % (claim.tenant, claim.job_id), "token", "other")
        sent_by_loop(reporter, sent, end)
        with pytest.raises(Fenced):
            reporter.flush()

    assert rows_of(client, claim.job_id) == ROWS[:end]


def test_a_row_that_differs_from_the_stored_one_is_raised_in_the_loop(
    client: redis.Redis, claim: Claim, sent: list[int]
) -> None:
    """The attempt before has stored rows after its last checkpoint."""
    _, call = append(claim, ROWS[:600])
    send(client, call)
    with reporter_of(client, claim, sent) as reporter:
        end = sent_by_loop(reporter, sent, sent_by_loop(reporter, sent, 0))
        reporter.take(StepReport(end, 0.1, 0.5))
        sent_by_loop(reporter, sent, end + 1)
        with pytest.raises(ReplayDiffers, match=f"step {end} was computed again and differs"):
            reporter.flush()

    assert sent[-1] <= end


def test_rows_of_steps_made_ahead_are_sent_together(
    client: redis.Redis, tmp_path: Path, sent: list[int]
) -> None:
    """On a GPU, steps are made ahead: sending the first alone would delay the others."""
    training = {"steps": 3200, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}
    spec = JobSpec.parse({**SPEC, "training": training})
    claim, ahead = claimed(client, spec), partial(train, ahead=32)
    run = Run.start(spec.run_spec(), data_dir=Path("/nonexistent"))
    writer = NotingWriter(client, sent)

    with session_of(client, claim, run, tmp_path, train=ahead, writer=writer) as session:
        train_session(session, client)
        session.reporter.flush()

    assert sent
    assert {first % 32 for first in sent} == {0}
    assert len(rows_of(client, claim.job_id)) == 3200
