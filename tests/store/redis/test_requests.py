"""What clients ask for: cancel, kill, pause and resume."""

import time

import redis

from optserve.contract.states import State
from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import (
    LEASE_MS,
    Action,
    append,
    ask,
    begin,
    claim,
    kinds,
    reap,
    release,
    some_rows,
    state_of,
    submit,
)


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


def test_only_a_stronger_request_replaces_another(
    client: redis.Redis,
) -> None:
    job_id = submit(client)
    held = begin(client)

    requests: list[tuple[Action, str]] = [
        ("pause", "pause"),
        ("cancel", "cancel"),
        ("kill", "kill"),
        ("pause", "kill"),
    ]
    for action, heard in requests:
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
