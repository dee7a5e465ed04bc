"""A job with a time limit: what its worker hears, and what happens if it does not listen."""

import time

import pytest
import redis

from optserve.contract.states import Reason, State
from store.jobs import calls
from store.jobs.record import Record
from store.redis import keys
from store.redis.functions import Fenced, send
from tests.support.store.protocol import (
    append,
    ask,
    begin,
    kinds,
    reap,
    record_of,
    release,
    run_out,
    some_rows,
    state_of,
    submit,
)

LEASE_MS = 30_000


def looked_at(client: redis.Redis, job_id: str) -> Record:
    record = send(client, calls.look("local", job_id))
    assert record is not None
    return record


def test_every_word_to_a_worker_whose_time_is_over_says_so(client: redis.Redis) -> None:
    job_id = submit(client, time_limit_s=60)
    held = begin(client)
    before = append(client, held, 0, some_rows(0, 1))
    run_out(client, job_id)

    after = append(client, held, 0, some_rows(0, 2))

    assert (before, after) == ("", "timeout")
    assert send(client, calls.renew(held, lease_ms=LEASE_MS)) == "timeout"


def test_what_its_client_asks_for_comes_first(client: redis.Redis) -> None:
    job_id = submit(client, time_limit_s=60)
    held = begin(client)
    run_out(client, job_id)
    ask(client, job_id, "pause")

    assert send(client, calls.renew(held, lease_ms=LEASE_MS)) == "pause"
    assert release(client, held) == State.PAUSED


def test_given_back_after_its_time_it_fails_with_that_reason(client: redis.Redis) -> None:
    job_id = submit(client, time_limit_s=60)
    held = begin(client)
    append(client, held, 0, some_rows(0, 4))
    send(client, calls.checkpointed(held, step=4, path="p", sha256="s", digest="d"))
    run_out(client, job_id)

    assert release(client, held) == State.FAILED

    job = record_of(client, job_id).job()
    assert job.reason is Reason.TIMEOUT
    assert job.detail == (
        "the job has been trained for its time_limit_s of 60 s; its last checkpoint is from step 4"
    )
    assert job.checkpoint_step == 4
    assert client.zcard(keys.DEADLINES) == 0


def test_the_reaper_takes_it_from_a_worker_that_goes_on(client: redis.Redis) -> None:
    job_id = submit(client, time_limit_s=60)
    held = begin(client)
    run_out(client, job_id)

    left_alone = reap(client, overtime_ms=600_000).overtime
    taken = reap(client, overtime_ms=0).overtime

    assert (left_alone, taken) == ([], [f"local/{job_id}"])
    assert record_of(client, job_id).job().reason is Reason.TIMEOUT
    with pytest.raises(Fenced):
        append(client, held, 0, some_rows(0, 1))


def test_a_worker_that_dies_after_the_time_was_over_is_no_requeue(client: redis.Redis) -> None:
    job_id = submit(client, time_limit_s=60)
    begin(client)
    run_out(client, job_id)
    client.zadd(keys.LEASES, {f"local/{job_id}": 1})

    reap(client)

    assert kinds(client, job_id) == ["submitted", "started", "failed"]


def test_the_time_of_all_attempts_counts_and_that_in_the_queue_does_not(
    client: redis.Redis,
) -> None:
    job_id = submit(client, time_limit_s=60)
    for token in ("t1", "t2"):
        held = begin(client, token=token)
        time.sleep(0.02)  # what is measured is time
        release(client, held)
    waited_ms = round(1000 * looked_at(client, job_id).job().trained_s)

    begin(client, token="t3")
    fields = record_of(client, job_id).fields
    deadline = client.zscore(keys.DEADLINES, f"local/{job_id}")

    assert waited_ms >= 40
    assert int(fields["trained"]) == waited_ms
    assert deadline == int(fields["claimed"]) + 60_000 - waited_ms


def test_without_a_limit_there_is_no_deadline(client: redis.Redis) -> None:
    job_id = submit(client)
    begin(client)

    assert client.zcard(keys.DEADLINES) == 0
    assert state_of(client, job_id) is State.RUNNING
