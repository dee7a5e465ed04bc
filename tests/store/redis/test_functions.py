"""The protocol's functions on a real server: who may do what, and what a repeated call does."""

import time
from typing import Any

import pytest
import redis

from optserve.contract.requests.job import JobSpec
from optserve.contract.states import Outcome, State
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.pointers import Pointer
from store.jobs.record import new_fields
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import Call, Fenced, Gap, ReplayDiffers, send
from tests.support.store.protocol import (
    LEASE_MS,
    SPEC,
    Action,
    append,
    ask,
    begin,
    claim,
    hello,
    history,
    kinds,
    reap,
    record_of,
    release,
    rows_of,
    some_rows,
    state_of,
    submit,
)

# ------------------------------------------------------------------ the way through


def test_a_job_goes_from_queued_to_succeeded(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 10))

    send(client, calls.finish(held, rows=10, digest="d", result={"x": 1}, artifacts={}))

    record = record_of(client, job_id)
    assert record.state is State.SUCCEEDED
    assert record.fields["digest"] == "d"
    assert rows_of(client, job_id) == some_rows(0, 10)
    assert kinds(client, job_id) == ["submitted", "started", "succeeded"]
    assert client.zcard(keys.LEASES) == 0


def test_there_is_nothing_to_claim_in_an_empty_queue(client: redis.Redis) -> None:
    assert claim(client) is None


def test_a_repeated_submit_makes_one_job(client: redis.Redis) -> None:
    fields = new_fields(JobSpec.parse(SPEC))
    call = calls.submit("local", new_id(), fields, idempotency_key="", body_sha="s")

    first, second = send(client, call), send(client, call)

    assert first == second
    assert client.zcard(keys.JOBS % "local") == 1
    assert client.zcard(keys.PENDING % ("cpu", "local")) == 1


def test_an_idempotency_key_gives_one_job_and_refuses_another_body(client: redis.Redis) -> None:
    first = submit(client, key="k", body="a")
    fields = new_fields(JobSpec.parse(SPEC))

    again = send(client, calls.submit("local", new_id(), fields, idempotency_key="k", body_sha="a"))
    other = send(client, calls.submit("local", new_id(), fields, idempotency_key="k", body_sha="b"))
    theirs = submit(client, tenant="other", key="k", body="b")

    assert (again.outcome, again.record.id) == ("replayed", first)
    assert (other.outcome, other.record.id) == ("conflict", first)
    assert theirs != first
    assert client.zcard(keys.JOBS % "local") == 1


def test_a_repeated_claim_gives_the_same_job(client: redis.Redis) -> None:
    job_id = submit(client)
    submit(client)

    first, second = claim(client, "t1"), claim(client, "t1")

    assert first is not None
    assert second is not None
    assert first.id == second.id == job_id
    assert second.attempt == 1


def test_repeated_endings_change_nothing(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 10))
    finish = calls.finish(held, rows=10, digest="d", result={}, artifacts={})

    send(client, finish)
    send(client, finish)

    assert kinds(client, job_id).count("succeeded") == 1
    with pytest.raises(Fenced):
        append(client, held, 10, some_rows(10, 1))


# ------------------------------------------------------------------ order


def test_higher_priority_goes_first_then_age(client: redis.Redis) -> None:
    old, low, high = submit(client), submit(client, priority=-5), submit(client, priority=7)

    order = [begin(client, f"t{i}", worker=f"w{i}").job_id for i in range(3)]

    assert order == [high, old, low]


def test_a_job_given_back_keeps_its_place(client: redis.Redis) -> None:
    first, second = submit(client), submit(client)

    release(client, begin(client, "t1"))

    assert begin(client, "t2").job_id == first
    assert begin(client, "t3", worker="w2").job_id == second


def test_a_tenant_with_fewer_running_jobs_goes_first(client: redis.Redis) -> None:
    for _ in range(3):
        submit(client, tenant="greedy")
    submit(client, tenant="modest")

    order = [begin(client, f"t{i}", worker=f"w{i}").tenant for i in range(4)]

    assert order == ["greedy", "modest", "greedy", "greedy"]


def test_a_job_for_another_device_waits(client: redis.Redis) -> None:
    submit(client, training={"steps": 1, "device": "cuda"})
    auto = submit(client, training={"steps": 1, "device": "auto"})

    assert begin(client, "t1").job_id == auto
    assert claim(client, "t2", worker="w2") is None


# ------------------------------------------------------------------ rows


def test_rows_are_stored_by_offset_across_chunks(client: redis.Redis) -> None:
    job_id = submit(client, training={"steps": 10_000, "device": "cpu"})
    held = begin(client)

    for first in range(0, 10_000, 3_000):
        append(client, held, first, some_rows(first, min(3_000, 10_000 - first)))

    assert rows_of(client, job_id) == some_rows(0, 10_000)
    assert client.strlen(keys.ROWS % ("local", job_id, 0)) == 4096 * PLAIN.width


def test_a_repeated_append_changes_nothing(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    append(client, held, 0, some_rows(0, 5))
    append(client, held, 0, some_rows(0, 5))
    append(client, held, 3, some_rows(3, 5))

    assert rows_of(client, job_id) == some_rows(0, 8)


def test_a_gap_is_refused_and_says_what_is_there(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 2))

    with pytest.raises(Gap) as caught:
        append(client, held, 3, some_rows(3, 1))

    assert caught.value.rows == 2


@pytest.mark.parametrize("wrong", [0, 2, 4])
def test_a_row_that_comes_out_different_is_refused_and_named(
    client: redis.Redis, wrong: int
) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 5))
    rows = some_rows(0, 7)
    rows[wrong] = (rows[wrong][0], rows[wrong][1] + 1e-16 + 1e-12)

    with pytest.raises(ReplayDiffers, match=f"step {wrong} was computed again and differs"):
        append(client, held, 0, rows)

    assert rows_of(client, job_id) == some_rows(0, 5)


def test_nan_rows_are_compared_by_their_bits(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    nan = [(0.1, float("nan"))]

    append(client, held, 0, nan)

    assert append(client, held, 0, nan) == ""


def test_replayed_rows_are_counted_once(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 6))
    send(client, calls.checkpointed(held, step=2, path="p", sha256="s", digest="d"))
    release(client, held)
    again = begin(client, "t2")

    for first in (2, 2, 4):
        append(client, again, first, some_rows(first, 3))
    append(client, again, 7, some_rows(7, 3))

    assert record_of(client, job_id).fields["verified"] == "4"
    assert rows_of(client, job_id) == some_rows(0, 10)


# ------------------------------------------------------------------ fencing


def test_a_zombie_can_write_nothing(client: redis.Redis) -> None:
    job_id = submit(client)
    zombie = begin(client, "t1", lease_ms=1)
    time.sleep(0.01)
    reap(client)
    begin(client, "t2")

    writes: list[Call[Any]] = [
        calls.renew(zombie, lease_ms=1),
        calls.append(zombie, first=0, width=PLAIN.width, data=PLAIN.pack([(1, 1)]), lease_ms=1),
        calls.evaluated(zombie, step=1, data={}),
        calls.checkpointed(zombie, step=1, path="p", sha256="s", digest="d"),
        calls.noted(zombie, kind="x", data={}),
    ]
    for call in writes:
        with pytest.raises(Fenced):
            send(client, call)

    assert record_of(client, job_id).rows == 0
    assert state_of(client, job_id) is State.RUNNING


def test_an_ending_from_a_zombie_does_not_end_the_next_attempt(client: redis.Redis) -> None:
    job_id = submit(client)
    zombie = begin(client, "t1")
    release(client, zombie)
    current = begin(client, "t2")
    release(client, current)
    begin(client, "t3")

    with pytest.raises(Fenced):
        send(client, calls.finish(zombie, rows=0, digest="", result={}, artifacts={}))

    assert state_of(client, job_id) is State.RUNNING


def test_an_empty_token_holds_nothing(client: redis.Redis) -> None:
    job_id = submit(client)

    with pytest.raises(Fenced):
        send(client, calls.renew(Claim("local", job_id, ""), lease_ms=1))


# ------------------------------------------------------------------ workers that go away


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


# ------------------------------------------------------------------ what clients ask for


def test_a_queued_job_is_cancelled_at_once(client: redis.Redis) -> None:
    job_id = submit(client)

    assert ask(client, job_id, "cancel") == "cancelled"
    assert ask(client, job_id, "cancel") == "cancelled"
    assert claim(client) is None
    assert kinds(client, job_id) == ["submitted", "cancelled"]


def test_a_running_jobs_worker_hears_of_the_cancel_and_gives_it_up(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    assert ask(client, job_id, "cancel") == "running"
    assert ask(client, job_id, "cancel") == "running"
    assert append(client, held, 0, some_rows(0, 1)) == "cancel"
    assert release(client, held) == "cancelled"
    assert kinds(client, job_id) == ["submitted", "started", "cancel_requested", "cancelled"]


def test_a_cancel_is_carried_out_even_if_the_worker_is_dead(client: redis.Redis) -> None:
    job_id = submit(client)
    begin(client, lease_ms=1)
    ask(client, job_id, "cancel")
    time.sleep(0.01)

    reap(client)

    assert state_of(client, job_id) is State.CANCELLED


def test_pause_and_resume(client: redis.Redis) -> None:
    queued = submit(client)
    assert ask(client, queued, "pause") == "paused"
    assert claim(client) is None
    assert ask(client, queued, "resume") == "queued"

    held = begin(client)
    assert ask(client, queued, "pause") == "running"
    assert send(client, calls.renew(held, lease_ms=LEASE_MS)) == "pause"
    assert release(client, held) == "paused"
    assert ask(client, queued, "resume") == "queued"


def test_a_stronger_wish_replaces_a_weaker_one_but_not_the_other_way(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    wishes: list[tuple[Action, str]] = [
        ("pause", "pause"),
        ("cancel", "cancel"),
        ("kill", "kill"),
        ("pause", "kill"),
    ]
    for action, heard in wishes:
        ask(client, job_id, action)
        assert send(client, calls.renew(held, lease_ms=LEASE_MS)) == heard


def test_a_final_state_stays(client: redis.Redis) -> None:
    job_id = submit(client)
    ask(client, job_id, "cancel")

    actions: list[Action] = ["cancel", "kill", "pause", "resume"]
    for action in actions:
        assert ask(client, job_id, action) == "cancelled"
    assert kinds(client, job_id) == ["submitted", "cancelled"]


def test_what_does_not_exist_cannot_be_asked(client: redis.Redis) -> None:
    assert ask(client, "job_0", "cancel") is None
    job_id = submit(client, tenant="other")
    assert ask(client, job_id, "cancel") is None


# ------------------------------------------------------------------ endings


def test_finish_wants_every_row(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))

    with pytest.raises(Gap) as caught:
        send(client, calls.finish(held, rows=10, digest="", result={}, artifacts={}))

    assert caught.value.rows == 9


@pytest.mark.parametrize(("rows", "ended"), [(10, "completed"), (7, "early_stopped")])
def test_finish_says_how_the_run_ended(client: redis.Redis, rows: int, ended: Outcome) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, rows))
    assert record_of(client, job_id).job().outcome is None

    send(client, calls.finish(held, rows=rows, digest="", result={}, artifacts={}, ended=ended))

    record = record_of(client, job_id)
    assert (record.state, record.outcome, record.num_steps) == (State.SUCCEEDED, ended, rows)


def test_an_early_end_wants_every_row_it_speaks_of(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 6))

    with pytest.raises(Gap):
        send(
            client,
            calls.finish(held, rows=7, digest="", result={}, artifacts={}, ended="early_stopped"),
        )


def test_fail_records_reason_and_detail(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    send(client, calls.fail(held, reason="diverged", detail="loss was nan"))
    send(client, calls.fail(held, reason="diverged", detail="loss was nan"))

    job = record_of(client, job_id).job()
    assert (job.state, job.reason, job.detail) == ("failed", "diverged", "loss was nan")
    assert kinds(client, job_id).count("failed") == 1


def test_a_checkpoint_only_moves_forward_and_never_ahead_of_the_rows(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 5))

    send(client, calls.checkpointed(held, step=4, path="a", sha256="s", digest="d"))
    send(client, calls.checkpointed(held, step=3, path="b", sha256="s", digest="d"))
    with pytest.raises(Gap):
        send(client, calls.checkpointed(held, step=6, path="c", sha256="s", digest="d"))

    assert record_of(client, job_id).checkpoints == [Pointer(4, "a", "s")]


def test_an_evaluation_is_stored_once_and_must_come_out_equal(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)

    send(client, calls.evaluated(held, step=5, data={"accuracy": 0.9}))
    send(client, calls.evaluated(held, step=5, data={"accuracy": 0.9}))
    with pytest.raises(ReplayDiffers):
        send(client, calls.evaluated(held, step=5, data={"accuracy": 0.8}))

    assert kinds(client, job_id).count("evaluated") == 1


# ------------------------------------------------------------------ the bell


def test_a_submission_names_the_bells_of_idle_workers(client: redis.Redis) -> None:
    fields = new_fields(JobSpec.parse({**SPEC, "training": {"steps": 1, "device": "auto"}}))

    def bells() -> list[str]:
        call = calls.submit("local", new_id(), fields, idempotency_key="", body_sha="")
        return send(client, call).bells

    assert bells() == []
    hello(client)
    assert bells() == ["cpu"]
    begin(client)
    assert bells() == []


def test_a_job_given_back_names_the_bells_too(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    hello(client, "w2")

    moved = send(client, calls.release(held, why="test"))

    assert (moved.state, moved.bells) == ("queued", ["cpu"])


def test_the_bell_is_rung_again_when_a_job_waits_beside_an_idle_worker(
    client: redis.Redis,
) -> None:
    job_id = submit(client)
    hello(client)
    assert reaped_bells(client) == []
    make_older(client, job_id, 6_000)

    assert reaped_bells(client) == ["cpu"]
    assert reaped_bells(client) == []  # it was just rung


def test_the_bell_is_rung_for_a_worker_that_has_not_heard_any(client: redis.Redis) -> None:
    """Its first ring tells what its bits depend on; another worker may have answered it."""
    hello(client, fingerprint="")
    assert reaped_bells(client) == []  # it has just come
    client.hincrby(keys.WORKER % "w1", "since", -6_000)

    assert reaped_bells(client) == ["cpu"]
    assert reaped_bells(client) == []

    hello(client, fingerprint="f1")
    client.delete(keys.RUNG % "cpu")
    assert reaped_bells(client) == []


def test_the_bell_stays_silent_while_every_worker_is_busy(client: redis.Redis) -> None:
    submit(client)
    begin(client)
    make_older(client, submit(client), 6_000)

    assert reaped_bells(client) == []


def reaped_bells(client: redis.Redis) -> list[str]:
    return reap(client).bells


def make_older(client: redis.Redis, job_id: str, by_ms: int) -> None:
    client.hincrby(keys.JOB % ("local", job_id), "queued", -by_ms)


def test_a_worker_that_fell_silent_is_no_longer_there(client: redis.Redis) -> None:
    hello(client, ttl_ms=1)
    time.sleep(0.01)
    reap(client)

    assert client.zcard(keys.WORKERS) == 0


def test_the_history_has_one_numbered_entry_per_transition(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    send(client, calls.fail(held, reason="error", detail="x"))

    entries = history(client, job_id)
    assert [entry["kind"] for entry in entries] == ["submitted", "started", "failed"]
    assert entries[1]["data"] == {"attempt": 1, "worker": "w1", "step": 0}


# ------------------------------------------------------------------ the same bits


def test_a_job_with_rows_goes_on_only_where_bits_are_the_same(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, 3))
    release(client, held)

    assert claim(client, "t2", worker="w2", fingerprint="f2") is None
    again = claim(client, "t3", worker="w3", fingerprint="f1")

    assert again is not None
    assert again.id == job_id
    assert again.facts == {"threads": "2"}


def test_a_job_without_rows_may_begin_anywhere(client: redis.Redis) -> None:
    job_id = submit(client)
    release(client, begin(client, fingerprint="f1"))

    held = begin(client, "t2", worker="w2", fingerprint="f2")

    assert held.job_id == job_id
    assert record_of(client, job_id).fingerprint == "f2"


def test_another_machine_is_told_that_its_bits_differ(client: redis.Redis) -> None:
    submit(client)
    held = begin(client, fingerprint="f1")

    assert send(client, calls.begun(held, fingerprint="f1", facts={})) == 0
    assert send(client, calls.begun(held, fingerprint="f2", facts={})) is None


def test_a_queued_job_says_what_it_lacks(client: redis.Redis) -> None:
    job_id = submit(client)
    assert lacked(client, job_id) == "worker"

    held = begin(client, fingerprint="f1")
    assert lacked(client, job_id) is None
    append(client, held, 0, some_rows(0, 3))
    release(client, held)
    assert lacked(client, job_id) is None  # it only waits its turn

    send(client, calls.bye("w1"))
    hello(client, "w2", fingerprint="f2")
    assert lacked(client, job_id) == "fingerprint"


def lacked(client: redis.Redis, job_id: str) -> str | None:
    record = send(client, calls.look("local", job_id))
    assert record is not None
    return record.job().waiting_for


def test_bells_ring_only_where_the_job_may_run(client: redis.Redis) -> None:
    submit(client)
    held = begin(client, fingerprint="f1")
    append(client, held, 0, some_rows(0, 3))
    hello(client, "w2", fingerprint="f2")

    assert send(client, calls.release(held, why="test")).bells == ["cpu"]
    send(client, calls.bye("w1"))
    again = ask(client, held.job_id, "pause"), ask(client, held.job_id, "resume")
    assert again == ("paused", "queued")
    assert reaped_bells(client) == []


# ------------------------------------------------------------------ checkpoints


def checkpoint(client: redis.Redis, held: Claim, step: int) -> list[str]:
    call = calls.checkpointed(held, step=step, path=f"step-{step}", sha256="s", digest="d")
    return send(client, call)


def test_the_last_three_checkpoints_are_kept(client: redis.Redis) -> None:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))

    needed = [checkpoint(client, held, step) for step in (1, 2, 3, 4)]

    assert needed[-1] == ["step-2", "step-3", "step-4"]
    assert checkpoint(client, held, 4) == needed[-1]  # repeated: nothing changes


def test_a_refused_checkpoint_gives_way_to_the_one_before(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))
    for step in (2, 4, 6):
        checkpoint(client, held, step)
    release(client, held)

    again = begin(client, "t2")
    send(client, calls.refused(again, path="step-6", why="damaged"))
    append(client, again, 4, some_rows(4, 6))

    record = record_of(client, job_id)
    assert [pointer.path for pointer in record.checkpoints] == ["step-2", "step-4"]
    assert record.job().checkpoint_step == 4
    assert record.job().verified_rows == 5
    assert kinds(client, job_id)[-1] == "checkpoint_refused"


# ------------------------------------------------------------------ a server that was away


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
    assert reaped_bells(client) == ["cpu"]


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
