"""The way of a job through the queue: who gets it, who may write, and how it ends."""

import time
from typing import Any

import pytest
import redis

from optserve.contract.requests.job import JobSpec
from optserve.contract.states import Outcome, State
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.pointers import Pointer, StartingState
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import Call, Fenced, Gap, ReplayDiffers, send
from tests.support.store.protocol import (
    SPEC,
    append,
    begin,
    claim,
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
    odd = new_fields(JobSpec.parse({**SPEC, "name": "another"}))
    other = send(client, calls.submit("local", new_id(), odd, idempotency_key="k", body_sha="b"))
    theirs = submit(client, tenant="other", key="k", body="b")

    assert (again.outcome, again.record.id) == ("replayed", first)
    assert (other.outcome, other.record.id) == ("conflict", first)
    assert theirs != first
    assert client.zcard(keys.JOBS % "local") == 1


class NextSpec(JobSpec):
    """The spec of a release that adds a field with a default."""

    added: int = 1


def submitted(
    client: redis.Redis, spec: JobSpec, body_sha: str = "", parent: StartingState | None = None
) -> str:
    """Submit a job with the key k; return what came of it."""
    fields = new_fields(spec, parent)
    sha = body_sha or spec.sha256()
    call = calls.submit("local", new_id(), fields, idempotency_key="k", body_sha=sha)
    return send(client, call).outcome


def test_a_request_that_is_repeated_after_an_upgrade_is_no_conflict(client: redis.Redis) -> None:
    before, after = JobSpec.parse(SPEC), NextSpec.parse(SPEC)

    outcomes = [
        submitted(client, before),
        submitted(client, after),
        submitted(client, NextSpec.parse({**SPEC, "added": 2})),
        submitted(client, NextSpec.parse({**SPEC, "name": "another"})),
    ]

    assert before.sha256() != after.sha256()
    assert outcomes == ["created", "replayed", "conflict", "conflict"]


@pytest.mark.parametrize("first", [True, False])
def test_a_clone_is_not_the_job_of_the_same_spec(client: redis.Redis, *, first: bool) -> None:
    """Its hash is that of the request to clone, and its spec does not say of which job."""
    spec = JobSpec.parse(SPEC)
    parent = StartingState("job_0", 3, "jobs/local/job_1/parent", "s", "weights")

    outcomes = [
        submitted(client, spec, "a", parent if first else None),
        submitted(client, spec, "b", None if first else parent),
    ]

    assert outcomes == ["created", "conflict"]


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


def test_higher_priority_goes_first_then_age(client: redis.Redis) -> None:
    old, low, high = submit(client), submit(client, priority=-5), submit(client, priority=7)

    order = [begin(client, f"t{i}", worker=f"w{i}").job_id for i in range(3)]

    assert order == [high, old, low]


def test_a_job_given_back_keeps_its_queue_position(client: redis.Redis) -> None:
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


def test_the_history_has_one_numbered_entry_per_transition(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    send(client, calls.fail(held, reason="error", detail="x"))

    entries = history(client, job_id)
    assert [entry["kind"] for entry in entries] == ["submitted", "started", "failed"]
    assert entries[1]["data"] == {"attempt": 1, "worker": "w1", "step": 0}
