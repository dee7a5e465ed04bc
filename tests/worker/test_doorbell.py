"""The RQ side of a worker on a real server: it answers the doorbell, and nothing else."""

from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from store.redis import doorbell
from store.redis.keys import queue_name
from worker.doorbell import Listener, Message


class Counter:
    """A worker's loop that only counts."""

    def __init__(self) -> None:
        self.rings = 0

    def work(self) -> None:
        """Count a ring."""
        self.rings += 1

    def drain(self) -> None:
        """Leave."""
        raise AssertionError("nobody asked for it")


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    monkeypatch.setattr(Listener, "loop", counter, raising=False)
    return counter


def listen(client: redis.Redis) -> None:
    listener = Listener(
        [queue_name("cpu")], connection=client, job_class=Message, serializer=JSONSerializer
    )
    listener.work(burst=True, logging_level="CRITICAL")


def test_a_ring_is_answered(client: redis.Redis, counter: Counter) -> None:
    doorbell.ring(client, "cpu", "job_1")
    doorbell.ring(client, "cpu", "job_1")

    listen(client)

    assert counter.rings == 2
    assert client.llen(f"rq:queue:{queue_name('cpu')}") == 0


CALLED: list[str] = []


def called(*_: object) -> None:
    """A function that must not be called."""
    CALLED.append("it was")


CALLABLE = f"{__name__}.{called.__name__}"


@pytest.mark.parametrize(
    "names",
    [
        {"func": CALLABLE},
        {"func": doorbell.ANSWER, "success": CALLABLE},
        {"func": CALLABLE, "failure": CALLABLE},
        {"func": CALLABLE, "stopped": CALLABLE},
    ],
    ids=str,
)
def test_no_function_but_the_doorbells_is_ever_called(
    client: redis.Redis, counter: Counter, names: dict[str, Any]
) -> None:
    """Write access to Redis must not be a way to run code on a worker."""
    CALLED.clear()
    queue = Queue(queue_name("cpu"), connection=client, serializer=JSONSerializer)
    job = Job.create(names["func"], ["job_1"], connection=client, serializer=JSONSerializer)
    job._success_callback_name = names.get("success")
    job._failure_callback_name = names.get("failure")
    job._stopped_callback_name = names.get("stopped")
    queue.enqueue_job(job)

    listen(client)

    assert CALLED == []
    assert counter.rings == (1 if names["func"] == doorbell.ANSWER else 0)


def test_a_message_that_is_refused_does_not_stop_the_next(
    client: redis.Redis, counter: Counter
) -> None:
    Queue(queue_name("cpu"), connection=client, serializer=JSONSerializer).enqueue("os.getpid")
    doorbell.ring(client, "cpu", "job_1")

    listen(client)

    assert counter.rings == 1
