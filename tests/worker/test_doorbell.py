"""The RQ side of a worker on a real server: it answers the bell, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from jobs import doorbell
from jobs.keys import queue_name
from worker.doorbell import Listener, Message


class Counter:
    """A post that only counts."""

    def __init__(self) -> None:
        self.rings = 0

    def work(self) -> None:
        """Answer a ring."""
        self.rings += 1

    def drain(self) -> None:
        """Leave."""
        raise AssertionError("nobody asked for it")


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    monkeypatch.setattr(Listener, "post", counter, raising=False)
    return counter


def listen(client: redis.Redis) -> None:
    listener = Listener(
        [queue_name("cpu")], connection=client, job_class=Message, serializer=JSONSerializer
    )
    listener.work(burst=True, logging_level="CRITICAL")


def test_a_ring_is_answered(client: redis.Redis, post: Counter) -> None:
    doorbell.ring(client, "cpu", "job_1")
    doorbell.ring(client, "cpu", "job_1")

    listen(client)

    assert post.rings == 2
    assert client.llen(f"rq:queue:{queue_name('cpu')}") == 0


@pytest.mark.parametrize(
    "options",
    [
        {"func": "os.system"},
        {"func": doorbell.ANSWER, "on_success": "os.system"},
        {"func": doorbell.ANSWER, "on_failure": "os.system"},
        {"func": "os.system", "on_failure": "os.system"},
    ],
    ids=str,
)
def test_what_else_a_message_names_is_never_called(
    client: redis.Redis, post: Counter, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Whoever can write to Redis must not thereby run code on a worker."""
    proof = tmp_path / "proof"
    queue = Queue(queue_name("cpu"), connection=client, serializer=JSONSerializer)
    job = Job.create(
        options["func"], [f"touch {proof}"], connection=client, serializer=JSONSerializer
    )
    job._success_callback_name = options.get("on_success")
    job._failure_callback_name = options.get("on_failure")
    queue.enqueue_job(job)

    listen(client)

    assert not proof.exists()
    assert post.rings == (1 if options["func"] == doorbell.ANSWER else 0)


def test_a_message_that_is_refused_does_not_stop_the_next(
    client: redis.Redis, post: Counter
) -> None:
    Queue(queue_name("cpu"), connection=client, serializer=JSONSerializer).enqueue("os.getpid")
    doorbell.ring(client, "cpu", "job_1")

    listen(client)

    assert post.rings == 1
