"""What waits where, and which job comes before which."""

import random

import pytest
import redis

from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import begin, claim, hello, release, submit


def place(client: redis.Redis, job_id: str, tenant: str = "local") -> int | None:
    record = send(client, calls.look(tenant, job_id))
    assert record is not None
    return record.job().queue_position


def test_the_first_of_the_queue_has_nobody_before_it(client: redis.Redis) -> None:
    first, second = submit(client), submit(client)

    assert (place(client, first), place(client, second)) == (0, 1)


def test_a_higher_priority_goes_before(client: redis.Redis) -> None:
    usual, urgent = submit(client), submit(client, priority=1)

    assert (place(client, urgent), place(client, usual)) == (0, 1)


def test_only_a_queued_job_has_a_place(client: redis.Redis) -> None:
    job_id = submit(client)
    claim(client)

    assert place(client, job_id) is None


def test_jobs_that_other_workers_take_are_not_before_it(client: redis.Redis) -> None:
    submit(client, training={"steps": 10, "device": "cuda"})
    job_id = submit(client)
    hello(client)

    assert place(client, job_id) == 0


def test_jobs_of_the_same_workers_in_other_lanes_are_before_it(client: redis.Redis) -> None:
    submit(client, training={"steps": 10, "device": "auto"})
    job_id = submit(client)
    hello(client)

    assert place(client, job_id) == 1


@pytest.mark.parametrize("seed", range(5))
def test_jobs_are_claimed_in_the_order_of_their_places(client: redis.Redis, seed: int) -> None:
    """Tenants of unlike sizes, some with jobs that run already, priorities, two lanes."""
    chance = random.Random(seed)
    tenants = ("local", "small", "large")
    for i in range(4):
        submit(client, tenant=chance.choice(tenants))
        begin(client, token=f"runs {i}", worker=f"busy {i}")
    jobs = [
        (
            tenant := chance.choices(tenants, (3, 1, 9))[0],
            submit(
                client,
                tenant=tenant,
                priority=chance.choice((0, 0, 0, 5)),
                training={"steps": 10, "device": chance.choice(("cpu", "auto"))},
            ),
        )
        for _ in range(40)
    ]
    hello(client)

    places = {job_id: place(client, job_id, tenant) for tenant, job_id in jobs}
    order = [record.id for i in range(40) if (record := claim(client, f"t{i}")) is not None]

    assert [places[job_id] for job_id in order] == list(range(40))


def test_a_job_given_back_has_the_place_of_its_age(client: redis.Redis) -> None:
    first, second = submit(client), submit(client)
    held = begin(client)
    release(client, held)

    assert (place(client, first), place(client, second)) == (0, 1)
