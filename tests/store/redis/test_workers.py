"""Workers that go away, are woken, or find a server that was away."""

import time

import redis

from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import (
    LEASE_MS,
    SPEC,
    append,
    ask,
    begin,
    checkpoint,
    claim,
    hello,
    kinds,
    make_older,
    reap,
    reaped_wakeups,
    record_of,
    release,
    some_rows,
    state_of,
    submit,
)


def test_a_job_whose_lease_is_over_goes_back_into_the_queue(client: redis.Redis) -> None:
    job_id = submit(client)
    begin(client, lease_ms=1)
    time.sleep(0.01)

    reaped = reap(client)

    assert reaped.jobs == [f"local/{job_id}"]
    assert state_of(client, job_id) is State.QUEUED
    assert begin(client, "t2").job_id == job_id
    assert kinds(client, job_id) == ["submitted", "started", "requeued", "started"]


def test_a_lease_that_is_renewed_holds(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client, lease_ms=1)
    send(client, calls.renew(held, lease_ms=LEASE_MS))
    time.sleep(0.01)

    assert reap(client).jobs == []
    assert state_of(client, job_id) is State.RUNNING


def test_a_job_that_kills_three_workers_in_a_row_fails(client: redis.Redis) -> None:
    job_id = submit(client)

    for i in range(3):
        send(client, calls.release(begin(client, f"t{i}"), why="it died", cause="crashed"))

    record = record_of(client, job_id)
    assert record.state is State.FAILED
    assert record.fields["reason"] == "crash_loop"
    assert record.fields["detail"] == "it died"


def test_progress_resets_the_count_of_crashes(client: redis.Redis) -> None:
    job_id = submit(client)

    for i in range(6):
        held = begin(client, f"t{i}")
        append(client, held, i, some_rows(i, 1))
        send(client, calls.checkpointed(held, step=i + 1, path="p", sha256="s", digest="d"))
        send(client, calls.release(held, why="it died", cause="crashed"))

    assert state_of(client, job_id) is State.QUEUED


def test_a_worker_that_is_told_to_leave_is_no_crash(client: redis.Redis) -> None:
    job_id = submit(client)

    for i in range(5):
        release(client, begin(client, f"t{i}"))

    assert state_of(client, job_id) is State.QUEUED


def test_a_submission_wakes_idle_workers(client: redis.Redis) -> None:
    fields = new_fields(JobSpec.parse({**SPEC, "training": {"steps": 1, "device": "auto"}}))

    def woken() -> list[str]:
        call = calls.submit("local", new_id(), fields, idempotency_key="", body_sha="")
        return send(client, call).wakeups

    assert woken() == []
    hello(client)
    assert woken() == ["cpu"]
    begin(client)
    assert woken() == []


def test_a_job_given_back_wakes_idle_workers_too(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    hello(client, "w2")

    moved = send(client, calls.release(held, why="test"))

    assert (moved.state, moved.wakeups) == ("queued", ["cpu"])


def test_the_bell_is_rung_again_when_a_job_waits_beside_an_idle_worker(
    client: redis.Redis,
) -> None:
    job_id = submit(client)
    hello(client)
    assert reaped_wakeups(client) == []
    make_older(client, job_id, 6_000)

    assert reaped_wakeups(client) == ["cpu"]
    assert reaped_wakeups(client) == []  # it was just rung


def test_the_bell_is_rung_for_a_worker_that_has_not_heard_any(client: redis.Redis) -> None:
    """Its first ring tells what its bits depend on; another worker may have answered it."""
    hello(client, fingerprint="")
    assert reaped_wakeups(client) == []  # it has just come
    client.hincrby(keys.WORKER % "w1", "since", -6_000)

    assert reaped_wakeups(client) == ["cpu"]
    assert reaped_wakeups(client) == []

    hello(client, fingerprint="f1")
    client.delete(keys.RUNG % "cpu")
    assert reaped_wakeups(client) == []


def test_the_bell_stays_silent_while_every_worker_is_busy(client: redis.Redis) -> None:
    submit(client)
    begin(client)
    make_older(client, submit(client), 6_000)

    assert reaped_wakeups(client) == []


def test_a_worker_that_fell_silent_is_no_longer_there(client: redis.Redis) -> None:
    hello(client, ttl_ms=1)
    time.sleep(0.01)
    reap(client)

    assert client.zcard(keys.WORKERS) == 0


def test_no_lease_is_over_before_workers_could_renew_it(client: redis.Redis) -> None:
    """A server that comes back finds every lease expired: it was it that was away."""
    job_id = submit(client)
    begin(client, lease_ms=1)
    time.sleep(0.01)

    younger_than_a_lease = calls.reap(limit=10, lease_ms=3_600_000)

    assert send(client, younger_than_a_lease).jobs == []
    assert state_of(client, job_id) is State.RUNNING


def test_a_worker_whose_record_expired_meanwhile_still_holds_its_job(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    client.delete(keys.WORKER % "w1")

    hello(client, held=held)

    assert client.hgetall(keys.WORKER % "w1")[b"state"] == b"busy"


def test_a_worker_that_asks_for_work_is_idle_whatever_was_said_of_it(client: redis.Redis) -> None:
    """Its record expired, the job ended, and a late hello says that it still holds it."""
    submit(client)
    held = begin(client)
    client.delete(keys.WORKER % "w1")
    send(client, calls.fail(held, reason="error", detail="x"))
    hello(client, held=held)

    assert claim(client, "t2") is None
    job_id = submit(client)
    make_older(client, job_id, 6_000)
    assert reaped_wakeups(client) == ["cpu"]


def test_a_pause_keeps_the_proof_of_progress(client: redis.Redis) -> None:
    job_id = submit(client)
    for i in range(2):
        send(client, calls.release(begin(client, f"t{i}"), why="it died", cause="crashed"))
    held = begin(client, "t2")
    append(client, held, 0, some_rows(0, 3))
    checkpoint(client, held, 3)
    ask(client, job_id, "pause")
    release(client, held)
    ask(client, job_id, "resume")

    send(client, calls.release(begin(client, "t3"), why="it died", cause="crashed"))

    assert state_of(client, job_id) is State.QUEUED
