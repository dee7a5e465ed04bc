"""A machine that is not fit to train on gives its job back: nothing is held against the job."""

import pytest
import redis

from optserve.contract.states import State
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis import keys
from store.redis.functions import send
from tests.support.store.protocol import append, begin, claim, kinds, record_of, some_rows, submit

WHY = "w1: the storage /storage cannot be used: Read-only file system (EROFS)"


def give_back(client: redis.Redis, held: Claim, why: str = WHY) -> str:
    return send(client, calls.release(held, why=why, cause="fault")).state


def due(client: redis.Redis, job_id: str) -> float:
    """Return in how many seconds a job may be claimed."""
    seconds, micro = client.time()
    not_before = record_of(client, job_id).fields.get("not_before", "0")
    return max(0.0, int(not_before) / 1000 - seconds - micro / 1e6)


def let_it_be_due(client: redis.Redis, job_id: str) -> None:
    client.hset(keys.JOB % ("local", job_id), "not_before", 1)


def test_the_first_time_another_worker_takes_it_at_once(client: redis.Redis) -> None:
    job_id = submit(client)

    state = give_back(client, begin(client))

    assert state == "queued"
    record = record_of(client, job_id)
    assert (record.fields["crashes"], record.fields["fault"]) == ("0", WHY)
    taken = claim(client, "t2", worker="w2")
    assert taken is not None
    assert taken.id == job_id


def test_it_never_fails_however_often_machines_do(client: redis.Redis) -> None:
    job_id = submit(client)
    waits = []
    for i in range(12):
        give_back(client, begin(client, f"t{i}"))
        waits.append(due(client, job_id))
        let_it_be_due(client, job_id)

    assert record_of(client, job_id).state is State.QUEUED
    wanted = [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert waits == [pytest.approx(each, abs=0.5) for each in wanted]


def test_while_it_waits_others_are_claimed_and_it_says_why_it_waits(client: redis.Redis) -> None:
    sick, other = submit(client), submit(client)
    for token in ("t1", "t2"):
        give_back(client, begin(client, token))
    assert begin(client, "t3").job_id == other

    record = send(client, calls.look("local", sick))

    assert record is not None
    assert record.job().waiting_for == "machine"
    assert record.job().fault == WHY
    assert claim(client, "t4", worker="w2") is None


def test_once_it_moves_again_nothing_is_left_of_it(client: redis.Redis) -> None:
    job_id = submit(client)
    give_back(client, begin(client))
    held = begin(client, "t2")

    append(client, held, 0, some_rows(0, 3))

    fields = record_of(client, job_id).fields
    assert not {"fault", "faults", "not_before"} & fields.keys()


def test_rows_that_are_computed_again_are_no_sign_that_it_moves(client: redis.Redis) -> None:
    job_id = submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, 3))
    give_back(client, held)
    held = begin(client, "t2")

    append(client, held, 0, some_rows(0, 3))

    assert record_of(client, job_id).fields["faults"] == "1"


@pytest.mark.parametrize(("action", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_what_its_client_wants_is_done_all_the_same(
    client: redis.Redis, action: str, state: str
) -> None:
    job_id = submit(client)
    for token in ("t1", "t2"):
        give_back(client, begin(client, token))

    send(client, calls.ask("local", job_id, action))  # type: ignore[arg-type]

    assert record_of(client, job_id).state == state
    assert kinds(client, job_id)[-1] == state
