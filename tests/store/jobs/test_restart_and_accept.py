"""A waiting job is restarted, or accepted with other bits, as its client asks."""

from typing import Any

import pytest
import redis

from optserve.contract.states import State
from store.jobs import calls
from store.jobs.calls import Changed
from store.redis import keys
from store.redis.functions import Call, Fenced, ReplayDiffers, send
from tests.support.store.continuing import (
    INEXACT,
    accept,
    begun,
    left,
    restart,
    taken,
    told,
    view,
)
from tests.support.store.protocol import (
    append,
    ask,
    begin,
    checkpoint,
    claim,
    hello,
    kinds,
    record_of,
    release,
    rows_of,
    some_rows,
    submit,
)


def test_a_restarted_job_begins_at_its_first_step_on_any_worker(client: redis.Redis) -> None:
    job_id = left(client)
    assert claim(client, "t0", worker="w2", fingerprint="f2") is None

    changed = restart(client, job_id)

    assert changed.wakeups == ["cpu"]
    assert changed.record is not None
    job = changed.record.job()
    assert (job.state, job.step, job.checkpoint_step, job.truncations) == ("queued", 0, 0, [0])
    assert job.bitwise
    assert rows_of(client, job_id) == []
    assert told(client, job_id, "restarted") == [{"rows": 9}]
    assert told(client, job_id, "rows_cut") == [{"from": 0, "count": 9, "why": "restarted"}]
    again = taken(client, job_id, "f2")
    assert begun(client, again, "f2") == 0
    assert append(client, again, 0, some_rows(5, 3)) == ""
    assert rows_of(client, job_id) == some_rows(5, 3)


def test_a_restart_that_is_repeated_changes_nothing_more(client: redis.Redis) -> None:
    job_id = left(client)

    restart(client, job_id)
    before = kinds(client, job_id)

    assert restart(client, job_id).outcome == "ok"
    assert kinds(client, job_id) == before
    assert [restart(client, submit(client)).outcome for _ in range(2)] == ["ok", "ok"]


def test_a_paused_job_is_restarted_and_stays_paused(client: redis.Redis) -> None:
    job_id = left(client)
    ask(client, job_id, "pause")

    restart(client, job_id)

    assert record_of(client, job_id).state is State.PAUSED
    assert claim(client, "t2", worker="w2", fingerprint="f2") is None
    ask(client, job_id, "resume")
    taken(client, job_id, "f2")


def test_what_an_evaluation_found_is_forgotten_with_its_rows(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))
    for step in (3, 6, 9):
        send(client, calls.evaluated(held, step=step, data={"accuracy": 0.1 * step}))
    checkpoint(client, held, 6)
    release(client, held)

    accept(client, job_id)

    again = taken(client, job_id, "f2")
    send(client, calls.evaluated(again, step=9, data={"accuracy": 0.5}))
    send(client, calls.evaluated(again, step=6, data={"accuracy": 0.5}))
    with pytest.raises(ReplayDiffers):
        send(client, calls.evaluated(again, step=3, data={"accuracy": 0.5}))


def test_an_accepted_job_goes_on_from_its_checkpoint_on_any_worker(client: redis.Redis) -> None:
    job_id = left(client)
    assert claim(client, "t0", worker="w2", fingerprint="f2") is None

    changed = accept(client, job_id)

    assert changed.wakeups == ["cpu"]
    assert changed.record is not None
    job = changed.record.job()
    assert (job.step, job.checkpoint_step, job.truncations, job.bitwise) == (6, 6, [6], False)
    assert told(client, job_id, "accepted") == [{"fingerprint": "f1", "step": 6}]
    assert told(client, job_id, "rows_cut") == [
        {"from": 6, "count": 3, "why": "another fingerprint was accepted"}
    ]
    again = taken(client, job_id, "f2")
    assert begun(client, again, "f2") == 6
    append(client, again, 6, some_rows(20, 3))
    assert rows_of(client, job_id) == some_rows(0, 6) + some_rows(20, 3)


def test_an_accept_that_is_repeated_changes_nothing_more(client: redis.Redis) -> None:
    job_id = left(client)

    accept(client, job_id)
    before = kinds(client, job_id)

    assert accept(client, job_id).outcome == "ok"
    assert kinds(client, job_id) == before


def test_after_an_accept_the_next_workers_bits_must_be_kept_again(client: redis.Redis) -> None:
    job_id = left(client)
    accept(client, job_id)
    again = taken(client, job_id, "f2")
    begun(client, again, "f2")
    append(client, again, 6, some_rows(20, 3))
    release(client, again)

    assert claim(client, "t3", worker="w3", fingerprint="f1") is None
    third = taken(client, job_id, "f2", "t3")
    assert begun(client, third, "f2") == 6
    with pytest.raises(ReplayDiffers):
        append(client, third, 6, some_rows(30, 3))
    append(client, third, 6, some_rows(20, 3))
    assert not record_of(client, job_id).job().bitwise


def test_a_worker_that_adds_no_row_after_an_accept_binds_no_later_one(client: redis.Redis) -> None:
    job_id = left(client)
    accept(client, job_id)
    again = taken(client, job_id, "f2")
    begun(client, again, "f2")

    release(client, again)

    third = taken(client, job_id, "f3", "t3")
    assert begun(client, third, "f3") == 6


def test_there_is_nothing_to_accept_where_any_worker_may_go_on(client: redis.Redis) -> None:
    inexact, fresh = left(client, INEXACT), submit(client)

    for job_id in (inexact, fresh):
        before = record_of(client, job_id)
        assert accept(client, job_id).outcome == "ok"
        assert record_of(client, job_id) == before


@pytest.mark.parametrize("change", [calls.restart, calls.accept])
def test_a_running_job_is_left_to_its_worker(client: redis.Redis, change: Any) -> None:
    job_id = left(client)
    held = taken(client, job_id, "f1")
    before = record_of(client, job_id)
    call: Call[Changed] = change("local", job_id)

    assert send(client, call).outcome == "running"
    assert record_of(client, job_id) == before
    assert append(client, held, 6, some_rows(6, 4)) == ""


@pytest.mark.parametrize("change", [calls.restart, calls.accept])
def test_a_job_that_has_ended_stays_as_it_is(client: redis.Redis, change: Any) -> None:
    job_id = left(client)
    ask(client, job_id, "cancel")
    before = record_of(client, job_id)
    call: Call[Changed] = change("local", job_id)

    assert send(client, call).outcome == "ended"
    assert record_of(client, job_id) == before


@pytest.mark.parametrize("change", [calls.restart, calls.accept])
def test_what_does_not_exist_is_not_changed(client: redis.Redis, change: Any) -> None:
    job_id = submit(client, tenant="other")

    changed = send(client, change("local", job_id))

    assert (changed.outcome, changed.record) == ("missing", None)


@pytest.mark.parametrize("change", [calls.restart, calls.accept])
def test_a_worker_that_was_thought_dead_adds_nothing_afterwards(
    client: redis.Redis, change: Any
) -> None:
    job_id = submit(client)
    zombie = begin(client)
    append(client, zombie, 0, some_rows(0, 9))
    release(client, zombie)
    send(client, change("local", job_id))

    with pytest.raises(Fenced):
        append(client, zombie, 9, some_rows(9, 1))

    assert rows_of(client, job_id) == []


def test_a_job_offers_to_be_restarted_once_no_worker_has_had_its_bits_for_long(
    client: redis.Redis,
) -> None:
    job_id = left(client)

    waiting = view(client, job_id)
    client.zincrby(keys.FINGERPRINTS, -299_000, "f1")
    nearly = view(client, job_id)
    client.zincrby(keys.FINGERPRINTS, -2_000, "f1")
    over = view(client, job_id)
    hello(client, "w9", fingerprint="f1")
    back = view(client, job_id)

    assert [r.job().waiting_for for r in (waiting, nearly, over)] == ["fingerprint"] * 3
    assert waiting.job().offers == nearly.job().offers == []
    assert nearly.job(offer_after_s=60).offers == over.job().offers == ["restart", "accept"]
    assert (back.job().waiting_for, back.job().offers) == (None, [])


def test_a_fingerprint_that_was_never_said_is_missed_since_the_job_waits(
    client: redis.Redis,
) -> None:
    job_id = left(client)
    client.delete(keys.FINGERPRINTS)

    assert view(client, job_id).job().offers == []
    client.hincrby(keys.JOB % ("local", job_id), "queued", -301_000)
    assert view(client, job_id).job().offers == ["restart", "accept"]
